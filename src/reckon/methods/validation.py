"""What training a method that ranks has in common: its rows, and how a model that moves is judged on the way.

Entry points: `training_rows` and `validate`. The best model of a run is the one with the highest SELECTION_METRIC on a
fixed sample of validation rows.
"""

from reckon.data import Dataset, Examples
from reckon.errors import ConfigError
from reckon.methods.ranking_model import RankingModel
from reckon.metrics.ranking import rank_values
from reckon.progress import phase
from reckon.prompts.histories import FittedHistory

CUTOFF = 10
SELECTION_METRIC = f"ndcg@{CUTOFF}"


def training_rows(model: RankingModel, dataset: Dataset) -> tuple[Examples, Examples]:
    """Training rows, and the fixed sample of validation rows. Test rows are not touched.

    Raises:
        ConfigError: a batch holds more rows than there are.
    """
    config, window = model.config, model.prompt.window
    train = dataset.examples("train", window)
    if len(train) < config.training.batch_size:
        raise ConfigError(
            "training.batch_size", config.training.batch_size, f"there are only {len(train)} training rows", "lower it"
        )
    return train, dataset.examples("valid", window).sample(config.training.validation_size, config.seed)


def prompt_metrics(model: RankingModel, prompt: FittedHistory) -> dict[str, float]:
    """What a prompt lost to its budget, as a trainer reports it; with the limit where it is the model's own."""
    metrics = {"prompt__dropped_events": prompt.dropped_events, "prompt__cut_titles": prompt.cut_titles}
    if model.prompt_limit < model.prompt.max_tokens:
        metrics["prompt__context_limit"] = model.prompt_limit
    return {name: float(value) for name, value in metrics.items()}


def validate(model: RankingModel, validation: Examples, prefix: str) -> dict[str, float]:
    """NDCG and Hit at CUTOFF of the most likely replies, and what was counted of them; names as a Trainer logs them."""
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
