"""A teacher whose replies were written before, into a file of JSON lines.

Entry point: `FileTeacher`.
"""

import json
from pathlib import Path
from typing import Any

from reckon.errors import DataError
from reckon.files import file_sha256
from reckon.teachers.teacher import CHECK, Question, TeacherFailure, TeacherReply


class FileTeacher:
    """Replies from a file of JSON lines with `user_id`, `item_id`, `reply`, and optionally `timestamp` (seconds since
    1970, to distinguish two ratings of one item) and `hinted_reply` (written with the true rating known)."""

    most_parallel: int | None = 1

    def __init__(self, path: str | Path) -> None:
        """
        Raises:
            DataError: a line is not such an object, or two lines are about the same row.
        """
        self.path = Path(path)
        self._replies: dict[tuple[str, str, int | None], dict[str, Any]] = {}
        try:
            with self.path.open(encoding="utf-8") as file:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        self._add(line, f"{self.path} line {number}")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(str(self.path), f"cannot be read ({error})", "give a file of JSON lines in UTF-8") from None
        if not self._replies:
            raise DataError(str(self.path), "holds no replies", "write one JSON object per line; see docs/traces.md")

    @property
    def identity(self) -> dict[str, Any]:
        return {"teacher": "file", "file": self.path.name, "sha256": file_sha256(self.path)}

    @property
    def users(self) -> set[str]:
        """User ids of all replies."""
        return {user for user, _, _ in self._replies}

    def __len__(self) -> int:
        return len(self._replies)

    def key(self, user_id: str, item_id: str, time: int | None) -> tuple[str, str, int | None] | None:
        """Key of the reply about this rating: the one of its time, else the one without a time; None if there is
        none."""
        for moment in (time, None):
            if (found := (user_id, item_id, moment)) in self._replies:
                return found
        return None

    def answers(self, question: Question) -> bool:
        return self._text(question) is not None

    def ask(self, question: Question) -> TeacherReply:
        text = self._text(question)
        if text is None:
            raise TeacherFailure("no reply in the file", again=False)
        return TeacherReply(text)

    def _text(self, question: Question) -> str | None:
        found = self.key(question.user_id, question.item_id, question.time)
        if found is None or question.attempt == CHECK:  # a file has no second reading
            return None
        return self._replies[found].get("hinted_reply" if question.hinted else "reply")

    def _add(self, line: str, where: str) -> None:
        fix = 'write {"user_id": "…", "item_id": "…", "reply": "…"}'
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise DataError(where, f"is not JSON ({error})", fix) from None
        if not isinstance(entry, dict):
            raise DataError(where, "is not a JSON object", fix)
        for name in ("user_id", "item_id"):
            if type(entry.get(name)) not in (str, int):
                raise DataError(where, f"{name} is {entry.get(name)!r}", fix)
        for name in ("reply", *(["hinted_reply"] if "hinted_reply" in entry else [])):
            if not isinstance(entry.get(name), str):
                raise DataError(where, f"{name} is not text", fix)
            entry[name] = entry[name].encode("utf-8", "replace").decode("utf-8")
        moment = entry.get("timestamp")
        if moment is not None and type(moment) is not int:
            raise DataError(where, f"timestamp is {moment!r}", "give whole seconds since 1970, or leave it out")
        key = (str(entry["user_id"]), str(entry["item_id"]), moment)
        if key in self._replies:
            raise DataError(where, "is about the same row as an earlier line", "keep one of them, or add timestamps")
        self._replies[key] = entry
