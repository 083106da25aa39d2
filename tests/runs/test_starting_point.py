"""Where a run may start: in an empty folder, in one that holds an unfinished run, or at a checkpoint."""

import pytest

from reckon.checksums import checksummed
from reckon.errors import CheckpointError
from reckon.runs.write import starting_point

IDENTITY = {"data": "d"}


def parts(run):
    return sorted(path.name for path in (run / "trajectories").iterdir())


def write_parts(run, *steps):
    (run / "trajectories").mkdir(parents=True, exist_ok=True)
    for step in steps:
        (run / "trajectories" / f"part-{step:07d}.parquet").write_bytes(b"")


def test_a_run_that_was_killed_while_it_was_written_begins_anew(tmp_path):
    starting_point(tmp_path, False, IDENTITY)
    (tmp_path / "rechead.safetensors").write_bytes(b"half")
    write_parts(tmp_path, 3)
    assert starting_point(tmp_path, False, IDENTITY) is None
    assert parts(tmp_path) == []


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "rechead.safetensors").write_bytes(b"mine")
    with pytest.raises(CheckpointError, match=r"not a run's \(rechead\.safetensors\)"):
        starting_point(tmp_path, False, IDENTITY)


def test_trajectories_behind_the_checkpoint_are_written_again(tmp_path):
    starting_point(tmp_path, False, IDENTITY)
    write_parts(tmp_path, 2, 4, 5)
    with checksummed(tmp_path / "checkpoint-4"):
        pass
    assert starting_point(tmp_path, True, IDENTITY) == tmp_path / "checkpoint-4"
    assert parts(tmp_path) == ["part-0000002.parquet", "part-0000004.parquet"]
