"""Fetch a file over an unreliable network: resume where it broke off, move on to the next mirror, check the sum.

Entry point: `download`. What has arrived waits in `NAME.part`, with the identity of what it is a part of in
`NAME.part.json`, so a later call goes on too. `NAME` itself appears only when it is whole and its checksum fits.
"""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from reckon.errors import DataError, of_the_system
from reckon.files import file_sha256
from reckon.locks import folder_lock
from reckon.progress import Phase, phase

BLOCK = 1 << 18  # bytes
TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 5  # in a row that bring nothing new, per mirror
PAUSE = 1.0  # seconds before the second attempt; doubles with every further one in a row
AGENT = "reckon"
DIGITS = 12  # of a checksum that are shown


@dataclass(frozen=True, slots=True)
class Identity:
    """What a partial file is a part of. A part of one file must not be continued with another."""

    size: int | None
    validator: str | None
    """A strong ETag, else the time of the last change."""
    url: str


class _Changed(Exception):
    """The server's file is not the one that was begun."""


def download(
    urls: Sequence[str],
    target: Path,
    *,
    sha256: str | None = None,
    attempts: int = ATTEMPTS,
    pause: float = PAUSE,
    timeout: float = TIMEOUT,
) -> Path:
    """Fetch `target` from the first of the mirrors that works.

    Args:
        urls: addresses of the same file, best first.
        target: where it goes; an existing file is kept if its checksum fits (or none is given).
        sha256: hex digest that the whole file must have.
        attempts: failures in a row without a new byte after which a mirror is given up.
        pause: seconds before the second attempt in a row; doubles each time.
        timeout: seconds to wait for a byte.

    Returns:
        `target`.

    Raises:
        DataError: no mirror delivered; it names each with its last problem.
        BusyError: another process fetches it.
    """
    with folder_lock(target, "part"):
        if target.exists():
            _check_sum(target, sha256)
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        return _from_mirrors(urls, target, sha256, lambda url, part: _fetch(url, part, attempts, pause, timeout))


def _from_mirrors(urls: Sequence[str], target: Path, sha256: str | None, fetch: Callable[[str, Path], None]) -> Path:
    """Ask one mirror after the other, until one has brought the whole file."""
    part = target.with_name(target.name + ".part")
    problems = []
    for url in urls:
        try:
            fetch(url, part)
            _check_sum(part, sha256)
        except (OSError, http.client.HTTPException) as error:
            if (refusal := of_the_system(error)) is not None:
                raise refusal from None
            problems.append(f"{url} ({_reason(error)})")
        except DataError as error:
            problems.append(f"{url} ({error.problem})")
            part.unlink(missing_ok=True)  # whole, but wrong: nothing in it can be trusted
            _note(part).unlink(missing_ok=True)
        else:
            _note(part).unlink(missing_ok=True)
            part.replace(target)
            return target
    raise DataError(
        target.name,
        f"could not be fetched from {'; '.join(problems) or 'any mirror (none given)'}",
        "check the network, or name another mirror; a later call resumes",
    )


def _fetch(url: str, part: Path, attempts: int, pause: float, timeout: float) -> None:
    """Bring the partial file to its full size, in as many connections as it takes."""
    failures = 0
    with phase(f"downloading {part.name.removesuffix('.part')}", unit="bytes") as running:
        while True:
            before = _size(part)
            try:
                if _receive(url, part, timeout, running):
                    return
                problem: Exception = http.client.IncompleteRead(b"")
            except _Changed as change:
                problem = change
                part.unlink(missing_ok=True)
            except urllib.error.HTTPError as error:
                if error.code < 500 and error.code not in (408, 416, 425, 429):
                    raise  # this mirror does not have it, and asking again will not change that
                problem = error
            except (OSError, http.client.HTTPException) as error:
                problem = error
            failures = 0 if _size(part) > before else failures + 1
            if failures >= attempts:
                raise OSError(f"gave up after {attempts} attempts without progress: {_reason(problem)}")
            time.sleep(pause * 2 ** (failures - 1) if failures else 0)


def _receive(url: str, part: Path, timeout: float, running: Phase) -> bool:
    """One connection: append what it brings; True when the file is whole."""
    have, known = _size(part), _read_note(part)
    headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
    if have and known is not None:
        headers["Range"] = f"bytes={have}-"
        if known.url == url and known.validator:
            headers["If-Range"] = known.validator
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # asked beyond the end: either all is here, or it was another file
            if known is not None and known.size == have:
                return True
            raise _Changed("the file is shorter than what was fetched before") from None
        raise
    with answer:
        resumed = answer.status == 206 and "Range" in headers
        start, size = _extent(answer, have if resumed else 0)
        identity = Identity(size, _validator(answer), url)
        if resumed and (start != have or not _same(known, identity)):
            raise _Changed("the server's file is another than the one begun")
        _note(part).write_text(json.dumps(asdict(identity)), encoding="utf-8")
        running.total, running.done = size, float(start)
        with part.open("ab" if resumed else "wb") as file:
            while block := answer.read(BLOCK):
                file.write(block)
                running.advance(len(block))
    return size is None or _size(part) == size


def _extent(answer: http.client.HTTPResponse, start: int) -> tuple[int, int | None]:
    """Where this answer begins in the file, and how long the whole file is."""
    if start:
        unit, _, extent = (answer.headers.get("Content-Range") or "").partition(" ")
        span, _, total = extent.partition("/")
        begin = span.partition("-")[0]
        if unit == "bytes" and begin.isdigit():
            return int(begin), int(total) if total.isdigit() else None
        raise _Changed("the server gave a part without saying which")
    length = answer.headers.get("Content-Length")
    return 0, int(length) if length and length.isdigit() else None


def _same(known: Identity | None, now: Identity) -> bool:
    if known is None or known.size != now.size:
        return False
    if known.url != now.url:
        return True  # a mirror's tags are its own; equal size, and the checksum at the end
    return known.validator == now.validator


def _validator(answer: http.client.HTTPResponse) -> str | None:
    tag = answer.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified")


def _check_sum(path: Path, sha256: str | None) -> None:
    if sha256 is None:
        return
    found = file_sha256(path)
    if found != sha256.lower():
        raise DataError(
            str(path), f"has sha256 {found[:DIGITS]}…, not {sha256[:DIGITS]}…", "remove the file to fetch it again"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_note(part: Path) -> Identity | None:
    try:
        return Identity(**json.loads(_note(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _reason(error: Exception) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return "the connection broke off"
    return " ".join(str(error).split()) or type(error).__name__
