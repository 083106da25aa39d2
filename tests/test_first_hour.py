"""The first hour of a newcomer, from an exported orders file to a recommendation and an evaluation, at a tiny size."""

import importlib
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reckon.cli import app

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "first-hour.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def first_hour():
    """benchmarks/first_hour.py, which measures the same commands at their real size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module("first_hour")


@pytest.fixture(scope="module")
def walk(first_hour, tmp_path_factory):
    """What each command said, by its name in the benchmark; and the folder in which they ran."""
    folder = tmp_path_factory.mktemp("hour")
    first_hour.write_shop(folder, first_hour.QUICK)
    said = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, words in first_hour.commands(first_hour.QUICK).items():
            result = CliRunner().invoke(app, words, catch_exceptions=False)
            assert result.exit_code == 0, f"{name}: {result.output}"
            said[name] = result.output
    return said, folder


def test_what_is_messy_in_the_orders_is_counted_not_swallowed(walk):
    said = walk[0]["data prepare"]
    for words in ("rows fulfil --where", "had blanks at their ends", "is not a time", "Next: reckon data describe"):
        assert words in said, said


def test_the_description_says_what_is_hard_about_the_data(walk):
    said = walk[0]["data describe"]
    assert "of targets repeat their history" in said and "head.exclude_seen" in said


def test_each_command_says_what_comes_next(walk):
    said, _ = walk
    assert (
        "reckon train r2ec --data data/shop --backbone backbones/shop --out RUN --preset small" in said["backbone new"]
    )
    assert "Wrote runs/shop. Next: " in said["train"]


@pytest.mark.parametrize("name", ["recommend", "recommend, typed"])
def test_a_recommendation_has_its_history_its_reason_and_five_products(walk, name):
    said = walk[0][name]
    assert "History: " in said and "Reasoning" in said
    assert len(re.findall(r"P-\d{4}", said)) == 5, said


def test_the_evaluation_has_intervals_beside_popularity(walk):
    said, folder = walk
    assert "popularity" in said["evaluate"] and "hit@10" in said["evaluate"].lower()
    metrics = json.loads((folder / "runs/shop/evaluation/metrics.json").read_text())
    assert all(len(row["hit@10_ci"]) == 2 for row in metrics["rows"])
    assert (folder / "runs/shop/evaluation/report.html").exists()


def test_the_page_shows_the_commands_that_are_measured(first_hour):
    page = re.sub(r"\s*\\\n\s*", " ", PAGE)
    for name, words in first_hour.commands(first_hour.FULL).items():
        typed = " ".join(f'"{word}"' if " " in word or ";" in word else word for word in words)
        assert f"\nreckon {typed}\n" in page, f"{name}: reckon {typed}"
