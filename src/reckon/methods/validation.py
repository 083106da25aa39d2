"""Training rows and validation of methods that rank.

Entry points: `training_rows` and `validate`. The best state of a run has the highest SELECTION_METRIC on a fixed sample
of validation rows.
"""

import logging

import numpy as np

from reckon.data import Dataset, Examples
from reckon.errors import ConfigError
from reckon.methods.ranking_model import RankingModel
from reckon.metrics.ranking import rank_values
from reckon.progress import phase
from reckon.prompts.histories import FittedHistory

log = logging.getLogger(__name__)
CUTOFF = 10
SELECTION_METRIC = f"ndcg@{CUTOFF}"


def training_rows(model: RankingModel, dataset: Dataset) -> tuple[Examples, Examples]:
    """Training rows, and the fixed sample of validation rows. Test rows are not read.

    Raises:
        ConfigError: a batch holds more rows than there are.
    """
    config, window = model.config, model.prompt.window
    train = reachable(dataset.examples("train", window), exclude_seen=model.exclude_seen)
    if len(train) < config.training.batch_size:
        raise ConfigError(
            "training.batch_size", config.training.batch_size, f"there are only {len(train)} training rows", "lower it"
        )
    return train, dataset.examples("valid", window).sample(config.training.validation_size, config.seed)


def prompt_metrics(model: RankingModel, prompt: FittedHistory) -> dict[str, float]:
    """Counts of cuts in a prompt, as training metrics; with the token limit if the model's positions set it."""
    metrics = {"prompt__dropped_events": prompt.dropped_events, "prompt__cut_titles": prompt.cut_titles}
    if model.prompt_limit < model.prompt.max_tokens:
        metrics["prompt__context_limit"] = model.prompt_limit
    return {name: float(value) for name, value in metrics.items()}


def reachable(examples: Examples, *, exclude_seen: bool) -> Examples:
    """Training rows whose target is not excluded by their own history.

    A row with an excluded target has no reward and no loss. A warning gives the number of such rows and the setting
    that allows repeats.
    """
    if not exclude_seen:
        return examples
    repeats = examples.repeats
    left_out = int(repeats.sum())
    if left_out:
        log.warning(
            "%s of %s training rows are left out: their target is in their own history, and exclude_seen is on. "
            "Data with repeat purchases needs exclude_seen=false (or auto, the default).",
            f"{left_out:,}",
            f"{len(examples):,}",
        )
    return examples.subset(np.flatnonzero(~repeats))


def validate(model: RankingModel, validation: Examples, prefix: str) -> dict[str, float]:
    """NDCG and Hit at CUTOFF of the greedy replies, and rates of the replies; names as in a Trainer's log."""
    with phase("validating", total=len(validation)) as validating:
        ranked = model.ranks(validation, on_batch=validating.advance)
    metrics = {
        name: float(rank_values(ranked.ranks, name, len(model.catalog)).mean())
        for name in (SELECTION_METRIC, f"hit@{CUTOFF}")
    }
    metrics |= {
        "reply/parsed": float(ranked.parsed.mean()),
        "reply/truncated": float(ranked.truncated.mean()),
        "reply/length": float(ranked.lengths.mean()),
        "prompt/dropped_events": float(ranked.dropped_events.mean()),
        "prompt/cut_titles": float(ranked.cut_titles.mean()),
    }
    return {f"{prefix}_{name}": value for name, value in metrics.items()}
