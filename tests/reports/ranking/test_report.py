"""The report: self-contained, complete, and safe with other people's text."""

import re
import subprocess
import sys

import numpy as np
import pytest
from support.evaluations import about
from support.pages import HOSTILE, Page, history

from reckon.errors import ConfigError
from reckon.evaluation.groups import GroupedMetric
from reckon.evaluation.guards.finding import Finding
from reckon.evaluation.pairs import compare
from reckon.evaluation.ranking.evaluate import Evaluation, paired_metrics
from reckon.evaluation.ranking.examples import ExampleUser
from reckon.metrics import Interval, RankingResult
from reckon.reports.page import render_report, write_report
from reckon.reports.ranking.report import ranking_page, ranking_tables


def result(name, seed=0, **fields):
    ranks = np.random.default_rng(seed).integers(1, 60, size=100)
    return RankingResult(name, ranks, 100, user_ids=[f"u{n}" for n in range(100)], **fields)


def evaluated(results, **fields):
    """An evaluation of results, with the paired differences that every evaluation has."""
    fields.setdefault("cutoffs", (5, 10, 20))
    metrics = paired_metrics(fields["cutoffs"])
    pairs = [pair for other in results[:-1] for pair in compare([other, results[-1]], other.name, metrics)]
    return Evaluation(results=results, pairs=pairs, **fields)


def full(text="The Quiet Verdict", name="r2ec"):
    example = ExampleUser(text, [text], text, ["The Wedding", text], text, 2, True)
    evaluation = evaluated(
        [result("popularity"), result("no-reasoning", 1), result(name, 2)],
        best_possible={"hit@5": 0.7, "hit@10": 0.8, "ndcg@10": 0.5},
        findings={"data": [Finding("leak", "ok", text)], name: [Finding("constant output", "warning", text)]},
        groups=[GroupedMetric(text, "hit@10", ("1\n9 rows",), {name: [Interval(0.5, 0.4, 0.6)], "popularity": [None]})],
        examples=[example],
        worst=[example],
        about=about(text, histories={"no-reasoning": history(), name: history()}),
    )
    return ranking_page(evaluation, text, text)


@pytest.fixture(scope="module")
def page():
    return render_report(full())


def test_every_section_is_there(page):
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == [
        "Results",
        "For whom",
        "Learning",
        "Replies",
        "Health of the training",
        "A sampled group",
        "Example users",
        "Worst cases",
        "Guards",
        "Run facts",
    ]
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
    html = render_report(ranking_page(evaluated([only])))
    assert not Page(html).open
    assert re.findall(r"<h2>(.*?)</h2>", html) == ["Results"]
    assert "best possible" not in html


def test_a_history_with_gaps_and_nan_is_drawn():
    entries = [{"step": 1, "reward/mean": float("nan")}, {"step": 2, "reward/mean": 0.5}, {"train_runtime": 3.0}]
    told = about(histories={"r2ec": entries, "other": []}, group=False)
    html = render_report(ranking_page(evaluated([result("r2ec")], about=told)))
    assert re.findall(r"<h2>(.*?)</h2>", html) == ["Results", "Learning", "Run facts"]


@pytest.mark.usefixtures("charts_undrawn")
def test_the_true_next_item_is_marked_or_named():
    hit = ExampleUser("u1", ["A"], "", ["B", "C"], "C", 2)
    miss = ExampleUser("u2", [], "", ["B"], "D", 37)
    never = ExampleUser("u3", [], "", ["B"], "D", None)
    html = render_report(ranking_page(evaluated([result("r2ec")], examples=[hit, miss, never])))
    assert "true next item at rank 2" in html
    assert html.count('<li class="target">') == 1
    assert "true next item at rank 37" in html and "true next item cannot be recommended" in html
    assert "<strong>D</strong>" in html
    assert "<blockquote>" not in html


def test_the_same_data_make_the_same_bytes(page, tmp_path):
    path = write_report(tmp_path / "report.html", full())
    assert path.read_text(encoding="utf-8") == page


@pytest.mark.usefixtures("charts_undrawn")
def test_headline_numbers_are_those_of_the_last_result():
    ranks = np.array([1] * 60 + [50] * 40)
    main = RankingResult("r2ec", ranks, 100, user_ids=[f"u{n}" for n in range(100)])
    html = render_report(ranking_page(evaluated([result("popularity"), main], best_possible={"hit@10": 0.8})))
    assert re.findall(r'<div class="value">(.*?)</div>', html)[:2] == ["0.600", "75%"]


@pytest.mark.parametrize("fields", [{"results": []}, {"results": [result("r2ec")], "cutoffs": ()}])
def test_an_evaluation_of_nothing_is_refused(fields):
    with pytest.raises(ConfigError):
        Evaluation(**fields)


@pytest.mark.usefixtures("charts_undrawn")
@pytest.mark.parametrize("cutoffs", [(5, 10, 20), (3,), (1, 5, 50), (20, 10)])
def test_the_metric_that_heads_the_page_stands_in_the_paired_table(cutoffs):
    page = ranking_page(evaluated([result("popularity"), result("r2ec", 2)], cutoffs=cutoffs))
    html = render_report(page)
    [label] = re.findall(r'<div class="label">(.*?) of r2ec</div>', html)
    [difference] = re.findall(r'against popularity</div>\s*<div class="value">(.*?)</div>', html)
    rows = {row[1]: row[2] for row in ranking_tables(page.evaluation)[-1].rows}
    assert rows[label] == difference


def test_a_method_above_the_best_possible_is_explained_in_one_line():
    main = RankingResult("r2ec", np.ones(100, dtype=int), 100, user_ids=[f"u{n}" for n in range(100)])
    above, below = (ranking_tables(evaluated([main], best_possible={"hit@10": best}))[0] for best in (0.9, 1.0))
    assert "best possible is an expectation" in above.caption and "expectation" not in below.caption


def test_a_number_that_never_changed_is_said_in_words_and_not_drawn():
    entries = [{"step": step, "reward/mean": step / 9, "clip_share": 0.0, "kl": 0.25} for step in range(1, 9)]
    html = render_report(ranking_page(evaluated([result("r2ec")], about=about(histories={"r2ec": entries}))))
    assert "<h3>Clip share</h3>" not in html and "<h3>Reward</h3>" in html
    assert "The same in every step: clip share 0, KL 0.25." in html


def test_the_page_says_how_its_example_users_were_chosen(page):
    assert "the first 1 users of the rows, one row each, whatever came of it" in " ".join(page.split())
    assert "ranked lowest: picked, not typical" in page


def test_the_page_shows_what_guards_found_and_the_command_that_repeats_it(page):
    assert "Guards: 1 of 2 checks warn." in page
    assert "reckon evaluate The Quiet Verdict" in page


@pytest.mark.usefixtures("charts_undrawn")
def test_a_run_of_ones_own_is_titled_by_data_set_and_run():
    html = render_report(ranking_page(evaluated([result("r2ec")], about=about("shop"))))
    assert "<h1>shop, run shop</h1>" in html


def test_a_sampled_group_shows_every_reply_with_its_reward(page):
    assert re.findall(r"<h3>Reward (.*?)</h3>", page) == ["0.750", "0.250"]
    assert "+0.250 from the mean" in page and "−0.250 from the mean" in page


def test_matplotlib_is_imported_only_when_a_chart_is_drawn():
    code = "import sys, reckon.reports.charts; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
