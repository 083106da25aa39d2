"""The report: self-contained, complete, and safe with other people's text."""

import re
import subprocess
import sys

import numpy as np
import pytest
from support.pages import HOSTILE, Page, history

from reckon.errors import ConfigError
from reckon.evaluation import ExampleUser, ReportData, write_report
from reckon.metrics import RankingResult
from reckon.reports.ranking.report import render_report


def result(name, seed=0, **fields):
    ranks = np.random.default_rng(seed).integers(1, 60, size=100)
    return RankingResult(name, ranks, 100, user_ids=[f"u{n}" for n in range(100)], **fields)


def full(text="The Quiet Verdict", name="r2ec"):
    example = ExampleUser(text, [text], text, [("The Wedding", 1.5), (text, -0.5)], text, "length")
    return ReportData(
        title=text,
        subtitle=text,
        results=[result("popularity"), result("no-reasoning", 1), result(name, 2)],
        best_possible={"hit@5": 0.7, "hit@10": 0.8, "ndcg@10": 0.5},
        histories={"no-reasoning": history(), name: history()},
        examples=[example],
        facts={text: text, "config": f"training:\n  name: {text}"},
        baseline_name="no-reasoning",
    )


@pytest.fixture(scope="module")
def page():
    return render_report(full())


def test_every_section_is_there(page):
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == ["Results", "Learning", "Replies", "Health of the training", "Example users", "Run facts"]
    panels = re.findall(r"<h3>(.*?)</h3>", page)
    for panel in (
        "Hit@K",
        "NDCG@K",
        "Reward",
        "Validation NDCG@10",
        "Reply length",
        "Truncated replies",
        "Entropy",
        "Groups that taught nothing",
        "Clip share",
        "Log-prob gap",
        "Where a step&#39;s time goes",
    ):
        assert panel in panels or panel.replace("&#39;", "'") in panels


def test_the_page_loads_nothing_and_runs_nothing(page):
    parsed = Page(page)
    assert not parsed.open
    assert not {"script", "link", "img", "iframe", "object"} & set(parsed.tags)
    for name, value in parsed.attributes:
        assert not name.startswith("on")
        if name in ("href", "src", "xlink:href"):
            assert value.startswith("#")
    assert "http:" not in page and "https:" not in page and "@import" not in page
    assert all(target.startswith("#") for target in re.findall(r"url\((.*?)\)", page))


def test_hostile_text_is_shown_and_never_run():
    html = render_report(full(HOSTILE, name=HOSTILE))
    parsed = Page(html)
    assert not {"script", "img"} & set(parsed.tags)
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]
    assert parsed.text.count(HOSTILE) > 10


def test_no_id_occurs_twice_and_every_reference_has_its_target(page):
    ids = [value for name, value in Page(page).attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {target[1:] for target in re.findall(r'href="(#[^"]+)"', page)} <= set(ids)
    assert {target[1:] for target in re.findall(r"url\((.*?)\)", page)} <= set(ids)


def test_charts_take_every_colour_from_the_page(page):
    svgs = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))
    assert "var(--series-0)" in svgs and "var(--best)" in svgs and "var(--ink)" in svgs
    assert not re.findall(r"(?:fill|stroke): #", svgs)
    assert set(re.findall(r"var\((--[\w-]+)\)", svgs)) <= set(re.findall(r"(--[\w-]+):", page))


def test_one_result_and_nothing_else_is_a_page():
    only = RankingResult("popularity", np.array([1, 7, 101]), 100)
    html = render_report(ReportData(title="Evaluation", results=[only]))
    assert not Page(html).open
    assert re.findall(r"<h2>(.*?)</h2>", html) == ["Results"]
    assert "best possible" not in html


def test_a_history_with_gaps_and_nan_is_drawn():
    entries = [{"step": 1, "reward/mean": float("nan")}, {"step": 2, "reward/mean": 0.5}, {"train_runtime": 3.0}]
    html = render_report(ReportData(title="Run", results=[result("r2ec")], histories={"r2ec": entries, "other": []}))
    assert re.findall(r"<h2>(.*?)</h2>", html) == ["Results", "Learning"]


def test_the_true_next_item_is_marked_or_named():
    hit = ExampleUser("u1", ["A"], "", [("B", 1.0), ("C", 0.5)], "C")
    miss = ExampleUser("u2", [], "", [("B", 1.0)], "D")
    html = render_report(ReportData(title="Run", results=[result("r2ec")], examples=[hit, miss]))
    assert "true next item at rank 2" in html
    assert html.count('<li class="target">') == 1
    assert "true next item not in the top 1" in html
    assert "<strong>D</strong>" in html
    assert "<blockquote>" not in html


def test_the_same_data_make_the_same_bytes(page, tmp_path):
    path = write_report(tmp_path / "report.html", full())
    assert path.read_text(encoding="utf-8") == page


def test_headline_numbers_are_those_of_the_last_result():
    ranks = np.array([1] * 60 + [50] * 40)
    main = RankingResult("r2ec", ranks, 100, user_ids=[f"u{n}" for n in range(100)])
    html = render_report(ReportData(title="Run", results=[result("popularity"), main], best_possible={"hit@10": 0.8}))
    assert re.findall(r'<div class="value">(.*?)</div>', html)[:2] == ["0.600", "75%"]


@pytest.mark.parametrize("fields", [{"results": []}, {"results": [result("r2ec")], "baseline_name": "nobody"}])
def test_a_report_about_nothing_is_refused(fields):
    with pytest.raises(ConfigError):
        ReportData(title="Run", **fields)


def test_matplotlib_is_imported_only_when_a_chart_is_drawn():
    code = "import sys, reckon.reports.charts; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
