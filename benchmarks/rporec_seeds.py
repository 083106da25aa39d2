"""RPORec on the simulated bookshop over several seeds: what Stage I and Stage II add, and how long reasoning stays.

Run it:  python benchmarks/rporec_seeds.py --out OUT [--seeds 0 1 2] [--json FILE]

For each seed: `reckon demo --method rporec` into OUT/seed-N, which trains the Rechead on histories alone, then on
reasoning (Stage I), then the reasoning itself (Stage II), and ranks the test readers with each. What is in OUT already
is not made again.
"""

import json
import statistics
from pathlib import Path
from typing import Any

from measure import over_seeds, run_seeds

STAGES = {"history-only": "history only", "rporec, stage I": "Stage I", "rporec": "Stage II"}
STEPS = (("rporec, stage I", "history-only"), ("rporec", "rporec, stage I"))
METRICS = ("hit@10", "ndcg@10")
WINDOW = 5  # updates that the length of sampled replies is averaged over, first and last


def seed_results(out: Path, seed: int) -> dict[str, Any]:
    """Everything of one seed: test metrics of each stage, paired differences, lengths along Stage II."""
    from reckon.demo.rporec_bookshop import FOLDERS, SECOND, run_rporec_demo

    folder = out / f"seed-{seed}"
    if not (folder / "metrics.json").exists():
        run_rporec_demo(folder, seed)
    metrics = json.loads((folder / "metrics.json").read_text())
    log = json.loads((folder / FOLDERS[SECOND] / "log.json").read_text())
    lengths = [entry["reply/length"] for entry in log if "reply/length" in entry]
    return {
        "seed": seed,
        "seconds": metrics["seconds"],
        "best_possible": metrics["best_possible"],
        "rows": metrics["rows"],
        "paired": metrics["paired"],
        "sampled_length": {
            "first": statistics.fmean(lengths[:WINDOW]),
            "last": statistics.fmean(lengths[-WINDOW:]),
            "all": [round(length, 2) for length in lengths],
        },
    }


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds: metrics of each stage, what each stage adds, reply tokens before and after Stage II."""
    values: dict[str, list[float]] = {}
    for result in results:
        rows = {row["name"]: row for row in result["rows"]}
        for name, label in STAGES.items():
            for metric in METRICS:
                values.setdefault(f"{label}: {metric}", []).append(rows[name][metric])
        for name, before in STEPS:
            for metric in METRICS:
                gain = rows[name][metric] - rows[before][metric]
                values.setdefault(f"{STAGES[name]} − {STAGES[before]}: {metric}", []).append(gain)
        tokens = [rows[name]["reply_length"] for name in ("rporec, stage I", "rporec")]
        values.setdefault("Stage II − Stage I: tokens of the most likely reply", []).append(tokens[1] - tokens[0])
        sampled = result["sampled_length"]
        values.setdefault("Stage II, last − first: tokens of a sampled reply", []).append(
            sampled["last"] - sampled["first"]
        )
    return {name: over_seeds(of_seeds) for name, of_seeds in values.items()}


if __name__ == "__main__":
    run_seeds(__doc__, seed_results, summary)
