"""A tiny trained run behind the service: one application, with a client in this process or a real server.

Entry points: `run_folder`, `shop`; `server` for what only a real connection shows; `Gate` to hold the model's thread
between two tokens.
"""

import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from reckon.methods.r2ec import R2ec
from reckon.serving.app import create_app
from reckon.serving.config import ServiceConfig
from reckon.serving.models.served_run import ServedRun
from reckon.serving.service import Service
from reckon.serving.store.store import Store
from support import shelf
from support.made_once import made_once
from support.waiting import wait_for

TOKENS = 12  # longest reasoning of the tiny run


@made_once
def run_folder(path, **changes):
    """A finished run of R2ec, two steps of training; users u00 … u15 walk along the shelf b00 … b11."""
    made = Path(path)
    made.mkdir(parents=True, exist_ok=True)
    changes = {"max_steps": 2, "eval_steps": 2, "rollout": {"max_completion_length": TOKENS}} | changes
    shelf.train(made, "run", **changes)


def untrained(path, columns=None):
    """A served run without training, for what needs no finished one; `columns`: further columns of the items."""
    data = shelf.dataset(path / "data")
    if columns:
        table = data.catalog.table
        for name, values in columns.items():
            table = table.append_column(name, values)
        data = replace(data, catalog=type(data.catalog)(table))
    config = shelf.settings(rollout={"max_completion_length": TOKENS})
    model = R2ec.from_backbone(shelf.backbone_folder(path / "backbone"), data, config)
    return ServedRun("bare", "v0", model)


def settings(**sections):
    """Settings of the service by sections, e.g. `limits={"streams": 1}`; no thread writes reasoning in advance."""
    sections = {"nearline": {"enabled": False}} | sections
    base = ServiceConfig()
    return replace(base, **{name: replace(getattr(base, name), **values) for name, values in sections.items()})


@dataclass
class Shop:
    """A service that runs."""

    folder: Path
    app: FastAPI
    client: TestClient
    service: Service

    @property
    def run(self) -> ServedRun:
        return self.service.groups.runs[0]

    @property
    def store(self) -> Store:
        return self.service.store

    def recommend(self, **body: Any) -> dict[str, Any]:
        """The reply to a request that must succeed."""
        reply = self.client.post("/recommend", json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def tell(self, *events: dict[str, Any], **query: Any) -> dict[str, Any]:
        """Store events, which must succeed; fields that are left out are those of a view of b00 by u00."""
        usual = {"user_id": "u00", "item_id": "b00", "type": "view"}
        reply = self.client.post("/events", json=[usual | event for event in events], params=query)
        assert reply.status_code == 200, reply.text
        return reply.json()


@contextmanager
def shop(folder, *, names=("shelf",), local=True, raising=True, **sections):
    """A running service.

    Args:
        folder: for the run and its store; a second call on the same folder is a restart.
        names: of the runs; each is a run of its own seed.
        local: as of `create_app`.
        raising: whether a bug of the service is raised in the test; else it is the reply 500.
        sections: as of `settings`.
    """
    folder, config = Path(folder), settings(**sections)
    runs = []
    for seed, name in enumerate(names):
        runs.append((name, folder / name / "run"))
        if not runs[-1][1].exists():
            run_folder(folder / name, **({"seed": seed} if seed else {}))

    def open_service():
        return Service.open(runs, Store.open(str(folder / "store.sqlite")), config)

    app = create_app(open_service, config, local=local)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=raising) as client:
        host = app.state.host
        wait_for(lambda: not host.reasons or host.failure)
        assert host.failure is None, host.failure
        yield Shop(folder, app, client, host.service)


@contextmanager
def server(app):
    """An application whose lifespan runs elsewhere, behind a real port: its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=5)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    wait_for(lambda: running.started)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


class Gate:
    """Holds the model's thread before each reading of prompts and each token, until it is let through."""

    def __init__(self, monkeypatch, run):
        self._changed = threading.Condition()
        self._open, self._allowed = True, 0
        self.held: str | None = None
        """What the thread waits for: `reading` or `token`."""
        self.tokens = 0
        """Steps of the model so far, each of which adds a token to every reply of a cohort."""
        begin = run.begin

        def held_begin(examples):
            self._pass("reading")
            decoding = begin(examples)
            step = decoding.step

            def held_step():
                self._pass("token")
                self.tokens += 1
                return step()

            decoding.step = held_step
            return decoding

        monkeypatch.setattr(run, "begin", held_begin)

    def close(self):
        """Hold the thread from now on."""
        with self._changed:
            self._open = False

    def open(self):
        """Let everything through."""
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def holds(self, what):
        """Wait until the thread waits for something."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.held == what and not self._allowed, 60), self.held

    def let(self, what="token"):
        """Let the thread do one thing, which it waits for or comes to."""
        self.holds(what)
        with self._changed:
            self._allowed += 1
            self._changed.notify_all()

    def _pass(self, what):
        with self._changed:
            self.held = what
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._open or self._allowed, 60)
            self._allowed = max(0, self._allowed - 1)
            self.held = None


def lines_of(response):
    """Events of a stream as (event, data) pairs, comments as (":", text)."""
    kind = None
    for line in response.iter_lines():
        if line.startswith(":"):
            yield ":", line[1:].strip()
        elif line.startswith("event:"):
            kind = line[6:].strip()
        elif line.startswith("data:"):
            yield kind, line[5:].strip()
            kind = None
