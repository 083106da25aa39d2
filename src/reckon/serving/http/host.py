"""The service of one application: absent while it is being opened.

Entry point: `Host`.
"""

import logging
import threading
from collections.abc import Callable

from reckon.errors import ReckonError
from reckon.serving.service import Service

log = logging.getLogger(__name__)


class Host:
    """The service of one application: absent while it is being opened."""

    def __init__(self, open_service: Callable[[], Service], on_failure: Callable[[], None]) -> None:
        self._open, self._on_failure = open_service, on_failure
        self.service: Service | None = None
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="opening", daemon=True)

    def start(self) -> None:
        """Open the service in the background."""
        self._thread.start()

    def stop(self) -> None:
        self._thread.join()
        if self.service is not None:
            self.service.stop()

    @property
    def reasons(self) -> list[str]:
        """Why requests cannot be answered yet; empty once they can."""
        if self.failure is not None:
            return [str(self.failure)]
        return ["the model is being loaded"] if self.service is None else self.service.not_ready

    def _run(self) -> None:
        try:
            service = self._open()
            self.service = service
            service.start()
        except Exception as error:
            if not isinstance(error, ReckonError):
                log.exception("the service cannot start")
            self.failure = error
            self._on_failure()
