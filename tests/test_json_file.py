"""JSON of a known shape: what is missing, damaged, nested too deeply or of another shape is named in one line."""

import pytest

from reckon.errors import CheckpointError, DataError
from reckon.json_file import Each, Maybe, read_json

SHAPE = {"name": str, "counts": Each(int), "steps": [{"loss": float}], "split": Maybe((str, None))}
SOUND = '{"name": "a", "counts": {"x": 1}, "steps": [{"loss": 1, "more": []}], "extra": true}'


def test_a_sound_file_is_read(tmp_path):
    (tmp_path / "a.json").write_text(SOUND)
    assert read_json(tmp_path / "a.json", SHAPE)["steps"][0]["loss"] == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no JSON"),
        ("[]", "it must be an object, and is a list"),
        (SOUND.replace('"a"', "true"), "name must be text, and is true or false"),
        (SOUND.replace('"x": 1', '"x": 1.5'), "counts.x must be a whole number"),
        (SOUND.replace('"loss": 1', '"loss": null'), r"steps\[0\].loss must be a number, and is null"),
        (SOUND.replace('"name"', '"nome"'), "it has no name"),
        (SOUND.replace("true", '0, "split": 3'), "split must be text"),
        (SOUND.replace("true", "[" * 100_000), "nested too deeply"),
        (SOUND.replace("true", "[" * 60 + "]" * 60), "nested too deeply"),
        (SOUND.replace("true", "9" * 5000), "no JSON"),
    ],
)
def test_another_shape_is_refused_and_named(tmp_path, text, problem):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(CheckpointError, match=problem) as refused:
        read_json(tmp_path / "a.json", SHAPE)
    assert "a.json" in str(refused.value) and len(str(refused.value)) < 300


def test_bytes_that_are_no_text_and_a_missing_file_are_refused(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="no JSON"):
        read_json(tmp_path / "a.json", dict, error=DataError)
    with pytest.raises(CheckpointError, match="is missing"):
        read_json(tmp_path / "b.json", dict)
