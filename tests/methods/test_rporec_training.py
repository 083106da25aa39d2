"""Training RPORec: what each stage moves and leaves behind, and that a run which was stopped goes on."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from rporec_talker import backbone_folder, recommender, settings
from safetensors.torch import load_file
from shelf import dataset
from tiny import backbone, tokenizer
from transformers import TrainerCallback

from reckon.config import save_config
from reckon.errors import CheckpointError, ConfigError, DataError
from reckon.evaluation import evaluate_run
from reckon.methods import rporec_stage_one
from reckon.methods.finished_run import name_of
from reckon.methods.reply_store import ReplyStore
from reckon.methods.rporec import RPORec
from reckon.methods.rporec_replies import PolicyWriter
from reckon.methods.rporec_run import fit, train_run
from reckon.methods.rporec_stage_one import fit_rechead
from reckon.methods.rporec_training import ReasoningTrainer, fit_reasoning, reasoning_tokens
from reckon.methods.summaries import Summariser, summary_of
from reckon.methods.teachers import FileTeacher
from reckon.prompts.rporec import parse_reply
from reckon.rl.checkpoints import last_checkpoint
from reckon.rl.reference import ReferencePolicy

PARTS = ("format", "clean", "ndcg", "similarity", "compression", "entropy")
ROWS = 48 + 12  # training rows of the shelf, and the validation sample


@pytest.fixture
def first_stage(tmp_path):
    """A model, its data, and the run of its Stage I."""
    model, data = recommender(tmp_path)
    fit_rechead(model, data, tmp_path / "one")
    return model, data, tmp_path / "one"


def log(path):
    """Logged entries without the run's summary and without times."""
    entries = json.loads((path / "log.json").read_text())
    return [
        {name: value for name, value in entry.items() if not name.startswith("time/")}
        for entry in entries
        if "train_runtime" not in entry
    ]


def trajectories(path):
    return pa.concat_tables([pq.read_table(part) for part in sorted((path / "trajectories").glob("part-*.parquet"))])


def weights(module):
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def equal(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


# -- Stage I ------------------------------------------------------------------------------------------------------


def test_stage_one_moves_the_rechead_and_nothing_else(tmp_path):
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


def test_every_row_is_written_about_once_and_the_log_says_how_well(first_stage):
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


def test_a_stopped_stage_one_goes_on_with_the_rows_that_are_missing(tmp_path, monkeypatch):
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
from reckon.methods import rporec_stage_one
from reckon.methods.reply_store import ReplyStore
from reckon.methods.rporec import RPORec
from rporec_talker import settings

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
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", SCRIPT, tmp_path], env=environment, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    model = RPORec.from_backbone(folder, data, settings())
    writer = Counting(model)
    fit_rechead(model, data, tmp_path / "run", writer=writer)
    assert len(writer.keys) == ROWS - 24


def test_replies_of_another_prompt_are_not_trained_on(first_stage, tmp_path):
    model, data, run = first_stage
    (run / "manifest.json").unlink()
    for name in ("model", "encoder"):
        shutil.rmtree(run / name)
    for name in ("rporec.json", "log.json", "items.parquet", "item_table.safetensors", "rechead.safetensors"):
        (run / name).unlink()
    other = RPORec.from_backbone(model.backbone, data, settings(prompt={"window": 2}))
    with pytest.raises(DataError, match="was begun with window = 3, now it is 2"):
        fit_rechead(other, data, run)


def test_stage_one_may_read_fewer_rows_and_knows_which(tmp_path):
    model, data = recommender(tmp_path)
    model.config = replace(model.config, stage_one=replace(model.config.stage_one, train_size=7))
    fit_rechead(model, data, tmp_path / "run")
    with ReplyStore(tmp_path / "run" / "replies.sqlite", None) as store:
        assert len(store) == 7 + 12
        assert store.identity["train_size"] == 7  # rows are known by number, so another size has other rows


def test_the_arm_of_history_alone_writes_nothing(tmp_path):
    model, data = recommender(tmp_path, "history-only")
    model.reason = None  # whoever calls it fails
    fit_rechead(model, data, tmp_path / "run")
    assert not (tmp_path / "run" / "replies.sqlite").exists()
    assert name_of(tmp_path / "run") == "history-only"
    with pytest.raises(ConfigError, match="history-only"):
        fit_reasoning(model, data, tmp_path / "two")


# -- Stage II -----------------------------------------------------------------------------------------------------


def test_stage_two_moves_the_language_model_and_nothing_else(first_stage, tmp_path):
    model, data, _ = first_stage
    language, head, items = weights(model.backbone.model), weights(model.rechead), model.table.vectors.clone()
    fit_reasoning(model, data, tmp_path / "two", progress=False)
    assert not equal(weights(model.backbone.model), language)
    assert equal(weights(model.rechead), head) and torch.equal(model.table.vectors, items)
    assert name_of(tmp_path / "two") == "rporec"


def test_every_step_logs_every_reward_and_how_many_replies_parse(first_stage, tmp_path):
    model, data, _ = first_stage
    fit_reasoning(model, data, tmp_path / "two", progress=False)
    steps = [entry for entry in log(tmp_path / "two") if "loss" in entry]
    assert len(steps) == 4
    for entry in steps:
        assert {f"reward/{part}" for part in PARTS} | {"reward/mean", "reply/parsed", "kl", "entropy"} <= entry.keys()
        assert entry["reply/parsed"] == entry["reward/format"]
    judged = [entry for entry in log(tmp_path / "two") if "eval_ndcg@10" in entry]
    assert [entry["step"] for entry in judged] == [0, 2, 4]
    assert all({"eval_reply/parsed", "eval_reply/length"} <= entry.keys() for entry in judged)


def test_every_trajectory_is_written_with_its_parts_and_earns_zero_where_it_is_broken(first_stage, tmp_path):
    model, data, _ = first_stage
    fit_reasoning(model, data, tmp_path / "two", progress=False)
    rows = trajectories(tmp_path / "two").to_pylist()
    assert len(rows) == 4 * 8 * 3
    assert any(row["problem"] for row in rows) and any(not row["problem"] for row in rows)
    settings_ = model.config.rewards
    for row in rows:
        parsed = parse_reply(row["reply"])
        assert (parsed.problem or "", parsed.reasoning) == (row["problem"], row["reasoning"])
        by_hand = sum(settings_.weights[part] * row[f"reward_{part}"] for part in PARTS)
        assert row["reward"] == pytest.approx(0.0 if row["problem"] else by_hand)
        assert row["target_rank"] >= 1


def test_rewards_that_are_left_out_cost_no_summaries(first_stage, tmp_path, monkeypatch):
    model, data, _ = first_stage
    monkeypatch.setattr(Summariser, "summaries", lambda *_: pytest.fail("nobody asked for a summary"))
    model.config = settings(rewards={"similarity": 0.0, "compression": 0.0}, max_steps=1, eval_steps=1)
    fit_reasoning(model, data, tmp_path / "two", progress=False)
    table = trajectories(tmp_path / "two")
    assert "reward_similarity" not in table.column_names and "reward_ndcg" in table.column_names


def test_without_a_kl_term_the_summariser_is_still_the_starting_model(first_stage, tmp_path, monkeypatch):
    model, data, _ = first_stage
    made = []
    original = Summariser.__init__
    monkeypatch.setattr(Summariser, "__init__", lambda self, *args: (made.append(self), original(self, *args))[1])
    model.config = settings(grpo={"beta": 0.0}, learning_rate=0.05)
    before = weights(model.backbone.model)
    fit_reasoning(model, data, tmp_path / "two", progress=False)
    assert equal(weights(made[0].start.backbone.model), before)
    assert not equal(weights(model.backbone.model), before)


class At(TrainerCallback):
    """Do something while one step is being taken."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def on_pre_optimizer_step(self, args, state, control, **_):
        if state.global_step + 1 == self.step:
            self.action()


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def kill():
    raise Killed


@pytest.mark.parametrize("lora", [0, 2], ids=["full", "lora"])
def test_a_stopped_stage_two_goes_on_bit_for_bit(tmp_path, lora):
    torch.manual_seed(0)  # adapters start at random
    model, data = recommender(tmp_path, lora=lora)
    fit_rechead(model, data, tmp_path / "one")

    def train(out, *callbacks, resume=False):
        fresh = RPORec.from_pretrained(tmp_path / "one")
        fit_reasoning(fresh, data, tmp_path / out, resume=resume, progress=False, callbacks=callbacks)

    train("whole")
    with pytest.raises(Killed):
        train("stopped", At(4, kill))
    assert last_checkpoint(tmp_path / "stopped").name == "checkpoint-2"
    train("stopped", resume=True)
    assert log(tmp_path / "whole") == log(tmp_path / "stopped")
    assert trajectories(tmp_path / "whole").equals(trajectories(tmp_path / "stopped"))
    for file in sorted((tmp_path / "whole" / "model").glob("*.safetensors")):
        assert equal(load_file(file), load_file(tmp_path / "stopped" / "model" / file.name))


# -- parts of a step ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reasoning", ["calm", " after the sea, crime ", "海のあと — é", "a < b > c"])
@pytest.mark.parametrize("marker_is_one_token", [True, False])
def test_the_tokens_of_the_reasoning_spell_it_however_tags_are_spelled(reasoning, marker_is_one_token):
    words = tokenizer(marker_is_one_token)
    bone = SimpleNamespace(tokenizer=words, config=SimpleNamespace(eos_token_id=words.eos_token_id))
    ids = words.encode(f"<think>{reasoning}</think><answer>Calm Sea</answer>")
    span = reasoning_tokens(bone, ids)
    spelled = words.decode(ids[span])
    # Tokens that are a part of a tag may take a sign on each side with them, never more.
    assert spelled in reasoning and len(reasoning) - len(spelled) <= 2
    assert (
        words.decode(ids[: span.start]).startswith("<think>") and words.decode(ids[span.stop :]).lstrip(" c")[0] == "<"
    )


def test_entropies_of_a_reply_are_those_of_its_reasoning(first_stage):
    model, data, _ = first_stage
    trainer = ReasoningTrainer.__new__(ReasoningTrainer)
    trainer.backbone, trainer.recommender, trainer.summariser = model.backbone, model, None
    examples = [data.examples("train", 3)[row] for row in range(8)]
    rollouts = model.engine.sample(
        [model.prompt_ids(example) for example in examples], model.config.rollout, num_generations=4,
        generator=torch.Generator().manual_seed(0), with_entropy=True,
    )  # fmt: skip
    replies, rows = model.replies(rollouts), [example for example in examples for _ in range(4)]
    columns = trainer._columns(rollouts, rows, replies)
    right = [reply.parsed.problem is None for reply in replies]
    assert any(right) and not all(right)
    for row, (fits, entropies) in enumerate(zip(right, columns["reasoning_entropies"], strict=True)):
        ids = rollouts.reply_ids[row, : int(rollouts.lengths[row])].tolist()
        span = reasoning_tokens(model.backbone, ids) if fits else slice(0, 0)
        assert entropies == rollouts.entropies[row, span].tolist()
        assert fits or entropies == []
    ranks = [model.ranks(data.examples("train", 3).subset([row])).ranks for row in range(2)]
    assert len(columns["target_rank"]) == 32 and all(rank >= 1 for rank in columns["target_rank"]) and len(ranks) == 2


def test_a_reasoning_has_one_summary_and_is_summarised_once():
    summariser = Summariser(ReferencePolicy(backbone()), "compact", 5)
    asked, write = [], summariser._write
    summariser._write = lambda texts: (asked.extend(texts), write(texts))[1]
    first = summariser.summaries(["calm sea", "dark", "", "calm sea"])
    assert first[0] == first[3] and first[2] == "" and sorted(asked) == ["calm sea", "dark"]
    assert summariser.summaries(["dark", "calm sea"]) == [first[1], first[0]] and len(asked) == 2
    alone = Summariser(ReferencePolicy(backbone()), "compact", 5).summaries(["dark"])
    assert alone == [first[1]], "what else is summarised in a batch changes nothing"


def test_a_summary_that_thinks_first_is_what_comes_after():
    assert summary_of(" sea, then crime ") == "sea, then crime"
    assert summary_of("<think>let me see</think> sea, then crime") == "sea, then crime"
    assert summary_of("<think>hm</think><answer>sea, then crime</answer>") == "sea, then crime"


# -- both stages --------------------------------------------------------------------------------------------------


def test_both_stages_take_turns_and_each_leaves_a_run(tmp_path):
    model, data = recommender(tmp_path, max_steps=2)
    fit(model, data, tmp_path / "run", rounds=2)
    for folder in ("round-1/rechead", "round-1/reasoning", "round-2/rechead", "round-2/reasoning", "."):
        assert RPORec.from_pretrained(tmp_path / "run" / folder).recommend([[0, 5]])
    first, second = (tmp_path / "run" / f"round-{number}" / "rechead" for number in (1, 2))
    assert not equal(load_file(first / "rechead.safetensors"), load_file(second / "rechead.safetensors"))
    last = tmp_path / "run" / "round-2" / "reasoning"
    for part in ("rechead.safetensors", "model/model.safetensors"):
        assert equal(load_file(last / part), load_file(tmp_path / "run" / part))
    assert name_of(tmp_path / "run") == "rporec"
    with pytest.raises(CheckpointError, match="already holds a run"):
        fit(model, data, tmp_path / "run")


@pytest.mark.parametrize("stopped", ["rechead", "reasoning"])
def test_a_run_of_both_stages_goes_on_where_it_stopped(tmp_path, monkeypatch, stopped):
    from reckon.methods import rporec_run

    backbone_folder(tmp_path / "backbone")
    dataset(tmp_path / "data")
    save_config(settings(), tmp_path / "config.yaml")

    def train(out, **changes):
        common = dict(data=tmp_path / "data", backbone=tmp_path / "backbone", config_file=tmp_path / "config.yaml")
        return train_run(**common, out=tmp_path / out, **changes)

    train("whole")
    with monkeypatch.context() as patch:
        patch.setattr(rporec_run, f"fit_{stopped}", lambda *_, **__: kill())
        with pytest.raises(Killed):
            train("broken")
    with pytest.raises(CheckpointError, match="--resume"):
        train("broken")
    train("broken", resume=True)
    for part in ("rechead.safetensors", "model/model.safetensors"):
        left, right = (load_file(tmp_path / out / part) for out in ("whole", "broken"))
        assert equal(left, right), part


def test_a_run_may_start_from_another_with_its_settings(first_stage, tmp_path):
    model, data, run = first_stage
    two = train_run(
        data=data.path, start=run, out=tmp_path / "two", stage="reasoning", overrides=["training.max_steps=1"]
    )
    assert two.config.training.max_steps == 1 and two.config.rechead == model.config.rechead
    assert equal(weights(two.rechead), weights(model.rechead))
    again = train_run(data=data.path, start=tmp_path / "two", out=tmp_path / "three", stage="rechead")
    assert (tmp_path / "three" / "replies.sqlite").exists() and again.config.training.max_steps == 1


def test_what_cannot_be_trained_is_refused_before_any_work(first_stage, tmp_path):
    _, data, run = first_stage
    common = dict(data=data.path, out=tmp_path / "refused")
    for wrong, field in (
        (dict(), "--backbone"),
        (dict(backbone="b", start=run), "--backbone"),
        (dict(backbone="b", stage="reasoning"), "--start"),
        (dict(start=run, stage="rechead", rounds=2), "--rounds"),
        (dict(start=run, overrides=["rechead.hidden=64"]), "rechead"),
        (dict(start=run, overrides=["prompt.window=2"]), "prompt"),
    ):
        with pytest.raises(ConfigError, match=field):
            train_run(**common, **wrong)
    assert not (tmp_path / "refused").exists()
    other = dataset(tmp_path / "other", step=2)
    with pytest.raises(CheckpointError, match="other data"):
        train_run(data=other.path, start=run, out=tmp_path / "refused")


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
    trained = fit(model, data, tmp_path / "run", teacher=FileTeacher(file))
    start = log(tmp_path / "run" / "round-1" / "rechead")[0]
    assert start["eval_reply/parsed"] == 1.0 and start["eval_ndcg@10"] > 0.9, "the answers name the targets"
    assert trained.reasons

    file.write_text("\n".join(map(json.dumps, lines[:-3])))
    other, _ = recommender(tmp_path / "again")
    with pytest.raises(DataError, match="has no reply for 3 of 60 rows"):
        fit(other, data, tmp_path / "short", teacher=FileTeacher(file))


def test_a_run_is_evaluated_beside_its_first_stage_and_without_its_reasoning(tmp_path):
    model, data = recommender(tmp_path, max_steps=1, eval_steps=1)
    fit(model, data, tmp_path / "run")
    plain = RPORec.from_backbone(tmp_path / "backbone", data, settings("history-only"))
    fit_rechead(plain, data, tmp_path / "plain")
    evaluation = evaluate_run(
        tmp_path / "run", ks=(5,), beside=[tmp_path / "plain", tmp_path / "run" / "round-1" / "rechead"]
    )
    names = ["popularity", "history-only", "rporec, stage I", "rporec, reasoning left out", "rporec"]
    assert [result.name for result in evaluation.results] == names
    assert evaluation.results[-1].rates["parsed"] == model.ranks(data.examples("test", 3)).parsed.mean()
    assert "RPORec on shelf" in (tmp_path / "run" / "evaluation" / "report.html").read_text()
