"""RPORec on the simulated bookshop, with no network: `reckon demo --method rporec`.

Entry point: `run_rporec_demo`. Bookshop, backbone, the Rechead on histories alone, Stage I, Stage II, evaluation,
report. The same shop, readers and best possible as in the demo of R2ec.
"""

from dataclasses import replace
from pathlib import Path

from reckon.data import Dataset
from reckon.demo.live import Stage, join_trajectories
from reckon.evaluation.pairs import compare, find_result
from reckon.evaluation.ranking.evaluate import Evaluation, evaluate_ranking, paired_metrics
from reckon.locks import locked
from reckon.methods.rporec import RPORec
from reckon.methods.rporec.config import Arm, RPORecConfig, preset
from reckon.methods.rporec.stage_one import fit_rechead
from reckon.methods.rporec.stage_two import fit_reasoning
from reckon.metrics import CUTOFFS
from reckon.reports.write import tables_of, write_evaluation
from reckon.simulation.bookshop import best_possible, shop_of, write_bookshop
from reckon.small_backbone.pretrain import new_backbone, pretrain_config

BACKBONE = replace(pretrain_config("tiny", "rporec"), layers=2, steps=400, max_tokens=160)
HISTORY, FIRST, SECOND = "history-only", "rporec, stage I", "rporec"  # names in tables, as runs are called elsewhere
FOLDERS = {HISTORY: "history-only", FIRST: "stage-one", SECOND: "stage-two"}
PARTS = {"data", "backbone", *FOLDERS.values(), "metrics.json", "report.html", "trajectories.parquet"}
UPDATES = 80  # at most; early stopping ends a run that stops gaining


def demo_config(seed: int, arm: Arm = "full") -> RPORecConfig:
    """The `small` preset for a shop in which every book sells alike."""
    small = preset("small", arm)
    return replace(
        small,
        seed=seed,
        rechead=replace(small.rechead, popularity_prior=0.0),
        grpo=replace(small.grpo, num_generations=4),
        training=replace(small.training, max_steps=UPDATES, batch_size=32, micro_batch_size=32, validation_size=300),
    )


@locked()
def run_rporec_demo(out: str | Path, seed: int = 0) -> Path:
    """Run everything into a directory and return the path of the report.

    Args:
        out: new or empty, or an earlier demo's directory, which is replaced.
        seed: everything follows from it.
    """
    stage = Stage(out, PARTS)
    out = stage.out
    with stage.step("Simulating the bookshop"):
        dataset = Dataset.load(write_bookshop(out / "data", seed=seed))
    with stage.step("Pretraining a small language model on cards, notes and summaries"):
        backbone = new_backbone(dataset, out / "backbone", task="rporec", seed=seed, config=BACKBONE)
    with stage.step("Training the Rechead on histories alone"):
        plain = RPORec.from_backbone(backbone, dataset, demo_config(seed, "history-only"))
        fit_rechead(plain, dataset, out / FOLDERS[HISTORY])
    with stage.step("Stage I: training the Rechead on reasoning"):
        fit_rechead(RPORec.from_backbone(backbone, dataset, demo_config(seed)), dataset, out / FOLDERS[FIRST])
    with stage.step("Stage II: reinforcing the reasoning by the Rechead"):
        model = RPORec.from_pretrained(out / FOLDERS[FIRST])
        fit_reasoning(model, dataset, out / FOLDERS[SECOND])
    join_trajectories(out / FOLDERS[SECOND] / "trajectories", out / "trajectories.parquet")
    with stage.step("Ranking 480 books for 1,000 test readers"):
        evaluation = _evaluate(dataset, out)
    report = write_evaluation(
        evaluation,
        out,
        title="RPORec in a simulated bookshop",
        subtitle="300 readers to learn from, 1,000 others to recommend to; the best possible is known",
        seconds=stage.seconds,
    )
    stage.show(tables_of(evaluation))
    return report


def _evaluate(dataset: Dataset, out: Path) -> Evaluation:
    """The last stage against all before it, and Stage I against the Rechead on histories alone."""
    shop, book_of_item = shop_of(dataset)
    best = best_possible(shop, dataset.examples("test"), book_of_item, CUTOFFS)
    *before, last = (out / folder for folder in FOLDERS.values())
    evaluation = evaluate_ranking(last, beside=before, best_possible=best)
    stages = [find_result(evaluation.results, name) for name in (HISTORY, FIRST)]
    first = compare(stages, HISTORY, paired_metrics(evaluation.cutoffs))
    return replace(evaluation, pairs=[*first, *evaluation.pairs])
