"""Stage I of RPORec: only the Rechead changes, every row gets one reply, and a stop loses no reply."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from support.rporec_talker import backbone_folder, recommender, settings
from support.run_files import equal, log, weights
from support.shelf import dataset
from support.stopping import run_until_killed

from reckon.checksums import CHECKSUMS_FILE
from reckon.errors import ConfigError, DataError
from reckon.methods.finished import name_of
from reckon.methods.rporec import RPORec
from reckon.methods.rporec import stage_one as rporec_stage_one
from reckon.methods.rporec.replies import PolicyWriter
from reckon.methods.rporec.reply_store import ReplyStore
from reckon.methods.rporec.rounds import fit
from reckon.methods.rporec.stage_one import fit_rechead
from reckon.methods.rporec.stage_two import fit_reasoning
from reckon.teachers.file_teacher import FileTeacher

ROWS = 48 + 12  # training rows of the shelf, and the validation sample


def test_stage_one_changes_only_the_rechead(tmp_path):
    model, data = recommender(tmp_path, stage_one={"learning_rate": 1e-2, "max_epochs": 6})
    language, head, items = weights(model.backbone.model), weights(model.rechead), model.table.vectors.clone()
    fit_rechead(model, data, tmp_path / "run")
    assert equal(weights(model.backbone.model), language) and not equal(weights(model.rechead), head)
    assert torch.equal(model.table.vectors, items)
    loaded = RPORec.from_pretrained(tmp_path / "run")
    assert equal(weights(loaded.rechead), weights(model.rechead))
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert (manifest["method"], manifest["stage"], name_of(tmp_path / "run")) == (
        "rporec",
        "stage I",
        "rporec, stage I",
    )


def test_every_row_gets_one_reply_and_the_log_has_their_rates(first_stage):
    _, data, run = first_stage
    with ReplyStore(run / "replies.sqlite", None) as store:
        assert len(store) == ROWS
        assert store.identity["data"] == data.checksum
        replies = store.replies([f"valid {n}" for n in range(12)]).values()
    start = log(run)[0]
    assert start["eval_reply/parsed"] == sum(reply.parsed.problem is None for reply in replies) / 12
    assert {"eval_ndcg@10", "eval_hit@10", "eval_reply/length", "eval_reply/truncated"} <= start.keys()


class Counting:
    """Writes as the model does, sampling, and counts; may die after some batches."""

    def __init__(self, model, most=10**9):
        self.inner, self.most, self.keys = PolicyWriter(model, temperature=1.0), most, []

    def write(self, rows):
        if len(self.keys) >= self.most:
            raise SystemExit("killed")
        self.keys += [key for key, _ in rows]
        return self.inner.write(rows)


def test_a_stopped_stage_one_writes_only_the_missing_replies(tmp_path, monkeypatch):
    monkeypatch.setattr(rporec_stage_one, "ROWS_AT_ONCE", 8)
    model, data = recommender(tmp_path)
    first, second = Counting(model, most=24), Counting(model)
    with pytest.raises(SystemExit):
        fit_rechead(model, data, tmp_path / "run", writer=first)
    fit_rechead(model, data, tmp_path / "run", writer=second)
    assert len(first.keys) == 24 and len(first.keys) + len(second.keys) == ROWS
    assert not set(first.keys) & set(second.keys)

    whole, _ = recommender(tmp_path / "again")
    fit_rechead(whole, data, tmp_path / "whole", writer=Counting(whole))
    assert log(tmp_path / "run") == log(tmp_path / "whole"), "the same replies, so the same training"
    assert equal(weights(model.rechead), weights(whole.rechead))


SCRIPT = """
import os, signal, sys
from pathlib import Path
from reckon.data import Dataset
from reckon.methods.rporec import stage_one as rporec_stage_one
from reckon.methods.rporec.reply_store import ReplyStore
from reckon.methods.rporec import RPORec
from support.rporec_talker import settings

rporec_stage_one.ROWS_AT_ONCE = 8
put, batches = ReplyStore.put, []

def dying(self, rows):
    put(self, rows)
    batches.append(rows)
    if len(batches) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

ReplyStore.put = dying
path = Path(sys.argv[1])
data = Dataset.load(path / "data")
model = RPORec.from_backbone(path / "backbone", data, settings())
rporec_stage_one.fit_rechead(model, data, path / "run")
"""


def test_a_stage_one_killed_by_the_system_keeps_every_whole_batch(tmp_path):
    data, folder = dataset(tmp_path / "data"), backbone_folder(tmp_path / "backbone")
    run_until_killed(SCRIPT, tmp_path)
    model = RPORec.from_backbone(folder, data, settings())
    writer = Counting(model)
    fit_rechead(model, data, tmp_path / "run", writer=writer)
    assert len(writer.keys) == ROWS - 24


def test_replies_of_another_prompt_are_not_trained_on(first_stage, tmp_path):
    model, data, run = first_stage
    (run / "manifest.json").unlink()
    for name in ("model", "encoder"):
        shutil.rmtree(run / name)
    for name in (
        "rporec.json",
        "log.json",
        "items.parquet",
        "item_table.safetensors",
        "rechead.safetensors",
        CHECKSUMS_FILE,
    ):
        (run / name).unlink()
    other = RPORec.from_backbone(model.backbone, data, settings(prompt={"window": 2}))
    with pytest.raises(DataError, match="was begun with window = 3, now it is 2"):
        fit_rechead(other, data, run)


def test_a_smaller_train_size_is_part_of_the_stores_identity(tmp_path):
    model, data = recommender(tmp_path)
    model.config = replace(model.config, stage_one=replace(model.config.stage_one, train_size=7))
    fit_rechead(model, data, tmp_path / "run")
    with ReplyStore(tmp_path / "run" / "replies.sqlite", None) as store:
        assert len(store) == 7 + 12
        assert store.identity["train_size"] == 7  # rows are known by number, so another size has other rows


def test_the_history_only_arm_writes_no_replies(tmp_path):
    model, data = recommender(tmp_path, "history-only")
    model.reason = None  # whoever calls it fails
    fit_rechead(model, data, tmp_path / "run")
    assert not (tmp_path / "run" / "replies.sqlite").exists()
    assert name_of(tmp_path / "run") == "history-only"
    with pytest.raises(ConfigError, match="history-only"):
        fit_reasoning(model, data, tmp_path / "two")


def test_a_teacher_may_write_the_replies_of_stage_one(tmp_path):
    model, data = recommender(tmp_path)
    examples = [*data.examples("train", 3), *data.examples("valid", 3).sample(12, 0)]
    lines = [
        {
            "user_id": example.user_id,
            "item_id": data.catalog.ids[example.target],
            "timestamp": example.time,
            "reply": f"<think>as taught</think><answer>{data.catalog.titles[example.target]}</answer>",
        }
        for example in examples
    ]
    file = tmp_path / "replies.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    fit(model, data, tmp_path / "run", teacher=FileTeacher(file))
    start = log(tmp_path / "run" / "round-1" / "rechead")[0]
    assert start["eval_reply/parsed"] == 1.0 and start["eval_ndcg@10"] > 0.9, "the answers name the targets"
    assert model.reasons

    file.write_text("\n".join(map(json.dumps, lines[:-3])))
    other, _ = recommender(tmp_path / "again")
    with pytest.raises(DataError, match="has no reply for 3 of 60 rows"):
        fit(other, data, tmp_path / "short", teacher=FileTeacher(file))
