"""Time and memory of ranking a whole catalog: reckon.models.scoring in blocks against one full score matrix.

Run it:  python benchmarks/evaluate.py [--repetitions N] [--json FILE] [--quick]

10,000 users, 100,000 items, 128 dimensions, float32 on the CPU: the 20 best items of every user and the rank of every
user's target. The full matrix is 4 GB. Every measurement is a process of its own, so its peak memory is its own; the
sides take turns. Both sides must agree for 99 % of the users or more
(a last bit may turn a tie), or the run fails.
"""

import argparse
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from measure import MIB, Memory, environment, start, table, write_json

SIDES = ("reckon", "full")
NAMES = {"reckon": "reckon.models.scoring", "full": "full score matrix"}
TASKS = ("top_k", "target_ranks")
TOP_K = 20
SHAPE = {"users": 10_000, "items": 100_000, "dimensions": 128}
QUICK = {"users": 200, "items": 1_000, "dimensions": 16}


def work(connection: Connection, side: str, shape: dict[str, int]) -> None:
    """One side in its own process: seconds of both tasks, extra peak memory, and sums that tell the results apart."""
    import torch

    from reckon.models.scoring import target_ranks, top_k

    generator = torch.Generator().manual_seed(0)
    users = torch.randn(shape["users"], shape["dimensions"], generator=generator)
    items = torch.randn(shape["items"], shape["dimensions"], generator=generator)
    targets = torch.randint(shape["items"], (shape["users"],), generator=generator)

    def full_top_k() -> torch.Tensor:
        return (users @ items.T).topk(TOP_K, dim=1).indices

    def full_ranks() -> torch.Tensor:
        scores = users @ items.T
        return (scores >= scores.gather(1, targets[:, None])).sum(dim=1)

    tasks = {
        "reckon": {
            "top_k": lambda: top_k(users, items, TOP_K)[0],
            "target_ranks": lambda: target_ranks(users, items, targets),
        },
        "full": {"top_k": full_top_k, "target_ranks": full_ranks},
    }[side]
    (users[:8] @ items.T).topk(TOP_K, dim=1)  # start the thread pool
    memory, report = Memory.now(), {}
    for task in TASKS:
        started = time.perf_counter()
        result = tasks[task]()
        report[task] = {"seconds": time.perf_counter() - started, "result": result.tolist()}
        del result
    connection.send(report | {"extra_memory": memory.extra()})


def agreement(ours: list[Any], theirs: list[Any]) -> float:
    """Share of users with the same result; the products of different block sizes may differ in the last bit."""
    return sum(a == b for a, b in zip(ours, theirs, strict=True)) / len(ours)


def measure(shape: dict[str, int], repetitions: int) -> dict[str, Any]:
    """Both sides in turns, each time in a fresh process."""
    seconds: dict[str, dict[str, list[float]]] = {side: {task: [] for task in TASKS} for side in SIDES}
    extra: dict[str, list[int]] = {side: [] for side in SIDES}
    results: dict[str, dict[str, list[Any]]] = {side: {} for side in SIDES}
    for repetition in range(repetitions):
        for side in SIDES if repetition % 2 == 0 else SIDES[::-1]:
            process, connection = start(work, side, shape)
            report = connection.recv()
            process.join()
            extra[side].append(report["extra_memory"])
            for task in TASKS:
                seconds[side][task].append(report[task]["seconds"])
                results[side][task] = report[task]["result"]
    same = {task: agreement(results["reckon"][task], results["full"][task]) for task in TASKS}
    if min(same.values()) < 0.99:
        raise SystemExit(f"the two sides disagree: {same}")
    return {
        "same_result_share": same,
        "sides": {
            side: {task: {"min": round(min(values), 3), "median": round(median(values), 3),
                          "all": [round(value, 3) for value in values]} for task, values in seconds[side].items()}
            | {"extra_memory_mib": round(max(extra[side]) / MIB, 1)}
            for side in SIDES
        },
    }  # fmt: skip


def ratios(sides: dict[str, Any]) -> dict[str, float]:
    """Full matrix divided by Reckon."""
    ours, theirs = sides["reckon"], sides["full"]
    times = {
        f"{task}_{kind}": round(theirs[task][kind] / max(ours[task][kind], 1e-3), 2)
        for task in TASKS
        for kind in ("min", "median")
    }
    return times | {"extra_memory": round(theirs["extra_memory_mib"] / max(ours["extra_memory_mib"], 0.1), 2)}


def render(result: dict[str, Any]) -> str:
    """The table a person reads."""
    shape, ratio = result["shape"], result["ratios"]
    rows = [
        [NAMES[side]] + [f"{numbers[task][kind]:.2f}" for task in TASKS for kind in ("min", "median")]
        + [f"{numbers['extra_memory_mib']:.0f}"]
        for side, numbers in result["sides"].items()
    ]  # fmt: skip
    return "\n".join([
        f"{shape['users']:,} users x {shape['items']:,} items x {shape['dimensions']} dimensions, top {TOP_K}; "
        f"seconds of {result['repetitions']} runs; {result['hardware']}",
        "",
        table(["side", f"top {TOP_K} min", "median", "ranks min", "median", "extra MiB"], rows),
        "",
        f"full / reckon: top {TOP_K} {ratio['top_k_median']:.2f}x, ranks {ratio['target_ranks_median']:.2f}x, "
        f"extra memory {ratio['extra_memory']:.1f}x",
        f"same result for {result['same_result_share']['top_k']:.2%} (top {TOP_K}) and "
        f"{result['same_result_share']['target_ranks']:.2%} (ranks) of the users",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=3, help="processes of each side")
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one repetition: does it run at all?")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))  # inherited by the sides
    shape, repetitions = (QUICK, 1) if options.quick else (SHAPE, options.repetitions)
    result = {"benchmark": "evaluate", **environment(), "shape": shape, "top_k": TOP_K, "repetitions": repetitions}
    result |= measure(shape, repetitions)
    result["ratios"] = ratios(result["sides"])
    print(render(result))
    if options.json:
        write_json(options.json, result)


if __name__ == "__main__":
    main()
