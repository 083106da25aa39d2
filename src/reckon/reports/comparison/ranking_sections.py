"""What the page of a comparison of rankings shows beside what every comparison has: curves, groups, lists, reasoning.

Entry point: `RANKING_SECTIONS`.
"""

import numpy as np
from markupsafe import Markup

from reckon.comparison.ranking.disagreements import disagreements
from reckon.comparison.statistics import Standing
from reckon.evaluation.ranking.groups import by_history_length, by_target_popularity
from reckon.reports.comparison import charts
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

DEEPEST = 100  # K of the curves


def results_section(data: ComparisonPage) -> Section:
    """The table, bars and curves."""
    config = data.comparison.config
    drawn = metric_bars(data, (f"hit@{config.headline}", f"ndcg@{config.headline}"))
    if data.lines:
        depth = min(DEEPEST, len(data.comparison.dataset.catalog))
        shares = {one.name: _hits_at_every_cutoff(one, depth) for one in data.lines}
        caption, title = "Where in the list each method finds the target." + data.left_out, config.metric_key("Hit@K")
        drawn.append(Chart(f"{title} for every K", Markup(charts.hit_curves(title, shares, data.names)), caption))
    lead = "Every method was given the same rows, candidates, masking and budget of tuning."
    return Section("results", "Results", lead, tables=[data.tables["metrics"]], charts=drawn)


def _hits_at_every_cutoff(standing: Standing, depth: int) -> np.ndarray:
    """[depth] Hit@1, Hit@2, …, mean over seeds."""
    counts = [np.bincount(result.ranks, minlength=depth + 1)[1 : depth + 1] for result in standing.results]
    return np.mean([count.cumsum() / len(standing.results[0]) for count in counts], axis=0)


def groups_section(data: ComparisonPage) -> Section | None:
    """For whom each method works: by history length and by how popular the target is."""
    if not data.lines:
        return None
    comparison = data.comparison
    examples = comparison.rows.examples
    asked = (
        (
            by_history_length(examples),
            "history length",
            "events before the target",
            "Users who are hardly known, and those who are well known.",
        ),
        (
            by_target_popularity(examples, comparison.dataset),
            "popularity of the target",
            "occurrences of the target in training",
            "0 is a cold start: an item that no training event holds.",
        ),
    )
    return Section("groups", "For whom", charts=grouped_charts(data, f"hit@{comparison.config.headline}", asked))


def lists_section(data: ComparisonPage) -> Section | None:
    """What was recommended, right or wrong."""
    if "lists" not in data.tables:
        return None
    lead = (
        "Coverage and Gini: how many items anybody is shown, and how unevenly. Popularity lift: 0 is as popular as "
        "what the same users took before."
    )
    return Section("lists", "What is recommended", lead, tables=[data.tables["lists"]])


def disagreements_section(data: ComparisonPage) -> Section | None:
    """Single users on whom methods disagree."""
    comparison = data.comparison
    found = disagreements(data.learned, comparison.rows.examples, comparison.dataset)
    if not found:
        return None
    lead = (
        "Picked, not typical: rows on which the best methods rank the true next item most differently, each of them "
        "the winner in turns. First seed."
    )
    return Section("disagreements", "Where methods disagree", lead, disagreements=found)


RANKING_SECTIONS = (
    headline_section,
    results_section,
    differences_section,
    groups_section,
    lists_section,
    cost_section,
    reasoning_section,
    disagreements_section,
    *CLOSING_SECTIONS,
)
