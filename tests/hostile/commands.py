"""Every command that writes a folder, on data and models so small that it takes about a second.

Entry points: `make_stage`, which writes what the commands read, and `WRITERS`, the commands by name.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support.processes import server

COMPARISON = """
methods:
  - {{method: popularity}}
  - {{method: item-knn, search: {{neighbours: [5, 10]}}}}
  - {{method: no-reasoning, settings: {{backbone: {backbone}, preset: small, prompt.window: 3, training.max_steps: 3,
      training.batch_size: 8, training.micro_batch_size: 8, training.eval_steps: 1, training.validation_size: 8,
      training.dtype: float32}}}}
baseline: popularity
seeds: [0, 1, 2]
ks: [1, 3]
workers: 2
tuning: {{trials: 2}}
"""


@dataclass(frozen=True, slots=True)
class Writer:
    """A command that writes to one folder."""

    words: Callable[[str, int], list[str]]
    """Its arguments, of the stage as its working directory sees it and a seed; the folder comes behind them."""
    option: str | None = "--out"
    """Before the folder; None where the folder is an argument."""
    again: tuple[str, ...] = ()
    """Further arguments that go on after a stop."""
    before: str | None = None
    """What of the stage stands in its place before."""
    seeded: bool = True
    """Whether another seed makes another result."""

    def arguments(self, stage: str, out: str, seed: int = 0, *, again: bool = False) -> list[str]:
        """All arguments."""
        place = [out] if self.option is None else [self.option, out]
        return [*self.words(stage, seed), *place, *(self.again if again else ())]


def _train(method: str, data: str, backbone: str, *more: str) -> Writer:
    def words(stage: str, seed: int) -> list[str]:
        given = ["--data", f"{stage}/{data}", "--backbone", f"{stage}/{backbone}", "--preset", "small"]
        further = [word.replace("STAGE", stage) for word in more]
        return ["train", method, *given, "--config", f"{stage}/{method}.yaml", "--seed", str(seed), *further]

    return Writer(words, again=("--resume",))


def _table(stage: str, seed: int) -> list[str]:
    maps = [word for name in ("user_id", "item_id", "timestamp", "rating") for word in ("--map", f"{name}={name}")]
    return ["data", "prepare", "table", f"{stage}/ratings.csv", *maps, "--relabel", str(seed)]


WRITERS: dict[str, Writer] = {
    "r2ec": _train("r2ec", "books", "backbone"),
    "rporec": _train("rporec", "books", "talker"),
    "reczero": _train("reczero", "rated", "rated-talker"),
    "recone": _train("recone", "rated", "rated-talker", "--traces", "STAGE/traces"),
    "backbone": Writer(
        lambda stage, seed: [
            *("backbone", "new", "--data", f"{stage}/books", "--seed", str(seed)),
            *(word for one in ("steps=12", "layers=1", "hidden_size=32", "heads=2") for word in ("--set", one)),
        ]
    ),
    "import": Writer(lambda stage, seed: ["backbone", "import", f"{stage}/backbone"], seeded=False),
    "prepare": Writer(_table, option=None),
    "replace": Writer(lambda stage, seed: [*_table(stage, seed), "--overwrite"], option=None, before="rated"),
    "simulate": Writer(lambda stage, seed: ["data", "prepare", "bookshop", "--seed", str(seed)], option=None),
    "evaluate": Writer(lambda stage, seed: ["evaluate", f"{stage}/run"], seeded=False),
    "reason": Writer(lambda stage, seed: ["reason", f"{stage}/rporec-run", "--batch-size", "4"], seeded=False),
    "traces": Writer(
        lambda stage, seed: [
            *("traces", "make", "--data", f"{stage}/rated", "--teacher", "local", "--model", f"{stage}/rated-talker"),
            *("--rows", "8", "--max-tokens", "6", "--style", "compact", "--seed", str(seed)),
        ]
    ),
    "compare": Writer(
        lambda stage, seed: ["compare", "--data", f"{stage}/books", "--config", f"{stage}/compare.yaml"], seeded=False
    ),
}


def make_stage(path: Path, *, runs: bool = True) -> Path:
    """Write what the commands read, in a process of its own; without finished runs where nothing reads one."""
    process = server().Process(target=_make_stage, args=(str(path), runs))
    process.start()
    process.join()
    assert process.exitcode == 0, "the stage could not be made"
    return path


def place_before(writer: Writer, stage: Path, out: Path) -> None:
    """What stands in the command's place before it begins."""
    if writer.before is not None:
        shutil.copytree(stage / writer.before, out)


def seen_from(cwd: Path, path: Path) -> str:
    """A path as a working directory names it."""
    return os.path.relpath(path, cwd)


def _make_stage(name: str, runs: bool) -> None:
    import random

    from support import rated_shelf, rated_talker, rporec_talker, shelf
    from support.rated_traces import write_right_traces

    from reckon.config import save_config
    from reckon.methods.r2ec import R2ec
    from reckon.methods.r2ec.trainer import fit as fit_r2ec
    from reckon.methods.recone.config import RecOneConfig, SFTSettings
    from reckon.methods.reczero.config import RecZeroConfig
    from reckon.methods.rporec import RPORec
    from reckon.methods.rporec.rounds import fit as fit_rporec

    stage = Path(name)
    stage.mkdir(parents=True)
    os.chdir(stage)
    books, rated = shelf.dataset(Path("books")), rated_shelf.dataset(Path("rated"))
    shelf.backbone_folder(Path("backbone"))
    rporec_talker.backbone_folder(Path("talker"))
    rated_talker.backbone_folder(Path("rated-talker"))
    write_right_traces(Path("traces"), rated)
    settings = shelf.settings(batch_size=8, micro_batch_size=8)
    save_config(settings, Path("r2ec.yaml"))
    save_config(rporec_talker.settings(), Path("rporec.yaml"))
    rating = rated_shelf.settings(max_steps=4, eval_steps=2)
    save_config(rating, Path("reczero.yaml"))
    tuning = SFTSettings(max_steps=6, learning_rate=1e-3, batch_size=8, micro_batch_size=8, save_steps=2)
    fields = {field: getattr(rating, field) for field in RecZeroConfig.__dataclass_fields__}
    save_config(RecOneConfig(**fields, sft=tuning), Path("recone.yaml"))
    Path("compare.yaml").write_text(COMPARISON.format(backbone=stage / "backbone"))
    draw = random.Random(0)
    rows = (f"u{draw.randrange(400)},i{draw.randrange(90)},{1e9 + n:.0f},{draw.randint(1, 5)}" for n in range(20_000))
    Path("ratings.csv").write_text("user_id,item_id,timestamp,rating\n" + "\n".join(rows) + "\n")
    if not runs:
        return
    fit_r2ec(R2ec.from_backbone("backbone", books, settings), books, Path("run"), progress=False)
    fit_rporec(
        RPORec.from_backbone("talker", books, rporec_talker.settings()), books, Path("rporec-run"), progress=False
    )
