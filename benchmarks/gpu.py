"""Everything that needs a GPU, in one call of bounded length: is the shared prefix right there, and what does it cost?

Run it:  python benchmarks/gpu.py [--budget SECONDS] [--json FILE] [--parts ...] [--models ...] [--sides ...] [--quick]
         python benchmarks/gpu.py --parts training --backbone DIR --data DIR --out DIR [--set KEY=VALUE ...]

In order of importance; a part that no longer fits into the budget is skipped and says so, and the JSON is written after
every part.

1. correctness: hidden states, gradients and log-probabilities of the shared prefix, float32 and bfloat16.
2. ceilings: the machine's own bfloat16 matrix product and memory copy, which all shares of the roofline refer to.
3. step: the RecPO step (4 prompts x 320 tokens x 8 replies x 64 tokens) at the shapes of SmolLM2-135M, Qwen2.5-0.5B and
   Qwen2.5-3B, random weights, bfloat16, LoRA of rank 4, gradient checkpointing: Reckon, Reckon unshared, TRL.
   Reckon's sides rank a target among 20,000 items as reward; TRL's reward costs nothing.
4. decode: tokens per second of 1, 32 and 128 greedy replies beside transformers' `generate`.
5. ranking: users per second over a catalog of 20,000 items, items per second of encoding.
6. compiled: decoding once more beside `generate` with a compiled static cache.
7. training: R2ec on the language model `--backbone` and the data set `--data`, with and without reasoning, for as long
   as the budget allows, evaluated on the test rows; only where both are named.

Without an accelerator it says so and measures nothing; `--quick` runs every part at tiny sizes on whatever is there.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpu_step import StepSides
from gpu_tables import render
from gpu_training import train_arms
from gpu_worker import DONE, SKIPPED, Budget, Worker, failure
from measure import environment, installed, write_json

SIDES = ("reckon", "unshared", "trl")
DECODERS = ["reckon", "dynamic", "static"]
PARTS = ("correctness", "ceilings", "step", "decode", "ranking", "compiled", "training")
SMALL: dict[str, Any] = dict(vocab=4096, width=256, intermediate=768, layers=4, heads=4, kv_heads=2)
MODELS: dict[str, dict[str, Any]] = {
    "135M": dict(vocab=49_152, width=576, intermediate=1536, layers=30, heads=9, kv_heads=3),
    "0.5B": dict(vocab=151_936, width=896, intermediate=4864, layers=24, heads=14, kv_heads=2),
    "3B": dict(vocab=151_936, width=2048, intermediate=11_008, layers=36, heads=16, kv_heads=2),
}
TRAINED: dict[str, Any] = dict(dtype="bfloat16", lora_rank=4, checkpointing=True, catalog=20_000)
REPLIES = {1: (1, 1), 32: (4, 8), 128: (16, 8)}  # replies: prompts and replies per prompt
DECODED = ("135M", "3B")  # the models that are decoded
RANKED = "135M"
BATCHES_OF_USERS = [64, 256]
STEP_SECONDS = {"135M": 70, "0.5B": 70, "3B": 100}  # after these no further turn of the sides begins
# A part begins only if so many seconds are left: it takes about as long on an H100.
NEEDS = {"correctness": 20, "ceilings": 10, "step": 60, "decode": 20, "ranking": 30, "compiled": 100,
         "training": 120}  # fmt: skip


class Run:
    """The parts that were measured so far, on the way to the JSON file."""

    def __init__(self, options: argparse.Namespace, budget: Budget) -> None:
        self.options, self.budget, self.worker = options, budget, Worker()
        self.result: dict[str, Any] = {
            "benchmark": "gpu", "command": command(), **environment(), "accelerator": None, "quick": options.quick,
            "budget_seconds": options.budget, "parts": {},
        }  # fmt: skip
        self.device = "cpu"

    @property
    def shapes(self) -> int | None:
        """How many of several models to measure: made tiny, all are the same."""
        return 1 if self.options.quick else None

    @property
    def ceilings(self) -> dict[str, Any]:
        """Of this machine; empty where they were not measured."""
        found = self.result["parts"].get("ceilings", {})
        return found if found.get("status") == DONE else {}

    def find_accelerator(self) -> dict[str, Any]:
        found = self.worker.call("gpu_roofline", "accelerator", max(self.budget.left(), 60))
        self.result["accelerator"] = found.get("accelerator")
        self.device = "cuda" if found.get("accelerator") else "cpu"
        return found

    def part(self, name: str, measured: Callable[[float], dict[str, Any]]) -> None:
        """One part, if it fits into what is left; `measured` gets those seconds."""
        kind, left = name.split()[0], self.budget.left()
        if kind not in self.options.parts:
            return
        started = time.monotonic()
        needed = 0 if self.options.quick else NEEDS[kind]
        if left < needed or not left:
            found = {"status": SKIPPED, "left": round(left, 1), "needed": needed}
        else:
            try:
                found = measured(left)
            except (OSError, EOFError) as error:  # a process is gone; the parts after this one have others
                found = {"status": failure(error)}
        found["part_seconds"] = round(time.monotonic() - started, 1)
        self.result["parts"][name] = found
        print(f"{name}: {found['status']} ({found['part_seconds']} s, {self.budget.left():.0f} s left)", flush=True)
        if self.options.json:
            write_json(self.options.json, self.result)

    def alone(self, name: str, module: str, function: str, **arguments: Any) -> None:
        """A part that is one function in the worker's process."""
        self.part(name, lambda left: self.worker.call(module, function, left, quick=self.options.quick, **arguments))

    def correctness(self) -> None:
        models = {"4M": SMALL, "135M": MODELS["135M"]}
        for model, sizes in list(models.items())[: self.shapes]:
            for dtype in ("float32", "bfloat16"):
                sized = sizes | {"dtype": dtype, "device": self.device}
                self.alone(f"correctness {model} {dtype}", "gpu_correctness", "check", sizes=sized)

    def steps(self) -> None:
        sides = StepSides(
            self.options.sides if "step" in self.options.parts else []
        )  # they import while correctness is checked
        try:
            self.correctness()
            self.alone("ceilings", "gpu_roofline", "ceilings", device=self.device)
            for model in self.options.models:
                sizes = MODELS[model] | TRAINED | {"device": self.device}
                steps = 1 if self.options.quick else self.options.steps
                self.part(
                    f"step {model}",
                    lambda left, sizes=sizes, steps=steps, limit=STEP_SECONDS[model]: sides.measure(
                        sizes, self.options.quick, steps, limit, left, self.ceilings
                    ),
                )
        finally:
            sides.close()

    def decoding(self) -> None:
        for model in DECODED[: self.shapes]:
            for replies in REPLIES:
                self._decode(f"decode {model} x{replies}", model, replies, DECODERS)

    def ranking(self) -> None:
        sizes = MODELS[RANKED] | {"dtype": "bfloat16", "catalog": 20_000, "device": self.device}
        batches = [2] if self.options.quick else BATCHES_OF_USERS
        self.alone("ranking", "gpu_ranking", "rank", sizes=sizes, batch_sizes=batches, ceilings=self.ceilings)

    def compiled(self) -> None:
        self._decode("compiled 135M x32", "135M", 32, ["reckon", "compiled"])

    def training(self) -> None:
        options = self.options
        if not (options.backbone and options.data and options.out):
            return
        self.part(
            "training",
            lambda left: train_arms(options.backbone, options.data, options.out, left, options.set, options.quick),
        )

    def _decode(self, name: str, model: str, replies: int, sides: list[str]) -> None:
        prompts, group = REPLIES[replies]
        sizes = MODELS[model] | dict(dtype="bfloat16", prompts=prompts, group=group, device=self.device)
        self.alone(name, "gpu_decode", "decode", sizes=sizes, sides=sides, ceilings=self.ceilings)


def command() -> str:
    """The command line, with the names of files and folders alone."""
    words = sys.argv[1:]
    for option in ("--json", "--backbone", "--data", "--out"):
        if option in words[:-1]:
            place = words.index(option) + 1
            words = [*words[:place], Path(words[place]).name, *words[place + 1 :]]
    return " ".join(["python benchmarks/gpu.py", *words])


def arguments() -> argparse.Namespace:
    present = [side for side in SIDES if side != "trl" or installed("trl")]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=480, help="seconds of wall time for everything")
    parser.add_argument("--json", type=Path, help="write the result here, after every part")
    parser.add_argument("--steps", type=int, default=7, help="measured steps of each side")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS), help="shapes of the step")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=present, help="of the step")
    parser.add_argument("--backbone", type=Path, help="training: folder of a language model")
    parser.add_argument("--data", type=Path, help="training: folder of a prepared data set")
    parser.add_argument("--out", type=Path, help="training: an empty folder for the runs")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="training: a setting of the arms"
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, on the CPU too: does it run at all?")
    options = parser.parse_args()
    where = [options.backbone, options.data, options.out]
    if any(where) != all(where) or (options.parts == ["training"] and not all(where)):
        parser.error("training needs --backbone, --data and --out")
    return options


def main() -> int:
    options = arguments()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # inherited by all processes, as is the next
    if options.quick:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads that wait for each other cost more than tiny products
    run = Run(options, Budget(options.budget))  # from here on: nothing large is imported before
    try:
        found = run.find_accelerator()
        if found["status"] != DONE:
            print(f"torch does not work here: {found['status']}")
            return 1
        if run.device == "cpu" and not options.quick:
            print(
                "No accelerator is present: nothing was measured. `--quick` runs every part at tiny sizes on the CPU."
            )
            return 1
        run.steps()
        run.decoding()
        run.ranking()
        run.compiled()
        run.training()
    finally:
        run.worker.close()
    print(render(run.result))
    if run.device == "cpu":
        print("No accelerator is present: these tiny CPU numbers only show that the script runs.")
    parts = run.result["parts"].values()
    return int(any(part["status"].startswith("failed") or part.get("passed") is False for part in parts))


if __name__ == "__main__":
    raise SystemExit(main())
