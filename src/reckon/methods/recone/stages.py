"""RecOne: RecZero with a cold start. Fine-tune on a teacher's traces, then reinforce.

Entry point: `train_run`, behind `reckon train recone`. The traces come from `reckon traces make`. Beside what RecZero
leaves in a run directory there are `recone.yaml`, the settings of both stages, and `sft/`, the fine-tuned model.

Source: RecZero (arXiv 2510.23077), RecOne.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from reckon.config import save_config
from reckon.data import Dataset
from reckon.data.ratings import rating_examples
from reckon.errors import CheckpointError
from reckon.methods.recone.fine_tuning import REPORT_FILE, SFTSettings, sft, work_folder
from reckon.methods.reczero import RecZero
from reckon.methods.reczero.config import Arm, PresetName, RecZeroConfig
from reckon.methods.reczero.config import preset as reczero_preset
from reckon.methods.reczero.trainer import fit
from reckon.models.backbone import load_backbone
from reckon.rl.checkpoints import last_checkpoint
from reckon.runs.write import starting_point
from reckon.teachers.files import Trace
from reckon.training.arguments import run_config
from reckon.training.loop import StepShare

SFT_FOLDER = "sft"
CONFIG_FILE = "recone.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecOneConfig(RecZeroConfig):
    """Everything that defines a RecOne run beside its data, backbone and traces: RecZero's settings, and `sft`."""

    sft: SFTSettings = field(default_factory=SFTSettings)

    @property
    def reinforcement(self) -> RecZeroConfig:
        """The second stage."""
        return RecZeroConfig(**{part.name: getattr(self, part.name) for part in fields(RecZeroConfig)})


def constants(name: PresetName, arm: Arm = "full") -> RecOneConfig:
    """RecZero's constants of that name, and fine-tuning for models of that size."""
    reczero = reczero_preset(name, arm)
    sft_settings = SFTSettings()
    if name == "small":
        sft_settings = SFTSettings(
            learning_rate=1e-3, warmup_steps=10, num_epochs=10, batch_size=32, micro_batch_size=32
        )
    return RecOneConfig(**{part.name: getattr(reczero, part.name) for part in fields(RecZeroConfig)}, sft=sft_settings)


def train_run(
    *,
    data: str | Path,
    backbone: str | Path,
    traces: str | Path,
    out: str | Path,
    config_file: Path | None = None,
    preset: PresetName = "paper",
    arm: Arm = "full",
    overrides: Sequence[str] = (),
    resume: bool = False,
    seed: int | None = None,
) -> RecZero:
    """Fine-tune on traces, then train as RecZero; the fine-tuned model stays in `OUT/sft`.

    Args:
        data: dataset directory with ratings.
        backbone: hub id or folder of a causal language model.
        traces: directory of `reckon traces make` on the same data.
        out: run directory.
        config_file: YAML over the preset.
        preset, arm: where the settings start.
        overrides: `section.field=value` strings; they win over the file.
        resume: go on where the run stopped, in either stage, with the settings the run began with; a stage that left no
            checkpoint begins anew.
        seed: wins over the config's seed.

    Raises:
        MissingExtraError: TRL is not installed.
        DataError: the traces are of other data or another split, or none fits.
        CheckpointError: `out` holds a run already, or there is nothing to resume.
    """
    out, dataset = Path(out), Dataset.load(data)
    config = run_config(constants(preset, arm), out / CONFIG_FILE, config_file, overrides, resume=resume, seed=seed)
    return fit_stages(config, dataset, backbone, traces, out, resume=resume)


def fit_stages(
    config: RecOneConfig,
    dataset: Dataset,
    backbone: str | Path,
    traces: str | Path,
    out: Path,
    *,
    resume: bool = False,
    progress: bool = True,
    on_progress: Callable[[float], None] | None = None,
) -> RecZero:
    """As `train_run`, with the data set and the settings that are there already.

    Args:
        config: settings of both stages.
        dataset: whose training rows the traces are of.
        backbone, traces, out, resume: as in `train_run`.
        progress: show progress bars.
        on_progress: told which share of the updates is done, 0 to 1; each stage counts half.
    """
    tell = on_progress or (lambda share: None)
    tuned = out / SFT_FOLDER
    is_tuned = (tuned / REPORT_FILE).exists()
    if not resume:
        if is_tuned:
            raise CheckpointError(out, "already holds a run", "continue it with --resume, or choose another directory")
        starting_point(out, False, {})  # refuses another run before hours of fine-tuning, not after
        save_config(config, out / CONFIG_FILE)
    if not is_tuned:
        # A kill before the first checkpoint leaves the settings alone: the stage begins anew. Without them nothing was
        # begun, and `sft` refuses.
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
    """The first stage, with prompts as the second one reads them: the teacher may have read longer ones."""
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
