"""Attack Reckon with hostile cases and count what becomes of them; any fault makes the exit code 1.

Run it:  python benchmarks/hostile.py --inputs 100000 --kills 100 --pairs 50 [--seed N] [--json FILE]

Each kind is a module of tests/hostile, which makes its cases from the seed: the same seed makes the same cases.
"""

import argparse
import importlib
import sys
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from measure import environment, table, write_json

from reckon.progress import phase

TESTS = Path(__file__).resolve().parents[1] / "tests"
KINDS = {
    "inputs": "malformed and odd files given to `reckon data prepare`",
    "corruptions": "damaged and mixed files of runs, backbones and data sets",
    "kills": "commands stopped at random moments, and gone on with",
    "pairs": "two commands at once on one folder",
}


def attack(kind: str, count: int, seed: int) -> dict[str, Any]:
    """Run `count` cases of one kind; counts by verdict, and the faults."""
    module = importlib.import_module(f"hostile.{kind}")
    summary = importlib.import_module("hostile.outcome").summary
    return {"seed": seed, **summary(shown(kind, module.attack(count, seed), count, module.FINE), module.FINE)}


def shown(kind: str, outcomes: Iterable[Any], count: int, fine: Collection[str]) -> Iterator[Any]:
    """The outcomes as they come, with the progress; every fault is told at once, on stderr."""
    faults = 0
    with phase(kind, total=count) as running:
        for outcome in outcomes:
            if outcome.verdict not in fine:
                faults += 1
                running.note = f"{faults} faults"
                print(f"{outcome.verdict}: {outcome.case}: {outcome.detail[:300]}", file=sys.stderr, flush=True)
            running.advance(1)
            yield outcome


def main() -> None:
    sys.path.insert(0, str(TESTS))  # before this folder, where `hostile` is this script
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for kind, text in KINDS.items():
        parser.add_argument(f"--{kind}", type=int, default=0, metavar="N", help=text)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the result here")
    arguments = parser.parse_args()
    wanted = {kind: count for kind in KINDS if (count := getattr(arguments, kind))}
    result: dict[str, Any] = {"environment": environment(), "kinds": {}}
    for kind, count in wanted.items():
        found = result["kinds"][kind] = attack(kind, count, arguments.seed)
        rows = [[verdict, f"{number:,}"] for verdict, number in found["outcomes"].items()]
        print(table([kind, "cases"], rows))
    if arguments.json:
        write_json(arguments.json, result)
    sys.exit(any(found["faults"] for found in result["kinds"].values()))


if __name__ == "__main__":
    main()
