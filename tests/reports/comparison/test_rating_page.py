"""The page of a comparison of ratings: complete, safe with other people's text, and drawn by a real browser."""

import re
from dataclasses import replace

import numpy as np
import pytest
from support import rated_shelf
from support.browser import look
from support.pages import HOSTILE, Page, here, page

from reckon.comparison.config import ComparisonConfig, MethodConfig
from reckon.comparison.harness import run_comparison
from reckon.comparison.rating.disagreements import disagreements
from reckon.data import Catalog
from reckon.data.scale import Scale
from reckon.evaluation.rating.groups import by_item_ratings, by_known_ratings, by_true_rating
from reckon.reports.page import render_report
from reckon.simulation.rated_bookshop import write_rated_bookshop


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    """Baselines on a rated bookshop."""
    path = tmp_path_factory.mktemp("page")
    shop = write_rated_bookshop(path / "d", readers=120)
    methods = tuple(MethodConfig(method=name) for name in ("global-mean", "user-mean", "item-mean", "bias"))
    return run_comparison(shop, ComparisonConfig(methods=methods), path / "c", runner=here)


@pytest.fixture(scope="module")
def html(comparison):
    return render_report(page(comparison))


def test_every_section_and_chart_is_there(html):
    assert re.findall(r"<h2>(.*?)</h2>", html) == [
        "Results",
        "Paired differences",
        "Predictions",
        "For whom",
        "Cost",
        "Where methods disagree",
        "Guards",
        "Run facts",
    ]
    charts = re.findall(r"<figure class=\"card\">\s*<h3>(.*?)</h3>", html)
    assert charts[:4] == ["MAE", "RMSE", "MAE against global-mean", "RMSE against global-mean"]
    assert [chart.partition(": ")[0] for chart in charts[4:8]] == [*["Predicted against true"] * 3, charts[7][:27]]
    assert charts[8:] == [
        "MAE by history length",
        "MAE by ratings of the item",
        "MAE by true rating",
        "Seconds of training",
        "Seconds per rating",
    ]


def test_the_best_method_is_the_one_of_least_rmse(comparison, html):
    best = min(comparison.whole, key=lambda standing: standing.metric("rmse").interval.mean)
    assert f"best: {best.name}" in html and "above the best possible" in html


@pytest.mark.usefixtures("charts_undrawn")
def test_hostile_text_is_text(comparison):
    titles = comparison.dataset.catalog.table.set_column(1, "title", [[HOSTILE] * len(comparison.dataset.catalog)])
    dataset = replace(comparison.dataset, catalog=Catalog(titles))
    examples = replace(comparison.rows.examples, dataset=dataset)
    hostile = replace(comparison, dataset=dataset, rows=replace(comparison.rows, examples=examples))
    assert Page(render_report(page(hostile))).tags.count("script") == 0


def test_groups_hold_every_row_once_and_make_up_the_whole(comparison):
    examples, standing = comparison.rows.examples, comparison.whole[1]
    for groups in (by_known_ratings(examples), by_item_ratings(examples), by_true_rating(examples, Scale(1, 5, 1))):
        sizes = np.bincount(groups.of_row, minlength=len(groups.labels))
        assert [int(label.split("\n")[1].split()[0]) for label in groups.labels] == sizes.tolist()
        found = standing.in_groups("mae", groups)
        known = [place for place, one in enumerate(found) if one is not None]
        for place in known:
            assert found[place].mean == pytest.approx(standing.worth("mae")[groups.of_row == place].mean())
        assert sizes.sum() == len(examples) and known


def test_rows_are_grouped_by_what_an_example_shows(comparison):
    examples = comparison.rows.examples
    seen = replace(examples, window=100, item_window=100)
    for row in (0, 7, 20):
        for groups, history in (
            (by_known_ratings(examples), seen[row].user_history),
            (by_item_ratings(examples), seen[row].item_history),
        ):
            low, _, high = groups.labels[groups.of_row[row]].partition("\n")[0].partition("–")
            assert int(low.rstrip("+")) <= len(history) and (not high or len(history) <= int(high))


def test_a_scale_without_steps_is_grouped_in_equal_parts(comparison):
    examples = replace(comparison.rows.examples, ratings=np.linspace(0, 10, len(comparison.rows)))
    groups = by_true_rating(examples, Scale(0, 10))
    assert [label.partition("\n")[0] for label in groups.labels] == ["0–2", "2–4", "4–6", "6–8", "8–10"]
    assert groups.of_row[0] == 0 and groups.of_row[-1] == 4


def test_disagreements_have_different_winners(comparison):
    shown = disagreements(comparison.whole[:3], comparison.rows.examples, comparison.dataset, 4)
    winners = {min(row.views, key=lambda view: abs(view.predicted - row.truth)).name for row in shown}
    assert len(shown) == 4 and len(winners) > 1


def test_a_reply_is_shown_in_its_steps_and_a_broken_one_as_it_is(comparison):
    standing = comparison.whole[1]
    cell = standing.cells[0]
    replies = [rated_shelf.reply(5)] * len(comparison.rows)
    replies[3] = "it is"
    recommendations = replace(
        cell.recommendations, replies=replies, problems=["", "", "", "no tag", *[""] * (len(replies) - 4)]
    )
    recommendations.predictions[3] = np.nan
    wrote = replace(standing, cells={0: replace(cell, recommendations=recommendations)})
    found = disagreements([comparison.whole[0], wrote], comparison.rows.examples, comparison.dataset, 999)
    views = [row.views[1] for row in found]
    assert {view.reply for view in views if not view.steps} <= {"it is"}
    assert all(view.steps[0] == ("The user", "likes <b>calm</b> books") for view in views if view.steps)


def test_a_browser_draws_every_chart_without_a_word_on_its_console(html, tmp_path):
    path, widths = tmp_path / "report.html", (1280, 400)
    path.write_text(html, encoding="utf-8")
    console, measured = look(path, tmp_path, widths)
    assert console == []
    for width, seen in zip(widths, measured, strict=True):
        assert len(seen["charts"]) == 13
        for chart in seen["charts"]:
            assert chart["width"] > 200 and chart["height"] > 100 and chart["shapes"] > 10, chart["name"]
            assert chart["left"] >= 0 and chart["right"] <= width, chart["name"]
            assert chart["smallest"] >= 8 and "$" not in chart["text"], chart["name"]
        assert seen["width"] <= width and seen["wide"] == []
