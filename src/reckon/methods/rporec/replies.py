"""Who writes replies for Stage I of RPORec and for `reckon reason`, and how they come into a store, once each.

Entry point: `write_missing`. `PolicyWriter` is the language model itself, a batch of prompts at a time; `TeacherWriter`
asks a teacher from several threads. After a kill the same call goes on with what is missing.
"""

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

import torch

from reckon.data import Catalog, Example
from reckon.errors import ReckonError
from reckon.methods.rporec.model import RPORecModel
from reckon.methods.rporec.reply_store import Reply, ReplyStore, StoredReply
from reckon.teachers.asking import Answer, Asker, Patience
from reckon.teachers.teachers import Question, Teacher

Keyed = tuple[str, Example]


class ReplyWriter(Protocol):
    """Whoever writes replies."""

    def write(self, rows: Sequence[Keyed]) -> list[StoredReply]:
        """Replies for a batch; a row that got none is left out."""


class PolicyWriter:
    """The language model itself."""

    def __init__(self, model: RPORecModel, *, temperature: float = 0.0, with_vectors: bool = False) -> None:
        """
        Args:
            model: who writes.
            temperature: of sampling; 0 writes the most likely replies. What is drawn follows from the model's seed and
                the key of a batch's first row.
            with_vectors: also keep what the Rechead makes of each reply, and the history it is about.
        """
        self.model, self.temperature, self.with_vectors = model, temperature, with_vectors

    def write(self, rows: Sequence[Keyed]) -> list[StoredReply]:
        examples = [example for _, example in rows]
        sampling = replace(self.model.config.rollout, temperature=self.temperature)
        seed = int.from_bytes(hashlib.sha256(f"{self.model.config.seed} {rows[0][0]}".encode()).digest()[:7], "big")
        generator = torch.Generator(device=self.model.backbone.device).manual_seed(seed)
        replies = self.model.reason(examples, sampling, generator)
        if not self.with_vectors:
            return [StoredReply(key, reply) for (key, _), reply in zip(rows, replies, strict=True)]
        vectors = self.model.queries(examples, replies).cpu().numpy()
        ids = self.model.catalog.ids
        return [
            StoredReply(key, reply, vector, tuple(ids[int(item)] for item in example.seen))
            for (key, example), reply, vector in zip(rows, replies, vectors, strict=True)
        ]


class TeacherWriter:
    """A teacher, asked with the same prompts as the policy would be."""

    def __init__(
        self, teacher: Teacher, model: RPORecModel, catalog: Catalog, patience: Patience | None = None, seed: int = 0
    ) -> None:
        """
        Args:
            teacher: who is asked.
            model: its titles, words and prompt settings are those of the questions.
            catalog: of the data set, for the item ids that a file of replies knows rows by.
            patience: how often and how fast the teacher is asked.
            seed: of the jitter of waiting times.
        """
        self.teacher, self.model, self.catalog = teacher, model, catalog
        self.patience = patience or Patience()
        self._asker = Asker(teacher, self.patience, seed, threading.Event())
        self._failed_in_a_row = 0

    def write(self, rows: Sequence[Keyed]) -> list[StoredReply]:
        """Raises ReckonError where `give_up_after` rows failed one after the other, and TeacherRefused."""
        threads = min(self.patience.parallel, self.teacher.most_parallel or len(rows), len(rows))
        with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
            answers = list(pool.map(self._asker.ask, [self._question(n, row) for n, row in enumerate(rows)]))
        return [
            StoredReply(key, Reply(answer.text, answer.completion_tokens or 0, answer.finish == "length"))
            for (key, _), answer in zip(rows, answers, strict=True)
            if self._counted(answer)
        ]

    def _counted(self, answer: Answer) -> bool:
        self._failed_in_a_row = self._failed_in_a_row + 1 if answer.failure else 0
        if self._failed_in_a_row >= self.patience.give_up_after:
            raise ReckonError(
                f"the teacher failed on {self._failed_in_a_row} rows one after the other; the last: {answer.failure} "
                f"({answer.detail}). Fix: repair that, then run the same command again; answers so far are kept."
            )
        return answer.failure is None

    def _question(self, number: int, row: Keyed) -> Question:
        _, example = row
        turns = self.model.fitted(example).messages
        item_id = self.catalog.ids[example.target] if example.target >= 0 else ""
        return Question(number, example.user_id, item_id, example.time, turns)


def write_missing(
    rows: Sequence[Keyed],
    writer: ReplyWriter,
    store: ReplyStore,
    *,
    batch_size: int,
    on_batch: Callable[[int], None] = lambda rows: None,
) -> int:
    """Write what the store lacks, a batch at a time, each in one transaction; returns how many were written.

    Args:
        rows: key and history of each.
        batch_size: rows at a time; what a kill loses at most.
        on_batch: called with the number of rows done since the last call, those that were there before included.
    """
    missing = set(store.missing([key for key, _ in rows]))
    on_batch(len(rows) - len(missing))
    # Similar lengths pad little. Stable, so that a run that goes on makes the batches that are left in the same order.
    todo = sorted((row for row in rows if row[0] in missing), key=lambda row: len(row[1].history))
    written = 0
    for start in range(0, len(todo), batch_size):
        batch = todo[start : start + batch_size]
        replies = writer.write(batch)
        store.put(replies)
        written += len(replies)
        on_batch(len(batch))
    return written
