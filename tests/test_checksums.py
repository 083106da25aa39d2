"""Checksums of a folder: a changed, missing or added file is refused, and `checking(False)` lets it pass."""

import logging

import pytest

from reckon.checksums import CHECKSUMS_FILE, add_checksums, check_files, check_newest, checking, checksummed
from reckon.errors import CheckpointError


@pytest.fixture
def folder(tmp_path):
    with checksummed(tmp_path / "run") as names:
        (tmp_path / "run" / "weights.safetensors").write_bytes(b"weights")
        (tmp_path / "run" / "log.txt").write_bytes(b"grows")
        names.add("weights.safetensors")
    return tmp_path / "run"


def test_files_as_they_were_written_pass_and_others_are_not_looked_at(folder):
    (folder / "log.txt").write_bytes(b"has grown")
    check_files(folder)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda file: file.write_bytes(b"weighty"), "checksum is another"),
        (lambda file: file.unlink(), "is missing"),
        (lambda file: (file.unlink(), file.mkdir()), "is a folder"),
        (lambda file: file.with_name(CHECKSUMS_FILE).write_text("{}"), "it has no files"),
        (lambda file: file.with_name("adapter_config.json").write_text("{}"), "was added"),
    ],
)
def test_a_damaged_folder_is_refused_unless_nobody_asks(folder, damage, problem):
    damage(folder / "weights.safetensors")
    with pytest.raises(CheckpointError, match=f"{problem}.*--no-verify"):
        check_files(folder, closed=True)
    with checking(False), checking(True):
        check_files(folder, closed=True)


def test_added_checksums_stand_beside_those_before(folder):
    add_checksums(folder, ["log.txt"])
    (folder / "weights.safetensors").write_bytes(b"other")
    with pytest.raises(CheckpointError, match="weights"):
        check_files(folder)


def test_the_newest_of_a_growing_folder_is_checked(tmp_path):
    with checksummed(tmp_path):
        for number in range(3):
            (tmp_path / f"part-{number}").write_bytes(b"rows")
    check_newest(tmp_path, ["part-1", "part-2"])
    (tmp_path / "part-3").write_bytes(b"later rows")
    check_newest(tmp_path, ["part-3"])
    (tmp_path / "part-3").unlink()
    (tmp_path / "part-2").unlink()
    with pytest.raises(CheckpointError, match="part-2: is missing"):
        check_newest(tmp_path, [])


def test_a_folder_without_checksums_is_told_once_or_refused(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        check_files(tmp_path)
        check_files(tmp_path)
    assert len(caplog.records) == 1 and CHECKSUMS_FILE in caplog.text
    with pytest.raises(CheckpointError, match="is missing"):
        check_files(tmp_path, required=True)
