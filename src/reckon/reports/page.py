"""The page of a report: its parts, what every task shows of a training, and how it is written.

Entry points: `PageData` is the base of what a task's report holds, `write_report` writes it. A page is a list of
sections; a section is a function from the data to a `Section`, or to None where the run has nothing to show for it.
To show more, write one more such function and name it in the task's `sections`. The page needs no network and no
script.

Knows no task: rankings are in `reckon.reports.ranking.report`, ratings in `reckon.reports.rating.report`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reckon.comparison.disagreement import Disagreement, RatingDisagreement
from reckon.evaluation.ranking.examples import ExampleUser
from reckon.evaluation.rating.examples import ShownRating
from reckon.evaluation.result import About, AnyEvaluation, SampledGroup
from reckon.files import write_text
from reckon.reports import charts
from reckon.reports.grid import Grid
from reckon.reports.labels import LABELS, metric_label
from reckon.reports.tables import findings_line, findings_table, groups_table

TEMPLATE = "report.html.jinja"
EVAL_PREFIX = "eval_"
HEALTH = (
    ("advantage/zero_groups", "Groups that taught nothing", "Share of groups whose advantages are all zero."),
    ("entropy", "Entropy", "Mean over reply tokens, in nats. A fall to zero means the policy says one thing only."),
    ("clip_share", "Clip share", "Share of tokens whose probability ratio was clipped."),
    ("logprob_gap", "Log-prob gap", "Mean distance between the log-probabilities of trainer and rollout."),
    ("ratio/mean", "Probability ratio", "Mean of trainer over rollout before the update: 1, up to rounding."),
    ("kl", "KL", "Distance of the policy from the reference policy, in nats per token."),
    ("loss", "Loss", ""),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageData(ABC):
    """What the page of any task can show.

    A subclass adds what its task has to show, and gives `names`, by which charts choose colours, and `sections`, which
    turn all of it into the page.
    """

    title: str
    subtitle: str = ""
    best_possible: Mapping[str, float] | None = None
    """Metric names to values, where the best that can be reached is known."""
    histories: Mapping[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)
    """Per arm, the trainer's `log_history`. Keys that are missing leave their panel out."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Config, versions, seed, dataset checksum, hardware. A value of several lines is shown as it stands."""

    @property
    @abstractmethod
    def names(self) -> list[str]:
        """Every method and arm of the page, for colours that are the same in all charts; the main one comes first."""

    @property
    @abstractmethod
    def sections(self) -> "Sequence[SectionMaker]":
        """What makes the sections, in the order of the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPage(PageData):
    """What the page of an evaluation of either task shows."""

    evaluation: Any
    """An `AnyEvaluation`: the subclass says of which task."""


def about_fields(evaluation: AnyEvaluation, what: str, title: str | None, subtitle: str | None) -> dict[str, Any]:
    """Fields of a page that follow from what was evaluated; `what` is asked about each row."""
    about = evaluation.about
    fields: dict[str, Any] = {"best_possible": evaluation.best_possible, "title": title or "Evaluation"}
    if about is None:
        return fields | {"subtitle": subtitle or ""}
    source = f" ({about.source})" if about.source != about.data else ""
    return fields | {
        "title": title or f"{about.data}, run {about.run}",
        "subtitle": subtitle or f"{about.method} on {about.data}{source}: {about.rows:,} {about.split} rows, {what}",
        "histories": about.histories,
        "facts": _commands(about) | dict(about.facts),
    }


def _commands(about: About) -> dict[str, str]:
    return {"to repeat it": "\n".join(about.commands) + "\n"}


@dataclass(frozen=True, slots=True)
class Tile:
    """One headline number."""

    label: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart with its words."""

    title: str
    svg: Markup
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the page: what the template can draw, in the order it draws it."""

    anchor: str
    title: str
    lead: str = ""
    tiles: Sequence[Tile] = ()
    tables: Sequence[Grid] = ()
    charts: Sequence[Chart] = ()
    examples: Sequence[ExampleUser] = ()
    ratings: Sequence[ShownRating] = ()
    disagreements: Sequence[Disagreement] = ()
    rating_disagreements: Sequence[RatingDisagreement] = ()
    group: SampledGroup | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


SectionMaker = Callable[[Any], Section | None]


def write_report(path: str | Path, data: PageData) -> Path:
    """Write the page, whole or not at all.

    Args:
        path: the HTML file.
        data: what to show; whatever is missing leaves its section out.
    """
    return write_text(path, render_report(data))


def render_report(data: PageData) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # titles, reviews and replies are other people's text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sections = [section for section in (make(data) for make in data.sections) if section is not None]
    return environment.get_template(TEMPLATE).render(data=data, sections=sections, series=range(charts.SERIES))


def learning_section(data: PageData) -> Section | None:
    """Reward and validation curves."""
    panels: list[Chart | str | None] = [
        _curve(
            data,
            "reward/mean",
            "Reward",
            "Mean over the step's trajectories; the band is one standard deviation on each side.",
            spread="reward/std",
        )
    ]
    keys = {key for history in data.histories.values() for entry in history for key in entry}
    metrics = {key.removeprefix(EVAL_PREFIX) for key in keys if key.startswith(EVAL_PREFIX)}
    known = {metric: place for metric in metrics if (place := _place(metric)) is not None}
    for metric in sorted(known, key=lambda metric: (known[metric], metric)):
        best = (data.best_possible or {}).get(metric)
        caption = "On a fixed sample of validation rows."
        if best is not None:
            caption += " The best possible is that of the test rows."
        panels.append(
            _curve(data, EVAL_PREFIX + metric, f"Validation {metric_label(metric)}", caption, best=best, markers=True)
        )
    outcomes = [
        f"{name}: {entry['outcome']}"
        for name, history in data.histories.items()
        for entry in history
        if "outcome" in entry
    ]
    return _training_section("learning", "Learning", panels, " ".join(outcomes))


def _place(metric: str) -> int | None:
    """Where a validation metric comes among the others; None for a number that is no metric."""
    name = metric.partition("@")[0]
    return list(LABELS).index(name) if name in LABELS else None


def groups_section(data: EvaluationPage) -> Section | None:
    """For whom each method works: terciles of the rows."""
    tables = [groups_table(one) for one in data.evaluation.groups]
    lead = "The rows in three groups of like size; rows of equal value stay together."
    return Section("groups", "For whom", lead, tables=tables) if tables else None


def sampled_group_section(data: EvaluationPage) -> Section | None:
    """One group of trajectories with its rewards."""
    about = data.evaluation.about
    if about is None or about.group is None:
        return None
    lead = (
        f"What the policy wrote for one prompt in training: of step {about.group.step}, the last one with kept "
        "trajectories, the first group in which rewards differ, if there is one. Replies above the group's mean reward "
        "are made likelier, those below it less likely."
    )
    return Section("group", "A sampled group", lead, group=about.group)


def guards_section(data: EvaluationPage) -> Section | None:
    """What was checked."""
    table = findings_table(data.evaluation.findings)
    if table is None:
        return None
    what = "Looked for: leaks in the data, outputs that read the answer, trainings that learned nothing."
    lead = f"{findings_line(data.evaluation.findings)} {what}"
    return Section("guards", "Guards", lead, tables=[table])


def replies_section(data: PageData) -> Section | None:
    """How long replies were, how many were cut off, and how many could be read."""
    panels = [
        _curve(data, "reply/length", "Reply length", "Tokens per reply, mean over the step's trajectories."),
        _curve(
            data,
            "reply/truncated",
            "Truncated replies",
            "Share of replies that ran out of budget; none is dropped.",
        ),
        _curve(
            data,
            "reply/parsed",
            "Replies that parse",
            "Share of replies in the right form; the rest is scored too.",
        ),
    ]
    return _training_section("replies", "Replies", panels)


def health_section(data: PageData) -> Section | None:
    """What a person needs to trust the steps."""
    panels = [_curve(data, *panel) for panel in HEALTH]
    times = charts.step_time(data.histories)
    if times is not None:
        panels.append(Chart("Where a step's time goes", Markup(times), "Mean over all logged steps."))
    return _training_section("health", "Health of the training", panels)


def _training_section(
    anchor: str, title: str, panels: "Sequence[Chart | str | None]", lead: str = ""
) -> Section | None:
    """Charts of a training, under a lead; what never changed is said in words instead."""
    found = [panel for panel in panels if isinstance(panel, Chart)]
    constant = [panel for panel in panels if isinstance(panel, str)]
    same = f"The same in every step: {', '.join(constant)}." if constant else ""
    lead = f"{lead} {same}".strip()
    return Section(anchor, title, lead, charts=found) if found or lead else None


def facts_section(data: PageData) -> Section | None:
    """What it takes to repeat the run."""
    return Section("facts", "Run facts", facts=data.facts) if data.facts else None


def _curve(
    data: PageData,
    key: str,
    title: str,
    caption: str,
    *,
    best: float | None = None,
    spread: str | None = None,
    markers: bool = False,
) -> Chart | str | None:
    """The chart of one logged number; words where it never changed, None where nobody logged it."""
    logged = [charts.series(history, key)[1] for history in data.histories.values()]
    values = {float(value) for one in logged for value in one if np.isfinite(value)}
    if len(values) == 1 and sum(map(len, logged)) > 1:
        return f"{title.lower() if title != 'KL' else title} {values.pop():.3g}"
    svg = charts.curves(data.histories, key, title, data.names, best=best, spread=spread, markers=markers)
    return None if svg is None else Chart(title, Markup(svg), caption)
