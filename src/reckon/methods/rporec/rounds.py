"""Training of RPORec from a data set and a backbone to a run directory: one stage, or both alternating.

Entry points: `train`, behind `reckon train rporec`, and `fit`. Each stage writes a whole run, which can be evaluated,
compared and used as a start. Both stages write

    OUT/round-1/rechead     Stage I: replies written once, the Rechead trained on them
    OUT/round-1/reasoning   Stage II: the language model reinforced by that Rechead
    OUT/round-2/rechead     Stage I again, on what the language model writes now
    OUT                     the last stage's model, the run itself

Source: RPORec (arXiv 2605.21967): the stages alternate.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

from reckon.config import save_config
from reckon.data import Dataset
from reckon.errors import CheckpointError, ConfigError
from reckon.locks import locked
from reckon.methods.rporec.config import RPORecConfig
from reckon.methods.rporec.model import RPORecModel
from reckon.methods.rporec.rechead_training import SELECTION_METRIC
from reckon.methods.rporec.replies import TeacherWriter
from reckon.methods.rporec.stage_one import fit_rechead
from reckon.methods.rporec.stage_two import fit_reasoning
from reckon.runs.read import check_trained_on, log_of, manifest_of
from reckon.runs.write import BEGUN_FILE, refuse_other, starting_point, write_run
from reckon.teachers.asking import Patience
from reckon.teachers.teacher import Teacher
from reckon.training.checkpoints import last_checkpoint
from reckon.training.loop import StepShare

Stage = Literal["both", "rechead", "reasoning"]
STAGES: tuple[Stage, Stage] = ("rechead", "reasoning")


@locked()
def fit(
    model: RPORecModel,
    dataset: Dataset,
    out: Path,
    *,
    rounds: int = 1,
    resume: bool = False,
    teacher: Teacher | None = None,
    patience: Patience | None = None,
    progress: bool = True,
    on_progress: Callable[[float], None] | None = None,
) -> None:
    """Train both stages in turns, in place, and write the run directory; the arm `history-only` has only Stage I.

    Args:
        model: from `RPORec.from_backbone`.
        dataset: training and validation rows; test rows are not read.
        out: run directory. It must be new, or hold a run to `resume`.
        rounds: rounds of Stage I and Stage II, >= 1. From the second round on, Stage I starts from the Rechead's
            weights.
        resume: continue where the run stopped, in either stage, with the same rounds.
        teacher: writes the replies of the first round's Stage I; default: the model itself.
        patience: settings of the requests to the teacher.
        progress: show a progress bar for each Stage II.
        on_progress: called with the share done, 0 to 1, after each Stage I and each update of Stage II; all stages have
            equal shares.

    Raises:
        CheckpointError: the directory holds a run already, or there is nothing to resume.
    """
    if rounds < 1:
        raise ConfigError("--rounds", rounds, "must be at least 1", "use 1")
    _begin(model, dataset, out, rounds, resume)
    config, seconds = model.config, 0.0
    stages = STAGES if config.reasons else STAGES[:1]
    tell, whole = on_progress or (lambda share: None), rounds * len(stages)
    for number in range(1, rounds + 1):
        for done, stage in enumerate(stages, start=(number - 1) * len(stages)):
            folder = out / f"round-{number}" / stage
            if (folder / "manifest.json").exists():
                model.restore(folder)
            elif stage == "rechead":
                fit_rechead(
                    model, dataset, folder, **_writing(model, dataset, teacher if number == 1 else None, patience)
                )
            else:
                share = StepShare(partial(_tell_of_stage, tell, done, whole))
                resume_stage = last_checkpoint(folder) is not None
                fit_reasoning(model, dataset, folder, resume=resume_stage, progress=progress, callbacks=[share])
            tell((done + 1) / whole)
            seconds, log = seconds + manifest_of(folder)["training_seconds"], log_of(folder)
    model.save_pretrained(out)
    write_run(out, model.METHOD, config, model.backbone, dataset, log, seconds, metric=SELECTION_METRIC)


def _tell_of_stage(tell: Callable[[float], None], done: int, whole: int, share: float) -> None:
    tell((done + share) / whole)


def _begin(model: RPORecModel, dataset: Dataset, out: Path, rounds: int, resume: bool) -> None:
    """Refuse a directory with another run, or, for a resume, without a run; one that has ended is written again."""
    begun = (out / BEGUN_FILE).exists()
    if resume and not begun:
        raise CheckpointError(out, "holds no run of both stages to resume", "start it without --resume")
    if not resume and (begun or (out / "manifest.json").exists()):
        raise CheckpointError(out, "already holds a run", "continue it with --resume, or choose another directory")
    identity = dataset.identity | model.backbone.identity | {"rounds": str(rounds)}
    if resume:
        refuse_other(out, identity)
    else:
        starting_point(out, False, identity)
    if not (out / "config.yaml").exists():
        save_config(model.config, out / "config.yaml")


def _writing(
    model: RPORecModel, dataset: Dataset, teacher: Teacher | None, patience: Patience | None
) -> dict[str, Any]:
    """Writer of the replies of Stage I, as arguments of `fit_rechead`."""
    if teacher is None:
        return {}
    writer = TeacherWriter(teacher, model, dataset.catalog, patience, model.config.seed)
    return {"writer": writer, "written_by": teacher.identity}


class RPORec(RPORecModel):
    """RPORec with training; exported by `reckon.methods.rporec`."""

    def fit(
        self,
        dataset: Dataset,
        out: str | Path,
        *,
        rounds: int = 1,
        resume: bool = False,
        on_progress: Callable[[float], None] | None = None,
    ) -> Self:
        """Train both stages in place, `rounds` times, and write a run directory."""
        fit(self, dataset, Path(out), rounds=rounds, resume=resume, on_progress=on_progress)
        return self


def train(
    config: RPORecConfig,
    dataset: Dataset,
    backbone: str | Path | None,
    out: Path,
    *,
    start: str | Path | None = None,
    stage: Stage = "both",
    rounds: int = 1,
    teacher: Teacher | None = None,
    patience: Patience | None = None,
    resume: bool | None = False,
    progress: bool = True,
    on_progress: Callable[[float], None] | None = None,
) -> RPORec:
    """Train an RPORec into a run directory; called through the registry.

    Args:
        config, dataset, out: settings, data, run directory.
        backbone: hub id or folder of a causal language model; or give `start`.
        start: a finished RPORec run; its language model and Rechead are trained further. Stage II alone needs one.
        stage: `rechead` (Stage I), `reasoning` (Stage II), or `both`, in turns.
        rounds: rounds of both stages, >= 1.
        teacher: writes the replies of Stage I; default: the model itself.
        patience: settings of the requests to the teacher.
        resume: continue where the run stopped; None: only if there is a run.
        progress: show progress bars.
        on_progress: called with the share done, 0 to 1, if both stages are trained; see `fit`.
    """
    _check_source(backbone, start, stage, rounds, teacher)
    if start is not None:
        check_trained_on(Path(start), dataset)
    model = _model(dataset, backbone, Path(start) if start is not None else None, config)
    if stage == "rechead" and resume and (out / "manifest.json").exists():
        refuse_other(out, dataset.identity | model.backbone.identity)
        model.restore(out)
    elif stage == "rechead":
        fit_rechead(model, dataset, out, **_writing(model, dataset, teacher, patience))
    elif stage == "reasoning":
        resume = last_checkpoint(out) is not None if resume is None else resume
        fit_reasoning(model, dataset, out, resume=resume, progress=progress)
    else:
        resume = (out / BEGUN_FILE).exists() if resume is None else resume
        fit(
            model,
            dataset,
            out,
            rounds=rounds,
            resume=resume,
            teacher=teacher,
            patience=patience,
            progress=progress,
            on_progress=on_progress,
        )
    return model


def _check_source(
    backbone: str | Path | None, start: str | Path | None, stage: Stage, rounds: int, teacher: Teacher | None
) -> None:
    if (backbone is None) == (start is None):
        raise ConfigError("--backbone", backbone, "give either a backbone or --start, a finished run", "name one")
    if stage == "reasoning" and start is None:
        fix = "train --stage rechead first and name its run with --start, or train both stages"
        raise ConfigError("--start", None, "Stage II needs a Rechead that Stage I has trained", fix)
    if rounds != 1 and stage != "both":
        raise ConfigError("--rounds", rounds, f"rounds need both stages, and the stage is {stage}", "leave it out")
    if teacher is not None and stage == "reasoning":
        raise ConfigError("--teacher", "", "Stage II trains on what the model itself writes", "leave it out")


def _model(dataset: Dataset, backbone: str | Path | None, start: Path | None, config: RPORecConfig) -> RPORec:
    if start is None:
        assert backbone is not None
        return RPORec.from_backbone(backbone, dataset, config)
    model = RPORec.from_pretrained(start)
    for section in ("prompt", "rechead"):
        before, now = getattr(model.config, section), getattr(config, section)
        if before != now:
            raise ConfigError(section, now, f"differs from that of {start}, whose Rechead goes on", "leave it as it is")
    model.config, model.data_path = config, dataset.path
    return model
