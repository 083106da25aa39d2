"""Checks of predicted ratings: leaks, predictions that read the true rating, impossible errors.

Entry points: `data_findings` once per data set, `method_findings` for each method after its predictions,
`refuse_unexplained` and `refuse_impossible_errors` for every number before it is shown.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from reckon.data import Dataset
from reckon.data.ratings import RatingExamples
from reckon.data.scale import Scale
from reckon.errors import DataError
from reckon.evaluation.guards.finding import (
    CONSTANT_SHARE,
    PROBED_ROWS,
    ROUNDING,
    Finding,
    id_order,
    training_before_test,
    training_findings,
)
from reckon.methods.reczero.model import RatedExamples, RecZeroModel

Rate = Callable[[RatingExamples], RatedExamples]
"""A function of rows: the predicted rating of every row; it must not read true ratings."""
DECIMALS = 6  # predictions are compared after rounding


def data_findings(dataset: Dataset, examples: RatingExamples) -> list[Finding]:
    """Checks of the data for leaks, independent of the method."""
    return [
        _future_events(dataset, examples),
        training_before_test(dataset, examples.times),
        _rated_before(examples),
        id_order(dataset),
    ]


def _future_events(dataset: Dataset, examples: RatingExamples) -> Finding:
    """Check whether any rating in a history, of the user or of the item, is not strictly older than the row's own."""
    check, log = "future events in histories", dataset.rating_log
    if log.time is None or examples.times is None:
        return Finding(check, "note", "cannot be checked: the ratings have no times")
    late = np.zeros(len(examples), dtype=bool)
    for grouping, runs in ((log.by_user, examples.visible_of_user), (log.by_item, examples.visible_of_item)):
        start, end = runs[:, 0], runs[:, 1]
        newest = log.time[grouping.order[np.maximum(end, 1) - 1]]  # ratings of a slice are in the order of time
        late |= (end > start) & (newest >= examples.times)
    if late.any():
        text = f"{int(late.sum()):,} of {len(examples):,} rows show a rating that is not older than their own"
        return Finding(check, "warning", text)
    return Finding(check, "ok", f"none in {len(examples):,} rows")


def _rated_before(examples: RatingExamples) -> Finding:
    share = float((examples.visible_of_item[:, 2] > 0).mean())
    if share == 0:
        return Finding("items rated before", "ok", "none")
    return Finding("items rated before", "note", f"in {share:.1%} of the rows the user rated the same item before")


def method_findings(
    rate: Rate,
    examples: RatingExamples,
    rated: RatedExamples,
    *,
    constant: bool = False,
    model: RecZeroModel | None = None,
    log: Sequence[Mapping[str, float]] = (),
) -> list[Finding]:
    """Checks of one fitted method.

    Args:
        rate: the method; some rows are rated again.
        examples: the rows.
        rated: the method's predictions for these rows.
        constant: whether the method predicts the same rating for every row by design.
        model: the model of a method that writes replies.
        log: logged steps of its training.
    """
    findings = [_truth_unread(rate, examples)]
    if model is not None:
        findings.append(_truth_in_prompt(model, examples))
    value, share = most_frequent(rated)
    if share >= CONSTANT_SHARE and not constant:
        findings.append(Finding("constant output", "warning", f"{value:g} is predicted in {share:.0%} of the rows"))
    parsed = np.array([not problem for problem in rated.problems])
    return findings + training_findings(log, None if model is None else (rated.truncated, parsed))


def most_frequent(recommendations: RatedExamples) -> tuple[float, float]:
    """The most frequent prediction and its share of the rows; NaN and 0 without predictions."""
    known = recommendations.predictions[~np.isnan(recommendations.predictions)]
    if not len(known):
        return float("nan"), 0.0
    values, counts = np.unique(np.round(known, DECIMALS), return_counts=True)
    return float(values[counts.argmax()]), float(counts.max() / len(recommendations.predictions))


def _exchanged(examples: RatingExamples) -> tuple[RatingExamples, RatingExamples]:
    """Some rows, and the same rows with true ratings mirrored on the scale."""
    asked = examples.sample(PROBED_ROWS, 0)
    ratings = asked.ratings
    return asked, replace(asked, ratings=ratings.max() + ratings.min() - ratings)


def _truth_unread(rate: Rate, examples: RatingExamples) -> Finding:
    """Predict some rows again with other true ratings; the predictions must not change."""
    check = "predictions depend on the true rating"
    asked, exchanged = _exchanged(examples)
    before, after = (rate(rows).predictions for rows in (asked, exchanged))
    changed = int((~np.isclose(before, after, equal_nan=True)).sum())
    if changed:
        text = f"{changed} of {len(asked)} predictions change with the true rating: the method reads it"
        return Finding(check, "warning", text)
    return Finding(check, "ok", f"none of {len(asked)}")


def _truth_in_prompt(model: RecZeroModel, examples: RatingExamples) -> Finding:
    """Render the prompts of some rows again with other true ratings; they must not change."""
    prompt = model.config.prompt
    read = replace(examples, window=prompt.window, item_window=prompt.item_window)
    asked, exchanged = _exchanged(read)
    changed = sum(model.prompt(row).ids != model.prompt(other).ids for row, other in zip(asked, exchanged, strict=True))
    if changed:
        return Finding("true rating in prompt", "warning", f"{changed} of {len(asked)} prompts change with it")
    return Finding("true rating in prompt", "ok", f"none of {len(asked)}")


# -- numbers --------------------------------------------------------------------------------------------------------


def refuse_unexplained(name: str, recommendations: RatedExamples) -> None:
    """Refuse a NaN prediction of a row whose replies could be read.

    Raises:
        DataError: such a row, by number.
    """
    silent = np.isnan(recommendations.predictions) & np.array([not problem for problem in recommendations.problems])
    if silent.any():
        row = int(silent.argmax())
        raise DataError(f"{name}: prediction of row {row}", "is NaN, and no reply was unreadable", "correct the method")


def refuse_impossible_errors(name: str, values: Mapping[str, float], scale: Scale) -> None:
    """Refuse impossible errors: outside 0 .. range of the scale, or an RMSE below the MAE.

    Raises:
        DataError: names the metric; such a number is never shown.
    """
    for metric, value in values.items():
        most = 1.0 if metric == "parse_rate" else scale.range
        if not 0 <= value <= most + ROUNDING:  # NaN fails this too
            raise DataError(f"{name}: {metric} = {value}", f"lies outside 0..{most:g}", "look at its predictions")
    mae, rmse = values.get("mae"), values.get("rmse")
    if mae is not None and rmse is not None and rmse < mae - ROUNDING:
        raise DataError(f"{name}: rmse = {rmse}", f"is below mae = {mae}, which no errors can be", "look at them")
