"""RPORec on the simulated bookshop, with no network: `reckon demo --method rporec`.

Entry point: `run_rporec_demo`. Bookshop, backbone, the Rechead on histories alone, Stage I, Stage II, evaluation,
report. The same shop, readers and best possible as in the demo of R2ec.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from reckon.baselines import Popularity
from reckon.data import Dataset
from reckon.demo.live import LiveProgress, Stage, join_trajectories
from reckon.evaluation import Evaluation, ReportData, ranking_result, result_of, write_metrics, write_report
from reckon.evaluation.compare import compare
from reckon.evaluation.ranking.evaluate import example_users
from reckon.methods.rporec import RPORec
from reckon.methods.rporec.config import Arm, RPORecConfig, preset
from reckon.methods.rporec.stage_one import fit_rechead
from reckon.methods.rporec.stage_two import fit_reasoning
from reckon.metrics import CUTOFFS, summary
from reckon.runs.read import facts_of
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
        with LiveProgress() as live:
            fit_reasoning(model, dataset, out / FOLDERS[SECOND], progress=False, callbacks=[live])
    join_trajectories(out / FOLDERS[SECOND] / "trajectories", out / "trajectories.parquet")
    with stage.step("Ranking 480 books for 1,000 test readers"):
        first = RPORec.from_pretrained(out / FOLDERS[FIRST])
        evaluation, report = _evaluate(dataset, {HISTORY: plain, FIRST: first, SECOND: model}, out)
    write_metrics(
        out / "metrics.json",
        [summary(result, CUTOFFS) for result in evaluation.results],
        evaluation.best_possible,
        stage.seconds,
        evaluation.pairs,
    )
    write_report(out / "report.html", report)
    stage.show(evaluation.tables())
    return out / "report.html"


def _evaluate(dataset: Dataset, models: Mapping[str, RPORec], out: Path) -> tuple[Evaluation, ReportData]:
    """Every stage beside popularity and the best possible; each stage compared with what comes before it."""
    shop, book_of_item = shop_of(dataset)
    examples = dataset.examples("test", models[SECOND].prompt.window)
    results = [result_of("popularity", Popularity.fit(dataset).ranks(examples), examples, dataset.catalog)]
    for name, model in models.items():
        result, ranked = ranking_result(name, model, examples)
        results.append(result)
    by_name = {result.name: result for result in results}
    metrics = ("hit@5", "ndcg@5", "hit@10", "ndcg@10")
    pairs = [
        pair
        for name, before in ((FIRST, HISTORY), (SECOND, FIRST), (SECOND, HISTORY))
        for pair in compare([by_name[before], by_name[name]], before, metrics)
    ]
    best = best_possible(shop, examples, book_of_item, CUTOFFS)
    report = ReportData(
        title="RPORec in a simulated bookshop",
        subtitle="300 readers to learn from, 1,000 others to recommend to; the best possible is known",
        results=results,
        best_possible=best,
        baseline_name=FIRST,
        histories={name: json.loads((out / folder / "log.json").read_text()) for name, folder in FOLDERS.items()},
        examples=example_users(models[SECOND], examples, ranked),
        facts=facts_of(out / FOLDERS[SECOND]),
    )
    return Evaluation(results, pairs, CUTOFFS, best), report
