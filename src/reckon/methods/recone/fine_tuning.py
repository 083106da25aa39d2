"""RecOne's cold start: supervised fine-tuning on a teacher's kept traces, before RecZero's RL.

Entry point: `sft`. The loss is on the reply and its end token, with TRL's SFTTrainer. Prompt and reply are tokenised
separately, as in the rollouts of RL. A trace beyond the token limits is left out and counted; traces are never cut.

Writes a Hugging Face folder, whole or not at all, with `recone_sft.json` (settings, counts, losses).

Source: RecZero (arXiv 2510.23077), RecOne.
"""

import json
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback

from reckon.errors import CheckpointError, DataError, MissingExtraError, ReckonError
from reckon.files import check_target, new_directory, write_text
from reckon.identity import source_identity
from reckon.json_file import read_json
from reckon.locks import locked
from reckon.methods.recone.config import SFTSettings
from reckon.models.backbone import Backbone
from reckon.models.model_files import save_model
from reckon.progress import quiet_transformers
from reckon.prompts import prompt_ids
from reckon.teachers.files import Trace, load_traces
from reckon.training.arguments import common_arguments, use_one_device
from reckon.training.backbone import backbone_to_train
from reckon.training.checkpoints import (
    CheckpointedTrainer,
    Interrupted,
    StopOnInterrupt,
    checkpoint_to_resume,
    last_checkpoint,
)
from reckon.training.loop import shown_steps
from reckon.training.one_process import require_one_process
from reckon.training.optimizer import adamw

REPORT_FILE = "recone_sft.json"
BEGUN_FILE = "begun.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SFTReport:
    """Report of a fine-tuning."""

    path: Path
    traces: int
    used: int
    left_out: dict[str, int]
    """Number of traces left out, by reason: `prompt too long`, `reply too long`, `longer than the context`."""
    losses: list[float]
    """Loss of each update: mean negative log-likelihood per reply token, in nats."""
    seconds: float


@locked()
def sft(
    backbone: str | Path,
    traces: str | Path,
    out: str | Path,
    settings: SFTSettings | None = None,
    *,
    prompt_of: Callable[[Trace], Sequence[int]] | None = None,
    data_checksum: str | None = None,
    split: str | None = None,
    seed: int = 0,
    resume: bool = False,
    progress: bool = True,
    callbacks: Sequence[TrainerCallback] = (),
) -> SFTReport:
    """Fine-tune a causal language model on the kept traces of `reckon traces make`.

    Args:
        backbone: a folder or hub id of a causal language model.
        traces: the directory of the traces.
        out: the model folder to make; must not exist, or be empty.
        settings: optimisation and limits.
        prompt_of: returns the token ids of a trace's prompt as the policy reads it in RL, needed where its style or
            budget differs from the teacher's; default: the teacher's prompt, rendered for this model.
        data_checksum: `Dataset.checksum` of the traces' data; None accepts any.
        split: `Dataset.protocol` of the traces' training rows; None accepts any.
        seed: of the order of traces, of dropout and of adapters.
        resume: continue from the last checkpoint in `OUT.training`, a folder that a finished run removes.
        progress: show a progress bar.
        callbacks: further transformers callbacks.

    Raises:
        MissingExtraError: TRL is not installed.
        DataError: there are no finished traces, no trace fits the limits, or `out` exists and is not empty.
        CheckpointError: there is nothing to resume, or `OUT.training` has unfinished or different training.
        Interrupted: Ctrl-C, after a checkpoint was saved.
    """
    require_one_process()
    _require_trl()
    out, settings = Path(out), settings or SFTSettings()
    check_target(out, overwrite=False)
    kept = load_traces(traces, data_checksum=data_checksum, split=split)
    work = work_folder(out)
    start = _starting_point(work, resume, _begun(backbone, kept, settings, seed))
    model = backbone_to_train(backbone, settings, settings.lora, seed)
    rows, left_out = tokenize(kept, model, settings, prompt_of)
    if not rows:
        why = ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "there are none"
        raise DataError(str(traces), f"has no trace to learn from ({why})", "raise the limits, or make more traces")
    trainer = sft_trainer(model, rows, work, settings, seed, progress=progress, callbacks=callbacks)
    began = time.perf_counter()
    _run(trainer, work, start)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    report = SFTReport(
        path=out,
        traces=len(kept),
        used=len(rows),
        left_out=left_out,
        losses=losses,
        seconds=round(time.perf_counter() - began, 1),
    )
    _save(model, out, settings, seed, report)
    shutil.rmtree(work, ignore_errors=True)
    return report


def work_folder(out: Path) -> Path:
    """Folder of the checkpoints of an unfinished fine-tuning into `out`."""
    return out.parent / f"{out.name}.training"


def tokenize(
    traces: Sequence[Trace],
    backbone: Backbone,
    settings: SFTSettings,
    prompt_of: Callable[[Trace], Sequence[int]] | None = None,
) -> tuple[list[dict[str, list[int]]], dict[str, int]]:
    """Traces as `input_ids` and `completion_mask` (1 on the reply and its end token), and counts of traces left out, by
    reason."""
    tokenizer = backbone.tokenizer
    context = getattr(backbone.config, "max_position_embeddings", None)
    rows: list[dict[str, list[int]]] = []
    left_out: dict[str, int] = {}
    for trace in traces:
        prompt = prompt_ids(trace.messages, tokenizer) if prompt_of is None else list(prompt_of(trace))
        reply = [*tokenizer.encode(trace.reply, add_special_tokens=False), tokenizer.eos_token_id]
        problem = None
        if settings.max_prompt_tokens is not None and len(prompt) > settings.max_prompt_tokens:
            problem = "prompt too long"
        elif settings.max_reply_tokens is not None and len(reply) > settings.max_reply_tokens:
            problem = "reply too long"
        elif context is not None and len(prompt) + len(reply) > context:
            problem = "longer than the context"
        if problem:
            left_out[problem] = left_out.get(problem, 0) + 1
            continue
        rows.append({"input_ids": prompt + reply, "completion_mask": [0] * len(prompt) + [1] * len(reply)})
    return rows, left_out


def sft_trainer(
    backbone: Backbone,
    rows: Sequence[dict[str, list[int]]],
    work: Path,
    settings: SFTSettings,
    seed: int,
    *,
    progress: bool = True,
    callbacks: Sequence[TrainerCallback] = (),
) -> Any:
    """TRL's SFTTrainer over tokenised traces, with Reckon's checkpoints and optimiser."""
    import datasets
    from trl.trainer.sft_trainer import SFTTrainer

    class Trainer(_TraceTrainer, SFTTrainer):
        """TRL is an extra, so a class derived from its trainer is defined inside this function."""

    with _no_bars(datasets):
        trainer = Trainer(
            model=backbone.model,
            args=_arguments(settings, work, backbone.device, seed, progress),
            train_dataset=datasets.Dataset.from_list(list(rows)),
            processing_class=backbone.tokenizer,
            callbacks=list(callbacks),
        )
    trainer.attach(backbone, settings)
    trainer.remove_callback(PrinterCallback)
    return trainer


class _TraceTrainer(CheckpointedTrainer):
    """Differences from TRL's trainer; must come before it in the order of base classes."""

    backbone: Backbone
    settings: SFTSettings

    def attach(self, backbone: Backbone, settings: SFTSettings) -> None:
        """Set backbone and settings; called before `train`."""
        self.backbone, self.settings = backbone, settings

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        self.optimizer = adamw(self.backbone, self.settings)
        return self.optimizer

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().training_step(*args, **kwargs)
        if not bool(torch.isfinite(loss)):
            raise ReckonError(
                f"step {self.state.global_step}: the loss is {loss.item()}: training has diverged. "
                "Fix: lower sft.learning_rate."
            )
        return loss

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write no model card for a checkpoint."""

    def _send_telemetry(self) -> None:
        """Send nothing; TRL would report its use."""


def _arguments(settings: SFTSettings, work: Path, device: torch.device, seed: int, progress: bool) -> Any:
    """Reckon's settings as TRL's SFTConfig."""
    from trl.trainer.sft_config import SFTConfig

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # TRL's own field has a newer name in transformers
        arguments = SFTConfig(
            **common_arguments(settings, seed, work, device, progress),
            completion_only_loss=True,
            max_length=None,  # TRL would cut replies, and with them the rating
            packing=False,
            per_device_train_batch_size=settings.micro_batch_size,
            gradient_accumulation_steps=settings.batch_size // settings.micro_batch_size,
            lr_scheduler_type="linear",
            save_strategy="steps" if settings.save_steps else "no",
            save_steps=max(1, settings.save_steps),
            save_total_limit=1,
            bf16=False,  # the weights' own dtype decides
            gradient_checkpointing=False,  # load_backbone switches it on if configured
            report_to="none",
        )
    use_one_device(arguments)
    return arguments


def _run(trainer: Any, work: Path, start: Path | None) -> None:
    interrupt = StopOnInterrupt()
    trainer.add_callback(interrupt)
    with quiet_transformers(), shown_steps(trainer):
        trainer.train(resume_from_checkpoint=None if start is None else str(start))
    if interrupt.interrupted:
        raise Interrupted(work)


def _save(backbone: Backbone, out: Path, settings: SFTSettings, seed: int, report: SFTReport) -> None:
    """Write the model folder, with adapters merged."""
    model = backbone.model.merge_and_unload() if hasattr(backbone.model, "peft_config") else backbone.model
    record = {"settings": asdict(settings), "seed": seed, **asdict(report), "path": str(report.path)}
    with new_directory(out) as folder, quiet_transformers():
        (folder / REPORT_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        save_model(model, backbone.tokenizer, folder)


def _begun(backbone: str | Path, traces: Sequence[Trace], settings: SFTSettings, seed: int) -> dict[str, Any]:
    rows = [(trace.row, trace.reply) for trace in traces]
    return json.loads(
        json.dumps({"backbone": source_identity(backbone), "traces": rows, "settings": asdict(settings), "seed": seed})
    )


def _starting_point(work: Path, resume: bool, begun: dict[str, Any]) -> Path | None:
    """Checkpoint to resume from; None for a new fine-tuning, whose settings are then written."""
    if resume:
        if last_checkpoint(work) is None:
            raise CheckpointError(work, "holds no whole checkpoint to resume", "start without --resume")
        before = read_json(work / BEGUN_FILE, dict, fix="delete the folder and start again")
        if other := [name for name, value in begun.items() if before.get(name) != value]:
            raise CheckpointError(work, f"was begun with other {', '.join(other)}", "repeat them, or delete it")
        return checkpoint_to_resume(work)
    if last_checkpoint(work) is not None:
        raise CheckpointError(work, "holds an unfinished fine-tuning", "continue it with --resume, or delete it")
    write_text(work / BEGUN_FILE, json.dumps(begun))
    return None


@contextmanager
def _no_bars(datasets: Any) -> Iterator[None]:
    """Switch off the progress bars of `datasets`."""
    bars = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not bars:
            datasets.enable_progress_bars()


def _require_trl() -> None:
    try:
        import trl  # noqa: F401
    except ImportError:
        raise MissingExtraError("trl", "recone", "fine-tuning on traces") from None
