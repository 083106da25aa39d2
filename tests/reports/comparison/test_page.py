"""The page of a comparison: complete, self-contained, safe with other people's text, and drawn by a real browser."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from support import rporec_talker, shelf
from support.browser import look
from support.pages import HOSTILE, Page, here, page

from reckon.comparison.config import ComparisonConfig, MethodConfig, ProtocolConfig
from reckon.comparison.harness import run_comparison
from reckon.comparison.ranking.disagreements import disagreements
from reckon.comparison.summary import metrics_of
from reckon.data import Catalog
from reckon.evaluation.ranking.groups import by_history_length, by_target_popularity
from reckon.reports.comparison.tables import tables_of
from reckon.reports.page import render_report
from reckon.simulation.bookshop import write_bookshop


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    """On a bookshop: baselines that differ, one that fails."""
    path = tmp_path_factory.mktemp("page")
    shop = write_bookshop(path / "d", train_readers=60, valid_readers=20, test_readers=120, notes=1)
    names = ("popularity", "item-knn", "tfidf", "oracle", "recent-popularity")
    config = ComparisonConfig(methods=tuple(MethodConfig(method=name) for name in names))
    return run_comparison(shop, config, path / "c", runner=here)


@pytest.fixture(scope="module")
def html(comparison):
    return render_report(page(comparison))


@pytest.fixture(scope="module")
def reasoning(tmp_path_factory):
    """A comparison with a method that reasons, all of its training logged."""
    path = tmp_path_factory.mktemp("reasoning")
    data = shelf.dataset(path / "d")
    backbone = str(rporec_talker.backbone_folder(path / "b"))
    small = {"preset": "small", "backbone": backbone, "training.max_steps": 2, "training.eval_steps": 2}
    small |= {"training.batch_size": 4, "training.micro_batch_size": 4, "training.validation_size": 4}
    small |= {"grpo.num_generations": 2, "rollout.max_completion_length": 6, "stage_one.max_epochs": 1}
    methods = (MethodConfig(method="popularity"), MethodConfig(method="rporec", settings=small))
    config = ComparisonConfig(methods=methods, seeds=(0,), allow_few_seeds=True, ks=(1, 3))
    return run_comparison(data.path, config, path / "c", runner=here)


def test_every_section_and_chart_is_there(html):
    headings = re.findall(r"<h2>(.*?)</h2>", html)
    assert headings == [
        "Results",
        "Paired differences",
        "For whom",
        "What is recommended",
        "Cost",
        "Where methods disagree",
        "Guards",
        "Run facts",
    ]
    charts = re.findall(r"<figure class=\"card\">\s*<h3>(.*?)</h3>", html)
    assert charts == [
        "Hit@10",
        "NDCG@10",
        "Hit@K for every K",
        "Hit@10 against popularity",
        "NDCG@10 against popularity",
        "Hit@10 by history length",
        "Hit@10 by popularity of the target",
        "Seconds of training",
        "Seconds per user, ranked",
    ]


def test_the_page_is_one_file_without_scripts(html):
    read = Page(html)
    assert "script" not in read.tags and "link" not in read.tags and read.open == []
    assert not re.search(r"(src|href)=\"(?!#)", html)


def test_a_failed_method_stands_in_the_page_with_its_error(html):
    assert "has no times" in html and "12 of 15" in html


def test_an_oracle_is_not_the_best_method(html):
    assert "best: oracle" not in html and "best: " in html and "of the best possible" in html


@pytest.mark.usefixtures("charts_undrawn")
def test_hostile_titles_are_text(comparison):
    titles = comparison.dataset.catalog.table.set_column(1, "title", [[HOSTILE] * len(comparison.dataset.catalog)])
    hostile = replace(comparison, dataset=replace(comparison.dataset, catalog=Catalog(titles)))
    assert Page(render_report(page(hostile))).tags.count("script") == 0


@pytest.mark.usefixtures("charts_undrawn")
def test_a_method_that_reasons_shows_what_its_reasoning_is_worth(reasoning):
    assert reasoning.standings[1].failures == {}
    tables = tables_of(reasoning)
    assert [row[0] for row in tables["reasoning"].rows[::2]] == [
        f"rporec, {arm}" for arm in ("own", "another user's", "shuffled", "none")
    ]
    html = render_report(page(reasoning))
    for heading in ("Does the reasoning matter?", "Learning", "Replies", "Health of the training"):
        assert heading in html
    row = metrics_of(reasoning)["rows"][1]
    assert {"truncated", "parsed", "reply_length", "seconds_per_user"} <= set(row["rates"])
    assert "(fewer than three)" in tables["metrics"].caption
    json.dumps(metrics_of(reasoning), allow_nan=False)


def test_a_cell_of_a_method_keeps_its_run_and_its_replies(reasoning):
    cell = reasoning.standings[1].cells[0]
    assert any(cell.recommendations.reasonings)
    assert cell.about["facts"]["parameters"] > 0 and cell.log


def test_groups_hold_every_row_once(comparison):
    examples = comparison.rows.examples
    for groups in (by_history_length(examples), by_target_popularity(examples, comparison.dataset)):
        assert (groups.of_row >= 0).all()
        counts = [int(label.split("\n")[1].split()[0]) for label in groups.labels]
        assert counts == np.bincount(groups.of_row).tolist()


def test_the_groups_make_up_the_whole(comparison):
    groups = by_history_length(comparison.rows.examples)
    standing = comparison.whole[1]
    found = standing.in_groups("hit@10", groups)
    sizes = np.bincount(groups.of_row)
    assert all(found)
    mean = sum(one.mean * size for one, size in zip(found, sizes, strict=True)) / sizes.sum()
    assert mean == pytest.approx(standing.worth("hit@10").mean())


def test_a_group_of_few_rows_has_no_number(comparison):
    examples = comparison.rows.examples
    groups = by_history_length(examples)
    few = replace(groups, of_row=np.where(np.arange(len(examples)) < 3, 0, 1))
    assert comparison.whole[0].in_groups("hit@10", few)[0] is None


def test_disagreements_have_different_winners(comparison):
    shown = disagreements(comparison.whole[:3], comparison.rows.examples, comparison.dataset, 4)
    winners = {min(row.views, key=lambda view: view.rank or 10**9).name for row in shown}
    assert len(shown) == 4 and len(winners) > 1
    assert len({row.user_id for row in shown}) == 4


def test_the_same_method_twice_never_disagrees(comparison):
    twice = [comparison.whole[0], comparison.whole[0]]
    assert disagreements(twice, comparison.rows.examples, comparison.dataset) == []


@pytest.mark.usefixtures("charts_undrawn")
def test_sampled_numbers_carry_their_name_on_the_page(tmp_path):
    data = shelf.dataset(tmp_path / "d")
    methods = (MethodConfig(method="popularity"), MethodConfig(method="popularity", name="again"))
    config = ComparisonConfig(methods=methods, ks=(1, 3), protocol=ProtocolConfig(negatives=2))
    html = render_report(page(run_comparison(data.path, config, tmp_path / "c", runner=here)))
    assert "Hit@3/2-sampled" in html and "Hit@3<" not in html
    assert "Hit@K/2-sampled for every K" in html and "Hit@K for" not in html


def test_a_browser_draws_every_chart_without_a_word_on_its_console(html, tmp_path):
    path, widths = tmp_path / "report.html", (1280, 400)
    path.write_text(html, encoding="utf-8")
    console, measured = look(path, tmp_path, widths)
    assert console == []
    for width, seen in zip(widths, measured, strict=True):
        assert len(seen["charts"]) == 9
        for chart in seen["charts"]:
            assert chart["width"] > 200 and chart["height"] > 100 and chart["shapes"] > 10, chart["name"]
            assert chart["left"] >= 0 and chart["right"] <= width, chart["name"]
            assert chart["smallest"] >= 8 and "$" not in chart["text"], chart["name"]  # pixels; no raw markup
        assert seen["width"] <= width and seen["wide"] == []  # only tables scroll sideways
        assert seen["fonts"] >= 11
