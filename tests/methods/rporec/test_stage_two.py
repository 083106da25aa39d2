"""Stage II of RPORec: only the language model changes, logged metrics, and resuming."""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from support.rporec_talker import recommender, settings
from support.run_files import equal, log, trajectories, weights
from support.stopping import At, Killed, kill
from support.tiny import backbone, tokenizer

from reckon.methods.finished import name_of
from reckon.methods.rporec import RPORec
from reckon.methods.rporec.stage_one import fit_rechead
from reckon.methods.rporec.stage_two import ReasoningTrainer, fit_reasoning, reasoning_tokens
from reckon.methods.rporec.summaries import Summariser, summary_of
from reckon.prompts.rporec import parse_reply
from reckon.rl.reference import ReferencePolicy
from reckon.training.checkpoints import last_checkpoint

PARTS = ("format", "clean", "ndcg", "similarity", "compression", "entropy")


@pytest.fixture(scope="module")
def second_stage(rechead_run, tmp_path_factory):
    """A model after its Stage II, the Stage I that it began from, and its run."""
    data, one = rechead_run
    model, run = RPORec.from_pretrained(one), tmp_path_factory.mktemp("rporec") / "two"
    fit_reasoning(model, data, run, progress=False)
    return model, RPORec.from_pretrained(one), run


def test_stage_two_changes_only_the_language_model(second_stage):
    model, start, run = second_stage
    assert not equal(weights(model.backbone.model), weights(start.backbone.model))
    assert equal(weights(model.rechead), weights(start.rechead))
    assert torch.equal(model.table.vectors, start.table.vectors)
    assert name_of(run) == "rporec"


def test_every_step_logs_every_reward_and_how_many_replies_parse(second_stage):
    *_, run = second_stage
    steps = [entry for entry in log(run) if "loss" in entry]
    assert len(steps) == 4
    for entry in steps:
        assert {f"reward/{part}" for part in PARTS} | {"reward/mean", "reply/parsed", "kl", "entropy"} <= entry.keys()
        assert entry["reply/parsed"] == entry["reward/format"]
    judged = [entry for entry in log(run) if "eval_ndcg@10" in entry]
    assert [entry["step"] for entry in judged] == [0, 2, 4]
    assert all({"eval_reply/parsed", "eval_reply/length"} <= entry.keys() for entry in judged)


def test_every_trajectory_is_stored_with_its_rewards_and_zero_if_broken(second_stage):
    model, _, run = second_stage
    rows = trajectories(run).to_pylist()
    assert len(rows) == 4 * 8 * 3
    assert any(row["problem"] for row in rows) and any(not row["problem"] for row in rows)
    settings_ = model.config.rewards
    for row in rows:
        parsed = parse_reply(row["reply"])
        assert (parsed.problem or "", parsed.reasoning) == (row["problem"], row["reasoning"])
        by_hand = sum(settings_.weights[part] * row[f"reward_{part}"] for part in PARTS)
        assert row["reward"] == pytest.approx(0.0 if row["problem"] else by_hand)
        assert row["target_rank"] >= 1


def test_without_summary_rewards_no_summaries_are_written(first_stage, tmp_path, monkeypatch):
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


@pytest.mark.parametrize("lora", [0, 2], ids=["full", "lora"])
def test_a_stopped_stage_two_resumes_bit_for_bit(tmp_path, lora):
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
def test_the_tokens_of_the_reasoning_are_found_for_any_tokenisation_of_tags(reasoning, marker_is_one_token):
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


def test_a_think_block_is_removed_from_a_summary():
    assert summary_of(" sea, then crime ") == "sea, then crime"
    assert summary_of("<think>let me see</think> sea, then crime") == "sea, then crime"
    assert summary_of("<think>hm</think><answer>sea, then crime</answer>") == "sea, then crime"
