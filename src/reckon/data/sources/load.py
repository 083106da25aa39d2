"""Bring a source's columns into the workspace: ids as text, times as moments, clean text; every bad row refused.

Entry points: `store_items`, `store_interactions`, `items_from_interactions`. Every source uses them, so all of them
check the same things and word their errors the same way.
"""

from collections.abc import Mapping, Sequence

from reckon.data.prepare.bad_rows import refuse
from reckon.data.prepare.times import TimeUnit, moment_sql, refuse_rounded
from reckon.data.prepare.workspace import Workspace, named, quoted
from reckon.data.scale import Scale
from reckon.data.sources.header import check_names
from reckon.errors import DataError
from reckon.messages import cut

WHOLE = r"[+-]?[0-9]+([.]0*)?"
LARGEST = 1e9  # of a rating in either direction; float32, in which ratings are stored, holds whole numbers up to 1.6e7
YES, NO = "('true', 'yes', 't')", "('false', 'no', 'f')"  # labels of events, in place of ratings
PARTED = r"[^\s,;|]+\s*[\s,;|]\s*[^\s,;|]+"  # two ids or more in one text
MOST_PARTED = 0.9  # share of such texts above which they are lists
RESERVED = "reckon_"  # prefix of the columns that are added to those of the items
ROW_ORDER = "@row"  # mapped as position: the order of the file's rows


def store_items(
    workspace: Workspace, relation: str, columns: Mapping[str, str], where: str, prices: Sequence[str] = ()
) -> None:
    """Make the table `items`.

    Args:
        relation: SQL to stand after FROM.
        columns: our column name to an SQL expression of the relation, in the order that prompts will use. Needs
            `item_id` and `title`.
        where: the input, for messages.
        prices: columns of text to read as prices (`reckon.data.prepare.prices`); what has no sure reading is null and
            counted in a note.
    """
    _check_item_columns(columns, where)
    kinds = _kinds(workspace, relation, columns, where)
    selected = [f"{columns['item_id']} AS item_id"]
    for name, expression in columns.items():
        if name == "item_id":
            continue
        if name in prices:
            raw = f"CAST({expression} AS VARCHAR)"
            selected += [f"price_of({raw}) AS {quoted(name)}", f"{raw} AS {quoted(f'raw {name}')}"]
            continue
        selected.append(f"{_cleaned(expression, kinds[name])} AS {quoted(name)}")
    workspace.run(
        f"CREATE TABLE items AS SELECT row_number() OVER () AS reckon_row, {', '.join(selected)} FROM {relation}",
        doing="reading items",
        where=where,
    )
    workspace.run("UPDATE items SET title = '' WHERE title IS NULL", doing="reading items")
    _strip_ids(workspace, "items", "item_id", columns, where)
    for name in prices:
        _count_unread(workspace, name, where)
    _drop_blank_columns(workspace, where)
    twice = workspace.rows(
        "SELECT item_id, list(reckon_row ORDER BY reckon_row)[:2] FROM items GROUP BY item_id HAVING count(*) > 1 "
        "ORDER BY min(reckon_row) LIMIT 1"
    )
    if twice:
        item_id, (first, second) = twice[0]
        raise DataError(
            f"{where}, row {second}", f"item_id {item_id!r} was already in row {first}", "keep one row per item"
        )
    if not workspace.row("SELECT count(*) FROM items")[0]:
        raise DataError(where, "has no rows", "check the file")


def store_interactions(
    workspace: Workspace,
    relation: str,
    columns: Mapping[str, str],
    where: str,
    time_unit: TimeUnit = "auto",
    time_format: str | None = None,
    condition: str | None = None,
) -> None:
    """Make the table `interactions`.

    Args:
        relation: SQL to stand after FROM.
        columns: `user_id`, `item_id`, one of `timestamp` and `position` (or `@row`), optional `rating`, `summary`,
            `review`, each to an SQL expression of the relation. An `item_id` that is a list stands for a whole
            history, oldest first.
        where: the input, for messages.
        time_unit: of numeric timestamps.
        time_format: of dates, as for `strptime`; None: told from the first.
        condition: SQL on the relation; rows that do not fulfil it are left out and counted.
    """
    kinds = _kinds(workspace, relation, columns, where)
    order = next((name for name in ("timestamp", "position") if name in columns), None)
    listed = kinds["item_id"].endswith("[]")
    if order is None and not listed:
        raise DataError(
            where,
            "no column gives the order of events",
            "map timestamp=COLUMN or position=COLUMN, or position=@row for the order of the rows",
        )
    selected = [f"{condition or 'true'} AS wanted"]
    selected += [f"{expression} AS raw_{name}" for name, expression in columns.items() if expression != ROW_ORDER]
    workspace.run(
        f"CREATE TABLE staged AS SELECT row_number() OVER () AS reckon_row, {', '.join(selected)} FROM {relation}",
        doing="reading interactions",
        where=where,
    )
    _keep_wanted(workspace, where)
    if kinds["item_id"] == "VARCHAR":
        _refuse_lists_as_text(workspace, f"{where}, field {_plain(columns['item_id'])}")
    if listed:
        _unroll(workspace, order, where)
        order = "position"
        columns = {**columns, "position": "position in the list"}
    elif columns.get("position") == ROW_ORDER:
        workspace.run("ALTER TABLE staged ADD COLUMN raw_position BIGINT", doing="reading interactions")
        workspace.run("UPDATE staged SET raw_position = reckon_row", doing="reading interactions")
    for name in ("user_id", "item_id"):
        _strip_ids(workspace, "staged", f"raw_{name}", columns, where)
    workspace.timed, workspace.origin = order == "timestamp", where
    field = f"{where}, field {_plain(columns[str(order)])}"
    if workspace.timed:
        refuse_rounded(workspace, "staged", "raw_user_id", "raw_timestamp", field)
        moment = moment_sql(workspace, "staged", "raw_timestamp", field, time_unit, time_format)
    else:
        moment = _number(workspace, "raw_position", field, "BIGINT")
    kept = [
        "reckon_row",
        "raw_user_id AS user_id",
        "raw_item_id AS item_id",
        f"{moment} AS moment",
    ]
    if "rating" in columns:
        field = f"{where}, field {_plain(columns['rating'])}"
        _truths_as_numbers(workspace, "raw_rating", field)
        kept.append(f"{_number(workspace, 'raw_rating', field, 'DOUBLE', required=False)} AS rating")
    kept += [f"clean(CAST(raw_{name} AS VARCHAR)) AS {name}" for name in ("summary", "review") if name in columns]
    workspace.run(f"CREATE TABLE interactions AS SELECT {', '.join(kept)} FROM staged", doing="checking interactions")
    workspace.run("DROP TABLE staged", doing="checking interactions")
    if not workspace.row("SELECT count(*) FROM interactions")[0]:
        dropped = f" left after {sum(workspace.dropped.values()):,} bad ones were dropped" if workspace.dropped else ""
        raise DataError(where, f"has no rows{dropped}", "check the file")


def refuse_off_scale(workspace: Workspace, scale: Scale, columns: Mapping[str, str], where: str) -> None:
    """Refuse the first rating in `interactions` that lies outside a given scale, and a scale of no ratings."""
    if "rating" not in columns:
        raise DataError(where, "has no ratings for the scale given", "map rating=COLUMN, or leave the scale out")
    refuse(
        workspace,
        "interactions",
        f"rating NOT BETWEEN {scale.lowest!r} AND {scale.highest!r}",
        "format('{:g}', rating)",
        f"{where}, field {_plain(columns['rating'])}",
        f"lies outside the scale {scale}",
        "correct the row, pass the scale it is on as --scale LOW:HIGH",
    )


def items_from_interactions(workspace: Workspace, title: str | None, relation: str, item_id: str, where: str) -> None:
    """Make `items` of the ids that occur, where there is no table of items.

    Args:
        title: SQL expression of the title in the interactions, or None: items are then known by id only.
        item_id: SQL expression of the id.
    """
    if title is None:
        workspace.run(
            "CREATE TABLE items AS SELECT min(reckon_row) AS reckon_row, item_id, '' AS title FROM interactions "
            "GROUP BY item_id",
            doing="collecting items",
        )
        return
    # The title seen most often, the first in alphabetical order among equals: the same on every run.
    workspace.run(
        f"""CREATE TABLE items AS
        WITH titled AS (SELECT strip_id({item_id}) AS item_id, clean(CAST({title} AS VARCHAR)) AS title
                       FROM {relation}),
             counted AS (SELECT item_id, title, count(*) AS times FROM titled
                         WHERE item_id IN (SELECT item_id FROM interactions) GROUP BY ALL)
        SELECT 0 AS reckon_row, item_id, coalesce(first(title ORDER BY title IS NULL, times DESC, title), '') AS title
        FROM counted GROUP BY item_id""",
        doing="collecting items",
        where=where,
    )


def _kinds(workspace: Workspace, relation: str, columns: Mapping[str, str], where: str) -> dict[str, str]:
    """DuckDB types of the mapped expressions."""
    selected = ", ".join(
        f"{expression} AS {quoted(name)}" for name, expression in columns.items() if expression != ROW_ORDER
    )
    with named(where):
        return workspace.columns(f"(SELECT {selected} FROM {relation})")


def _check_item_columns(columns: Mapping[str, str], where: str) -> None:
    """Refuse names of item columns that a run keeps its own numbers under, or that a database takes for one."""
    check_names(columns, where)
    for name in columns:
        if name.lower().startswith(RESERVED):
            fix = f"rename it, or map it to another name: --item-map NAME={name}"
            raise DataError(where, f"has an item column {name!r}, and names with {RESERVED} are Reckon's own", fix)


def _cleaned(expression: str, kind: str) -> str:
    if kind == "VARCHAR":
        return f"clean({expression})"
    if kind == "VARCHAR[]":
        return f"clean_list({expression})"
    if kind.endswith("[]") and "(" not in kind and not kind.endswith("[][]"):
        return f"clean_list(CAST({expression} AS VARCHAR[]))"
    if kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "JSON")):
        return f"clean(CAST(to_json({expression}) AS VARCHAR))"  # which `clean` then writes out
    return expression


def _unroll(workspace: Workspace, order: str | None, where: str) -> None:
    if order is not None:
        raise DataError(
            where, f"item_id is a list, which already has an order, and {order} is mapped too", f"leave {order} out"
        )
    others = [name for name in workspace.columns("staged") if name != "raw_item_id"]
    workspace.run(
        f"""CREATE TABLE unrolled AS SELECT {", ".join(others)}, unnest(raw_item_id) AS raw_item_id,
        generate_subscripts(raw_item_id, 1) AS raw_position FROM staged""",
        doing="unrolling histories",
    )
    workspace.run("DROP TABLE staged", doing="unrolling histories")
    workspace.run("ALTER TABLE unrolled RENAME TO staged", doing="unrolling histories")


def _refuse_lists_as_text(workspace: Workspace, field: str) -> None:
    """Refuse item ids that are whole histories as text: each user has one row, and its id several parts.

    No such data could be split: every user would have one event.
    """
    ids, users, rows, example = workspace.row(
        f"SELECT count(*) FILTER (WHERE regexp_matches(CAST(raw_item_id AS VARCHAR), '{PARTED}')), "
        "count(DISTINCT raw_user_id), count(*), min(CAST(raw_item_id AS VARCHAR)) FROM staged"
    )
    if rows and users == rows and ids > MOST_PARTED * rows:
        raise DataError(
            field,
            f"holds lists as text, such as {cut(example, 40)!r}, and every user has one row",
            "write one row per interaction, or lists of ids in JSON lines or Parquet",
        )


def _truths_as_numbers(workspace: Workspace, column: str, where: str) -> None:
    """Make a column of yes and no, and of nothing else, one of 1 and 0, and say so: a ranking would count both."""
    text = f"lower(trim(CAST({column} AS VARCHAR)))"
    yes, no, given, example = workspace.row(
        f"SELECT count(*) FILTER (WHERE {text} IN {YES}), count(*) FILTER (WHERE {text} IN {NO}), "
        f"count(*) FILTER (WHERE {text} <> ''), min(CAST({column} AS VARCHAR)) FILTER (WHERE {text} IN {YES}) "
        "FROM staged"
    )
    if not given or yes + no < given:
        return
    number = f"CASE WHEN {text} IN {YES} THEN 1.0 WHEN {text} IN {NO} THEN 0.0 END"
    workspace.run(f"ALTER TABLE staged ALTER {column} TYPE DOUBLE USING {number}", doing="reading labels")
    name = where.rpartition("field ")[2]
    workspace.note(
        f"{where}: {yes:,} yes and {no:,} no were read as ratings 1 and 0; a ranking counts both, unless "
        f"--where \"{name} = '{example or 'true'}'\" selects one"
    )


def _number(workspace: Workspace, column: str, where: str, kind: str, *, required: bool = True) -> str:
    """SQL for a column as numbers; a value that is none is refused, an empty one too where it is required."""
    text = f"trim(CAST({column} AS VARCHAR))"
    value = f"TRY_CAST(nullif({text}, '') AS {kind})"
    given = "true" if required else f"NOT ({column} IS NULL OR {text} = '')"
    if kind == "BIGINT":  # a cast would round 1.5 to 2, and read 0x10
        wrong, problem = f"NOT coalesce(regexp_full_match({text}, '{WHOLE}'), false)", "is not a whole number"
        value = f"TRY_CAST(nullif(regexp_replace({text}, '[.]0*$', ''), '') AS {kind})"
    else:
        wrong, problem = f"({value} IS NULL OR NOT isfinite({value}))", "is not a number"
    refuse(workspace, "staged", f"{given} AND {wrong}", column, where, problem, "correct the row")
    beyond = f"{value} IS NULL" if kind == "BIGINT" else f"abs({value}) > {LARGEST!r}"
    refuse(workspace, "staged", f"{given} AND {beyond}", column, where, "is too large", "correct the row")
    return value


def _strip_ids(workspace: Workspace, table: str, column: str, columns: Mapping[str, str], where: str) -> None:
    """Make ids text without blanks at their ends, and say how many had some; an id of blanks alone is refused."""
    field = f"{where}, field {_plain(columns[column.removeprefix('raw_')])}"
    (stripped,) = workspace.row(
        f"SELECT count(*) FROM {table} WHERE strip_id({column}) NOT IN ('', CAST({column} AS VARCHAR))"
    )
    if stripped:
        workspace.note(f"{field}: {stripped:,} ids had blanks at their ends, which were removed")
    if stripped or workspace.columns(table)[column] != "VARCHAR":
        workspace.run(f"ALTER TABLE {table} ALTER {column} TYPE VARCHAR USING strip_id({column})", doing="checking ids")
    condition = f"{column} IS NULL OR strip_id({column}) = ''"
    refuse(workspace, table, condition, column, field, "is no id", "give every row an id, remove the row")


def _keep_wanted(workspace: Workspace, where: str) -> None:
    """Leave out the rows of `staged` that do not fulfil the condition; the others keep their numbers."""
    kept, total = workspace.row("SELECT count(*) FILTER (WHERE wanted), count(*) FROM staged")
    if total and not kept:
        raise DataError(where, f"has no row of {total:,} that fulfils --where", "correct the condition")
    if kept < total:
        workspace.run("DELETE FROM staged WHERE NOT wanted", doing="selecting rows")
        workspace.note(f"{where}: {kept:,} of {total:,} rows fulfil --where; the others were left out")
    workspace.run("ALTER TABLE staged DROP COLUMN wanted", doing="selecting rows")


def _count_unread(workspace: Workspace, name: str, where: str) -> None:
    """Say how many texts of a price column have no sure reading, with one of them."""
    raw = quoted(f"raw {name}")
    unread, example = workspace.row(
        f"SELECT count(*), min({raw}) FROM items WHERE {quoted(name)} IS NULL AND "
        f"lower(coalesce(strip_id({raw}), '')) NOT IN ('', 'none', 'null', 'nan', '-', '—', '–')"
    )
    if unread:
        workspace.note(
            f"{where}: {unread:,} values of {name} are no sure number, such as {example!r}; they are empty now"
        )
    workspace.run(f"ALTER TABLE items DROP COLUMN {raw}", doing="reading items")


def _drop_blank_columns(workspace: Workspace, where: str) -> None:
    """Leave out item columns without any value."""
    kinds = {
        name: kind
        for name, kind in workspace.columns("items").items()
        if name not in ("reckon_row", "item_id", "title")
    }
    if not kinds:
        return
    counts = ", ".join(
        f"count({quoted(name)})" if "[]" not in kind else f"count(*) FILTER (WHERE len({quoted(name)}) > 0)"
        for name, kind in kinds.items()
    )
    for name, values in zip(kinds, workspace.row(f"SELECT {counts} FROM items"), strict=True):
        if not values:
            workspace.run(f"ALTER TABLE items DROP COLUMN {quoted(name)}", doing="reading items")
            workspace.note(f"{where}: {name} is blank in every row and was left out")


def _plain(expression: str) -> str:
    """A quoted column as the user wrote it."""
    return expression[1:-1].replace('""', '"') if expression.startswith('"') else expression
