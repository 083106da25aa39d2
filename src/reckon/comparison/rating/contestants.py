"""How a method that predicts ratings is fitted: the baselines of ratings, RecZero and RecOne.

Entry points: `RatingBaselineContestant`, `RatingModelContestant`; which names there are, says
`reckon.comparison.registry`.

The protocol decides the seed, and its window is the most ratings of the user, and as many of the item, that a prompt
may hold. RecOne takes a folder of traces as a setting; those of another split than the protocol's are refused
(`reckon.teachers.files`): the test rows may be among them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from reckon.baselines.baseline import NoSettings
from reckon.baselines.rating.predictors import GlobalMean, GlobalMedian, RatingPredictor
from reckon.comparison.config import ProtocolConfig
from reckon.comparison.ranking.contestants import (
    Contestant,
    OnProgress,
    Trained,
    identified,
    of_run,
    preset_of,
    refuse_protocol,
)
from reckon.config import config_from, to_dict
from reckon.data import Dataset
from reckon.data.ratings import RatingExamples
from reckon.errors import ConfigError
from reckon.methods.reczero import RecZero
from reckon.methods.reczero.model import RatedExamples
from reckon.rl.checkpoints import last_checkpoint


class Rater(Protocol):
    """A fitted method, as the harness knows it."""

    def rate(self, examples: RatingExamples, on_batch: Callable[[int], None] | None = None) -> RatedExamples:
        """The rating of every row, and the replies it is read from; no row's true rating is read."""


@dataclass(frozen=True, slots=True)
class FittedRater(Trained):
    """Something that predicts ratings, and what is known of it."""

    rater: Rater
    model: RecZero | None = None
    """The model behind it, where it writes replies."""

    @property
    def reasons(self) -> bool:
        return self.model is not None


# -- baselines ------------------------------------------------------------------------------------------------------


class RatedBaseline:
    """A baseline as the harness asks it: it writes nothing."""

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
    """Any of RATING_BASELINES. They have no settings: what they choose, they choose on the validation rows."""

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
    """RecZero as the harness asks it: the most likely reply to each prompt, with the windows of its training."""

    def __init__(self, model: RecZero) -> None:
        self.model = model

    def rate(self, examples: RatingExamples, on_batch: Callable[[int], None] | None = None) -> RatedExamples:
        prompt = self.model.config.prompt
        read = replace(examples, window=prompt.window, item_window=prompt.item_window)
        return self.model.rate(read, on_batch=on_batch)


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingModelSettings:
    """Where a method on a backbone starts, and its own config."""

    backbone: str
    config: Any
    traces: str | None = None


class RatingModelContestant(Contestant):
    """RecZero, or RecOne."""

    task = "rating"

    def __init__(self, name: Literal["reczero", "recone"]) -> None:
        self.name = name

    @property
    def search(self) -> Mapping[str, Sequence[Any]]:
        return {"training.learning_rate": (1e-4, 3e-4, 1e-3)}

    def settings_of(self, values: Mapping[str, Any], path: str) -> RatingModelSettings:
        refuse_protocol(values, path, ("seed",))
        rest, traces = dict(values), None
        backbone, preset = rest.pop("backbone", None), rest.pop("preset", "paper")
        if not isinstance(backbone, str):
            fix = "name a folder or hub id of a causal language model; `reckon backbone new --task rating` makes one"
            raise ConfigError(f"{path}.backbone", backbone, f"{self.name} needs one", fix)
        if self.name == "reczero":
            from reckon.methods.reczero.config import RecZeroConfig
            from reckon.methods.reczero.config import preset as constants

            return RatingModelSettings(
                backbone=backbone,
                config=config_from(RecZeroConfig, rest, preset_of(constants, preset, "full", path), path),
            )
        from reckon.methods.recone.stages import RecOneConfig
        from reckon.methods.recone.stages import constants as recone_constants

        traces = rest.pop("traces", None)
        if not isinstance(traces, str):
            fix = "name the folder that `reckon traces make` wrote for this data"
            raise ConfigError(f"{path}.traces", traces, f"{self.name} needs them", fix)
        config = config_from(RecOneConfig, rest, preset_of(recone_constants, preset, "full", path), path)
        return RatingModelSettings(backbone=backbone, config=config, traces=traces)

    def identity(self, settings: RatingModelSettings) -> dict[str, Any]:
        return {
            "config": identified(to_dict(settings.config)),
            "backbone": identified(settings.backbone, "backbone"),
            "traces": identified(settings.traces, "traces"),
        }

    def fit(
        self,
        dataset: Dataset,
        settings: RatingModelSettings,
        protocol: ProtocolConfig,
        seed: int,
        folder: Path,
        on_progress: OnProgress,
    ) -> FittedRater:
        prompt = settings.config.prompt
        window, item_window = min(prompt.window, protocol.window), min(prompt.item_window, protocol.window)
        prompt = replace(prompt, window=window, item_window=item_window)
        config, run = replace(settings.config, seed=seed, prompt=prompt), folder / "run"
        model = self._trained(dataset, settings, config, run, on_progress)
        return FittedRater(RatedModel(model), model, **of_run(run))

    def _trained(
        self, dataset: Dataset, settings: RatingModelSettings, config: Any, run: Path, on_progress: OnProgress
    ) -> RecZero:
        if (run / "manifest.json").exists():  # whole, but the cell stopped before it was asked
            return RecZero.from_pretrained(run)
        if self.name == "reczero":
            from reckon.methods.reczero.trainer import fit
            from reckon.training.loop import StepShare

            model = RecZero.from_backbone(settings.backbone, dataset, config)
            resume, told = last_checkpoint(run) is not None, [StepShare(on_progress)]
            fit(model, dataset, run, resume=resume, progress=False, callbacks=told)
            return model
        from reckon.methods.recone.stages import CONFIG_FILE, fit_stages

        assert settings.traces is not None
        resume = (run / CONFIG_FILE).exists()
        return fit_stages(
            config,
            dataset,
            settings.backbone,
            settings.traces,
            run,
            resume=resume,
            progress=False,
            on_progress=on_progress,
        )
