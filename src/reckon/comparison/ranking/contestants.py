"""Contestants that rank: every baseline, and the methods that reason.

Entry points: `BaselineContestant`, `RankingMethod`; `reckon.comparison.registry` lists the names.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reckon.baselines import Baseline
from reckon.comparison.config import ProtocolConfig
from reckon.comparison.contestant import (
    Contestant,
    MethodContestant,
    MethodSettings,
    OnProgress,
    Trained,
    identified,
    of_run,
    refuse_protocol,
)
from reckon.comparison.protocol import Ranker
from reckon.config import config_from, to_dict
from reckon.data import Dataset, Examples
from reckon.methods.ranking_model import RankingModel
from reckon.models.recommender import RankedExamples, Recommendation


@dataclass(frozen=True, slots=True)
class Fitted(Trained):
    """A fitted ranking method."""

    ranker: Ranker
    window: int
    """Latest events of a history that the method reads."""
    model: RankingModel | None = None
    """The RankingModel of a method that may reason; None for a baseline."""

    @property
    def reasons(self) -> bool:
        return self.model is not None and self.model.reasons


# -- baselines ------------------------------------------------------------------------------------------------------


class RankedBaseline:
    """A baseline as a `Ranker`."""

    def __init__(self, baseline: Baseline) -> None:
        self.baseline = baseline

    def ranks(self, examples: Examples, k: int, on_batch: Callable[[int], None] | None = None) -> RankedExamples:
        return self.baseline.ranks(examples, k, on_batch=on_batch)

    def lists(self, examples: Examples) -> list[Recommendation]:
        histories = [examples.history(row) for row in range(len(examples))]
        return self.baseline.recommend(histories, len(self.baseline.catalog), False)


class BaselineContestant(Contestant):
    """Contestant of a ranking baseline."""

    def __init__(self, baseline: type[Baseline]) -> None:
        self.baseline, self.name = baseline, baseline.NAME
        self.constant = "popularity" in baseline.NAME

    @property
    def search(self) -> Mapping[str, Sequence[Any]]:
        return self.baseline.SEARCH

    def settings_of(self, values: Mapping[str, Any], path: str) -> Any:
        refuse_protocol(values, path, ("seed", "exclude_seen"))
        return config_from(self.baseline.CONFIG, dict(values), path=path)

    def identity(self, settings: Any) -> dict[str, Any]:
        return dict(identified(to_dict(settings)))

    def fit(
        self,
        dataset: Dataset,
        settings: Any,
        protocol: ProtocolConfig,
        seed: int,
        folder: Path,
        on_progress: OnProgress,
    ) -> Fitted:
        fitted = self.baseline.fit(
            dataset, settings, exclude_seen=protocol.excludes_seen, seed=seed, on_progress=on_progress
        )
        return Fitted(RankedBaseline(fitted), protocol.window, facts=fitted.facts)


# -- methods that reason --------------------------------------------------------------------------------------------


class RankedModel:
    """A RankingModel as a `Ranker`."""

    def __init__(self, model: RankingModel) -> None:
        self.model = model

    def ranks(self, examples: Examples, k: int, on_batch: Callable[[int], None] | None = None) -> RankedExamples:
        return self.model.ranks(examples, k, on_batch=on_batch)

    def lists(self, examples: Examples) -> list[Recommendation]:
        return self.model.recommend_examples([*examples], len(self.model.catalog), False)


class RankingMethod(MethodContestant):
    """Contestant of one arm of a method that reasons and then ranks."""

    @property
    def owned(self) -> tuple[str, ...]:
        section = self.method.masking
        return (*super().owned, *([f"{section}.exclude_seen"] if section else []))

    def fit(
        self,
        dataset: Dataset,
        settings: MethodSettings,
        protocol: ProtocolConfig,
        seed: int,
        folder: Path,
        on_progress: OnProgress,
    ) -> Fitted:
        config, section = settings.config, self.method.masking
        window = min(config.prompt.window, protocol.window)
        config = replace(config, seed=seed, prompt=replace(config.prompt, window=window))
        if section is not None:
            masked = replace(getattr(config, section), exclude_seen=protocol.excludes_seen)
            config = replace(config, **{section: masked})
        run = folder / "run"
        model = self.trained(dataset, settings, config, run, on_progress)
        return Fitted(RankedModel(model), window, model, **of_run(run))
