"""Reasoning written in advance: users with new events wait in the store's queue, and the model writes about them while
no request waits.

Entry point: `Nearline`. It keeps text and user vector, so a request is one look-up and one ranking.
"""

import logging
import threading
from dataclasses import dataclass
from datetime import UTC, datetime

from reckon.data import Example
from reckon.errors import ReckonError
from reckon.serving.answers.chain import model_of
from reckon.serving.answers.histories import Histories
from reckon.serving.models.groups import Groups
from reckon.serving.models.served_run import ServedRun, Written
from reckon.serving.models.worker import ModelWorker, Reply, Stopping
from reckon.serving.store.records import Waiting, WrittenReasoning
from reckon.serving.store.store import Store

log = logging.getLogger(__name__)
PAUSE_S = 0.5  # seconds between two looks at an empty queue
AFTER_ERROR_S = 5.0


class Nearline:
    """Works through the queue until `stop`."""

    def __init__(self, store: Store, groups: Groups, worker: ModelWorker, histories: Histories, *, batch: int) -> None:
        """`batch`: users at a time."""
        self._store, self._groups, self._worker = store, groups, worker
        self._histories, self._batch = histories, batch
        self.started = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="nearline", daemon=True)

    def start(self) -> None:
        self.started = True
        self._thread.start()

    def stop(self) -> None:
        """End after the users at hand; those that wait stay in the queue."""
        self._stopping.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._stopping.is_set():
            try:
                written = self.write_some()
            except ReckonError as error:  # of the store, or of the model, which says so to every request, too
                log.warning("nearline: %s", error)
                self._stopping.wait(AFTER_ERROR_S)
                continue
            if not written:
                self._stopping.wait(PAUSE_S)

    def write_some(self) -> int:
        """Write about the users who have waited longest; how many there were.

        Raises:
            StoreError: the store cannot be used; the users stay in the queue.
            Stopping: the model's thread ends; likewise.
        """
        waiting = self._store.nearline.waiting(self._batch)
        asked = [self._ask(one) for one in waiting]
        for one, question in zip(waiting, asked, strict=True):
            if question is not None:
                self._keep(one, question)
            self._store.nearline.done(one)
        return len(waiting)

    def _ask(self, one: Waiting) -> "_Question | None":
        """Ask for a reply about a user; None where there is nothing to reason about."""
        run, _ = self._groups.of_user(one.user_id)
        history = self._histories.of_user(one.user_id)
        example = run.example(history)
        if not run.reasons or not example.history:
            return None
        read = [past.item_id for past in history][-run.model.prompt.window :]
        return _Question(run, read, self._worker.reply(run, example, background=True))

    def _keep(self, one: Waiting, question: "_Question") -> None:
        try:
            written = question.reply.future.result()
        except Stopping:
            raise
        except Exception:  # of one user: it must not hold up the others
            log.exception("nearline: no reasoning about a user")
            return
        self._store.nearline.put(
            WrittenReasoning(
                user_id=one.user_id,
                model=model_of(question.run),
                text=written.reasoning,
                truncated=written.truncated,
                vector=written.vector.numpy().astype("<f4").tobytes(),
                history=question.history,
                created=datetime.now(UTC),
                changes=one.changes,
            )
        )


@dataclass(frozen=True, slots=True)
class _Question:
    """What the model was asked about a user."""

    run: ServedRun
    history: list[str]
    """Item ids that it reads, oldest first."""
    reply: Reply[Example, Written]
