"""Give `reckon data prepare` malformed and odd inputs, and judge what it says and what it leaves.

Entry point: `attack`. The command runs through its own `main`, many times in one child process; a child that does not
answer in time is ended and counted as a hang.
"""

import hashlib
import io
import os
import random
import shutil
import tempfile
import traceback
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from hostile.children import call, in_children
from hostile.odd_inputs import SECRET, Case, make
from hostile.outcome import Outcome

FINE = frozenset({"accepted", "refused"})
LIMIT = 60.0  # seconds without an answer that are a hang; a case takes a fifth of a second
LONGEST_LINE = 300
LARGE = 200  # cases from which on every core gets a child


def attack(count: int, seed: int) -> Iterator[Outcome]:
    """What became of each case, in no order."""
    workers = min(os.cpu_count() or 1, count) if count >= LARGE else 1
    return in_children([partial(run, seed)] * workers, count, LIMIT)


def run(seed: int, number: int) -> Outcome:
    """Make one case in a folder of its own, run it, judge it."""
    rng = random.Random(f"{seed} {number}")
    with tempfile.TemporaryDirectory(prefix="hostile-") as name:
        folder = Path(name)
        case = make(folder, rng)
        before = _contents(folder)
        said, code, error = _prepare(case.words)
        verdict, detail = _judge(case, folder, before, said, code, error)
    return Outcome(f"{seed} {number}: {'; '.join(case.parts)}", verdict, detail)


def _prepare(words: list[str]) -> tuple[str, int, str]:
    """What `reckon` prints with these arguments, its exit code, and its traceback if there is one."""
    said = io.StringIO()
    code, error = call(words, said, said)
    return said.getvalue(), code, error


def _judge(case: Case, folder: Path, before: dict[str, str], said: str, code: int, error: str) -> tuple[str, str]:
    if error:
        return "traceback", error[-1500:]
    if code not in (0, 2):
        return "exit code", f"{code}: {said[-300:]}"
    if SECRET in said:
        return "secret", said[-300:]
    if any(not char.isprintable() and char != "\n" for char in said):
        return "escape", ascii(said[-600:])
    lines = said.splitlines()
    if any(len(line) > LONGEST_LINE for line in lines if not line.startswith("Wrote ")):
        return "long", max(lines, key=len)[:600]
    new = sorted(set(_contents(folder).items()) - set(before.items()))
    if code == 2:
        told = [line for line in lines if line.startswith("reckon: ")]
        if len(told) != 1 or lines[-1] != told[0]:
            return "not one line", said[-600:]
        return ("leftover", str(new[:5])) if new or _contents(folder).keys() != before.keys() else ("refused", said)
    place = Path(os.path.realpath(case.out)).relative_to(folder.resolve()).parts[0]
    if strange := [name for name, _ in new if Path(name).parts[0] != place]:
        return "leftover", str(strange[:5])
    return _accepted(case, said)


def _accepted(case: Case, said: str) -> tuple[str, str]:
    """Whether the data set can be read, and holds what it was given."""
    from reckon.data import Dataset

    try:
        dataset = Dataset.load(case.out)
    except Exception:
        return "unreadable", traceback.format_exc()[-1500:]
    read = dataset.info["counts"][0]["interactions"]
    if case.rows is not None and read != case.rows:
        return "rows lost", f"{read} of {case.rows} rows: {said[-300:]}"
    shutil.rmtree(os.path.realpath(case.out))
    return "accepted", said[-200:]


def _contents(folder: Path) -> dict[str, str]:
    """Every path below a folder and a digest of what it holds."""
    found = {}
    for path in folder.rglob("*"):
        digest = hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[path.relative_to(folder).as_posix()] = digest
    return found
