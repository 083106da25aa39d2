"""What the page of a comparison of ratings shows beside what every comparison has: predictions, groups, problems.

Entry point: `RATING_SECTIONS`.
"""

from markupsafe import Markup

from reckon.comparison.rating.disagreements import disagreements
from reckon.evaluation.rating.groups import by_item_ratings, by_known_ratings, by_true_rating, few_values
from reckon.reports.comparison.page import (
    CLOSING_SECTIONS,
    ComparisonPage,
    cost_section,
    differences_section,
    grouped_charts,
    headline_section,
    metric_bars,
    reasoning_section,
)
from reckon.reports.page import Chart, Section
from reckon.reports.rating import charts as rating_charts

BARS = ("mae", "rmse")
PLOTTED = 3  # methods whose predictions are drawn: the best, and the one that the others are compared with


def results_section(data: ComparisonPage) -> Section:
    """The table and bars."""
    lead = (
        "Every method was given the same rows and the same budget of tuning; everything it is shown is older than the "
        "rating. A reply without a rating counts with its worst possible error."
    )
    charts = metric_bars(data, BARS)
    return Section("results", "Results", lead, tables=[data.tables["metrics"]], charts=charts)


def predictions_section(data: ComparisonPage) -> Section | None:
    """Where the predictions of the best methods lie, first seed."""
    if not data.standings:
        return None
    best, base = list(data.standings[:PLOTTED]), data.comparison.config.compared_with
    if base not in [one.name for one in best]:
        best = [*best[: PLOTTED - 1], *(one for one in data.standings if one.name == base)]
    drawn = []
    for standing in best:
        result, title = standing.results[0], f"Predicted against true: {standing.name}"
        caption = "Each column is one true rating, in percent of its rows; outlined where the prediction is right."
        if not few_values(result.scale):
            caption = "Each point is a row, moved a little; right on the line."
        svg = rating_charts.predicted_by_truth(result, title, data.names)
        drawn.append(Chart(title, Markup(svg), f"{caption} First seed."))
    first = best[0].results[0]
    title = f"Ratings given and predicted: {best[0].name}"
    caption = "Share of rows. Whoever fears large errors keeps to the middle of what people give. First seed."
    drawn.append(Chart(title, Markup(rating_charts.distributions(first, title, data.names)), caption))
    return Section("predictions", "Predictions", charts=drawn)


def groups_section(data: ComparisonPage) -> Section | None:
    """For whom each method works: by what is known of the user and of the item, and by the rating itself."""
    if not data.lines:
        return None
    examples, scale = data.comparison.rows.examples, data.standings[0].results[0].scale
    asked = (
        (
            by_known_ratings(examples),
            "history length",
            "ratings by the user before",
            "Users who are hardly known, and those who are well known.",
        ),
        (
            by_item_ratings(examples),
            "ratings of the item",
            "ratings by others before",
            "0 is a cold start: an item that nobody has rated before.",
        ),
        (
            by_true_rating(examples, scale),
            "true rating",
            "rating that was given",
            "Rare ratings are the hard ones, and a constant is right on the frequent one alone.",
        ),
    )
    return Section("groups", "For whom", charts=grouped_charts(data, "mae", asked))


def problems_section(data: ComparisonPage) -> Section | None:
    """What was wrong with replies that gave no rating."""
    if "problems" not in data.tables:
        return None
    lead = "A reply gives a rating only in the right form. Every other one is counted here, none is dropped."
    return Section("problems", "Problems", lead, tables=[data.tables["problems"]])


def disagreements_section(data: ComparisonPage) -> Section | None:
    """Single rows on which methods disagree."""
    comparison = data.comparison
    found = disagreements(data.learned, comparison.rows.examples, comparison.dataset)
    if not found:
        return None
    lead = (
        "Picked, not typical: rows on which the best methods are most differently far from the true rating, each of "
        "them the closest in turns. First seed."
    )
    return Section("disagreements", "Where methods disagree", lead, rating_disagreements=found)


RATING_SECTIONS = (
    headline_section,
    results_section,
    differences_section,
    predictions_section,
    groups_section,
    cost_section,
    problems_section,
    reasoning_section,
    disagreements_section,
    *CLOSING_SECTIONS,
)
