"""The journal of a run that asks a teacher: one line per answer, appended when the answer arrives.

Entry point: `Journal`. The first line holds the settings that decide the replies (data, rows, prompts, teacher); a run
with other settings is refused. A killed run leaves at most one partial line at the end, which is discarded. If a row
has several lines for one attempt, the last one counts. An open journal holds a lock on its folder (`reckon.locks`), so
two runs cannot mix their lines. A line survives the end of the process; a power failure may lose the last seconds,
which are then asked again.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from reckon.errors import DataError
from reckon.teachers.asking import Answer

FORMAT = 1
LATER = {"split"}  # settings that early journals lack
FIELDS = frozenset(field.name for field in fields(Answer))


class Journal:
    """Answers by (row, attempt), in memory and in the file. A context manager."""

    def __init__(self, path: Path, settings: Mapping[str, Any], *, ask_failed_again: bool = False) -> None:
        """Open a journal, or start one.

        Args:
            settings: the settings that decide the replies, as flat JSON.
            ask_failed_again: ignore earlier failures, so that their rows are asked again.

        Raises:
            DataError: the journal has other settings, or is damaged.
        """
        self.path, self.settings = path, json.loads(json.dumps(settings))
        self.answers: dict[tuple[int, int], Answer] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = path.open("a+b")
        try:
            self._read(ask_failed_again)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def add(self, answer: Answer) -> None:
        """Store one answer in memory and append it to the file."""
        self._append(asdict(answer))
        self.answers[answer.row, answer.attempt] = answer

    def _append(self, record: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(record).encode() + b"\n")
        self._file.flush()

    def _read(self, ask_failed_again: bool) -> None:
        """Read the existing lines, or write the first line."""
        self._file.seek(0)
        records, whole = [], 0  # whole: bytes up to the end of the last complete line
        for number, line in enumerate(self._file, start=1):
            try:
                if not line.endswith(b"\n"):
                    break
                records.append(json.loads(line))
            except ValueError:
                if self._file.peek(1):  # type: ignore[attr-defined]  # not the last line, so no kill wrote it
                    fix = "delete that line to ask its row again, or choose another directory"
                    raise DataError(f"{self.path} line {number}", "is damaged", fix) from None
                break
            whole += len(line)
        os.truncate(self._file.fileno(), whole)
        self._file.seek(0, os.SEEK_END)
        if not records:
            self._append({"journal": FORMAT, "settings": self.settings})
            return
        self._check(records[0])
        for number, record in enumerate(records[1:], start=2):
            if not isinstance(record, dict) or set(record) != FIELDS:
                raise DataError(f"{self.path} line {number}", "is not an answer", "choose another directory")
            answer = Answer(**record)
            self.answers[answer.row, answer.attempt] = answer
        if ask_failed_again:
            self.answers = {key: answer for key, answer in self.answers.items() if answer.failure is None}

    def _check(self, head: Any) -> None:
        """Refuse a journal of other settings."""
        if not isinstance(head, dict) or head.get("journal") != FORMAT or not isinstance(head.get("settings"), dict):
            raise DataError(str(self.path), "is not a journal of traces", "choose another directory")
        before = head["settings"]
        changed = [
            name
            for name in dict.fromkeys([*before, *self.settings])
            if before.get(name) != self.settings.get(name) and (name in before or name not in LATER)
        ]
        if changed:
            name = changed[0]
            raise DataError(
                str(self.path),
                f"was begun with {name} = {before.get(name)!r}, now it is {self.settings.get(name)!r}",
                "repeat the command with the settings it was begun with, or choose another --out",
            )
