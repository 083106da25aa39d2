"""Contestants that predict ratings: the rating baselines, and the methods that reason.

Entry points: `RatingBaselineContestant`, `RatingMethod`; `reckon.comparison.registry` lists the names.

The protocol decides the seed. Its window limits the user's ratings in a prompt, and the item's ratings likewise. A
folder of traces may be a setting; traces of another split than the protocol's are refused (`reckon.teachers.files`),
because they may hold test rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from reckon.baselines.baseline import NoSettings
from reckon.baselines.rating.predictors import GlobalMean, GlobalMedian, RatingPredictor
from reckon.comparison.config import ProtocolConfig
from reckon.comparison.contestant import (
    Contestant,
    MethodContestant,
    MethodSettings,
    OnProgress,
    Trained,
    of_run,
    refuse_protocol,
)
from reckon.config import config_from
from reckon.data import Dataset
from reckon.data.ratings import RatingExamples
from reckon.methods.reczero.model import RatedExamples, RecZeroModel


class Rater(Protocol):
    """Interface of a fitted method that predicts ratings."""

    def rate(self, examples: RatingExamples, on_batch: Callable[[int], None] | None = None) -> RatedExamples:
        """Predicted rating of every row, with the replies; true ratings are not read."""


@dataclass(frozen=True, slots=True)
class FittedRater(Trained):
    """A fitted method that predicts ratings."""

    rater: Rater
    model: RecZeroModel | None = None
    """The model of a method that writes replies; None for a baseline."""

    @property
    def reasons(self) -> bool:
        return self.model is not None


# -- baselines ------------------------------------------------------------------------------------------------------


class RatedBaseline:
    """A rating baseline as a `Rater`; it writes no replies."""

    def __init__(self, baseline: RatingPredictor) -> None:
        self.baseline = baseline

    def rate(self, examples: RatingExamples, on_batch: Callable[[int], None] | None = None) -> RatedExamples:
        predictions, rows = self.baseline.predict(examples), len(examples)
        if on_batch is not None:
            on_batch(rows)
        nothing = [""] * rows
        spread, lengths = np.full(rows, np.nan), np.zeros(rows, dtype=np.int64)
        return RatedExamples(predictions, spread, nothing, nothing, lengths, np.zeros(rows, dtype=bool))


class RatingBaselineContestant(Contestant):
    """Contestant of one of RATING_BASELINES. They have no settings; they choose hyperparameters on validation rows."""

    task = "rating"

    def __init__(self, baseline: type[RatingPredictor]) -> None:
        self.baseline, self.name = baseline, baseline.name
        self.constant = baseline in (GlobalMean, GlobalMedian)

    def settings_of(self, values: Mapping[str, Any], path: str) -> NoSettings:
        refuse_protocol(values, path, ("seed",))
        return config_from(NoSettings, dict(values), path=path)

    def fit(
        self,
        dataset: Dataset,
        settings: Any,
        protocol: ProtocolConfig,
        seed: int,
        folder: Path,
        on_progress: OnProgress,
    ) -> FittedRater:
        return FittedRater(RatedBaseline(self.baseline.fit(dataset, seed)))


# -- methods that reason --------------------------------------------------------------------------------------------


class RatedModel:
    """RecZero as a `Rater`: the greedy reply to each prompt, with the windows of its training."""

    def __init__(self, model: RecZeroModel) -> None:
        self.model = model

    def rate(self, examples: RatingExamples, on_batch: Callable[[int], None] | None = None) -> RatedExamples:
        prompt = self.model.config.prompt
        read = replace(examples, window=prompt.window, item_window=prompt.item_window)
        return self.model.rate(read, on_batch=on_batch)


class RatingMethod(MethodContestant):
    """Contestant of one arm of a method that reasons and then predicts a rating."""

    def fit(
        self,
        dataset: Dataset,
        settings: MethodSettings,
        protocol: ProtocolConfig,
        seed: int,
        folder: Path,
        on_progress: OnProgress,
    ) -> FittedRater:
        prompt = settings.config.prompt
        window, item_window = min(prompt.window, protocol.window), min(prompt.item_window, protocol.window)
        prompt = replace(prompt, window=window, item_window=item_window)
        config, run = replace(settings.config, seed=seed, prompt=prompt), folder / "run"
        model = self.trained(dataset, settings, config, run, on_progress)
        return FittedRater(RatedModel(model), model, **of_run(run))
