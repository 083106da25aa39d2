"""RPORec on the simulated bookshop over several seeds: what Stage I and Stage II add, and how long reasoning stays.

Run it:  python benchmarks/rporec_seeds.py --out OUT [--seeds 0 1 2] [--json FILE]

For each seed: `reckon demo --method rporec` into OUT/seed-N, which trains the Rechead on histories alone, then on
reasoning (Stage I), then the reasoning itself (Stage II), and ranks the test readers with each, by the most likely
reply as always. Beside it the same rows are ranked by one sampled reply each, which is what Stage II is rewarded for.
What is in OUT already is not made again.
"""

import json
import statistics
from pathlib import Path
from typing import Any

from measure import over_seeds, run_seeds

STAGES = {"history-only": "history only", "rporec, stage I": "Stage I", "rporec": "Stage II"}
STEPS = (("rporec, stage I", "history-only"), ("rporec", "rporec, stage I"))
METRICS = ("hit@10", "ndcg@10")
ROWS_AT_ONCE = 64
WINDOW = 5  # updates that the length of sampled replies is averaged over, first and last


def seed_results(out: Path, seed: int) -> dict[str, Any]:
    """Everything of one seed: test metrics of each stage, paired differences, lengths along Stage II."""
    from reckon.demo.rporec_bookshop import FIRST, FOLDERS, SECOND, run_rporec_demo

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
        "sampled_ndcg@10": {name: sampled_ndcg(folder / FOLDERS[name], seed) for name in (FIRST, SECOND)},
        "sampled_length": {
            "first": statistics.fmean(lengths[:WINDOW]),
            "last": statistics.fmean(lengths[-WINDOW:]),
            "all": [round(length, 2) for length in lengths],
        },
    }


def sampled_ndcg(run: Path, seed: int) -> float:
    """NDCG@10 of the test rows, each ranked after one reply sampled as in training."""
    import numpy as np
    import torch

    from reckon.data import Dataset
    from reckon.methods.rporec import RPORec
    from reckon.models.scoring import target_ranks

    model = RPORec.from_pretrained(run)
    rows = [*Dataset.load(run.parent / "data").examples("test", model.prompt.window)]
    generator = torch.Generator(device=model.backbone.device).manual_seed(seed)
    worth: list[float] = []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        block = rows[start : start + ROWS_AT_ONCE]
        queries = model.queries(block, model.reason(block, model.config.rollout, generator))
        targets = torch.tensor([row.target for row in block])
        ranks = target_ranks(queries, model.table.vectors, targets, bias=model.bias, exclude=model.seen(block)).numpy()
        worth.extend(np.where(ranks <= 10, 1 / np.log2(ranks + 1), 0.0).tolist())
    return statistics.fmean(worth)


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
        by_sample = result["sampled_ndcg@10"]
        for name in ("rporec, stage I", "rporec"):
            values.setdefault(f"{STAGES[name]}: ndcg@10 of a sampled reply", []).append(by_sample[name])
        gain = by_sample["rporec"] - by_sample["rporec, stage I"]
        values.setdefault("Stage II − Stage I: ndcg@10 of a sampled reply", []).append(gain)
        sampled = result["sampled_length"]
        values.setdefault("Stage II, last − first: tokens of a sampled reply", []).append(
            sampled["last"] - sampled["first"]
        )
    return {name: over_seeds(of_seeds) for name, of_seeds in values.items()}


if __name__ == "__main__":
    run_seeds(__doc__, seed_results, summary)
