"""The numbers of a comparison as `metrics.json`, and the caption of its tables.

Entry points: `metrics_of`, `provenance`.
"""

from typing import Any

from reckon.comparison.harness import Comparison
from reckon.config import to_dict

CELL_KEYS = ("seed", "fingerprint", "seconds", "findings", "reasoning", "problems", "facts")  # in `metrics.json`


def provenance(comparison: Comparison) -> str:
    """Caption of every table: data, split, rows, task, seeds, tuning budget."""
    config = comparison.config
    tuned = f"up to {config.tuning.trials} trials per method" if config.tuning.trials > 1 else "no tuning"
    few = " (fewer than three)" if config.allow_few_seeds and len(config.seeds) < 3 else ""
    source = comparison.dataset.info["source"].get("name", "data")
    question = comparison.task.question(comparison.dataset, comparison.rows, config.protocol)
    return (
        f"{source}, data {comparison.dataset.checksum[:12]}; {comparison.dataset.protocol} split, "
        f"{len(comparison.rows):,} test rows, {question}; "
        f"seeds {', '.join(map(str, config.seeds))}{few}; {tuned}"
    )


def metrics_of(comparison: Comparison) -> dict[str, Any]:
    """All numbers of the tables, for `metrics.json`."""
    config = comparison.config
    metrics = [*config.metrics, *(["mrr"] if config.task == "ranking" else [])]
    rows = []
    for standing in comparison.standings:
        row: dict[str, Any] = {"name": standing.name, "method": standing.method, "settings": dict(standing.settings)}
        if standing.whole:
            for metric in metrics:
                seen, key = standing.metric(metric), config.metric_key(metric)
                row |= {
                    key: seen.interval.mean,
                    f"{key}_ci": [seen.interval.lo, seen.interval.hi],
                    f"{key}_sd": seen.deviation,
                }
            row |= comparison.lists.get(standing.name, {})
            row["training_seconds"] = standing.mean_of("seconds", "training")
            row["rates"] = {rate: standing.mean_of("rates", rate) for rate in standing.results[0].rates}
        row["trials"] = standing.trials
        row["failures"] = {str(seed): error for seed, error in standing.failures.items()}
        row["cells"] = [{key: cell.about.get(key) for key in CELL_KEYS} for cell in standing.cells.values()]
        rows.append(row)
    return {
        "rows": rows,
        "published": [to_dict(published) for published in config.published],
        "best_possible": comparison.best_possible,
        "seconds": comparison.seconds,
        "paired": [d.to_dict() | {"metric": config.metric_key(d.metric)} for d in comparison.differences],
        "findings": [finding.to_dict() for finding in comparison.findings],
        "provenance": {
            "data": comparison.dataset.checksum,
            "split": comparison.dataset.protocol,
            "rows": comparison.rows.checksum,
            "seeds": list(config.seeds),
            "trials": config.tuning.trials,
            "protocol": provenance(comparison),
        },
    }
