"""Start two commands at once on one folder: one does its work, the other says who is at it.

Entry point: `attack`. The two are the same command with the same or another seed, or two commands. What lies there
afterwards is compared with what the one that did its work leaves alone.
"""

import os
import random
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from support.commands import POLL, Command

from hostile.commands import WRITERS, make_stage
from hostile.kills import LARGE, LIMIT, PLACES, Case, Fault, Ground
from hostile.outcome import Outcome
from hostile.same import contents, difference

FINE = frozenset({"held", "one after the other"})
HELD = re.compile(r"is held by process (\d+) on \S+ since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
SEEDS = (0, 1)
MOMENTS = ("at once", "when it is locked", "when it is locked", "on the way")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two commands, each with its seed, and when the second starts."""

    first: tuple[str, int]
    second: tuple[str, int]
    moment: str

    @classmethod
    def draw(cls, seed: int, number: int) -> "Pair":
        """The pair of a case: every command comes first in turn, and meets itself as often as another."""
        rng, names = random.Random(f"{seed} {number}"), list(WRITERS)
        name = names[number % len(names)]
        other = name if rng.random() < 0.5 else rng.choice([one for one in names if WRITERS[one].before is None])
        seeds = [rng.choice(SEEDS) if WRITERS[one].seeded else 0 for one in (name, other)]
        return cls((name, seeds[0]), (other, seeds[1]), rng.choice(MOMENTS))

    def __str__(self) -> str:
        words = [f"{name} (seed {seed})" for name, seed in (self.first, self.second)]
        return f"{words[0]}, then {words[1]} {self.moment}"


def attack(count: int, seed: int) -> Iterator[Outcome]:
    """What became of each case, in no order."""
    workers = min(os.cpu_count() or 1, count) if count >= LARGE else 1
    with tempfile.TemporaryDirectory(prefix="pairs-") as name, ThreadPoolExecutor(workers) as pool:
        ground = Ground(Path(name).resolve())
        make_stage(ground.stage)
        pairs = [Pair.draw(seed, number) for number in range(count)]
        for command in sorted({one for pair in pairs for one in (pair.first, pair.second)}):
            ground.whole(*command)
        yield from pool.map(lambda number: run(ground, seed, number), range(count))


def run(ground: Ground, seed: int, number: int) -> Outcome:
    """Make one case, run it, judge it."""
    pair, rng = Pair.draw(seed, number), random.Random(f"moment {seed} {number}")
    path = ground.path / f"pair-{number}"
    first = Case(ground, WRITERS[pair.first[0]], path / "first", pair.first[1], out=path / "out")
    second = Case(ground, WRITERS[pair.second[0]], path / "second", pair.second[1], out=path / "out")
    try:
        verdict, detail = _meet(ground, pair, first, second, rng.random()), ""
    except Fault as fault:
        verdict, detail = fault.verdict, fault.detail
    shutil.rmtree(path, ignore_errors=True)
    return Outcome(f"{seed} {number}: {pair}", verdict, detail)


def _meet(ground: Ground, pair: Pair, first: Case, second: Case, share: float) -> str:
    """Run both; the verdict on a good end."""
    alone = {name: ground.whole(*name) for name in (pair.first, pair.second)}  # before anything starts
    one = first.start("here")
    _wait(one, pair.moment, first.out, share * alone[pair.first].seconds)
    other = second.start(PLACES[1])
    commands = {one: pair.first, other: pair.second}
    codes = {command: case.end_of(command, {0, 2}) for case, command in ((first, one), (second, other))}
    done = [command for command in commands if codes[command] == 0]
    if not done:
        raise Fault("nobody", f"{one.said()[-300:]} | {other.said()[-300:]}")
    if left := ", ".join(filter(None, (first.left(one), second.left(other)))):
        raise Fault("leftover", left)
    found = contents(first.out)
    wholes = [alone[commands[command]].content for command in done]
    expected = [wholes[0]] if len(wholes) == 1 else [wholes[0] | wholes[1], wholes[1] | wholes[0], *wholes]
    differences = [difference(whole, found) for whole in expected]
    if all(differences):
        raise Fault("silent difference", differences[0])
    refused = [command for command in commands if codes[command] == 2]
    held = HELD.search(refused[0].said()) if refused else None
    if held is None:
        return "one after the other"
    if int(held[1]) != done[0].pid:
        raise Fault("wrong holder", refused[0].said()[-300:])
    return "held"


def _wait(command: Command, moment: str, out: Path, seconds: float) -> None:
    """Until the second may start."""
    end = time.monotonic() + LIMIT
    if moment == "when it is locked":
        while not list(out.parent.glob(f".{out.name}.*lock")) and not command.ends(POLL):
            if time.monotonic() > end:
                return
    elif moment == "on the way":
        command.ends(seconds)
