"""Writers of replies for Stage I of RPORec and for `reckon reason`, which fill a reply store.

Entry point: `write_missing`. `PolicyWriter` samples from the language model in batches; `TeacherWriter` asks a teacher
from several threads. After a kill, the same call writes the missing replies.
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
from reckon.teachers.teacher import Question, Teacher

Keyed = tuple[str, Example]


class ReplyWriter(Protocol):
    """Interface of a writer of replies."""

    def write(self, rows: Sequence[Keyed]) -> list[StoredReply]:
        """Replies for a batch; rows without a reply are left out."""


class PolicyWriter:
    """Writes replies with the language model."""

    def __init__(self, model: RPORecModel, *, temperature: float = 0.0, with_vectors: bool = False) -> None:
        """
        Args:
            model: the writing model.
            temperature: sampling temperature, >= 0; 0 is greedy. Draws follow from the model's seed and the key of a
                batch's first row.
            with_vectors: whether to store the user vector and the history of each reply, too.
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
    """Writes replies with a teacher, which gets the prompts of the policy."""

    def __init__(
        self, teacher: Teacher, model: RPORecModel, catalog: Catalog, patience: Patience | None = None, seed: int = 0
    ) -> None:
        """
        Args:
            teacher: the teacher.
            model: gives titles, words and prompt settings of the questions.
            catalog: catalog of the data set, for the item ids in a file of replies.
            patience: settings of the requests.
            seed: of the jitter of waiting times.
        """
        self.teacher, self.model, self.catalog = teacher, model, catalog
        self.patience = patience or Patience()
        self._asker = Asker(teacher, self.patience, seed, threading.Event())
        self._failed_in_a_row = 0

    def write(self, rows: Sequence[Keyed]) -> list[StoredReply]:
        """Raises ReckonError after `give_up_after` consecutive failed rows, and TeacherRefused."""
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
                f"the teacher failed on {self._failed_in_a_row} consecutive rows; last failure: {answer.failure} "
                f"({answer.detail}). Fix: remove the cause, then run the same command again; answers so far are kept."
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
    """Write the missing replies into the store, one batch per transaction; returns the number written.

    Args:
        rows: rows with their keys.
        batch_size: rows per batch; a kill loses at most one batch.
        on_batch: called with the number of rows done since the last call, rows already in the store included.
    """
    missing = set(store.missing([key for key, _ in rows]))
    on_batch(len(rows) - len(missing))
    # Similar lengths need little padding. The sort is stable, so a resumed run makes the remaining batches in the same
    # order.
    todo = sorted((row for row in rows if row[0] in missing), key=lambda row: len(row[1].history))
    written = 0
    for start in range(0, len(todo), batch_size):
        batch = todo[start : start + batch_size]
        replies = writer.write(batch)
        store.put(replies)
        written += len(replies)
        on_batch(len(batch))
    return written
