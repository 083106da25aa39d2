"""What a training run leaves behind, read back: log, trajectories and weights, and whether two runs are the same."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file

from reckon.training.checkpoints import last_checkpoint

# What every step of an optimiser logs, and every step of a policy.
STEP_KEYS = {"loss", "grad_norm", "learning_rate"}
POLICY_KEYS = STEP_KEYS | {
    "reward/mean",
    "reward/std",
    "advantage/zero_groups",
    "reply/length",
    "reply/truncated",
    "entropy",
    "clip_share",
    "logprob_gap",
    "ratio/mean",
    "time/rollout",
    "time/reward",
    "time/update",
}


def log(path):
    """Logged entries without the run's summary and without times."""
    entries = json.loads((path / "log.json").read_text())
    return [
        {name: value for name, value in entry.items() if not name.startswith("time/")}
        for entry in entries
        if "train_runtime" not in entry
    ]


def steps(path):
    return [entry for entry in log(path) if "loss" in entry]


def trajectories(path):
    """One table of all parts; None where the run wrote none."""
    parts = [pq.read_table(part) for part in sorted((path / "trajectories").glob("part-*.parquet"))]
    return pa.concat_tables(parts) if parts else None


def rows(path):
    """Trajectories as lists by column: a NaN equals a NaN."""
    table = trajectories(path)
    columns = {} if table is None else table.to_pydict()
    return {name: [repr(value) for value in column] for name, column in columns.items()}


def weights(module):
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def tensors(path):
    """Everything a run leaves behind that must not depend on how often it was stopped."""
    files = {str(file.relative_to(path)): load_file(file) for file in sorted(path.rglob("*.safetensors"))}
    last = last_checkpoint(path)
    assert last is not None and files
    state = [torch.load(last / f"{name}.pt", weights_only=True) for name in ("optimizer", "scheduler")]
    return files, *state


def equal(left, right):
    """Bitwise equality of nested containers of tensors."""
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(equal, left, right))
    return left == right


def assert_same_run(left, right):
    assert log(left) == log(right)
    assert equal(tensors(left), tensors(right))
    schemas = [getattr(trajectories(path), "schema", None) for path in (left, right)]
    assert schemas[0] == schemas[1]
    assert rows(left) == rows(right), "the order of the rows, their replies and their rewards"


def whole_runs(train, tmp_path_factory):
    """A function from settings to the directory of a run with them that nothing stopped; each is trained once.

    `train(path, out, **settings)` trains into `path / out`.
    """
    made = {}

    def run(**changes):
        if (key := repr(changes)) not in made:
            path = tmp_path_factory.mktemp("whole")
            train(path, "run", **changes)
            made[key] = path / "run"
        return made[key]

    return run
