"""Rows of untrained weights are encoded once, and only for the same weights and texts."""

import os

import pytest
import torch
from support.tiny import backbone

from reckon.models import item_cache
from reckon.models.item_cache import MOST, cached_rows
from reckon.models.rec_head import encode_items

PROMPTS = [[5, 6, 7], [8, 9], [10, 11, 12, 13]]


@pytest.fixture
def rows_of(monkeypatch, tmp_path):
    """Function of a backbone and prompts: the rows, and whether they had to be encoded."""
    monkeypatch.setattr(item_cache, "WORTH", 0)
    monkeypatch.setenv("RECKON_CACHE", str(tmp_path / "cache"))

    def rows(bone, prompts=PROMPTS):
        calls = []
        found = cached_rows(bone, prompts, lambda: calls.append(1) or encode_items(bone, prompts))
        torch.testing.assert_close(found, encode_items(bone, prompts))
        return found, bool(calls)

    return rows


def test_the_same_weights_and_texts_are_encoded_once(rows_of, tmp_path):
    bone = backbone("qwen2")
    assert [rows_of(bone)[1] for _ in range(2)] == [True, False]
    assert [file.name[:6] for file in (tmp_path / "cache").iterdir()] == ["items-"]


def test_other_weights_and_other_texts_are_encoded_anew(rows_of):
    bone = backbone("qwen2")
    rows_of(bone)
    assert rows_of(bone, [[5, 6, 7, 8], [9], [10, 11, 12, 13]])[1]  # the same tokens, cut elsewhere
    with torch.no_grad():
        bone.causal_lm.get_input_embeddings().weight[5] += 0.1
    assert rows_of(bone)[1]


def test_the_same_weights_under_another_configuration_are_encoded_anew(rows_of):
    bone = backbone("qwen2")
    rows_of(bone)
    bone.causal_lm.config.rms_norm_eps = 0.1
    for module in bone.causal_lm.modules():
        if hasattr(module, "variance_epsilon"):
            module.variance_epsilon = 0.1
    assert rows_of(bone)[1] and not rows_of(bone)[1]


@pytest.mark.parametrize("damage", ["cut", "other shape", "not finite"])
def test_damaged_rows_are_encoded_anew(rows_of, tmp_path, damage):
    bone = backbone("qwen2")
    rows, _ = rows_of(bone)
    (file,) = (tmp_path / "cache").iterdir()
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-7])
    else:
        wrong = rows[:2] if damage == "other shape" else rows.masked_fill(rows > 0, torch.nan)
        item_cache.save_file({"rows": wrong.contiguous()}, file)
    assert rows_of(bone)[1] and not rows_of(bone)[1]


def test_the_tables_not_used_for_longest_are_dropped(rows_of, tmp_path):
    bone = backbone("qwen2")
    for number in range(MOST + 2):
        rows_of(bone, [[number + 3, 4]])
        newest = max((tmp_path / "cache").iterdir(), key=lambda file: file.stat().st_mtime_ns)
        os.utime(newest, (number, number))
    assert len(list((tmp_path / "cache").iterdir())) == MOST
    assert rows_of(bone, [[3, 4]])[1] and not rows_of(bone, [[MOST + 4, 4]])[1]


def test_a_folder_that_cannot_be_written_costs_a_line_and_nothing_else(rows_of, monkeypatch, caplog):
    monkeypatch.setenv("RECKON_CACHE", os.devnull)
    assert rows_of(backbone("qwen2"))[1]
    assert "are not cached in" in caplog.text


def test_small_work_is_not_cached(monkeypatch, tmp_path):
    monkeypatch.setenv("RECKON_CACHE", str(tmp_path / "cache"))
    bone = backbone("qwen2")
    cached_rows(bone, PROMPTS, lambda: encode_items(bone, PROMPTS))
    assert not (tmp_path / "cache").exists()
