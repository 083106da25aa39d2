"""What an evaluation leaves in a folder: every number, and one page."""

import json

import numpy as np
from support.evaluations import about

from reckon.evaluation.groups import grouped
from reckon.evaluation.guards.finding import Finding
from reckon.evaluation.ranking.evaluate import Evaluation
from reckon.metrics import RankingResult
from reckon.reports.write import folder_of, tables_of, write_evaluation


def evaluation(level="ok"):
    ranks = np.random.default_rng(0).integers(1, 60, size=60)
    result = RankingResult("r2ec", ranks, 100, user_ids=[f"u{n}" for n in range(60)])
    return Evaluation(
        results=[result],
        cutoffs=(3, 50),
        findings={"data": [Finding("leak", level, "text")]},
        groups=grouped([result], "hit@50", {"length": np.arange(60)}),
        about=about(),
    )


def test_every_number_of_the_page_is_in_the_file(tmp_path):
    page = write_evaluation(evaluation(), tmp_path)
    read = json.loads((tmp_path / "metrics.json").read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.json", "report.html"]
    assert page == tmp_path / "report.html" and read["seconds"] == 1.5
    [row] = read["rows"]
    assert row["hit@50"] >= row["hit@3"] >= row["ndcg@3"]
    assert read["findings"] == {"data": [{"check": "leak", "level": "ok", "text": "text"}]}
    [group] = read["groups"]
    assert group["groups"] == ["0–19, 20 rows", "20–39, 20 rows", "40–59, 20 rows"]
    for mean, _, _ in group["mean_lo_hi"]["r2ec"]:
        assert f"{mean:.3f}" in page.read_text()


def test_the_terminal_shows_warnings_and_says_where_there_are_none():
    assert tables_of(evaluation())[-1].headings == ("Guards: 1 checks, no warning.",)
    assert tables_of(evaluation("warning"))[-1].rows == (("data", "leak", "warning", "text"),)


def test_validation_results_do_not_replace_test_results():
    assert folder_of("run", "test") != folder_of("run", "valid")
