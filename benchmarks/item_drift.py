"""How far rewards stray as the item table ages, beside the drift that the trainer measures.

Run it:  python benchmarks/item_drift.py --demo DEMO [--updates N] [--rates LR ...] [--json FILE]

DEMO is what `reckon demo` left: its data and its backbone are trained on, with negatives of the batch, so that most
rows of the item table go stale. The table is never encoded again by itself. Every few updates the same replies are
rewarded twice, by the stale table and by a fresh one; the table says how the advantages agree, for bins of
`items/drift` (`training.item_drift` is the threshold at which a run encodes the whole table anew).
"""

import argparse
import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from measure import environment, table, write_json

EVERY = 2  # updates between two looks
BINS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, math.inf)  # of items/drift


def looks(demo: Path, learning_rate: float, updates: int, seed: int = 0) -> list[dict[str, float]]:
    """One training; drift and agreement of advantages at each look."""
    import torch

    from reckon.data import Dataset, Example
    from reckon.demo.bookshop import demo_config
    from reckon.methods.r2ec import R2ec, trainer
    from reckon.rl.advantages import group_advantages
    from reckon.rollout import Rollouts

    found: list[dict[str, float]] = []

    class Observed(trainer.RecPOTrainer):
        """A RecPO trainer that now and then asks what a fresh table would have rewarded."""

        def score(self, rollouts: Rollouts, examples: Sequence[Example]) -> torch.Tensor:
            rewards = super().score(rollouts, examples)
            if self.state.global_step and self.state.global_step % EVERY == 0:
                stale = self.recommender.table
                self.recommender.refresh_items()
                fresh = super().score(rollouts, examples)
                self.recommender.take_table(stale)
                found.append({"drift": self.drift} | agreement(rewards, fresh, rollouts.group_size))
            return rewards

    def agreement(stale: torch.Tensor, fresh: torch.Tensor, size: int) -> dict[str, float]:
        both = [group_advantages(rewards.view(-1, size)) for rewards in (stale, fresh)]
        pair = torch.stack([advantages.flatten() for advantages in both])
        best = [advantages.argmax(dim=1) for advantages in both]
        return {
            "correlation": torch.corrcoef(pair)[0, 1].item(),
            "other_best": (best[0] != best[1]).float().mean().item(),
        }

    dataset, config = Dataset.load(demo / "data"), demo_config("full", seed)
    training = replace(
        config.training, learning_rate=learning_rate, max_steps=updates, eval_steps=updates,
        validation_size=16, item_drift=math.inf, item_refresh_steps=0,
    )  # fmt: skip
    config = replace(config, head=replace(config.head, negatives="in-batch"), training=training)
    before, trainer.RecPOTrainer = trainer.RecPOTrainer, Observed  # type: ignore[misc]
    try:
        with tempfile.TemporaryDirectory() as folder:
            model = R2ec.from_backbone(demo / "backbone", dataset, config)
            trainer.fit(model, dataset, Path(folder) / "run", progress=False)
    finally:
        trainer.RecPOTrainer = before  # type: ignore[misc]
    return found


def binned(found: list[dict[str, float]]) -> list[dict[str, Any]]:
    """Means over the looks of each bin of drift that has any."""
    rows, low = [], 0.0
    for high in BINS:
        inside = [look for look in found if low <= look["drift"] < high]
        if inside:
            means = {name: sum(look[name] for look in inside) / len(inside) for name in ("correlation", "other_best")}
            end = high if high < math.inf else None
            rows.append({"drift_from": low, "drift_below": end, "looks": len(inside)} | means)
        low = high
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, required=True, help="what `reckon demo` left")
    parser.add_argument("--updates", type=int, default=50)
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-4, 3e-4, 1e-3], help="learning rates")
    parser.add_argument("--json", type=Path, help="also write the result here")
    options = parser.parse_args()
    result = {"benchmark": "item_drift", **environment(), "updates": options.updates, "learning_rates": options.rates}
    found = [look for rate in options.rates for look in looks(options.demo, rate, options.updates)]
    result["bins"], result["looks"] = binned(found), found
    lines = [
        [f"{row['drift_from']:g} to {row['drift_below'] or 'more'}", str(row["looks"]),
         f"{row['correlation']:.3f}", f"{row['other_best']:.1%}"]
        for row in result["bins"]
    ]  # fmt: skip
    print(table(["items/drift", "looks", "correlation of advantages", "groups with another best"], lines))
    if options.json:
        write_json(options.json, result)


if __name__ == "__main__":
    main()
