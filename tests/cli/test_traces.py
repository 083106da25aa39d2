"""`reckon traces make`: what was typed reaches the library, and a mistake is one line."""

import json

import pytest
from support.classroom import completion, endpoint, rated_dataset, reply
from typer.testing import CliRunner

from reckon.cli import app
from reckon.data.ratings import rating_examples
from reckon.teachers import traces
from reckon.teachers.files import TraceSummary, load_traces

SUMMARY = TraceSummary(
    asked=9,
    kept=5,
    kept_hinted=2,
    unchecked=1,
    dropped={"wrong rating": 3, "failed: timeout": 1},
    requests=17,
    prompt_tokens=1000,
    completion_tokens=200,
    uncounted=1,
    cost=1.25,
    unmatched=0,
)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def books(tmp_path_factory):
    return rated_dataset(tmp_path_factory.mktemp("rated") / "data", users=4, length=4)


def invoke(*arguments):
    return CliRunner().invoke(app, ["traces", "make", *map(str, arguments)])


def test_every_option_reaches_the_library(books, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(traces, "make_traces", lambda *given: calls.append(given) or SUMMARY)
    result = invoke(
        *("--data", books.path, "--out", tmp_path / "t", "--teacher", "openai", "--model", "m"),
        *("--base-url", "http://h:1/v1", "--rows", 50, "--seed", 3, "--style", "compact", "--window", 4),
        *("--item-window", 2, "--review-words", 9, "--max-tokens", 77, "--temperature", 0.5, "--parallel", 2),
        *("--requests-per-minute", 30, "--retries", 1, "--ask-failed-again", "--price-in", 1, "--price-out", 2),
    )
    assert result.exit_code == 0, result.output
    dataset, teacher, out, settings = calls[0]
    assert (dataset.checksum, out) == (books.checksum, tmp_path / "t")
    assert teacher.identity == {
        "teacher": "openai",
        "model": "m",
        "base_url": "http://h:1/v1",
        "max_tokens": 77,
        "temperature": 0.5,
    }
    assert (settings.rows, settings.seed, settings.style) == (50, 3, "compact")
    assert (settings.window, settings.item_window, settings.review_words) == (4, 2, 9)
    assert (settings.price_in, settings.price_out, settings.ask_failed_again) == (1.0, 2.0, True)
    patience = settings.patience
    assert (patience.parallel, patience.requests_per_minute, patience.retries) == (2, 30.0, 1)
    for said in ("kept 5 of 9", "2 of them after a hint", "3  wrong rating", "17 requests", "cost 1.25 or more"):
        assert said in result.output


def test_traces_of_a_served_model(books, tmp_path):
    with endpoint(lambda answer, *_: answer.json(completion(reply(5)))) as server:
        result = invoke(
            *("--data", books.path, "--out", tmp_path / "t", "--teacher", "openai", "--model", "m"),
            *("--base-url", server.url, "--parallel", 2),
        )
    assert result.exit_code == 0, result.output
    kept = load_traces(tmp_path / "t")
    assert len(kept) == int((rating_examples(books, "train").ratings == 5).sum())
    assert "wrong rating" in result.output


def test_traces_of_a_file(books, tmp_path):
    example = rating_examples(books, "train")[0]
    item_id = books.catalog.ids[example.item_index]
    line = {"user_id": example.user_id, "item_id": item_id, "reply": reply(example.rating)}
    (tmp_path / "replies.jsonl").write_text(json.dumps(line))
    arguments = (
        "--data",
        books.path,
        "--out",
        tmp_path / "t",
        "--teacher",
        "file",
        "--file",
        tmp_path / "replies.jsonl",
    )
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    assert "kept 1 of 1" in result.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--teacher", "openai"], "--model"),
        (["--teacher", "openai", "--model", "m"], "OPENAI_API_KEY"),
        (["--teacher", "file"], "--file"),
        (["--teacher", "file", "--file", "none.jsonl"], "cannot be read"),
        (["--teacher", "file", "--file", "f", "--model", "m"], "means nothing"),
        (["--teacher", "local", "--model", "m", "--base-url", "u"], "means nothing"),
        (
            ["--teacher", "openai", "--model", "m", "--base-url", "http://h/v1", "--requests-per-minute", "0"],
            "positive",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_a_mistake_is_one_line_and_exit_code_2(books, tmp_path, arguments, says):
    result = invoke("--data", books.path, "--out", tmp_path / "t", *arguments)
    assert result.exit_code == 2
    assert says in result.output
    assert "Traceback" not in result.output


def test_help_shows_examples():
    result = invoke("--help")
    assert "--teacher file --file replies.jsonl" in " ".join(result.output.split())
    assert "OPENAI_API_KEY" in result.output
