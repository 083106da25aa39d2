"""A resume goes on from the newest checkpoint whose files are as they were written, and says which are not."""

import json

import pytest
from safetensors.torch import save_file

from reckon.checksums import CHECKSUMS_FILE, write_checksums
from reckon.errors import CheckpointError
from reckon.training.checkpoints import checkpoint_to_resume, last_checkpoint


@pytest.fixture
def run(tmp_path):
    for step in (2, 10):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        save_file({}, folder / "model.safetensors")
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": step, "log_history": []}))
        write_checksums(folder)
    return tmp_path


def cut(file):
    file.write_bytes(file.read_bytes()[:-1])


def test_the_newest_whole_checkpoint_is_taken(run):
    assert checkpoint_to_resume(run) == last_checkpoint(run) == run / "checkpoint-10"
    assert checkpoint_to_resume(run / "checkpoint-2") is None


@pytest.mark.parametrize("name", ["model.safetensors", "trainer_state.json", CHECKSUMS_FILE])
def test_a_damaged_one_is_set_aside_and_named(run, name, caplog):
    cut(run / "checkpoint-10" / name)
    assert checkpoint_to_resume(run) == run / "checkpoint-2"
    assert f"({name} is damaged" in caplog.text and "going on from checkpoint-2" in caplog.text
    assert last_checkpoint(run) == run / "checkpoint-2" and (run / "damaged-checkpoint-10").is_dir()


@pytest.mark.parametrize("name", ["model.safetensors", "trainer_state.json"])
def test_one_without_checksums_is_looked_at_as_well_as_can_be(run, name):
    (run / "checkpoint-10" / CHECKSUMS_FILE).unlink()
    cut(run / "checkpoint-10" / name)
    assert checkpoint_to_resume(run) == run / "checkpoint-2"


def test_nothing_is_moved_where_all_are_damaged(run):
    for step in (2, 10):
        cut(run / f"checkpoint-{step}" / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"checkpoint-10: is damaged.*no whole checkpoint"):
        checkpoint_to_resume(run)
    assert last_checkpoint(run) == run / "checkpoint-10"
