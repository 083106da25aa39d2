import re
from pathlib import Path

import pytest

from reckon.errors import DataError
from reckon.files import check_target, new_directory, whole_file, write_text

SOURCES = Path(__file__).parents[1] / "src" / "reckon"


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = write_text(tmp_path / "a.txt", "old")
    with pytest.raises(ZeroDivisionError), whole_file(path) as part:
        part.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old" and [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_whole_file_takes_the_place_of_the_old_one_and_can_be_read_by_others(tmp_path):
    path = write_text(tmp_path / "sub" / "a.txt", "old")
    with whole_file(path) as part:
        part.write_bytes(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and path.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in path.parent.iterdir()] == ["a.txt"]


def test_a_directory_that_fails_leaves_neither_itself_nor_its_parents(tmp_path):
    with pytest.raises(ZeroDivisionError), new_directory(tmp_path / "new" / "out") as folder:
        (folder / "half").write_text("half")
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_a_directory_that_is_no_dataset_is_not_overwritten(tmp_path):
    write_text(tmp_path / "out" / "letter.txt", "dear")
    with pytest.raises(DataError, match="not a dataset directory"), new_directory(tmp_path / "out", overwrite=True):
        pass
    assert (tmp_path / "out" / "letter.txt").read_text() == "dear"


def test_files_are_made_whole_by_one_function():
    by_hand = re.compile(r"\.part[\"']|f\"\.part|\"part(ial)?\"\)")
    found = {path.relative_to(SOURCES).as_posix() for path in SOURCES.rglob("*.py") if by_hand.search(path.read_text())}
    # A download's part outlives its call, so that the next call goes on with it.
    assert found == {"files.py", "data/prepare/download.py"}


def test_a_target_below_a_file_is_refused_before_anything_is_done(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="file: is no directory"):
        check_target(tmp_path / "file" / "deep" / "out", overwrite=False)
