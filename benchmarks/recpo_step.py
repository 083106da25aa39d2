"""Time and memory of one RecPO step: Reckon's shared prefix, the same step unshared, and TRL's GRPOTrainer.

Run it:  python benchmarks/recpo_step.py [--repetitions N] [--json FILE] [--quick]

4 prompts of 320 tokens, 8 replies of 64 tokens each, a random Qwen2 of 4 M parameters in float32 on the CPU. Each side
lives in its own process, so its peak memory is its own; the sides take turns step by step, so that a machine that
slows down slows all of them. How the work is made equal: benchmarks/step_sides.py.
"""

import argparse
import os
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from measure import MIB, Memory, environment, installed, start, table, write_json

SIDES = ("reckon", "unshared", "trl")
NAMES = {"reckon": "reckon, shared prefix", "unshared": "reckon, unshared", "trl": "TRL GRPOTrainer"}
PHASES = ("rollout", "update", "total", "cpu")  # `cpu`: of the step, on all cores; other programs disturb it less
WARM_UP = 2  # steps that are not counted: they allocate AdamW's moments and fill allocator caches


def work(connection: Connection, side: str, steps: int, quick: bool) -> None:
    """One side in its own process: a step per message, then its extra peak memory."""
    from step_sides import QUICK, StepShape, run_side

    memory: list[Memory] = []

    def ready() -> None:
        memory.append(Memory.now())
        connection.send({"shape": asdict(QUICK if quick else StepShape())})

    run_side(side, QUICK if quick else StepShape(), steps, ready=ready, before=connection.recv, after=connection.send)
    connection.send({"extra_memory": memory[0].extra()})


def measure(sides: tuple[str, ...], repetitions: int, quick: bool) -> dict[str, Any]:
    """Run all sides in turns; returns seconds of every step and extra bytes of every side."""
    steps = WARM_UP + repetitions
    workers = {side: start(work, side, steps, quick) for side in sides}
    connections = {side: connection for side, (_, connection) in workers.items()}
    shape = [connection.recv()["shape"] for connection in connections.values()][-1]  # every side says it is ready
    seconds: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for step in range(steps):
        turn = step % len(sides)
        for side in sides[turn:] + sides[:turn]:  # nobody is always first
            connections[side].send("go")
            spent = connections[side].recv()
            if step >= WARM_UP:
                seconds[side].append(spent)
    extra = {side: connection.recv()["extra_memory"] for side, connection in connections.items()}
    for process, _ in workers.values():
        process.join()
    return {"shape": shape, "sides": {
        side: {"extra_memory_mib": round(extra[side] / MIB, 1)} | {
            phase: {"min": round(min(values), 4), "median": round(median(values), 4),
                    "all": [round(value, 4) for value in values]}
            for phase in PHASES
            for values in [[step[phase] for step in seconds[side]]]
        }
        for side in sides
    }}  # fmt: skip


def ratios(sides: dict[str, Any]) -> dict[str, dict[str, float]]:
    """How many times longer each other side takes (and how much more memory) than Reckon."""
    ours = sides["reckon"]
    return {
        side: {
            **{f"{phase}_{kind}": round(theirs[phase][kind] / ours[phase][kind], 2)
               for phase in PHASES for kind in ("min", "median")},
            "extra_memory": round(theirs["extra_memory_mib"] / max(ours["extra_memory_mib"], 0.1), 2),
        }
        for side, theirs in sides.items() if side != "reckon"
    }  # fmt: skip


def render(result: dict[str, Any]) -> str:
    """The tables a person reads."""
    shape, sides = result["shape"], result["sides"]
    rows = [
        [NAMES[side]]
        + [f"{numbers[phase][kind]:.3f}" for phase in PHASES for kind in ("min", "median")]
        + [f"{numbers['extra_memory_mib']:.0f}"]
        for side, numbers in sides.items()
    ]
    header = [
        "side",
        "rollout min",
        "median",
        "update min",
        "median",
        "step min",
        "median",
        "CPU min",
        "median",
        "extra MiB",
    ]
    lines = [
        f"{shape['prompts']} prompts x {shape['prompt_tokens']} tokens x {shape['group']} replies x "
        f"{shape['reply_tokens']} tokens; seconds of {result['repetitions']} steps; {result['hardware']}",
        "",
        table(header, rows),
        "",
    ]
    for side, ratio in result["ratios"].items():
        lines.append(
            f"{NAMES[side]} / reckon: step {ratio['total_median']:.2f}x (median), {ratio['total_min']:.2f}x (min), "
            f"CPU time {ratio['cpu_median']:.2f}x (median), {ratio['cpu_min']:.2f}x (min); "
            f"rollout {ratio['rollout_median']:.2f}x, update {ratio['update_median']:.2f}x; "
            f"extra memory {ratio['extra_memory']:.2f}x"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=7, help="measured steps of each side")
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one repetition: does it run at all?")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))  # inherited by the sides
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sides = tuple(side for side in SIDES if side != "trl" or installed("trl"))
    if "trl" not in sides:
        print("TRL is not installed (pip install 'reckon-recsys[dev]'): its side is left out.")
    repetitions = 1 if options.quick else options.repetitions
    result = {"benchmark": "recpo_step", **environment(), "repetitions": repetitions, "warm_up_steps": WARM_UP}
    result |= measure(sides, repetitions, options.quick)
    result["ratios"] = ratios(result["sides"])
    print(render(result))
    if options.json:
        write_json(options.json, result)


if __name__ == "__main__":
    main()
