"""Stage I of RPORec in a run directory: write one reply per training row, then train the Rechead on the replies.

Entry point: `fit_rechead`. The language model is not trained. Replies are stored in `replies.sqlite` as they are
written, so a repeated call continues with the missing rows; training takes seconds and starts again.

Source: RPORec (arXiv 2605.21967), Stage I.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from reckon.config import save_config, to_dict
from reckon.data import Dataset, Example, Examples
from reckon.errors import DataError
from reckon.locks import locked
from reckon.methods.rporec.model import NOTHING_WRITTEN, RPORecModel
from reckon.methods.rporec.rechead_training import SELECTION_METRIC, RecheadRows, train_rechead
from reckon.methods.rporec.replies import PolicyWriter, ReplyWriter, write_missing
from reckon.methods.rporec.reply_store import Reply, ReplyStore
from reckon.methods.validation import reachable
from reckon.progress import phase
from reckon.runs.write import starting_point, write_run

STORE_FILE = "replies.sqlite"
STAGE = "stage I"
ROWS_AT_ONCE = 64  # prompts per batch of writing
TEXTS_AT_ONCE = 4096  # rows per batch of encoding


@locked()
def fit_rechead(
    model: RPORecModel,
    dataset: Dataset,
    out: Path,
    *,
    writer: ReplyWriter | None = None,
    written_by: dict[str, Any] | None = None,
) -> None:
    """Train the Rechead in place, keep its best epoch, and write the run directory.

    Args:
        model: from `RPORec.from_backbone`, or trained by Stage II.
        dataset: training and validation rows; test rows are not read.
        out: run directory; new, or of a stopped Stage I.
        writer: writes the replies; default: the model itself.
        written_by: identity of a writer other than the model, as flat JSON.

    Raises:
        CheckpointError: the directory holds a finished run or other files.
        DataError: the stored replies have another model, data set or prompt; or a teacher gave no reply for some rows.
    """
    config, started = model.config, time.perf_counter()
    starting_point(out, False, dataset.identity | model.backbone.identity)
    save_config(config, out / "config.yaml")
    train = reachable(dataset.examples("train", config.prompt.window), exclude_seen=model.exclude_seen)
    if config.stage_one.train_size:
        train = train.sample(config.stage_one.train_size, config.seed)
    valid = dataset.examples("valid", config.prompt.window).sample(config.stage_one.validation_size, config.seed)
    splits = {"train": [*train], "valid": [*valid]}
    rates: dict[str, float] = {}
    if model.reasons:
        sampled = PolicyWriter(model, temperature=config.stage_one.temperature)
        writers = {"train": writer or sampled, "valid": writer or PolicyWriter(model)}
        replies = _replies(model, dataset, out, splits, writers, written_by or {})
        rates = _rates(replies["valid"])
    else:
        replies = {split: [NOTHING_WRITTEN] * len(rows) for split, rows in splits.items()}
    rows = {split: rechead_rows(model, examples, replies[split]) for split, examples in splits.items()}
    with phase("training the Rechead", total=config.stage_one.max_epochs) as training:
        log = train_rechead(
            model.rechead, model.scorer, rows["train"], rows["valid"], config.stage_one, config.seed, training.advance
        )
    log[0] |= rates
    model.save_pretrained(out)
    seconds = time.perf_counter() - started
    stage = STAGE if model.reasons else None
    backbone = model.backbone
    write_run(out, model.METHOD, config, backbone, dataset, log, seconds, metric=SELECTION_METRIC, stage=stage)


def _rates(replies: Sequence[Reply]) -> dict[str, float]:
    """Rates of replies: shares and lengths."""
    return {
        "eval_reply/parsed": sum(reply.parsed.problem is None for reply in replies) / len(replies),
        "eval_reply/truncated": sum(reply.truncated for reply in replies) / len(replies),
        "eval_reply/length": sum(reply.tokens for reply in replies) / len(replies),
    }


def _replies(
    model: RPORecModel,
    dataset: Dataset,
    out: Path,
    splits: dict[str, list[Example]],
    writers: dict[str, ReplyWriter],
    written_by: dict[str, Any],
) -> dict[str, list[Reply]]:
    """Reply of every row, from the store or newly written."""
    keyed = {split: [(f"{split} {n}", row) for n, row in enumerate(rows)] for split, rows in splits.items()}
    every = [row for rows in keyed.values() for row in rows]
    stage = model.config.stage_one
    drawn = {"seed": model.config.seed, "temperature": stage.temperature}
    drawn |= {"train_size": stage.train_size, "validation_size": stage.validation_size}  # keys are row numbers
    with ReplyStore(out / STORE_FILE, reply_identity(model, dataset) | drawn | written_by) as store:
        with phase("writing reasoning", total=len(every)) as writing:
            for split, rows in keyed.items():
                write_missing(rows, writers[split], store, batch_size=ROWS_AT_ONCE, on_batch=writing.advance)
        found = store.replies([key for key, _ in every])
    if len(found) < len(every):
        missing = f"has no reply for {len(every) - len(found):,} of {len(every):,} rows"
        raise DataError(str(out / STORE_FILE), missing, "run the same command again; replies so far are kept")
    return {split: [found[key] for key, _ in rows] for split, rows in keyed.items()}


def reply_identity(model: RPORecModel, dataset: Dataset) -> dict[str, Any]:
    """Identity of a model's replies: all that they depend on."""
    prompt = to_dict(model.config.prompt)
    return {
        **dataset.identity,
        "backbone": model.backbone.fingerprint(),
        **{name: prompt[name] for name in ("style", "window", "title_words", "title_tokens", "max_tokens")},
        "max_completion_length": model.config.rollout.max_completion_length,
    }


def rechead_rows(model: RPORecModel, examples: Examples | Sequence[Example], replies: Sequence[Reply]) -> RecheadRows:
    """Rows with encoded texts, for training the Rechead."""
    parts = [
        model.texts(
            [examples[row] for row in range(start, min(start + TEXTS_AT_ONCE, len(examples)))],
            replies[start : start + TEXTS_AT_ONCE],
        )
        for start in range(0, len(examples), TEXTS_AT_ONCE)
    ]
    listed = [examples[row] for row in range(len(examples))]
    return RecheadRows(
        torch.cat([texts for texts, _ in parts]),
        torch.cat([parsed for _, parsed in parts]),
        torch.tensor([example.target for example in listed], device=model.backbone.device),
        model.seen(listed),
    )
