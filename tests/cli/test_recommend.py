"""`reckon recommend`: history, reasoning, ranked items; unknown titles get suggestions."""

from types import SimpleNamespace

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from reckon.cli import app
from reckon.data import Catalog
from reckon.errors import DataError
from reckon.models.recommender import Recommendation

runner = CliRunner()
ITEMS = {"item_id": ["a", "b", "c"], "title": ["The Quiet Harbour", "[bold]Black Tide", "A Map of Sand"]}


class FakeModel:
    """Answers as a ranking model does, without one."""

    catalog = Catalog(pa.table(ITEMS))
    reasons = True
    answer = Recommendation([2, 1], ["c", "b"], [1.5, -0.25], "wants [calm] sea books ")

    data_path = None

    def example_of_user(self, dataset, user_id):
        return self.example_of([1, 0])

    def example_of(self, history):
        return SimpleNamespace(seen=history)

    def recommend_examples(self, examples, k=10):
        assert [list(example.seen) for example in examples] == [[1, 0]]
        return [self.answer]

    def recommend_streaming(self, example, k=10, *, on_text):
        for piece in ("wants ", "[calm] sea books"):
            on_text(piece)
        return self.answer


class FakeData:
    """A data set that knows user 7 alone."""

    def latest(self, user_id, window):
        if user_id != "7":
            raise DataError(f"user {user_id!r}", "is not in the data set", "nearest ids: 7")


@pytest.fixture(autouse=True)
def fake_model(monkeypatch, tmp_path):
    monkeypatch.setattr("reckon.methods.registry.load_ranking_model", lambda run: FakeModel())
    monkeypatch.setattr("reckon.runs.read.dataset_of", lambda run, recorded, data: FakeData())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "r2ec.json").write_text('{"data": null}')


def run(*arguments: str, code: int = 0):
    result = runner.invoke(app, ["recommend", "run", *arguments])
    assert result.exit_code == code, result.output
    return result


def test_a_user_gets_history_reasoning_and_ranked_items():
    out = run("--user", "7").output
    assert "History: [bold]Black Tide; The Quiet Harbour" in out
    assert "wants [calm] sea books" in out
    rows = [line.split() for line in out.splitlines() if line.strip().startswith(("1 ", "2 "))]
    assert rows == [["1", "A", "Map", "of", "Sand", "c", "1.500"], ["2", "[bold]Black", "Tide", "b", "-0.250"]]


def test_a_typed_history_is_found_whatever_its_case():
    assert run("--history", " [BOLD]black  tide ; the quiet harbour").output == run("--user", "7").output


def test_an_unknown_user_is_refused_before_the_model_is_loaded(monkeypatch):
    def load(run):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("reckon.methods.registry.load_ranking_model", load)
    assert run("--user", "8", code=2).stderr == "reckon: user '8': is not in the data set. Fix: nearest ids: 7.\n"


def test_streaming_shows_the_same_text_and_items():
    out = run("--user", "7", "--stream").output
    assert "wants [calm] sea books" in out
    assert "A Map of Sand" in out


def test_reasoning_that_was_cut_off_says_so(monkeypatch):
    answer = Recommendation([2], ["c"], [1.0], "wants and wants", truncated=True)
    monkeypatch.setattr(FakeModel, "answer", answer)
    assert "cut off" in run("--user", "7").output


def test_a_model_without_reasoning_shows_no_panel(monkeypatch):
    monkeypatch.setattr(FakeModel, "answer", Recommendation([2], ["c"], [1.0]))
    assert "Reasoning" not in run("--user", "7").output


def test_an_unknown_title_suggests_the_nearest_ones():
    result = run("--history", "The Quite Harbor", code=2)
    assert result.stderr == (
        "reckon: title 'The Quite Harbor': is not in the catalog. Fix: did you mean 'The Quiet Harbour'.\n"
    )


@pytest.mark.parametrize("option", [("--rate", "A Map of Sand"), ("--samples", "8")], ids=" ".join)
def test_a_run_that_ranks_refuses_the_options_of_ratings_in_one_line(option):
    result = run("--user", "7", *option, code=2)
    assert result.stderr.count("\n") == 1
    assert f"{option[0]} = " in result.stderr and "ranks items and predicts no ratings" in result.stderr


def test_long_titles_are_cut_and_no_escape_is_printed(monkeypatch):
    titles = ["T" * 10_000, "B\x1b[31mred\x1b[0m", "C\u202ec"]
    monkeypatch.setattr(FakeModel, "catalog", Catalog(pa.table({"item_id": ["a", "b", "c"], "title": titles})))
    monkeypatch.setattr(FakeModel, "answer", Recommendation([2, 1], ["c", "b"], [1.5, -0.25], "wants \x1b]0;x\x07 it"))
    out = run("--user", "7").output
    assert len(out) < 2_000 and "\\x1b]0;x" in out
    assert all(char.isprintable() or char == "\n" for char in out)
