"""Kill commands at random moments, go on from another working directory, and compare with what nothing stopped.

Entry point: `attack`. A case takes one command of `hostile.commands`, stops it one to three times by SIGKILL, SIGTERM
or Ctrl-C, after a time or when a file appears, repeats it until it is done, and compares every file with that of an
uninterrupted run (`hostile.same` says what may differ).
"""

import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.commands import POLL, Command

from hostile.commands import WRITERS, Writer, make_stage, place_before, seen_from
from hostile.outcome import Outcome
from hostile.same import contents, difference, leftovers

FINE = frozenset({"same"})
LIMIT = 120.0  # seconds without an end that are a hang
LIVES_ON = 60.0  # seconds that a process may outlive its command: one that is importing PyTorch does not look up
LARGE = 20  # cases from which on every core has its own
IMPATIENCE = 0.3  # most seconds between a signal and the SIGKILL behind it
REPEATS = 4  # of a command after its kills; two are enough where it first has to be told to resume
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
CODES = {
    signal.SIGKILL: {-signal.SIGKILL},
    signal.SIGTERM: {143, -signal.SIGTERM},  # by itself where its work was done
    signal.SIGINT: {130, -signal.SIGINT},
}
PLACES = ("here", "there/is/deep")  # working directories, from which paths are told differently
RESUME, ANEW, DONE = "--resume", "without --resume", "exists and is not empty"


class Fault(Exception):
    """A verdict that ends a case."""

    def __init__(self, verdict: str, detail: str) -> None:
        self.verdict, self.detail = verdict, detail
        super().__init__(f"{verdict}: {detail}")


@dataclass(frozen=True, slots=True)
class Whole:
    """What a command does when nothing stops it."""

    content: dict[str, Any]
    seconds: float
    names: int
    """Files and folders that appear on the way."""


@dataclass
class Ground:
    """The folder of an attack: the stage, and what the commands leave when nothing stops them."""

    path: Path
    wholes: dict[tuple[str, int], Whole] = field(default_factory=dict)

    @property
    def stage(self) -> Path:
        return self.path / "stage"

    def whole(self, name: str, seed: int = 0) -> Whole:
        """The uninterrupted run of a command; it is made once."""
        if (name, seed) not in self.wholes:
            case = Case(self, WRITERS[name], self.path / f"whole-{name}-{seed}", seed)
            command = case.start("here")
            names = case.watch(command, LIMIT, None)
            case.end_of(command, {0})
            self.wholes[name, seed] = Whole(contents(case.out), command.seconds, names)
        return self.wholes[name, seed]


class Case:
    """One command and its folder."""

    def __init__(self, ground: Ground, writer: Writer, path: Path, seed: int = 0, out: Path | None = None) -> None:
        self.ground, self.writer, self.path, self.seed = ground, writer, path, seed
        self.out, self.resumes, self.history = out or path / "out", False, list[str]()
        self.before: set[str] = set()
        """Left by the calls before the present one, which may end before it sweeps."""
        for name in PLACES:
            (path / name).mkdir(parents=True)
        if not self.out.exists():
            place_before(writer, ground.stage, self.out)

    def start(self, where: str) -> Command:
        """Start the command in one of two working directories, which name all paths in their own way."""
        cwd = self.path / where
        stage, out = seen_from(cwd, self.ground.stage), seen_from(cwd, self.out)
        words = self.writer.arguments(stage, out, self.seed, again=self.resumes)
        place = self.path / f"call-{len(self.history)}"
        self.history.append("")
        self.before = set(leftovers(self.out.parent))
        return Command(words, cwd, place)

    def watch(self, command: Command, seconds: float, names: int | None) -> int:
        """Wait until the command ends, so many seconds have passed, or so many names have appeared in its folder."""
        first, seen = self._names(), set[str]()
        while not command.ends(POLL) and command.seconds < seconds:
            seen |= self._names() - first
            if names is not None and len(seen) >= names:
                break
        return len(seen)

    def _names(self) -> set[str]:
        """Everything in the folder of the case."""
        return {f"{place}/{name}" for place, *found in os.walk(self.path) for names in found for name in names}

    def stop(self, rng: random.Random, whole: Whole) -> None:
        """Start the command and stop it somewhere; now and then it is killed while it saves after a milder signal."""
        how, where, share = rng.choice(SIGNALS), rng.choice(PLACES), rng.random()
        by_names, patience = rng.random() < 0.5, rng.choice((None, None, rng.random() * IMPATIENCE))
        command = self.start(where)
        aim = int(share * whole.names) if by_names else None
        seen = self.watch(command, LIMIT if by_names else share * whole.seconds, aim)
        self.history[-1] = f"{how.name} after {command.seconds:.2f} s and {seen} names in {where}"
        command.send(how)
        codes = {0, 2, *CODES[how]}
        if patience is not None and not command.ends(patience):
            self.history[-1] += f", SIGKILL {patience:.2f} s later"
            command.send(signal.SIGKILL)
            codes.add(-signal.SIGKILL)
        code = self.end_of(command, codes)
        if code == 2:
            self.take_advice(command)
        elif code != -signal.SIGKILL and (left := self.left(command, self.before)):
            raise Fault("leftover", f"after {how.name}, exit code {code}: {left}: {command.said()[-300:]}")

    def finish(self) -> None:
        """Repeat the command until it is done."""
        for _ in range(REPEATS):
            command = self.start(PLACES[1])
            self.history[-1] = "to its end"
            self.watch(command, LIMIT, None)
            code = self.end_of(command, {0, 2})
            if code == 0 or self.take_advice(command):
                break
        else:
            raise Fault("not done", command.said()[-600:])
        if left := self.left(command):
            raise Fault("leftover", left)

    def end_of(self, command: Command, codes: set[int]) -> int:
        """How a command has ended, and whether all of it has."""
        if not command.ends(LIMIT):
            command.end_all()
            raise Fault("hang", f"no end in {LIMIT:.0f} s: {command.said()[-600:]}")
        code, said = int(command.code), command.said()
        end = time.monotonic() + LIVES_ON
        while (orphans := command.processes()) and time.monotonic() < end:
            time.sleep(0.05)
        if orphans:
            command.end_all()
            raise Fault("orphan", f"{len(orphans)} processes of it still run")
        if "Traceback" in said:
            raise Fault("traceback", said[-1500:])
        if code not in codes:
            raise Fault("exit code", f"{code}, not one of {sorted(codes)}: {said[-600:]}")
        told = [line for line in said.splitlines() if line.startswith("reckon: ")]
        if code > 0 and len(told) != 1:
            raise Fault("not one line", said[-600:])
        return code

    def take_advice(self, command: Command) -> bool:
        """Do what a refusal says; True where it says that the work is done."""
        said = command.said()
        if DONE in said:
            return True
        if ANEW in said:
            self.resumes = False
        elif RESUME in said and not self.resumes and self.writer.again:
            self.resumes = True
        else:
            raise Fault("refused", said[-600:])
        return False

    def left(self, command: Command, but: Collection[str] = ()) -> str:
        """What is there besides the result; empty where nothing is."""
        names = [name for name in leftovers(self.out.parent) if name not in but]
        names += [path.name for path in command.temporary.iterdir()]
        return ", ".join(names[:6])


def attack(count: int, seed: int) -> Iterator[Outcome]:
    """What became of each case, in no order."""
    workers = min(os.cpu_count() or 1, count) if count >= LARGE else 1
    with tempfile.TemporaryDirectory(prefix="kills-") as name, ThreadPoolExecutor(workers) as pool:
        ground = Ground(Path(name).resolve())
        make_stage(ground.stage)
        for command in sorted({name_of(number) for number in range(count)}):
            ground.whole(command)
        yield from pool.map(lambda number: run(ground, seed, number), range(count))


def name_of(number: int) -> str:
    """The command of a case: all of them in turn."""
    return list(WRITERS)[number % len(WRITERS)]


def run(ground: Ground, seed: int, number: int) -> Outcome:
    """Make one case, run it, judge it."""
    rng, name = random.Random(f"{seed} {number}"), name_of(number)
    case = Case(ground, WRITERS[name], ground.path / f"case-{number}")
    verdict, detail = "same", ""
    try:
        for _ in range(rng.randint(1, 3)):
            case.stop(rng, ground.whole(name))
            case.resumes = bool(case.writer.again)
        case.finish()
        if found := difference(ground.whole(name).content, contents(case.out)):
            raise Fault("silent difference", found)
    except Fault as fault:
        verdict, detail = fault.verdict, fault.detail
    shutil.rmtree(case.path, ignore_errors=True)
    return Outcome(f"{seed} {number}: {name}; {'; '.join(case.history)}", verdict, detail)
