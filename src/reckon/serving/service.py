"""The service without HTTP: runs, store and model thread put together, and what each request does with them.

Entry points: `Service.open`, then `start`, and the calls that `reckon.serving.routes` makes.
"""

import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import torch

from reckon.errors import ConfigError, ReckonError
from reckon.methods.finished import task_of
from reckon.serving.answers.chain import Chain, Given, Wanted
from reckon.serving.answers.histories import Histories
from reckon.serving.answers.nearline import Nearline
from reckon.serving.answers.popularity import Popularity
from reckon.serving.config import ServiceConfig
from reckon.serving.filling import fill
from reckon.serving.http.auth import KeyRing
from reckon.serving.logs import note
from reckon.serving.metrics import Metrics
from reckon.serving.models.groups import Groups
from reckon.serving.models.served_rater import ServedRater
from reckon.serving.models.served_run import ServedRun
from reckon.serving.models.snapshot import Past
from reckon.serving.models.worker import ModelWorker
from reckon.serving.store.conditions import Condition
from reckon.serving.store.records import Answer, Item, UserEvent
from reckon.serving.store.store import Store

log = logging.getLogger(__name__)
ITEMS_AT_ONCE = 64  # encoded between two tokens of other requests
CLEANING_S = 3600.0  # seconds between two removals of old answers


class Service:
    """Everything behind the routes."""

    def __init__(
        self, config: ServiceConfig, store: Store, runs: Sequence[ServedRun], rater: ServedRater | None = None
    ) -> None:
        self.config, self.store, self.rater = config, store, rater
        self.groups = Groups(runs, config.model.shares)
        self.metrics = Metrics()
        self.keys = KeyRing(store)
        self.worker = ModelWorker(rows=config.model.rows, queue=config.model.queue, watch=self.metrics)
        conditions = [Condition.parse(text, f"events.history[{i}]") for i, text in enumerate(config.events.history)]
        self.histories = Histories(store, conditions)
        self.types = {condition.type for condition in conditions}.union(
            config.events.types, config.events.clicks, config.events.conversions, config.events.ratings
        )
        self.popularity = Popularity(conditions)
        self.chain = Chain(config, store, self.groups, self.worker, self.popularity, self.metrics)
        self.nearline = Nearline(store, self.groups, self.worker, self.histories, batch=config.nearline.batch)
        self.open_streams = 0
        self.data_version = 0
        """Changes of the catalog since the start."""
        self.not_ready: list[str] = ["the model is being warmed"]
        self._catalog = threading.Lock()  # one change of the catalog after the other
        self._stopping = threading.Event()
        self._watch_numbers()

    @classmethod
    def open(
        cls, runs: Sequence[tuple[str, Path]], store: Store, config: ServiceConfig, data: Path | None = None
    ) -> "Service":
        """Load runs by their names, and fill a new store from the first one's data set.

        Raises:
            ConfigError: several of the runs predict ratings.
            CheckpointError: a run is not finished, or damaged.
            StoreError: the store cannot be used.
        """
        if config.model.threads:
            torch.set_num_threads(config.model.threads)
        raters = [(name, path) for name, path in runs if task_of(path) == "rating"]
        if len(raters) > 1:
            names = ", ".join(name for name, _ in raters)
            raise ConfigError("--beside", names, "several runs predict ratings", "serve one of them")
        ranking = [ServedRun.load(path, name) for name, path in runs if (name, path) not in raters]
        rater = ServedRater.load(raters[0][1], raters[0][0]) if raters else None
        first = next(run for run in (*ranking, rater) if run is not None and run.name == runs[0][0])
        missing = fill(store, first, runs[0][1], data)
        if missing:
            log.warning(missing)
        return cls(config, store, ranking, rater)

    @property
    def followers(self) -> list[ServedRun | ServedRater]:
        """Every run, each with the catalog of the store."""
        return [*self.groups.runs, *([self.rater] if self.rater is not None else [])]

    def start(self) -> None:
        """Start the threads, follow the store, and answer one request of our own; then `ready`."""
        self.worker.start()
        items = list(self.store.items.all())
        for run in self.followers:
            encoded = run.follow(items)
            note(log, "catalog", model=run.name, items=len(items), encoded=encoded)
        self.popularity.read(self.store)
        for ranker in self.groups.runs:
            warm(ranker, self.worker)
        self.not_ready = []
        if self.config.nearline.enabled and self.groups.runs:
            self.nearline.start()
        threading.Thread(target=self._clean, name="cleaning", daemon=True).start()

    def stop(self) -> None:
        """End: nothing new begins, whoever waits is told so."""
        self.not_ready = ["the service is stopping"]
        self._stopping.set()
        self.worker.stop()
        if self.nearline.started:
            self.nearline.stop()
        self.store.close()

    # -- the catalog --------------------------------------------------------------------------------------------

    def put_items(self, items: Sequence[Item]) -> None:
        """Store items and let every run encode them; they can be recommended when this returns.

        Raises:
            DataError: a value does not fit its column. Nothing was stored.
        """
        with self._catalog:
            for run in self.followers:
                run.check(items)
            self.store.items.put(items)
            self._encode(items)

    def change_item(self, item_id: str, change: Callable[[Item], Item]) -> Item | None:
        """Change a stored item; None where there is none."""
        with self._catalog:

            def checked(item: Item) -> Item:
                changed = change(item)
                for run in self.followers:
                    run.check([changed])
                return changed

            changed = self.store.items.change(item_id, checked)
            if changed is not None:
                self._encode([changed])
            return changed

    def delete_items(self, item_ids: Sequence[str]) -> list[str]:
        """Delete items; histories keep them. Those that were there."""
        with self._catalog:
            deleted = self.store.items.delete(item_ids)
            for run in self.followers:
                self.worker.call(partial(run.hide_items, deleted)).result()
            self.data_version += 1
            return deleted

    def _encode(self, items: Sequence[Item]) -> None:
        for run in self.followers:
            for start in range(0, len(items), ITEMS_AT_ONCE):
                part = items[start : start + ITEMS_AT_ONCE]
                self.worker.call(partial(run.put_items, part)).result()
        self.data_version += 1

    def activate(self, name: str, path: Path) -> ServedRun:
        """Load another run, warm it, and let it answer in place of the one with that name.

        Raises:
            DataError: no run of that name is served.
            CheckpointError: the new run cannot be used. The old one goes on.
        """
        self.groups.get(name)
        fresh = ServedRun.load(path, name)
        with self._catalog:
            fresh.follow(list(self.store.items.all()))
            warm(fresh, self.worker)
            self.groups.replace(fresh)
        return fresh

    # -- events -------------------------------------------------------------------------------------------------

    def add_events(self, events: Sequence[UserEvent]) -> list[bool]:
        """Store events: True for each that is new."""
        new = self.store.events.add(events, changing=self.histories.conditions)
        fresh = [event for event, is_new in zip(events, new, strict=True) if is_new]
        self.popularity.add(fresh)
        for event in fresh:
            self.metrics.events.labels(event.type).inc()
            self._count_feedback(event)
        return new

    def _count_feedback(self, event: UserEvent) -> None:
        kinds = [
            kind
            for kind, types in (("click", self.config.events.clicks), ("conversion", self.config.events.conversions))
            if event.type in types
        ]
        if not kinds or event.recommendation_id is None:
            return
        answer = self.store.answers.get(event.recommendation_id)
        if answer is not None:
            for kind in kinds:
                self.metrics.feedback.labels(kind, answer.group or "", answer.source).inc()

    # -- recommendations ----------------------------------------------------------------------------------------

    def past_of(self, user_id: str) -> list[Past]:
        """The history of a user; empty for an unknown one."""
        return self.histories.of_user(user_id)

    def keep(self, given: Given, wanted: Wanted, returned: int, scenario: str | None) -> Answer:
        """Store an answer, for its next pages and its explanation."""
        answer = Answer(
            id=uuid.uuid4().hex,
            user_id=wanted.user_id,
            history=[past.item_id for past in wanted.history],
            items=given.ranked.ids,
            scores=given.ranked.scores,
            parts=given.ranked.parts,
            returned=returned,
            source=given.source,
            model=given.run.name,
            version=given.run.version,
            group=given.group,
            created=datetime.now(UTC),
            reasoning=None if given.told is None else given.told.text,
            truncated=given.told is not None and given.told.truncated,
            scenario=scenario,
        )
        self.store.answers.put(answer)
        if "cached" in dict(given.passed) and wanted.user_id is not None and wanted.history and given.run.reasons:
            self.store.nearline.queue([wanted.user_id])
        return answer

    def next_page(self, answer_id: str, k: int) -> tuple[Answer, int] | None:
        """The answer with k more items returned, and where they begin; None where it is unknown or too old."""
        begin = 0

        def further(answer: Answer) -> Answer:
            nonlocal begin
            begin = answer.returned
            return replace(answer, returned=min(len(answer.items), answer.returned + k))

        answer = self.store.answers.change(answer_id, further)
        return None if answer is None else (answer, begin)

    # -- numbers and cleaning -----------------------------------------------------------------------------------

    def _watch_numbers(self) -> None:
        watch = self.metrics.watch
        watch("reckon_queue", "Requests that wait for the model.", lambda: self.worker.waiting)
        watch("reckon_growing", "Reasonings that are being written.", lambda: self.worker.growing)
        watch("reckon_nearline_waiting", "Users that wait for reasoning.", self._or_nan(self._waiting))
        watch("reckon_nearline_age_seconds", "How long the first of them has waited.", self._or_nan(self._age))

    @staticmethod
    def _or_nan(number: Callable[[], float]) -> Callable[[], float]:
        """A number of the store; NaN while it cannot be read, which /metrics shows as such."""

        def found() -> float:
            try:
                return number()
            except ReckonError:
                return float("nan")

        return found

    def _waiting(self) -> float:
        return self.store.nearline.waiting_count()

    def _age(self) -> float:
        oldest = self.store.nearline.oldest_waiting()
        return 0.0 if oldest is None else (datetime.now(UTC) - oldest).total_seconds()

    def _clean(self) -> None:
        """Remove answers and reasoning that are too old, now and then."""
        while True:
            now = datetime.now(UTC)
            try:
                self.store.answers.drop(now - timedelta(days=self.config.recommend.kept_days))
                self.store.nearline.drop(now - timedelta(hours=self.config.nearline.ttl_hours))
            except ReckonError as error:
                log.warning("cleaning: %s", error)
            if self._stopping.wait(CLEANING_S):
                return


def warm(run: ServedRun, worker: ModelWorker) -> None:
    """Answer one history, so that the first request does not wait for what happens once."""
    first = next((item_id for item_id in run.snapshot.rows if item_id in run.snapshot), None)
    if first is None:
        return
    example = run.example([Past(first)])
    worker.direct(run, example).result()
    if run.reasons:
        worker.reply(run, example).future.result()
