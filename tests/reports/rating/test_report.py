"""The report on ratings: complete, self-contained, and safe with other people's text."""

import re

import numpy as np
import pytest
from support.evaluations import about
from support.pages import HOSTILE, Page, history
from support.rated_shelf import SCALE, reply

from reckon.data.ratings import Scale
from reckon.errors import ConfigError
from reckon.evaluation.rating.evaluate import RatingEvaluation
from reckon.evaluation.rating.examples import ShownRating, mean_and_spread, steps_of
from reckon.evaluation.rating.measure import compare_last, measure
from reckon.metrics.rating import RatingResult
from reckon.prompts.rating_reply import parse_rating
from reckon.reports.page import render_report, write_report
from reckon.reports.rating.report import rating_page

ROWS = 60


def row(name, seed, scale=SCALE, problems=None, spread=None, missing=0):
    rng = np.random.default_rng(0)
    targets = np.array([scale.nearest(x) for x in rng.uniform(scale.lowest, scale.highest, ROWS)])
    noise = np.random.default_rng(seed).normal(0, scale.range / 8, ROWS)
    predictions = np.where(np.arange(ROWS) < missing, np.nan, scale.clip(targets + noise))
    users = [f"u{n}" for n in range(ROWS)]
    return measure(
        RatingResult(name, predictions, targets, scale, users, spread, {"truncated": 0.1} if problems else {}), problems
    )


def shown(text, written):
    parsed = parse_rating(written, SCALE)
    return ShownRating(
        user_id=text,
        item=text,
        history=[(text, 4.0, text)],
        others=[(2.5, text)],
        user_mean=4.0,
        item_mean=None,
        steps=steps_of(parsed.blocks),
        reply=written,
        predicted=parsed.rating,
        problem=parsed.problem or "",
        truncated=True,
        truth=4.0,
        note=text,
    )


def full(text="The Quiet Verdict", name="reczero", scale=SCALE, trained=True):
    spread = np.random.default_rng(9).uniform(0, scale.range / 4, ROWS)
    rows = [
        row("bias", 1, scale),
        row("text", 2, scale),
        row(name, 3, scale, {"missing match": 3, text: 1}, missing=4),
        row(f"{name}, mean of 8", 4, scale, {"off scale": 2}, spread, missing=1),
    ]
    logged = [
        *history(),
        *(
            {"step": step, "eval_mae": 1 / step, "eval_rmse": 2 / step, "eval_parse_rate": step / 50}
            for step in (20, 40)
        ),
        {"step": 1, "reply/parsed": 0.25},
    ]
    evaluation = RatingEvaluation(
        rows=rows,
        pairs=compare_last(rows),
        notes=[text],
        best_possible={"mae": 0.2, "rmse": 0.3},
        examples=[
            shown(text, reply(4, match=text.replace("<", "(").replace(">", ")"), user=text)),
            shown(text, f"{text} is not the form"),
        ],
        about=about(text, histories={name: logged} if trained else {}),
    )
    return rating_page(evaluation, text, text)


@pytest.fixture(scope="module")
def page():
    return render_report(full())


def test_every_section_is_there(page):
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == [
        "Results",
        "Predictions",
        "Problems",
        "Learning",
        "Replies",
        "Health of the training",
        "A sampled group",
        "Example reasonings",
        "Run facts",
    ]
    panels = re.findall(r"<h3>(.*?)</h3>", page)
    assert {"MAE", "RMSE", "Reward", "Validation MAE", "Validation RMSE", "Validation parse rate"} <= set(panels)
    against = {f"Predicted against true: {name}" for name in ("reczero", full().evaluation.best_baseline.name)}
    assert against | {"Replies that parse"} <= set(panels)
    assert "Calibration: reczero, mean of 8" in panels and "Calibration: reczero" not in panels


def test_headline_numbers_are_those_of_the_last_row_and_of_the_best_baseline(page):
    data = full().evaluation
    main, baseline = data.rows[-1], min(data.rows[:2], key=lambda row: row.summary["mae"])
    values = re.findall(r'<div class="value">(.*?)</div>', page)
    labels = re.findall(r'<div class="label">(.*?)</div>', page)
    assert values[0] == f"{main.summary['mae']:.3f}"
    assert labels[1] == f"against {baseline.name}, the best baseline"
    difference = main.summary["mae"] - baseline.summary["mae"]
    assert values[1].replace("−", "-") == f"{difference:+.3f}"
    assert values[2:] == [f"{main.summary['mae'] - 0.2:+.3f}", "98.3%", "60"]


def test_the_page_loads_nothing_and_runs_nothing(page):
    parsed = Page(page)
    assert not parsed.open
    assert not {"script", "link", "img", "iframe", "object"} & set(parsed.tags)
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]
    assert "http:" not in page and "https:" not in page and "@import" not in page


def test_hostile_text_is_shown_and_never_run():
    html = render_report(full(HOSTILE, name=HOSTILE))
    parsed = Page(html)
    assert not {"script", "img"} & set(parsed.tags)
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]
    assert parsed.text.count(HOSTILE) > 15


@pytest.mark.parametrize("scale", [SCALE, Scale(0.5, 5, 0.5), Scale(0, 100, 1), Scale(-1, 1)], ids=str)
def test_every_scale_is_drawn_with_ids_of_its_own_and_the_pages_colours(scale, page):
    html = page if scale is SCALE else render_report(full(scale=scale, trained=False))
    ids = [value for name, value in Page(html).attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {target[1:] for target in re.findall(r"url\((.*?)\)", html)} <= set(ids)
    svgs = "".join(re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))
    assert not re.findall(r"(?:fill|stroke): #", svgs)


def test_an_example_shows_the_four_steps_or_the_reply_as_it_is(page):
    examples = re.findall(r"<details.*?</details>", page, flags=re.DOTALL)
    assert len(examples) == 2
    for heading in ("The user", "For the item", "Against it", "The match", "Rating"):
        assert f"<dt>{heading}</dt>" in examples[0]
    assert "<blockquote>" not in examples[0] and "exact" in examples[0]
    assert "<blockquote>The Quiet Verdict is not the form</blockquote>" in examples[1]
    assert "no rating: missing analyze user" in examples[1] and "truncated" in examples[1]


def test_one_baseline_and_nothing_else_is_a_page():
    html = render_report(rating_page(RatingEvaluation(rows=[row("bias", 1)])))
    assert not Page(html).open
    assert re.findall(r"<h2>(.*?)</h2>", html) == ["Results", "Predictions"]


def test_rows_that_all_failed_are_drawn():
    failed = row("reczero", 1, problems={"empty reply": ROWS}, spread=np.full(ROWS, np.nan), missing=ROWS)
    html = render_report(rating_page(RatingEvaluation(rows=[failed])))
    assert "0.0%" in html and "Calibration" not in html


def test_a_report_about_nothing_is_refused():
    with pytest.raises(ConfigError):
        RatingEvaluation(rows=[])


def test_the_same_data_make_the_same_bytes(page, tmp_path):
    assert write_report(tmp_path / "report.html", full()).read_text(encoding="utf-8") == page


def test_steps_of_an_item_without_its_marks_stay_together():
    blocks = {"analyze user": "u", "analyze item": "only [pos] good", "match": "m", "rate": "4"}
    assert steps_of(blocks)[1] == ("The item", "only [pos] good")
    assert steps_of({}) == []


def test_words_before_the_marks_are_kept():
    blocks = {"analyze user": "u", "analyze item": "a sea book [pos] calm [neg] long", "match": "m", "rate": "4"}
    assert steps_of(blocks)[1:4] == [("The item", "a sea book"), ("For the item", "calm"), ("Against it", "long")]


def test_mean_and_spread_say_when_there_are_none():
    assert mean_and_spread(4.25, 0.5) == "mean 4.25, spread 0.50"
    assert mean_and_spread(4, np.nan) == "mean 4.00, from a single rating"
    assert mean_and_spread(np.nan, np.nan) == "none gave a rating"
