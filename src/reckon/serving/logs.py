"""Logs of the service: one JSON object a line, on stderr.

Entry points: `log_to_stderr`, and `note` for a line with fields of its own. At the level INFO no line holds an id of a
user or item, a title, a history or a key's secret.
"""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from reckon.messages import one_line, redacted

FIELDS = "fields"  # attribute of a record that holds them


class JsonLines(logging.Formatter):
    """Time, level, logger, message, and the fields of `note`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": one_line(redacted(record.getMessage())),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            line["traceback"] = redacted(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=True)


def note(log: logging.Logger, message: str, **fields: Any) -> None:
    """A line at the level INFO with fields."""
    log.info(message, extra={FIELDS: fields})


def log_to_stderr(level: int) -> None:
    """Send Reckon's lines from a level on, and warnings of all else, to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("reckon").setLevel(level)
