"""RecOne in two stages: fine-tuning on a teacher's traces, then RecZero's reinforcement learning.

Entry point: `train`, behind `reckon train recone`. The traces come from `reckon traces make`. In addition to the files
of a RecZero run, the run directory holds `recone.yaml`, the settings of both stages, and `sft/`, the fine-tuned model.

Source: RecZero (arXiv 2510.23077), RecOne.
"""

from collections.abc import Callable
from pathlib import Path

from reckon.config import save_config
from reckon.data import Dataset
from reckon.data.ratings import rating_examples
from reckon.errors import CheckpointError
from reckon.locks import locked
from reckon.methods.recone.config import RecOneConfig
from reckon.methods.recone.fine_tuning import REPORT_FILE, sft, work_folder
from reckon.methods.reczero import RecZero
from reckon.methods.reczero.trainer import fit
from reckon.models.backbone import load_backbone
from reckon.runs.write import BEGUN_FILE, refuse_other, starting_point
from reckon.teachers.files import Trace, load_traces
from reckon.training.checkpoints import last_checkpoint
from reckon.training.loop import StepShare

SFT_FOLDER = "sft"
CONFIG_FILE = "recone.yaml"


@locked()
def train(
    config: RecOneConfig,
    dataset: Dataset,
    backbone: str | Path,
    out: Path,
    *,
    traces: str | Path,
    resume: bool | None = False,
    progress: bool = True,
    on_progress: Callable[[float], None] | None = None,
) -> RecZero:
    """Fine-tune on traces, then train as RecZero; the fine-tuned model is kept in `OUT/sft`.

    Args:
        config: settings of both stages.
        dataset: data set of the traces.
        backbone: hub id or folder of a causal language model.
        out: run directory.
        traces: directory of `reckon traces make` on the same data.
        resume: continue where the run stopped, in either stage; None: only if the run was started. A stage without a
            checkpoint starts again.
        progress: show progress bars.
        on_progress: called with the share of updates done, 0 to 1; each stage counts half.

    Raises:
        MissingExtraError: TRL is not installed.
        DataError: the traces are of other data or another split, or none fits.
        CheckpointError: `out` holds a run already, or there is nothing to resume.
    """
    resume = (out / CONFIG_FILE).exists() if resume is None else resume
    tell = on_progress or (lambda share: None)
    tuned = out / SFT_FOLDER
    is_tuned = (tuned / REPORT_FILE).exists()
    if not resume:
        if is_tuned:
            raise CheckpointError(out, "already holds a run", "continue it with --resume, or choose another directory")
        rating_examples(dataset, "train")  # wrong data and wrong traces are refused before a model is loaded
        load_traces(traces, data_checksum=dataset.checksum, split=dataset.protocol)
        starting_point(out, False, dataset.identity)  # refuses another run before the fine-tuning
        save_config(config, out / CONFIG_FILE)
    elif (out / BEGUN_FILE).exists():
        refuse_other(out, dataset.identity)
    if not is_tuned:
        # A kill before the first checkpoint leaves only the settings, and the stage starts again. Without settings
        # there is nothing to resume, and `sft` raises.
        anew = last_checkpoint(work_folder(tuned)) is None and (out / CONFIG_FILE).exists()
        _fine_tune(
            config, dataset, backbone, traces, tuned, resume and not anew, progress, lambda share: tell(share / 2)
        )
    predictor = RecZero.from_backbone(tuned, dataset, config.reinforcement)
    resume = resume and last_checkpoint(out) is not None
    callbacks = [StepShare(lambda share: tell((1 + share) / 2))]
    fit(predictor, dataset, out, resume=resume, progress=progress, callbacks=callbacks, method="recone")
    return predictor


def _fine_tune(
    config: RecOneConfig,
    dataset: Dataset,
    backbone: str | Path,
    traces: str | Path,
    out: Path,
    resume: bool,
    progress: bool,
    on_progress: Callable[[float], None],
) -> None:
    """The first stage, with the prompts of the second stage, which may be shorter than the teacher's."""
    examples = rating_examples(dataset, "train", config.prompt.window, config.prompt.item_window)
    reader = RecZero.from_backbone(load_backbone(backbone), dataset, config.reinforcement)

    def prompt_of(trace: Trace) -> list[int]:
        return reader.prompt(examples[trace.row]).ids

    sft(
        backbone,
        traces,
        out,
        config.sft,
        prompt_of=prompt_of,
        data_checksum=dataset.checksum,
        split=dataset.protocol,
        seed=config.seed,
        resume=resume,
        progress=progress,
        callbacks=[StepShare(on_progress)],
    )
