"""Tiny finished runs of every method, a data set for each task and a backbone: what corruptions damage.

Entry point: `make_ground`. Every run is there twice, with two seeds, so that their files can be mixed.
"""

from pathlib import Path

from support import rated_shelf, rated_talker, rated_traces, rporec_talker, shelf

from reckon.methods.r2ec import R2ec
from reckon.methods.r2ec.trainer import fit as fit_r2ec
from reckon.methods.reczero import RecZero
from reckon.methods.reczero.trainer import fit as fit_reczero
from reckon.methods.rporec import RPORec
from reckon.methods.rporec.stage_one import fit_rechead
from reckon.methods.train import train_run
from reckon.models.backbone import load_backbone

RANKING, RATING, BACKBONE = "ranking", "rating", "backbone"  # folders beside those of the runs
METHODS = ("r2ec", "adapters", "rporec", "reczero", "recone")  # runs; `adapters` is an r2ec with LoRA
TWIN = "-2"  # after the name of the run with the other seed
BRIEF = dict(max_steps=2, eval_steps=1, warmup_steps=0)
RECONE = (
    *(f"sft.{name}" for name in ("max_steps=2", "batch_size=8", "micro_batch_size=8")),
    *(f"training.{name}" for name in ("max_steps=1", "eval_steps=1", "batch_size=4", "micro_batch_size=4")),
    *(f"prompt.{name}" for name in ("window=3", "item_window=3", "review_words=3")),
    "training.validation_size=8",
    "rollout.max_completion_length=6",
    "grpo.num_generations=3",
)


def data_of(method: str) -> str:
    """The folder of the data set that a method is trained on."""
    return RATING if method.startswith("rec") else RANKING


def make_ground(path: Path, methods: tuple[str, ...] = METHODS) -> None:
    """Train each method with two seeds; a folder below `path` each, beside `ranking`, `rating` and `backbone`."""
    ranking, rating = shelf.dataset(path / RANKING), rated_shelf.dataset(path / RATING)
    load_backbone(shelf.backbone_folder(path / "source"), device="cpu").save(path / BACKBONE)
    rporec_talker.backbone_folder(path / "rporec-source")
    rated_talker.backbone_folder(path / "rated-source")
    if "recone" in methods:
        rated_traces.write_right_traces(path / "traces", rating)
    for method in methods:
        for seed, end in enumerate(("", TWIN)):
            out = path / f"{method}{end}"
            match method:
                case "r2ec" | "adapters":
                    lora = 2 if method == "adapters" else 0
                    settings = shelf.settings(seed=seed, lora=lora, **BRIEF)
                    fit_r2ec(R2ec.from_backbone(path / BACKBONE, ranking, settings), ranking, out, progress=False)
                case "rporec":
                    config = rporec_talker.settings(seed=seed)
                    fit_rechead(RPORec.from_backbone(path / "rporec-source", ranking, config), ranking, out)
                case "reczero":
                    rated = rated_shelf.settings(seed=seed, **BRIEF)
                    fit_reczero(
                        RecZero.from_backbone(path / "rated-source", rating, rated), rating, out, progress=False
                    )
                case "recone":
                    where = {"data": path / RATING, "backbone": path / "rated-source", "traces": path / "traces"}
                    train_run("recone", out=out, preset="small", overrides=RECONE, seed=seed, progress=False, **where)
