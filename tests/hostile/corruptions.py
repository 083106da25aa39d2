"""Damage one file of a finished run, a backbone or a data set, use it, and judge what is said.

Entry point: `attack`. A case damages one file in place, recommends, evaluates or starts a training with it, and puts
the file back. A sixth of the cases say `--no-verify`: what they give may differ, but is never a traceback.
"""

import functools
import io
import os
import random
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hostile.children import call, in_children
from hostile.damages import damage
from hostile.ground import BACKBONE, METHODS, RANKING, TWIN, data_of, make_ground
from hostile.outcome import Outcome

FINE = frozenset({"refused", "same", "read as it is"})
LIMIT = 60.0  # seconds without an answer that are a hang; a case takes a fifth of a second
LONGEST_LINE = 300
LARGE = 200  # cases from which on every core gets a child
UNVERIFIED = 1 / 6  # share of the cases with --no-verify
UNREAD = "checkpoint-"  # beginning of what only a resume reads
USER, ITEM = "u03", "b05"


def attack(count: int, seed: int) -> Iterator[Outcome]:
    """What became of each case, in no order."""
    workers = min(os.cpu_count() or 1, count) if count >= LARGE else 1
    with tempfile.TemporaryDirectory(prefix="hostile-") as name:
        ground = Path(name).resolve() / "ground"
        make_ground(ground)
        places = [Path(name).resolve() / f"place-{number}" for number in range(workers)]
        yield from in_children([functools.partial(run, ground, place, seed) for place in places], count, LIMIT)


@dataclass(frozen=True, slots=True)
class Said:
    """What became of one use."""

    out: str
    err: str
    code: int
    error: str = ""
    """Traceback; empty without one."""


def run(ground: Path, place: Path, seed: int, number: int) -> Outcome:
    """Damage one file in a copy of the ground, use it, judge, and put the file back."""
    _fresh_copy(ground, place)
    rng = random.Random(f"{seed} {number}")
    target, use = rng.choice(_uses(tuple(sorted(path.name for path in ground.iterdir()))))
    folder = rng.choice([target, target, data_of(target)]) if target != BACKBONE else rng.choice([BACKBONE, RANKING])
    verified = rng.random() >= UNVERIFIED
    expected = _sound(place, target, use)
    file = rng.choice(_files(place / folder))
    other = place / f"{target}{TWIN}" / file.relative_to(place / folder)
    kept = file.read_bytes()
    try:
        done = damage(file, other if other.is_file() else None, rng)
        said = USES[use](place, target, verified)
    finally:
        if file.is_dir():
            shutil.rmtree(file)
        file.write_bytes(kept)
    flag = "" if verified else ", --no-verify"
    case = f"{seed} {number}: {use} {target}, {file.relative_to(place)}: {done}{flag}"
    return Outcome(case, *_judge(said, expected, verified))


@functools.cache
def _fresh_copy(ground: Path, place: Path) -> None:
    """Copy the ground once in a process; a child that was ended has left a damaged file."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(ground, place)


def _uses(names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Each run with each of its uses, and the backbone with its."""
    methods = [name for name in METHODS if name in names]
    return [(method, use) for method in methods for use in ("recommend", "recommend", "evaluate")] + [
        (BACKBONE, "train")
    ]


@functools.cache
def _sound(place: Path, target: str, use: str) -> str:
    """What a use gives before anything is damaged."""
    said = USES[use](place, target, True)
    assert said.code == 0 and not said.error, said
    return said.out


def _files(folder: Path) -> list[Path]:
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path for path in found if not path.relative_to(folder).as_posix().startswith(UNREAD)]


def _recommend(place: Path, target: str, verified: bool) -> Said:
    words = ["recommend", str(place / target), "--user", USER, "--data", str(place / data_of(target))]
    words += ["--rate", ITEM] if data_of(target) != RANKING else ["--k", "5"]
    out, err = io.StringIO(), io.StringIO()
    code, error = call([*words, *([] if verified else ["--no-verify"])], out, err)
    return Said(out.getvalue(), err.getvalue(), code, error)


def _evaluate(place: Path, target: str, verified: bool) -> Said:
    from reckon.evaluation.run import evaluate

    def work() -> str:
        data = place / data_of(target)
        found = evaluate(place / target, data=data, baselines=False, most_rows=4 if data.name == RANKING else None)
        about = found.about
        values = [getattr(one, "ranks", getattr(one, "predictions", None)) for one in found.results]
        return repr([[list(each) for each in values], about.facts, about.histories, about.group])

    return _in_python(work, verified)


def _train(place: Path, target: str, verified: bool) -> Said:
    from support import shelf

    from reckon.data import Dataset
    from reckon.methods.r2ec import R2ec

    def work() -> str:
        dataset = Dataset.load(place / RANKING)
        model = R2ec.from_backbone(place / target, dataset, shelf.settings())
        return repr(model.recommend([[1, 2, 3]], k=5))

    return _in_python(work, verified)


def _in_python(work: Callable[[], str], verified: bool) -> Said:
    """A use without the command line, told as the command line would."""
    from reckon.checksums import checking
    from reckon.errors import ReckonError, of_the_system

    try:
        with checking(verified):
            return Said(work(), "", 0)
    except ReckonError as error:
        return Said("", f"reckon: {error}\n", 2)
    except Exception as error:
        if (refusal := of_the_system(error)) is not None:
            return Said("", f"reckon: {refusal}\n", 2)
        return Said("", "", 1, traceback.format_exc())


USES = {"recommend": _recommend, "evaluate": _evaluate, "train": _train}


def _judge(said: Said, expected: str, verified: bool) -> tuple[str, str]:
    if said.error:
        return "traceback", said.error[-1500:]
    if said.code not in (0, 2):
        return "exit code", f"{said.code}: {said.err[-300:]}"
    lines = [line for line in said.err.splitlines() if line.strip()]
    if any(not line.isprintable() for line in lines):
        return "escape", ascii(said.err[-600:])
    if any(len(line) > LONGEST_LINE for line in lines):
        return "long", max(lines, key=len)[:600]
    if said.code == 2:
        told = [line for line in lines if line.startswith("reckon: ")]
        return ("refused", told[0]) if told == lines[-1:] else ("not one line", said.err[-600:])
    if said.out == expected:
        return "same", said.err[-300:]
    return ("silent difference", said.out[-600:]) if verified else ("read as it is", "")
