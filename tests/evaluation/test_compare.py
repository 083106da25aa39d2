"""Tables, paired differences, and `metrics.json`."""

import csv
import io
import json
import os

import numpy as np
import pytest
from rich.console import Console

from reckon.errors import ConfigError, DataError
from reckon.evaluation.pairs import compare
from reckon.metrics import RankingResult, summary
from reckon.reports.grid import Grid
from reckon.reports.ranking.tables import comparison_table, pairs_table, rates_table
from reckon.reports.write import write_metrics

USERS = [f"u{n}" for n in range(200)]


def result(name, seed, worst=100, **fields):
    ranks = np.random.default_rng(seed).integers(1, worst, size=200)
    return RankingResult(name, ranks, 100, user_ids=USERS, **fields)


@pytest.fixture
def results():
    return [result("popularity", 0), result("no-reasoning", 1, 60), result("r2ec", 2, 25, rates={"truncated": 0.125})]


def terminal(grid, width=80):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(grid.to_rich())
    return console.export_text()


def test_metrics_json_has_exactly_the_agreed_form(tmp_path, results):
    rows = [summary(result) for result in results]
    pairs = compare(results, "no-reasoning", ["hit@5"])
    path = write_metrics(tmp_path / "out" / "metrics.json", rows, {"hit@5": 0.7}, 12.5, pairs)
    read = json.loads(path.read_text())
    assert list(read) == ["rows", "best_possible", "seconds", "paired"]
    assert [row["name"] for row in read["rows"]] == ["popularity", "no-reasoning", "r2ec"]
    assert read["rows"] == rows
    assert read["best_possible"] == {"hit@5": 0.7}
    assert read["seconds"] == 12.5
    assert set(read["paired"][1]) == {"name", "baseline", "metric", "difference", "ci", "p_value"}
    assert (read["paired"][1]["name"], read["paired"][1]["baseline"]) == ("r2ec", "no-reasoning")


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = write_metrics(tmp_path / "metrics.json", [], None, 1.0)
    before = path.read_text()

    def no_disk(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", no_disk)
    with pytest.raises(OSError, match="disk full"):
        write_metrics(path, [], None, 2.0)
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_metric_that_is_not_finite_is_never_written(tmp_path, value):
    with pytest.raises(DataError, match="NaN"):
        write_metrics(tmp_path / "metrics.json", [{"name": "r2ec", "hit@5": value}], None, 1.0)
    assert not list(tmp_path.iterdir())


def test_every_result_but_the_baseline_is_compared_with_it(results):
    pairs = compare(results, "no-reasoning", ["hit@5", "ndcg@10"])
    assert [(pair.name, pair.metric) for pair in pairs] == [
        ("popularity", "hit@5"),
        ("popularity", "ndcg@10"),
        ("r2ec", "hit@5"),
        ("r2ec", "ndcg@10"),
    ]
    assert all(pair.clear for pair in pairs if pair.name == "r2ec")
    assert pairs[2].paired.difference > 0 > pairs[0].paired.difference


def test_an_unknown_baseline_names_the_known_ones(results):
    with pytest.raises(ConfigError, match="no-reasoning"):
        compare(results, "nobody")


def test_the_comparison_fits_a_terminal_of_80_columns(results):
    text = terminal(comparison_table(results, best_possible={"hit@5": 0.7}))
    assert "no-reasoning" in text
    assert f"{summary(results[2])['ndcg@20']:.3f}" in text
    assert "best possible" in text
    assert max(map(len, text.splitlines())) <= 80


def test_names_are_text_in_a_terminal_and_in_markdown():
    odd = [result("[red]r2ec|small", 0)]
    assert "[red]r2ec|small" in terminal(comparison_table(odd), width=120)
    assert r"[red]r2ec\|small" in comparison_table(odd).to_markdown()


def test_rates_are_shown_where_a_result_has_them(results):
    rows = {row[0]: row for row in rates_table(results).rows}
    assert rows["r2ec"][-1] == "12.5%"
    assert rows["popularity"][-1] == ""


def test_coverage_is_shown_where_lists_were_kept(results):
    lists = np.tile(np.arange(20), (200, 1))
    grid = rates_table([results[0], result("r2ec", 3, recommended=lists)])
    assert grid.headings == ("method", "MRR", "coverage@20")
    assert [row[2] for row in grid.rows] == ["", "20.0%"]


def test_markdown_has_one_line_per_result_and_as_many_cells_as_headings(results):
    lines = comparison_table(results).to_markdown().strip().splitlines()
    assert [line.count("|") for line in lines[:5]] == [8] * 5


def test_a_difference_of_zero_is_not_clear(results):
    twin = RankingResult("twin", results[0].ranks, 100, user_ids=USERS)
    pair = compare([results[0], twin], "popularity", ["hit@5"])[0]
    assert not pair.clear
    assert pairs_table([pair]).rows[0][-1] == "1.000"


def test_a_table_for_a_spreadsheet_reads_back(results):
    grid = comparison_table(results)
    read = list(csv.reader(io.StringIO(grid.to_csv())))
    assert tuple(read[0]) == grid.headings and len(read) == 1 + len(grid.rows)
    assert read[1][1] == grid.rows[0][1].replace("\n", " ")


def test_a_table_for_a_paper_escapes_what_latex_would_run():
    grid = Grid(("method", "p"), (("50 % of a_b & \\input{x}\n{…}", "−0.1 ± .2°"),), "R² < 1")
    assert grid.to_latex().splitlines() == [
        r"\begin{table}",
        r"\centering",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"method & p \\",
        r"\midrule",
        r"50 \% of a\_b \& \textbackslash{}input\{x\} \{…\} & $-$0.1 $\pm$ .2$^\circ$ \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\caption{R$^2$ \textless{} 1}",
        r"\end{table}",
    ]
