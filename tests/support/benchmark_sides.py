"""Benchmarks run in the test's own process; their sides are forked from one process that has imported what they need.

A fresh interpreter per side would import PyTorch and transformers each time, which takes longer than the sides.
"""

import importlib
import json
import sys
from pathlib import Path

from support.processes import server

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def start(function, *arguments):
    """As `measure.start`, from the fork server."""
    context = server()
    ours, theirs = context.Pipe()
    process = context.Process(target=function, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def in_this_process(monkeypatch, tmp_path, capsys):
    """Function of a script's name and options: the JSON that it wrote and the text that it printed."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    for name in ("measure", "gpu_worker", "gpu_step", "gpu_training", "recpo_step", "evaluate", "nearline"):
        monkeypatch.setattr(importlib.import_module(name), "start", start)

    def run(script, *options):
        out = tmp_path / f"{script}.json"
        monkeypatch.setattr(sys, "argv", [f"{script}.py", "--quick", "--json", str(out), *options])
        monkeypatch.chdir(tmp_path)
        assert not importlib.import_module(script).main()
        return json.loads(out.read_text(encoding="utf-8")), capsys.readouterr().out

    yield run
    for name in set(sys.modules) - before:
        if BENCHMARKS in Path(getattr(sys.modules[name], "__file__", None) or "").parents:
            del sys.modules[name]
