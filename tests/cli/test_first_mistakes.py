"""Mistakes of a first hour: each is one line that names the file or option and what to do."""

import json

import pytest
from support import rated_shelf, shelf
from typer.testing import CliRunner

from reckon.cli import app
from reckon.methods.registry import load_ranking_model

DAY = 86_400
EVENTS = [
    (f"u{user}", f"i{(user + step) % 9}", 1_500_000_000 + DAY * (user + step))
    for user in range(10)
    for step in range(6)
]
FIELDS = ("user_id", "item_id", "timestamp")
ISO = "2024-05-31T18:00:00Z"


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with the inputs of the mistakes, and a run whose data set has moved."""
    folder = tmp_path_factory.mktemp("mistakes")

    def write(name, rows, header=FIELDS):
        (folder / name).write_text("\n".join(",".join(map(str, row)) for row in [header, *rows]) + "\n")

    write("orders.csv", EVENTS)
    write("numbers.csv", [*EVENTS, ("u1", "i1", ISO)])
    write("dates.csv", [("u1", "i1", ISO), *EVENTS])
    write("liked.csv", [(*event, str(number % 3 > 0)) for number, event in enumerate(EVENTS)], (*FIELDS, "rating"))
    write("constant.csv", [(*event, 1) for event in EVENTS], (*FIELDS, "rating"))
    write("lists.csv", [(f"u{user}", "i1 i2 i3 i4", user) for user in range(10)], ("user_id", "item_id", "step"))
    lines = [json.dumps(dict(zip(FIELDS, event, strict=True))) for event in EVENTS]
    (folder / "seventh.jsonl").write_text("\n".join([*lines[:6], '{"user_id": "u1", ', *lines[7:]]) + "\n")
    (folder / "first.jsonl").write_text("\n".join(["{bad}", *lines]) + "\n")
    (folder / "folder").mkdir()
    (folder / "file").write_text("x")
    rated_shelf.dataset(folder / "rated")
    shelf.train(folder, folder / "run", max_steps=1, eval_steps=1)
    next(folder.glob("tmp*")).rename(folder / "moved")
    return folder


def said(here, line, monkeypatch):
    monkeypatch.chdir(here)
    result = CliRunner().invoke(app, line)
    return result.exit_code, result.output


PREPARE = ("data", "prepare", "table")
HISTORY = ("recommend", "run", "--history")
MISTAKES = {
    "a date among numbers": ((*PREPARE, "numbers.csv", "o"), "row 61: '2024-05-31T18:00:00Z' is a date", "one form"),
    "a number among dates": ((*PREPARE, "dates.csv", "o"), "'1500000000' is a number", "in one form"),
    "a zip that is not there": (("data", "prepare", "movielens", "ml.zip", "o"), "ml.zip: does not exist", "MovieLens"),
    "a folder as a table": ((*PREPARE, "folder", "o"), "is a folder without Parquet files", "give a file"),
    "bad JSON": ((*PREPARE, "seventh.jsonl", "o"), "of row 7:", "correct that row"),
    "bad JSON at once": ((*PREPARE, "first.jsonl", "o"), "of row 1:", "correct that row"),
    "a k-core of nothing": ((*PREPARE, "orders.csv", "o", "--k-core", "50"), "leaves nothing of 60", "lower --k-core"),
    "a window of nothing": ((*PREPARE, "orders.csv", "o", "--since", "2030-01-01"), "leaves nothing", "2017-07-14 to"),
    "short titles alone": ((*PREPARE, "orders.csv", "o", "--min-title", "3"), "leaves nothing of 60", "--min-title"),
    "lists as text": ((*PREPARE, "lists.csv", "o", "--map", "position=step"), "holds lists as text", "one row per"),
    "an article in front": ((*HISTORY, "A Quiet Harbour"), "is not in the catalog", "'The Quiet Harbour'"),
    "a rated title": ((*HISTORY, "Calm Sea; Dark Crime=2"), "'Dark Crime=2': has a rating", "write 'Dark Crime'"),
    "no title": ((*HISTORY, ""), "history: names no item", "separated by semicolons"),
    "an unknown user": (("recommend", "run", "--user", "x", "--data", "moved/data"), "not in the data", "such as u00"),
    "a moved data set": (("recommend", "run", "--user", "u00"), "which is gone", "--data DIR"),
    "a moved data set, evaluated": (("evaluate", "run"), "which is gone", "--data DIR"),
    "compare without anything": (("compare", "--data", "rated"), "neither finished runs nor a config", "--config NAME"),
    "a misspelt comparison": (("config", "compare", "baslines"), "NAME = 'baslines'", "did you mean baselines"),
    "a config that is not there": (("compare", "--data", "rated", "--config", "my.yaml"), "neither a file", "bookshop"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "problem", "fix"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_with_its_fix(here, monkeypatch, line, problem, fix):
    code, output = said(here, line, monkeypatch)
    assert code == 2 and output.count("\n") == 1 and len(output) <= 301, output
    told, _, mended = output.partition(" Fix: ")
    assert problem in told and fix in mended, output
    assert not (here / "o").exists()


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("liked.csv", "read as ratings 1 and 0; a ranking counts both, unless --where \"rating = 'True'\" selects one"),
        ("constant.csv", "every rating is 1: there is nothing to predict, only to rank"),
    ],
)  # fmt: skip
def test_labels_that_say_little_are_read_with_a_note(here, monkeypatch, name, note):
    code, output = said(here, (*PREPARE, name, f"{name}-data"), monkeypatch)
    assert code == 0 and note in " ".join(output.split()), output


def test_the_items_of_a_data_frame_are_taken_and_anything_else_is_refused_by_its_type(here):
    pandas = pytest.importorskip("pandas")
    model = load_ranking_model(here / "run")
    model.put_items(pandas.DataFrame({"item_id": ["new"], "title": ["Calm Crime"]}))
    assert model.catalog.titles[model.catalog.index("new")] == "Calm Crime"
    with pytest.raises(Exception, match=r"type list, which is no table. Fix: give a pyarrow\.Table, or a data frame"):
        model.put_items([{"item_id": "newer", "title": "Dark Sea"}])


BACKBONE = ("--backbone", "moved/backbone")
FILE_FOR_FOLDER = {
    "demo": ("demo", "--out", "file"),
    "prepare, out": (*PREPARE, "orders.csv", "file"),
    "prepare, inside": (*PREPARE, "orders.csv", "file/data"),
    "bookshop": ("data", "prepare", "bookshop", "file"),
    "movielens": ("data", "prepare", "movielens", "file", "o"),
    "rows": ("data", "prepare", "rows", "file", "o"),
    "amazon": ("data", "prepare", "amazon-2023", "file", "o", "--category", "Beauty"),
    "describe": ("data", "describe", "file"),
    "backbone, data": ("backbone", "new", "--data", "file", "--out", "o"),
    "backbone, out": ("backbone", "new", "--data", "moved/data", "--out", "file"),
    "backbone, start": ("backbone", "new", "--data", "moved/data", "--out", "o", "--start", "file"),
    "import, source": ("backbone", "import", "file", "--out", "o"),
    "import, out": ("backbone", "import", "moved/backbone", "--out", "file"),
    "traces": ("traces", "make", "--data", "file", "--out", "o", "--teacher", "file", "--file", "orders.csv"),
    "train, data": ("train", "r2ec", "--data", "file", *BACKBONE, "--out", "o"),
    "train, backbone": ("train", "r2ec", "--data", "moved/data", "--backbone", "file", "--out", "o"),
    "train, out": ("train", "r2ec", "--data", "moved/data", *BACKBONE, "--out", "file"),
    "train, resume": ("train", "rporec", "--data", "moved/data", *BACKBONE, "--out", "file", "--resume"),
    "train, start": ("train", "rporec", "--data", "moved/data", "--start", "file", "--out", "o"),
    "train, traces": ("train", "recone", "--data", "rated", *BACKBONE, "--traces", "file", "--out", "o"),
    "evaluate, run": ("evaluate", "file"),
    "evaluate, data": ("evaluate", "run", "--data", "file"),
    "evaluate, beside": ("evaluate", "run", "--beside", "file", "--data", "moved/data"),
    "evaluate, out": ("evaluate", "run", "--data", "moved/data", "--out", "file"),
    "recommend, run": ("recommend", "file", "--user", "u00"),
    "recommend, data": ("recommend", "run", "--user", "u00", "--data", "file"),
    "compare, data": ("compare", "--data", "file", "--config", "bookshop"),
    "compare, out": ("compare", "--data", "moved/data", "--config", "bookshop", "--out", "file"),
    "compare, run": ("compare", "file", "run"),
    "reason": ("reason", "file", "--out", "o"),
    "doctor": ("doctor", "--model", "file"),
}  # fmt: skip


@pytest.mark.parametrize("line", FILE_FOR_FOLDER.values(), ids=FILE_FOR_FOLDER)
def test_a_file_where_a_folder_belongs_is_one_line_and_stays_as_it_is(here, monkeypatch, line):
    code, output = said(here, line, monkeypatch)
    assert code == 2 and output.startswith("reckon: ") and output.count("\n") == 1 and " Fix: " in output, output
    assert (here / "file").read_text() == "x" and not (here / "o").exists()
