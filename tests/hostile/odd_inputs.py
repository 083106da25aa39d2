"""Malformed and odd inputs of `reckon data prepare`, made from a seed: files, their names, and options.

Entry point: `make`. A case starts from a sound table of interactions and breaks it in one to three ways: in its
values, its header, its lines, its bytes, its name, or in the options it is given with.
"""

import contextlib
import csv
import gzip
import io
import json
import random
import sqlite3
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SECRET = "S3cretPassw0rd"  # in every address; must never be printed
START = 1_500_000_000
COLUMNS = ("user_id", "item_id", "rating", "timestamp")
FORMATS = (
    "csv",
    "csv",
    "csv.gz",
    "tsv",
    "txt",
    "jsonl",
    "jsonl",
    "jsonl.gz",
    "json",
    "parquet",
    "parquet",
    "db",
    "zip",
)
ESCAPES = (
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b5m",
    "\u202eabc",
    "\x00",
    "\x08\x08",
    "a\rb",
    "\u2028",
    "\x7f",
)
TEXTS = (
    *ESCAPES, "", " ", "\t", "None", "null", "NaN", "<|im_end|> <|im_start|>system", "<answer>", "<!--" * 50,
    "<script>" * 50, "'; DROP TABLE items; --", '"', "'", "\\", "%s%n", "{0}", "=cmd|' /C calc'!A0", "../../etc/passwd",
    "é\u0301" * 40, "a\u0301\u0327" * 300, "日本語" * 300, "😀", "x" * 5_000, "&#" + "9" * 5_000 + ";",
    "&amp;lt;b&amp;gt;",
    "['\\d', 1]", "[" * 2_000, '{"a": ' * 300, f"postgresql://u:{SECRET}@h/db", "http://[::1", "-1", "0x1F", "1e5",
)  # fmt: skip
NUMBERS = (
    "1e39", "-1e39", "1e309", "nan", "inf", "-inf", "-0", "0", "-1", "1.5", "1e-320", "0x10", "1_000", "١", "1,5",
    "true", "",
    "9" * 30, "9" * 5_000, "1" + "0" * 18, "9223372036854775807", "9223372036854775808", "+5", " 5 ", "5.", ".5",
    "5e", "½",
    "2017-01-01", "2017-13-45", "0001-01-01", "9999-12-31T23:59:59.999999999Z", "1969-12-31", "now", "infinity",
    "-infinity",
    "epoch", "12:00", "Wed Jan 02 11:38:00 -0800 2013", "05/06/2017", "1500000000000", "1500000000000000000",
)  # fmt: skip
NAMES = (
    "", " ", "user_id", "USER_ID", "Item_Id", "line", "reckon_row", "reckon_train_count", "raw_user_id", "wanted",
    "moment",
    "order", "select", "a.b", "a b", 'a"b', "a'b", "x" * 300, "x" * 200_000, "\x1b[31mred", "a\tb", "price",
    "average_rating",
    "title", "Title", "rowid", "json", "*", "@row", "position", "review", "summary", "rating:float", "é", "列",
)  # fmt: skip
KINDS = (
    pa.timestamp("s", "Europe/Berlin"), pa.timestamp("ns"), pa.timestamp("us", "+05:30"), pa.binary(),
    pa.decimal128(20, 3),
    pa.float32(), pa.int64(), pa.uint64(), pa.dictionary(pa.int32(), pa.string()), pa.large_string(), pa.float16(),
    pa.bool_(),
)  # fmt: skip
FILE_NAMES = (
    "orders[1]", "really?", "st*r", "a{b,c}", "a b", "-x", "é", "a'b", 'a"b', "a;b", "%41", "a\nb", "a\x1b[31mb",
    "user_id=h0",
    ".hidden", "x" * 200, "~", "$HOME", "a\\b", "#", "a@b", "a:b",
)  # fmt: skip


@dataclass
class Case:
    """What to run, and what is known of it."""

    words: list[str]
    """Arguments of `reckon`; `data prepare …`."""
    out: Path
    parts: list[str] = field(default_factory=list)
    """What was broken, in words."""
    rows: int | None = None
    """Rows that a reader has to count if it accepts the file; None where damage makes that unknown."""


def make(folder: Path, rng: random.Random) -> Case:
    """Write the files of a case below a folder."""
    if rng.random() < 0.05:
        return _address(folder, rng)
    form = rng.choice(FORMATS)
    rows = _sound_rows(rng)
    broken = _broken_values(rows, rng) if rng.random() < 0.6 else []
    stem = rng.choice(FILE_NAMES) if rng.random() < 0.15 else "events"
    path = folder / f"{stem}.{form}"
    lines = _write(path, form, rows, rng)
    bytes_changed = _damage(path, rng) if not broken or rng.random() < 0.4 else []
    case = Case(["data", "prepare"], folder / "out", [form, *broken, *lines, *bytes_changed])
    if form == "zip":
        case.words += ["movielens", str(path), str(case.out)]
    else:
        case.words += ["table", str(path), str(case.out)]
        case.words += ["--table", "events"] if form == "db" else []
        if rng.random() < 0.35:
            case.words += ["--items", str(_items(folder, rng, case.parts))]
    if rng.random() < 0.35:
        case.parts += _options(case.words, form, rng)
    if not lines and not bytes_changed and "option" not in " ".join(case.parts):
        case.rows = len(rows)
    if rng.random() < 0.05:
        case.parts.append(_odd_out(case, folder, rng))
    return case


def _sound_rows(rng: random.Random) -> list[dict[str, Any]]:
    users, steps, items = rng.randint(3, 6), rng.randint(3, 6), rng.randint(3, 9)
    zipped = [(user, step) for user in range(users) for step in range(steps)]
    return [
        {
            "user_id": f"{user}", "item_id": f"{(user + step) % items}", "rating": f"{1 + step % 5}",
            "timestamp": f"{START + 1000 * user + step}",
        }
        for user, step in zipped
    ]  # fmt: skip


def _broken_values(rows: list[dict[str, Any]], rng: random.Random) -> list[str]:
    """Change values, add or rename columns; what was done."""
    done = []
    for _ in range(rng.randint(1, 3)):
        kind = rng.choice(("value", "value", "value", "every value", "column", "rename", "drop", "type", "repeat"))
        name = rng.choice(COLUMNS)
        value: Any = rng.choice(TEXTS if rng.random() < 0.5 else NUMBERS)
        if kind == "value" and name in (row := rng.choice(rows)):
            row[name] = value
        elif kind == "every value":
            for row in rows:
                row[name] = value
        elif kind == "column":
            name = rng.choice(NAMES)
            for row in rows:
                row[name] = row.get(name, rng.choice(TEXTS))
        elif kind == "rename":
            value = rng.choice(NAMES)
            for row in rows:
                if name in row:
                    row[value] = row.pop(name)
        elif kind == "drop":
            for row in rows:
                row.pop(name, None)
        elif kind == "type":
            value = rng.choice(([], [1, "a"], {"a": 1}, None, True, 5, 1.5, [["x"]], {}, 10**25))
            rng.choice(rows)[name] = value
        elif kind == "repeat":
            rows.extend(rows[: rng.randint(1, 5)])
        done.append(f"{kind} {name[:20]!r} {str(value)[:20]!r}")
    return done


def _write(path: Path, form: str, rows: list[dict[str, Any]], rng: random.Random) -> list[str]:
    """Write rows; what was done to single lines of text."""
    if form == "parquet":
        return _write_parquet(path, rows, rng)
    if form == "db":
        return _write_sqlite(path, rows)
    if form == "zip":
        return _write_zip(path, rows, rng)
    names = list(dict.fromkeys(name for row in rows for name in row)) or ["user_id"]
    done: list[str] = []
    if form.startswith("json"):
        lines = [json.dumps(row, ensure_ascii=rng.random() < 0.5) for row in rows]
    else:
        file = io.StringIO()
        writer = csv.writer(file, delimiter="\t" if form == "tsv" else ",", lineterminator="\0")
        writer.writerow(names)
        writer.writerows([[_text(row.get(name, "")) for name in names] for row in rows])
        lines = file.getvalue().split("\0")[:-1]
        if any("\0" in _text(value) for row in rows for value in (*row, *row.values())):
            done.append("lines")
    if rng.random() < 0.25:
        place = rng.randrange(len(lines))
        lines[place], what = rng.choice(
            [(lines[place] + ",9", "long line"), (lines[place][: len(lines[place]) // 2], "short line"), ("",
             "no line"),
             (lines[place] + '"', "quote line"), ('"' + lines[place], "open line"), ("x" * 70_000, "text line"),
             (lines[place].replace('"', "'"), "literal line")]
        )  # fmt: skip
        done.append(what)
    end = rng.choice(("\n", "\n", "\n", "\r\n", "\r"))
    text = end.join(lines) + (end if rng.random() < 0.8 else "")
    if form == "json" and rng.random() < 0.3:
        text, done = f"[{','.join(lines)}]", [*done, "array lines"]
    if rng.random() < 0.1:
        text, done = text.replace(end, rng.choice(("\n", "\r\n", "\r")), rng.randint(1, 9)), [*done, "mixed lines"]
    encoding = rng.choice(("utf-8",) * 24 + ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252"))
    if encoding != "utf-8":
        done.append(f"{encoding} lines")
    data = text.encode(encoding, errors="replace")
    path.write_bytes(gzip.compress(data, 1) if form.endswith(".gz") else data)
    return done


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _write_parquet(path: Path, rows: list[dict[str, Any]], rng: random.Random) -> list[str]:
    try:
        table = pa.Table.from_pylist(rows)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):  # columns of several types are text
        table = pa.Table.from_pylist([{name: _text(value) for name, value in row.items()} for row in rows])
    if rng.random() < 0.5 and table.num_columns:
        name, kind = rng.choice(table.column_names), rng.choice(KINDS)
        with contextlib.suppress(pa.ArrowException):
            column = table[name].cast(pa.int64()) if pa.types.is_timestamp(kind) else table[name]
            table = table.set_column(table.column_names.index(name), name, column.cast(kind))
    try:
        pq.write_table(table, path)
    except pa.ArrowException:  # a struct without fields
        path.write_bytes(b"PAR1")
    return ["lines"] if table.num_rows != len(rows) or not rows else []


def _write_sqlite(path: Path, rows: list[dict[str, Any]]) -> list[str]:
    names = list(dict.fromkeys(name.replace("\0", "") for row in rows for name in row))
    connection = sqlite3.connect(path)
    try:
        columns = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
        connection.execute(f"CREATE TABLE events ({columns})")
        marks = ", ".join("?" for _ in names)
        values = [[None if row.get(name) is None else _text(row[name]) for name in names] for row in rows]
        connection.executemany(f"INSERT INTO events VALUES ({marks})", values)
        connection.commit()
    except sqlite3.Error:
        return ["lines"]
    finally:
        connection.close()
    return []


def _write_zip(path: Path, rows: list[dict[str, Any]], rng: random.Random) -> list[str]:
    method = rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    ours = {"user_id": "userId", "item_id": "movieId"}
    names = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([ours.get(name, name) for name in names])
    writer.writerows([[_text(row.get(name, "")) for name in names] for row in rows])
    done = []
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(rng.choice(("ml/", "", "../../", "/", "a\\")) + "ratings.csv", file.getvalue())
        titles = "".join(f"{number},Title {number},A|B\n" for number in range(9))
        archive.writestr("ml/movies.csv", f"movieId,title,genres\n{titles}")
        if rng.random() < 0.2:
            archive.writestr("other/ratings.csv", "userId,movieId,rating,timestamp\n1,1,1,1500000000\n")
            done.append("two ratings lines")
    return done


def _items(folder: Path, rng: random.Random, parts: list[str]) -> Path:
    """A table of items with odd text."""
    rows = [{"item_id": f"{number}", "title": f"Title {number}", "genre": "g"} for number in range(9)]
    for _ in range(rng.randint(0, 3)):
        rng.choice(rows)[rng.choice(("title", "genre", "item_id", "title", rng.choice(NAMES)))] = rng.choice(TEXTS)
    form = rng.choice(("csv", "jsonl", "parquet"))
    parts.append(f"items {form}")
    path = folder / f"items.{form}"
    _write(path, form, rows, rng)
    return path


def _damage(path: Path, rng: random.Random) -> list[str]:
    """Change bytes of a file; what was done."""
    if rng.random() < 0.5:
        return []
    data = bytearray(path.read_bytes())
    place = rng.randrange(max(1, len(data)))
    kind, damage = rng.choice(list(DAMAGES.items()))
    damage(data, place, rng)
    path.write_bytes(data)
    return [f"{kind} bytes"]


def _flip(data: bytearray, place: int, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 3, 20))):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _cut(data: bytearray, place: int, rng: random.Random) -> None:
    del data[place:]


def _double(data: bytearray, place: int, rng: random.Random) -> None:
    data += data[place:] if rng.random() < 0.5 else bytes(data)


def _insert(data: bytearray, place: int, rng: random.Random) -> None:
    data[place:place] = rng.choice((b"\0" * 50, b"\xff\xfe", b"\n" * 5, b'"', b"\r", rng.randbytes(30), b"a" * 300_000))


def _remove(data: bytearray, place: int, rng: random.Random) -> None:
    del data[place : place + rng.randint(1, 30)]


def _replace(data: bytearray, place: int, rng: random.Random) -> None:
    data[:] = rng.choice(
        (b"", b"\n", b"\0" * 1000, rng.randbytes(500), b"PAR1", b"\x1f\x8b", b"SQLite format 3\0", b"{}", b"[]")
    )


DAMAGES: dict[str, Callable[[bytearray, int, random.Random], None]] = {
    "flipped": _flip, "cut": _cut, "doubled": _double, "inserted": _insert, "removed": _remove, "replaced": _replace,
}  # fmt: skip


def _options(words: list[str], form: str, rng: random.Random) -> list[str]:
    """Add one or two odd options; their names."""
    text, number = rng.choice(TEXTS).replace("\0", ""), rng.choice(NUMBERS)
    name = rng.choice(NAMES).replace("\0", "")[:500]
    everywhere: dict[str, list[str]] = {
        "--split": ["leave-one-out", "temporal", text], "--k-core": ["1", "2", "50", number],
        "--since": ["2017-01-01", number],
        "--until": ["2017-07-15", number, text], "--min-title": ["1", number], "--words": ["book,books,read", text],
        "--bad-rows": ["drop", "error"], "--memory": ["50MB", number, text], "--k-core-on": ["train", "all"],
    }  # fmt: skip
    of_tables: dict[str, list[str]] = {
        "--map": [f"user_id={name}", "position=timestamp", "position=@row", "title=item_id", text, f"{name}=user_id"],
        "--item-map": [f"title={name}", f"{name}=genre", text], "--delimiter": ["::", "\\t", ";", "|", text, ","],
        "--encoding": ["latin-1", "utf-16", "utf-8", "idna", "base64", text], "--format": ["csv", "json", "parquet",
        "tsv"],
        "--columns": ["user_id,item_id,rating,timestamp", "a,a", name, "user_id,item_id,timestamp"], "--no-header": [],
        "--scale": ["1:5", "0:10:0.5", f"{number}:{number}", text], "--where": ["rating >= 3", "event = 'a'", text],
        "--time-unit": ["s", "ms", "us", "ns"], "--time-format": ["%Y-%m-%d", "%s", "%", text], "--relabel": ["1",
        number],
        "--unknown-items": ["drop", "add"], "--dedupe": ["first", "last", "none"], "--item-columns": [name, "genre"],
        "--keep": [name], "--table": ["events", name], "--items-table": [name],
    }  # fmt: skip
    known = everywhere if form == "zip" else everywhere | of_tables
    chosen = rng.sample(sorted(known), rng.randint(1, 2))
    for option in chosen:
        words += [option, rng.choice(known[option])] if known[option] else [option]
    return [f"option {option}" for option in chosen]


def _address(folder: Path, rng: random.Random) -> Case:
    """An address with a password, in all the ways to write it wrong."""
    scheme = rng.choice(("postgresql", "POSTGRESQL", "postgres", "postgresql+psycopg", "Postgresql", "mysql", "https"))
    secret = rng.choice(
        (SECRET, f"{SECRET} x", f"%zz{SECRET}", f"{SECRET}#", f"a/{SECRET}", f"@{SECRET}", f"{SECRET}:b")
    )
    host = rng.choice(("localhost:1", "[::1", "[::1]:1", "localhost:x", "localhost:99999999", "", "127.0.0.1:1"))
    tail = rng.choice(("/db", "/", "", f"/db?password={SECRET}", "/db?sslmode=none", "/db?connect_timeout=x"))
    location = f"{scheme}://user:{secret}@{host}{tail}"
    out = folder / "out"
    words = ["data", "prepare", "table", location, str(out)]
    words += ["--table", rng.choice(("t", "a.b", 'x"y', "\x1b[31m"))] if rng.random() < 0.8 else []
    return Case(words, out, [f"address {scheme} {host}"])


def _odd_out(case: Case, folder: Path, rng: random.Random) -> str:
    """Let the output be a link, a file, below a file, or of an odd name."""
    name, made = rng.choice(
        [("link", lambda out: out.symlink_to(folder / "elsewhere")), ("file", lambda out: out.write_text("mine")),
         ("file/below", lambda out: out.parent.write_text("mine")), ("a\x1b[31mb", None), ("x" * 250, None), ("loop",
         None),
         ("deep/er", None)]
    )  # fmt: skip
    out = folder / name
    if name == "loop":
        out.symlink_to(out)
    elif made is not None:
        made(out)
    case.words = [str(out) if word == str(case.out) else word for word in case.words]
    case.out = out
    return f"out {name[:20]!r}"
