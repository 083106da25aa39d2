"""Run the service under uvicorn until it is stopped.

Entry point: `serve`, behind `reckon serve`.
"""

import contextvars
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import uvicorn

from reckon.errors import ConfigError
from reckon.methods.finished import task_of
from reckon.serving.app import create_app
from reckon.serving.config import LOOPBACK, ServiceConfig
from reckon.serving.service import Service
from reckon.serving.store.store import Store

GRACE_S = 10  # seconds that open requests have when the service is stopped


def serve(
    runs: Sequence[tuple[str, Path]],
    store: str,
    config: ServiceConfig,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    data: Path | None = None,
    on_listening: Callable[[], None] = lambda: None,
) -> None:
    """Answer requests until SIGINT or SIGTERM.

    Args:
        runs: names and directories of finished runs; several split the users.
        store: address of the store; made if absent.
        config: settings.
        host: address to listen on; other machines reach none of the loopback addresses.
        port: port to listen on.
        data: where the data set of the first run is now; None: where it was.
        on_listening: called once the service has opened its port; the model is loaded after that.

    Raises:
        ConfigError: another machine could reach a service without keys.
        ReckonError: a run or the store cannot be used.
    """
    for _, path in runs:
        task_of(path)  # a run that is none leaves no store behind
    local = host in LOOPBACK
    opened = Store.open(store)
    if not local and not opened.keys.all():
        opened.close()
        rule = "other machines can reach it, and no key exists"
        raise ConfigError("--host", host, rule, f"make one first: reckon keys new --store {opened.name} --scope read")
    context = contextvars.copy_context()  # --no-verify, for the thread that loads

    def open_service() -> Service:
        return context.run(Service.open, runs, opened, config, data)

    server: _Server

    def stop() -> None:
        server.should_exit = True

    app = create_app(open_service, config, local=local, on_failure=stop)
    server = _Server(
        uvicorn.Config(
            app, host=host, port=port, log_config=None, access_log=False, timeout_graceful_shutdown=GRACE_S,
            server_header=False,
        ),
        on_listening,
    )  # fmt: skip
    try:
        server.run()
    except SystemExit:  # the port is taken; uvicorn has said so in its log
        raise ConfigError(
            "--port", port, f"{host} does not let this process listen on it", "use another port"
        ) from None
    finally:
        opened.close()
    if app.state.host.failure is not None:
        raise app.state.host.failure
    if server.stopped_by is not None:
        signal.raise_signal(server.stopped_by)  # now that all is closed, it ends the command as any other


class _Server(uvicorn.Server):
    """A server that tells when it listens, and which signal has stopped it."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening
        self.stopped_by: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """As uvicorn's, which then raises the signal again inside its loop; there it would look like a Ctrl-C."""
        self.force_exit = self.force_exit or (self.should_exit and sig == signal.SIGINT)
        self.should_exit, self.stopped_by = True, self.stopped_by or sig

    async def startup(self, sockets: object = None) -> None:
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            self._on_listening()
