"""The rating task on a simulated bookshop, with no network: `reckon demo --task rating`.

Entry point: `run_rating_demo`. Rated bookshop, backbone, RecZero, evaluation beside every rating baseline, report.
Because the readers' taste process is known, the best possible MAE and RMSE stand beside the results.
"""

from dataclasses import replace
from pathlib import Path

from reckon.data import Dataset
from reckon.data.ratings import rating_examples
from reckon.demo.live import Stage, join_trajectories
from reckon.evaluation.run import evaluate
from reckon.locks import locked
from reckon.methods.reczero import RecZero
from reckon.methods.reczero.config import RecZeroConfig, preset
from reckon.methods.reczero.trainer import fit
from reckon.reports.write import tables_of, write_evaluation
from reckon.simulation.rated_bookshop import best_possible_ratings, rated_shop_of, write_rated_bookshop
from reckon.small_backbone.pretrain import new_backbone, pretrain_config

BACKBONE = replace(pretrain_config("tiny", "rating"), layers=2, intermediate_size=256, steps=600, max_tokens=320)
PARTS = {"data", "backbone", "reczero", "metrics.json", "report.html", "trajectories.parquet"}
UPDATES = 120  # at most; early stopping ends a run that stops gaining


def demo_config(seed: int) -> RecZeroConfig:
    """The `small` preset, whose prompts the backbone was pretrained on."""
    small = preset("small")
    return replace(
        small,
        seed=seed,
        training=replace(
            small.training,
            learning_rate=1e-4,
            max_steps=UPDATES,
            batch_size=16,
            micro_batch_size=16,
            validation_size=500,
        ),
    )


@locked()
def run_rating_demo(out: str | Path, seed: int = 0) -> Path:
    """Run everything into a directory and return the path of the report.

    Args:
        out: new or empty, or an earlier demo's directory, which is replaced.
        seed: everything follows from it.
    """
    stage = Stage(out, PARTS)
    out = stage.out
    with stage.step("Simulating the bookshop and its readers' ratings"):
        dataset = Dataset.load(write_rated_bookshop(out / "data", seed=seed))
    with stage.step("Pretraining a small language model on notes about readers"):
        backbone = new_backbone(dataset, out / "backbone", task="rating", seed=seed, config=BACKBONE)
    with stage.step("Training RecZero"):
        model = RecZero.from_backbone(backbone, dataset, demo_config(seed))
        fit(model, dataset, out / "reczero")
    join_trajectories(out / "reczero" / "trajectories", out / "trajectories.parquet")
    with stage.step("Rating the test readers' books"):
        prompt = model.config.prompt
        shown = rating_examples(dataset, "test", prompt.window, prompt.item_window)
        best = best_possible_ratings(rated_shop_of(dataset), shown)
        evaluation = evaluate(out / "reczero", best_possible=best)
    report = write_evaluation(
        evaluation,
        out,
        title="RecZero in a simulated bookshop",
        subtitle="readers rate books by mood and quality; the best possible is known",
        seconds=stage.seconds,
    )
    stage.show(tables_of(evaluation))
    return report
