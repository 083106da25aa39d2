"""Give items new ids that say nothing: numbers in a random order.

Entry point: `relabel_items`. Ids are often handed out as items appear, so whoever reads them, or breaks ties by them,
knows which items are young. Works on the workspace's tables and inside DuckDB.
"""

from reckon.data.prepare.workspace import Workspace
from reckon.errors import ConfigError


def relabel_items(workspace: Workspace, seed: int) -> None:
    """Replace every item id by a number from 1, in the order of the md5 of seed and id; all have the same digits.

    An item without a title is called by its new id, so that there is a name to read.

    Raises:
        ConfigError: the workspace holds given rows, whose ids belong to somebody else's evaluation.
    """
    if workspace.has("rows"):
        raise ConfigError("relabel", seed, "given rows are evaluated as they are given", "leave it out")
    digits = len(str(workspace.row("SELECT count(*) FROM items")[0]))
    workspace.run(
        f"""CREATE TABLE labels AS SELECT item_id AS old, lpad(CAST(row_number() OVER (
            ORDER BY md5(? || chr(31) || item_id), item_id) AS VARCHAR), {digits}, '0') AS new FROM items""",
        [str(seed)],
        doing="relabelling items",
    )
    for table in ("items", "interactions"):
        workspace.run(
            f"UPDATE {table} SET item_id = labels.new FROM labels WHERE {table}.item_id = labels.old",
            doing="relabelling items",
        )
    workspace.run("UPDATE items SET title = item_id WHERE title = ''", doing="relabelling items")
    workspace.run("DROP TABLE labels", doing="relabelling items")
    workspace.count("relabelling", f"item ids were replaced by random numbers (seed {seed})")
