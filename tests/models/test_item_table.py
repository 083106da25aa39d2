"""The item table: rows follow item ids, whatever is added, removed, saved or damaged."""

import json
import os

import pytest
import torch
from safetensors.torch import save_file

from reckon.errors import CheckpointError, DataError, ShapeError
from reckon.models.item_table import ItemTable, catalog_hash


def table():
    return ItemTable(["a", "b", "c"], torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]))


def vector(found, item_id):
    return found.vectors[found.row(item_id)].tolist()


def test_a_new_item_is_appended_and_the_others_keep_their_rows():
    found = table()
    found.put(["d"], torch.tensor([[9.0, 9.0]]))
    assert found.item_ids == ["a", "b", "c", "d"] and "d" in found
    assert vector(found, "d") == [9.0, 9.0] and vector(found, "b") == [0.0, 1.0]


def test_known_and_new_items_may_be_put_together():
    found = table()
    found.put(["d", "b", "e"], torch.tensor([[4.0, 4.0], [2.0, 2.0], [5.0, 5.0]]))
    assert found.item_ids == ["a", "b", "c", "d", "e"]
    assert [vector(found, item)[0] for item in "abcde"] == pytest.approx([1.0, 2.0, 0.6, 4.0, 5.0])


def test_put_does_not_write_into_the_tensor_the_table_was_made_from():
    given = torch.zeros(1, 2)
    ItemTable(["a"], given).put(["a"], torch.ones(1, 2))
    assert given.eq(0).all()


def test_removing_keeps_the_order_of_the_others():
    found = table()
    found.remove(["a"])
    assert found.item_ids == ["b", "c"] and "a" not in found and len(found) == 2
    assert vector(found, "c") == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.remove(["z"]),
        lambda found: found.row("z"),
        lambda found: found.put(["d", "d"], torch.zeros(2, 2)),
        lambda found: ItemTable(["a", "a"], torch.zeros(2, 2)),
    ],
    ids=["remove unknown", "row unknown", "put twice", "made twice"],
)
def test_unknown_and_repeated_ids_are_refused_and_nothing_changes(change):
    found = table()
    with pytest.raises(DataError):
        change(found)
    assert found.item_ids == ["a", "b", "c"] and len(found.vectors) == 3


@pytest.mark.parametrize("shape", [(2, 2), (1, 3), (2,)])
def test_vectors_of_another_shape_are_refused(shape):
    with pytest.raises(ShapeError):
        table().put(["d"], torch.zeros(shape))


def test_save_and_load_agree(tmp_path):
    table().save(tmp_path / "t.safetensors")
    for catalog in (None, ["a", "b", "c"]):
        loaded = ItemTable.load(tmp_path / "t.safetensors", catalog)
        assert loaded.item_ids == ["a", "b", "c"] and torch.equal(loaded.vectors, table().vectors)


@pytest.mark.parametrize(
    "catalog", [["a", "b"], ["a", "b", "d"], ["b", "a", "c"], ["a", "b", "c", "d"], ["ab", "", "c"]], ids=str
)
def test_a_table_of_another_catalog_is_refused(catalog, tmp_path):
    table().save(tmp_path / "t.safetensors")
    with pytest.raises(CheckpointError, match="another catalog"):
        ItemTable.load(tmp_path / "t.safetensors", catalog)


def test_the_catalog_hash_knows_where_an_id_ends():
    assert catalog_hash(["ab", "c"]) != catalog_hash(["a", "bc"])


def damaged(path, how):
    table().save(path)
    if how == "cut off":
        path.write_bytes(path.read_bytes()[:-5])
    elif how == "text":
        path.write_text("not a table")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "no ids":
        save_file({"vectors": torch.zeros(3, 2)}, path)
    elif how == "no hash":
        save_file({"vectors": torch.zeros(3, 2)}, path, metadata={"item_ids": json.dumps(["a", "b", "c"])})
    elif how == "no vectors":
        save_file({"other": torch.zeros(3, 2)}, path, metadata={"item_ids": "[]", "catalog_hash": catalog_hash([])})


@pytest.mark.parametrize("how", ["cut off", "text", "empty", "no ids", "no hash", "no vectors"])
def test_a_damaged_file_is_a_checkpoint_error(how, tmp_path):
    damaged(tmp_path / "t.safetensors", how)
    with pytest.raises(CheckpointError, match=r"t\.safetensors"):
        ItemTable.load(tmp_path / "t.safetensors", ["a", "b", "c"])


def test_a_missing_file_is_a_checkpoint_error(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        ItemTable.load(tmp_path / "t.safetensors")


def test_a_save_that_fails_leaves_the_previous_table(tmp_path, monkeypatch):
    path = tmp_path / "t.safetensors"
    table().save(path)
    changed = table()
    changed.put(["d"], torch.zeros(1, 2))

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        changed.save(path)
    assert ItemTable.load(path).item_ids == ["a", "b", "c"]


def test_a_table_whose_ids_outgrow_a_file_header_is_stored(tmp_path):
    """The header of a safetensors file ends at 100 MB; here 1.1 MB ids stand for millions of short ones."""
    ids = [f"{number}é" + "x" * 1_100_000 for number in range(100)]
    ItemTable(ids, torch.zeros(100, 2)).save(tmp_path / "t.safetensors")
    assert ItemTable.load(tmp_path / "t.safetensors").item_ids == ids


def test_a_file_with_its_ids_in_the_header_still_loads(tmp_path):
    metadata = {"item_ids": json.dumps(["a", "b", "c"]), "catalog_hash": catalog_hash(["a", "b", "c"])}
    save_file({"vectors": table().vectors}, tmp_path / "t.safetensors", metadata=metadata)
    assert ItemTable.load(tmp_path / "t.safetensors", ["a", "b", "c"]).item_ids == ["a", "b", "c"]
