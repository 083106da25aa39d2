"""Real processes that start at once: forked from a server that has imported PyTorch, transformers and Reckon.

A fresh interpreter imports them for seconds. The server is the one that comparisons fork their workers from.
"""

import multiprocessing
import os
import sys
import traceback

PRELOADED = [
    "reckon.comparison.workers",
    "reckon.methods.r2ec",
    "reckon.methods.recone.stages",
    "reckon.methods.rporec",
    "reckon.small_backbone.pretrain",
    "support.stopping",
    "trl",
    "trl.trainer.sft_trainer",
]


def server():
    """The context of the server; its imports are those of the first caller."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def run_source(source, *arguments, errors):
    """Run Python source as a process of its own; returns its exit code, negative for a signal.

    Args:
        source: what `python -c` would run.
        arguments: `sys.argv[1:]` there.
        errors: file that receives its standard error.
    """
    process = server().Process(target=_execute, args=(source, [str(one) for one in arguments], str(errors)))
    process.start()
    process.join(timeout=300)
    assert process.exitcode is not None, "still runs after 300 seconds"
    return process.exitcode


def _execute(source, arguments, errors):
    file = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = ["-c", *arguments]
    try:
        exec(compile(source, "<test>", "exec"), {"__name__": "__test__"})
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
