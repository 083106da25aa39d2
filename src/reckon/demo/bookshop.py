"""The ranking task on a simulated bookshop, with no network: `reckon demo`.

Entry point: `run_ranking_demo`. Bookshop, backbone, the arms without reasoning and without reward, R2ec, evaluation,
report. Because the readers' taste process is known, the best possible Hit and NDCG stand beside the results; what the
backbone knows before any training stands there too.
"""

from dataclasses import replace
from pathlib import Path

from reckon.data import Dataset
from reckon.data.examples import IntArray
from reckon.demo.live import Stage, join_trajectories
from reckon.demo.untrained import untrained_ranking
from reckon.evaluation.pairs import compare
from reckon.evaluation.ranking.evaluate import Evaluation, paired_metrics
from reckon.evaluation.run import evaluate
from reckon.locks import locked
from reckon.methods.r2ec import R2ec
from reckon.methods.r2ec.config import Arm, HeadConfig, R2ecConfig, preset
from reckon.methods.r2ec.trainer import fit
from reckon.metrics import CUTOFFS
from reckon.reports.write import tables_of, write_evaluation
from reckon.simulation.bookshop import Bookshop, best_possible, shop_of, write_bookshop
from reckon.small_backbone.pretrain import SIZES, new_backbone

BACKBONE = replace(SIZES["tiny"], layers=2, steps=300)  # enough for books told by two words, in a minute
RUNS: dict[Arm, str] = {
    "no-reasoning": "without reasoning",
    "supervised": "with the item loss alone, on its most likely reasoning",
    "full": "with RecPO",
}
PARTS = {"data", "backbone", *RUNS, "metrics.json", "report.html", "trajectories.parquet"}
SUBTITLE = (
    "300 readers to learn from, 1,000 others to recommend to; the best possible is known. The backbone has read notes "
    "on other readers: 'untrained reasoning' recommends the kind of book that it names, with nothing learned from "
    "interactions; 'supervised' learns from them without reward. Where RecPO is not clearly above both, this shop does "
    "not show that reinforcement is needed."
)
UPDATES = 200  # at most; early stopping ends the arm that stops gaining


def demo_config(arm: Arm, seed: int) -> R2ecConfig:
    """The `small` preset for a catalog that fits whole into the item loss, without a popularity prior."""
    small = preset("small", arm)
    training = replace(small.training, embedding_lr_scale=1.0, validation_size=300, max_steps=UPDATES)
    if arm == "no-reasoning":
        training = replace(training, learning_rate=5e-4)
    else:  # many prompts with few replies each: the item term learns from one reply per prompt
        training = replace(training, learning_rate=3e-4, batch_size=48, micro_batch_size=48)
    return replace(
        small,
        seed=seed,
        head=HeadConfig(tau=0.05, negatives="catalog"),
        recpo=replace(small.recpo, num_generations=4),
        training=training,
    )


@locked()
def run_ranking_demo(out: str | Path, seed: int = 0) -> Path:
    """Run everything into a directory and return the path of the report.

    Args:
        out: new or empty, or an earlier demo's directory, which is replaced.
        seed: everything follows from it.
    """
    stage = Stage(out, PARTS)
    out = stage.out
    with stage.step("Simulating the bookshop"):
        dataset = Dataset.load(write_bookshop(out / "data", seed=seed))
    with stage.step("Pretraining a small language model on its cards and notes"):
        backbone = new_backbone(dataset, out / "backbone", size="tiny", seed=seed, config=BACKBONE)
    for arm, words in RUNS.items():
        with stage.step(f"Training R2ec {words}"):
            _train(arm, seed, dataset, backbone, out / arm)
    join_trajectories(out / "full" / "trajectories", out / "trajectories.parquet")
    with stage.step("Ranking 480 books for 1,000 test readers"):
        shop, book_of_item = shop_of(dataset)
        best = best_possible(shop, dataset.examples("test"), book_of_item, CUTOFFS)
        beside = [out / arm for arm in RUNS if arm != "full"]
        evaluation = evaluate(out / "full", beside=beside, best_possible=best)
        assert isinstance(evaluation, Evaluation)
        evaluation = _with_untrained(evaluation, seed, dataset, backbone, shop, book_of_item)
    report = write_evaluation(
        evaluation,
        out,
        title="R²ec in a simulated bookshop",
        subtitle=SUBTITLE,
        seconds=stage.seconds,
    )
    stage.show(tables_of(evaluation))
    return report


def _with_untrained(
    evaluation: Evaluation, seed: int, dataset: Dataset, backbone: Path, shop: Bookshop, books: IntArray
) -> Evaluation:
    """The evaluation with one row more, after popularity: what the backbone's reasoning names before any training."""
    model = R2ec.from_backbone(backbone, dataset, demo_config("full", seed))
    untrained = untrained_ranking(model, dataset.examples("test", model.prompt.window), shop, books)
    popularity, *others = evaluation.results
    pairs = compare([untrained, evaluation.main], untrained.name, paired_metrics(evaluation.cutoffs))
    return replace(evaluation, results=[popularity, untrained, *others], pairs=[*pairs, *evaluation.pairs])


def _train(arm: Arm, seed: int, dataset: Dataset, backbone: Path, out: Path) -> None:
    model = R2ec.from_backbone(backbone, dataset, demo_config(arm, seed))
    fit(model, dataset, out)
