"""One RecPO step on an accelerator: Reckon, Reckon unshared and TRL's GRPOTrainer take turns, model after model.

Entry point: `StepSides.measure`. Each side is a process that stays for all models, so its peak memory is its own and
its imports cost once. Only one side works at a time. What the sides have in common: benchmarks/step_sides.py.
"""

import time
import traceback
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

from gpu_roofline import share, update_flops
from gpu_worker import DONE, answer, failure, free_memory
from measure import start

PHASES = ("rollout", "reward", "update", "total")
WARM_UP = 2  # steps that are not counted: they allocate AdamW's moments and fill allocator caches
GIB = 1 << 30


class _Stopped(Exception):
    """No further step is wanted."""


def work(connection: Connection, side: str) -> None:
    """One side: for every shape that comes in a `ready`, the seconds of a step per `go`, its memory at `stop`."""
    while True:
        sizes, quick, steps = connection.recv()
        try:
            found = _train(connection, side, sizes, quick, steps)
        except Exception as error:
            traceback.print_exc()
            found = {"status": failure(error)}
        free_memory()
        connection.send(found)


def _train(connection: Connection, side: str, sizes: dict[str, Any], quick: bool, steps: int) -> dict[str, Any]:
    """Steps until told to stop; returns the peak memory."""
    import torch
    from step_sides import run_side, shape_of

    shape = shape_of(sizes, quick)
    on_gpu = shape.device == "cuda"
    memory: dict[str, float | None] = {"weights_gib": None, "peak_gib": None}

    def ready() -> None:
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
            memory["weights_gib"] = round(torch.cuda.memory_allocated() / GIB, 3)
        connection.send({"status": "ready", "shape": asdict(shape)})

    def before() -> None:
        if connection.recv() == "stop":
            raise _Stopped

    def after(seconds: dict[str, float]) -> None:
        connection.send({"status": "step", **seconds})

    with suppress(_Stopped):
        run_side(side, shape, steps + 1, ready=ready, before=before, after=after)  # never at its end before `stop`
    if on_gpu:
        memory["peak_gib"] = round(torch.cuda.max_memory_allocated() / GIB, 3)
    return {"status": DONE, "memory": memory}


class StepSides:
    """All sides, started at once; a side whose process is gone is left out from then on."""

    def __init__(self, sides: list[str]) -> None:
        self._sides = {side: start(work, side) for side in sides}
        self._lost: dict[str, str] = {}

    def measure(
        self, sizes: dict[str, Any], quick: bool, steps: int, seconds: float, hard: float, ceilings: dict[str, Any]
    ) -> dict[str, Any]:
        """Steps of every side in turns.

        Args:
            sizes: of the model and the step; `quick` makes them tiny.
            quick: see there.
            steps: measured steps of each side.
            seconds: after these no further turn begins, once one was measured.
            hard: a side that is silent after these is killed.
            ceilings: of the machine, for the share that the update reaches; empty where they were not measured.
        """
        begun = time.monotonic()
        for _, connection in self._sides.values():
            connection.send((sizes, quick, WARM_UP + steps))
        found = {side: {"status": status} for side, status in self._lost.items()}
        spent: dict[str, list[dict[str, float]]] = {}
        for side in list(self._sides):
            one = self._answer(side, hard, begun)
            if one["status"] == "ready":
                spent[side], shape = [], one["shape"]
            else:
                found[side] = one
        for turn in range(WARM_UP + steps):
            started = time.monotonic()
            order = list(spent)
            first = turn % max(1, len(order))
            for side in order[first:] + order[:first]:  # nobody is always first
                self._sides[side][1].send("go")
                one = self._answer(side, hard, begun)
                if one["status"] == "step":
                    spent[side].append(one)
                else:
                    found[side] = one
                    del spent[side]
            now = time.monotonic()
            if turn >= WARM_UP and now - begun + (now - started) > min(seconds, hard):
                break
        for side, steps_of_side in spent.items():
            self._sides[side][1].send("stop")
            found[side] = self._answer(side, hard, begun) | _summary(side, shape, steps_of_side[WARM_UP:], ceilings)
        if not spent:
            return {"status": "failed: no side ran", "sides": found}
        return {"status": DONE, "shape": shape, "sides": found, "ratios": _ratios(found)}

    def _answer(self, side: str, hard: float, begun: float) -> dict[str, Any]:
        process, connection = self._sides[side]
        one = answer(process, connection, hard - (time.monotonic() - begun))
        if not process.is_alive():
            self._lost[side] = one["status"]
            del self._sides[side]
        return one

    def close(self) -> None:
        """End all processes; what they hold on the device is free again."""
        for process, connection in self._sides.values():
            process.kill()
            process.join()
            connection.close()
        self._sides = {}


def _summary(
    side: str, shape: dict[str, Any], steps: list[dict[str, float]], ceilings: dict[str, Any]
) -> dict[str, Any]:
    """Medians and minima of one side, tokens per second, and the share of the machine's matrix product."""
    seconds = {
        phase: {"median": median(step[phase] for step in steps), "min": min(step[phase] for step in steps),
                "all": [round(step[phase], 5) for step in steps]}
        for phase in PHASES
    }  # fmt: skip
    total, sampled = seconds["total"]["median"], shape["prompts"] * shape["group"] * shape["reply_tokens"]
    flops = update_flops(shape, shared=side == "reckon")
    found = {
        "steps": len(steps),
        "seconds": seconds,
        "share": {phase: round(seconds[phase]["median"] / total, 3) for phase in PHASES[:-1]},
        "sampled_tokens_per_second": round(sampled / total, 1),
        "sampled_tokens_per_second_of_rollout": round(sampled / seconds["rollout"]["median"], 1),
        "update_flops": flops,
    }
    if ceilings:
        best = ceilings["flops_per_second"]["best"]
        found["update_share_of_product"] = share(flops, seconds["update"]["median"], best)
    return found


def _ratios(sides: dict[str, Any]) -> dict[str, dict[str, float]]:
    """How many times longer each other side takes, and how much more memory, than Reckon."""
    ours = sides.get("reckon", {})
    if "seconds" not in ours:
        return {}
    found = {}
    for side, theirs in sides.items():
        if side == "reckon" or "seconds" not in theirs:
            continue
        found[side] = {
            f"{phase}_{kind}": round(theirs["seconds"][phase][kind] / ours["seconds"][phase][kind], 2)
            for phase in ("rollout", "update", "total") for kind in ("median", "min")
        }  # fmt: skip
        peaks = [one.get("memory", {}).get("peak_gib") for one in (theirs, ours)]
        if all(peaks):
            found[side]["peak_memory"] = round(peaks[0] / peaks[1], 2)
    return found
