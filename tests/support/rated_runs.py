"""Short runs of RecZero on the rated shelf: what the tests of its training and of its rewards train."""

import torch

from reckon.methods.reczero import RecZero
from reckon.methods.reczero.trainer import fit
from support import rated_shelf
from support.run_files import log

STEPS, GROUP = 6, 3


def settings(arm="full", seed=0, **changes):
    """Settings of STEPS steps with a validation after every second."""
    return rated_shelf.settings(arm, seed, **{"max_steps": STEPS, "eval_steps": 2, "batch_size": 8} | changes)


def train(data, folder, out, *callbacks, resume=False, **changes):
    """Train a fresh predictor from a backbone's folder, the same start every time, into `out`."""
    torch.manual_seed(0)  # adapters start at random
    model = RecZero.from_backbone(folder, data, settings(**changes))
    fit(model, data, out, resume=resume, progress=False, callbacks=callbacks)
    return model


def validations(path):
    """Logged validations by step."""
    return {entry["step"]: entry for entry in log(path) if "eval_mae" in entry}
