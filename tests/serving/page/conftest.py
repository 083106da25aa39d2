"""One server over a tiny run and one browser, for all tests of the pages."""

import json
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass

import pytest
import uvicorn
from support import shelf
from support.devtools import Browser
from support.waiting import wait_for

from reckon.serving.app import create_app
from reckon.serving.config import NearlineConfig, ServiceConfig
from reckon.serving.service import Service
from reckon.serving.store.store import Store


@dataclass
class Served:
    """An application that listens."""

    url: str
    app: object

    @property
    def service(self):
        return self.app.state.host.service

    def send(self, path, body=None, method=None, **headers):
        """Status, headers and body of a reply; JSON is read."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | headers
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                status, told, text = reply.status, reply.headers, reply.read()
        except urllib.error.HTTPError as error:
            status, told, text = error.code, error.headers, error.read()
        return status, told, json.loads(text) if "json" in (told.get("Content-Type") or "") else text


class Listening:
    """Serves an application on a free port; a context manager."""

    def __init__(self, app):
        self._server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
        self._thread = threading.Thread(target=self._server.run)
        self._app = app

    def __enter__(self):
        self._thread.start()
        wait_for(lambda: self._server.started)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return Served(f"http://127.0.0.1:{port}", self._app)

    def __exit__(self, *exception):
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """The service of a run that reasons, on a shelf of twelve books. Nothing is written in advance by itself."""
    path = tmp_path_factory.mktemp("served")
    shelf.train(path, path / "run", max_steps=1)
    config = ServiceConfig(nearline=NearlineConfig(enabled=False))
    store = Store.open(str(path / "store.sqlite"))
    app = create_app(lambda: Service.open([("run", path / "run")], store, config), config)
    with Listening(app) as served:
        wait_for(lambda: not app.state.host.reasons or app.state.host.failure)
        assert app.state.host.failure is None
        yield served


@pytest.fixture
def listening():
    return Listening


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def browser(chromium):
    """The browser with an empty page and nothing said yet."""
    chromium.open("about:blank")
    chromium.looks(1280)
    chromium.console.clear()
    return chromium
