"""RecZero and RecOne on the rated bookshop over several seeds: what each ends with, and how fast it gets there.

Run it:  python benchmarks/rating_seeds.py --out OUT [--seeds 0 1 2] [--json FILE]

For each seed: `reckon demo --task rating` (rated bookshop, backbone, RecZero) into OUT/seed-N, then RecOne from the
same backbone with the same settings. Its teacher is somebody who knows the shop: right wherever that can be concluded
from the prompt, asked about 1,000 training rows through `reckon.teachers.traces`. Both are evaluated on the test rows.
What is in OUT already is not made again.
"""

import json
import shutil
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from measure import over_seeds, run_seeds

ARMS = ("reczero", "recone")
REWARDS = {"first": "first reward", "last": "last reward", "updates_to_reward": "updates to RecZero's last reward"}
WINDOW = 5  # updates that a reward is averaged over


def teacher_replies(data: Path, file: Path, seed: int) -> None:
    """JSON lines for `FileTeacher`: what somebody who knows the shop writes about each training row."""
    from reckon.data import Dataset
    from reckon.data.ratings import rating_examples
    from reckon.methods.reczero.config import preset
    from reckon.simulation.notes import taste_summary
    from reckon.simulation.rated_bookshop import rated_shop_of
    from reckon.small_backbone.rating_texts import written

    dataset, prompt, rng = Dataset.load(data), preset("small").prompt, np.random.default_rng(seed)
    shop = rated_shop_of(dataset)
    with file.open("w", encoding="utf-8") as lines:
        for example in rating_examples(dataset, "train", prompt.window, prompt.item_window):
            note = taste_summary(shop, example, rng)
            reply = written((note.user, note.item, note.match, note.rating))
            item_id = dataset.catalog.ids[example.item_index]
            line = {"user_id": example.user_id, "item_id": item_id, "timestamp": example.time, "reply": reply}
            lines.write(json.dumps(line) + "\n")


def train_recone(folder: Path, seed: int) -> None:
    """Teacher, traces, fine-tuning and RL into FOLDER/recone; RL as in the demo's RecZero."""
    from reckon.data import Dataset
    from reckon.demo.rated_bookshop import demo_config
    from reckon.methods.train import train_run
    from reckon.teachers.file_teacher import FileTeacher
    from reckon.teachers.traces import TraceSettings, make_traces

    dataset, config = Dataset.load(folder / "data"), demo_config(seed)
    teacher_replies(folder / "data", folder / "teacher.jsonl", seed)
    settings = TraceSettings(
        seed=seed, style="compact", window=config.prompt.window, item_window=config.prompt.item_window
    )
    make_traces(dataset, FileTeacher(folder / "teacher.jsonl"), folder / "traces", settings)
    training = config.training
    same = (
        "max_steps",
        "batch_size",
        "micro_batch_size",
        "validation_size",
        "learning_rate",
        "eval_steps",
        "patience_steps",
    )
    train_run(
        "recone",
        data=folder / "data",
        backbone=folder / "backbone",
        traces=folder / "traces",
        out=folder / "recone",
        preset="small",
        overrides=[f"training.{name}={getattr(training, name)}" for name in same],
        seed=seed,
    )


def seed_results(out: Path, seed: int) -> dict[str, Any]:
    """Everything of one seed: rewards along both runs, test errors, best possible."""
    from reckon.data import Dataset
    from reckon.data.ratings import rating_examples
    from reckon.demo.rated_bookshop import run_rating_demo
    from reckon.evaluation.run import evaluate
    from reckon.methods.reczero.config import preset
    from reckon.reports.write import write_evaluation
    from reckon.simulation.rated_bookshop import best_possible_ratings, rated_shop_of

    folder = out / f"seed-{seed}"
    if not (folder / "metrics.json").exists():
        run_rating_demo(folder, seed)
    if not (folder / "recone" / "manifest.json").exists():
        for left in ("recone", "traces"):
            shutil.rmtree(folder / left, ignore_errors=True)
        train_recone(folder, seed)
    dataset, prompt = Dataset.load(folder / "data"), preset("small").prompt
    best = best_possible_ratings(
        rated_shop_of(dataset), rating_examples(dataset, "test", prompt.window, prompt.item_window)
    )
    evaluation = evaluate(folder / "recone", beside=[folder / "reczero"], best_possible=best)
    write_evaluation(evaluation, folder / "both")
    metrics = json.loads((folder / "both" / "metrics.json").read_text())
    rewards = {arm: rewards_of(folder / arm) for arm in ARMS}
    target = statistics.fmean(rewards["reczero"][-2 * WINDOW :])
    return {
        "seed": seed,
        "best_possible": best,
        "rows": metrics["rows"],
        "paired": metrics["paired"],
        "reward": {
            arm: {
                "first": statistics.fmean(rewards[arm][:WINDOW]),
                "last": statistics.fmean(rewards[arm][-2 * WINDOW :]),
                "updates_to_reward": updates_to(rewards[arm], target),
                "all": [round(reward, 4) for reward in rewards[arm]],
            }
            for arm in ARMS
        },
    }


def rewards_of(run: Path) -> list[float]:
    """Mean reward of each update, first to last."""
    log = json.loads((run / "log.json").read_text())
    return [entry["reward/mean"] for entry in log if "reward/mean" in entry]


def updates_to(rewards: list[float], target: float) -> int:
    """Updates after which the mean of the last WINDOW rewards first reaches the target; all of them if it never is."""
    for update in range(WINDOW, len(rewards) + 1):
        if statistics.fmean(rewards[update - WINDOW : update]) >= target:
            return update
    return len(rewards)


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds, and of RecOne minus RecZero within each seed."""

    def error(result: dict[str, Any], arm: str, metric: str) -> float:
        return next(row[metric] for row in result["rows"] if row["name"] == arm)

    values: dict[str, list[float]] = {}
    for result in results:
        ours, theirs = (result["reward"][arm] for arm in ARMS)
        for arm in ARMS:
            for metric in ("mae", "rmse", "parse_rate"):
                values.setdefault(f"{arm}: {metric}", []).append(error(result, arm, metric))
            for name, label in REWARDS.items():
                values.setdefault(f"{arm}: {label}", []).append(result["reward"][arm][name])
        values.setdefault("reczero: last reward − first reward", []).append(ours["last"] - ours["first"])
        for name in ("first", "updates_to_reward"):
            values.setdefault(f"recone − reczero: {REWARDS[name]}", []).append(theirs[name] - ours[name])
    return {name: over_seeds(of_seeds) for name, of_seeds in values.items()}


if __name__ == "__main__":
    run_seeds(__doc__, seed_results, summary)
