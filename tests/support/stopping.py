"""Ways to stop a training run: in the middle of a step by a kill or Ctrl-C, and a process that kills itself."""

import os
import signal
import tempfile
import threading
from pathlib import Path

from transformers import TrainerCallback

from reckon.comparison.workers import end_with_parent
from reckon.files import write_text
from support.processes import run_source


class At(TrainerCallback):
    """Do something while one step is being taken: its gradients are there, its update is not."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        if state.global_step + 1 == self.step:
            self.action(model)


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def kill(*_, **__):
    raise Killed


def interrupt(_):
    os.kill(os.getpid(), signal.SIGINT)


def run_until_killed(script, *arguments):
    """Run Python source that ends in a SIGKILL of its own process."""
    with tempfile.NamedTemporaryFile() as errors:
        code = run_source(script, *arguments, errors=errors.name)
        assert code == -signal.SIGKILL, Path(errors.name).read_text()


def wait_for_ever(started):
    """The body of a worker that never ends by itself; a file holds its process number once it has begun."""
    end_with_parent()
    write_text(started, str(os.getpid()))
    threading.Event().wait()
