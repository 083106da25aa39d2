"""Fine-tuning on traces: the loss is on the reply alone, no trace is cut, and the loss falls."""

import builtins
import json
from dataclasses import replace

import pytest
import torch
from support import shelf
from support.classroom import reply
from transformers import AutoModelForCausalLM, AutoTokenizer

from reckon.errors import CheckpointError, ConfigError, DataError, MissingExtraError
from reckon.methods.recone.config import SFTSettings
from reckon.methods.recone.fine_tuning import REPORT_FILE, sft, sft_trainer, tokenize
from reckon.models.backbone import LoraSettings, load_backbone
from reckon.prompts import render
from reckon.teachers.files import TraceSummary, load_traces, write_traces
from reckon.training.checkpoints import Interrupted

TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
SHORT = "<rate>4</rate>"


def summary(count):
    return TraceSummary(
        asked=count,
        kept=count,
        kept_hinted=0,
        unchecked=0,
        dropped={},
        requests=count,
        prompt_tokens=0,
        completion_tokens=0,
        uncounted=0,
        cost=None,
        unmatched=0,
    )


def traces(path, prompts=("a calm sea", "the black tide"), replies=(SHORT, "<rate>1</rate>")):
    """A finished directory of traces."""
    path.mkdir()
    kept = [
        {
            "row": row,
            "user_id": f"u{row}",
            "item_id": "b1",
            "time": None,
            "rating": 4.0,
            "prompt": json.dumps([{"role": "user", "content": prompt}]),
            "reply": text,
            "predicted": 4.0,
            "attempt": 1,
            "hinted": False,
        }
        for row, (prompt, text) in enumerate(zip(prompts, replies, strict=True))
    ]
    write_traces(path, kept, [], summary(len(kept)), {"data": "abc"})
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return shelf.backbone_folder(tmp_path_factory.mktemp("model") / "backbone", spread=1.0)


def fast(**changes):
    return replace(SFTSettings(learning_rate=1e-2, max_steps=4, batch_size=2, micro_batch_size=2), **changes)


@pytest.mark.parametrize("template", [None, TEMPLATE], ids=["plain", "template"])
def test_labels_are_the_reply_and_its_end_token(folder, tmp_path, template):
    kept = load_traces(traces(tmp_path / "traces", replies=(SHORT, reply(3))))
    model = load_backbone(folder, device="cpu")
    model.tokenizer.chat_template = template
    rows, _ = tokenize(kept, model, fast())
    trainer = sft_trainer(model, rows, tmp_path / "work", fast(), 0, progress=False)
    batch = next(iter(trainer.get_train_dataloader()))
    texts = {render(trace.messages, model.tokenizer): trace.reply for trace in kept}
    seen = set()
    for ids, labels, mask in zip(batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True):
        counted = labels != -100
        first = int(counted.nonzero()[0])
        prompt = model.tokenizer.decode(ids[:first])
        seen.add(prompt)
        assert torch.equal(labels[counted], ids[counted])
        assert model.tokenizer.decode(ids[counted]) == texts[prompt] + model.tokenizer.eos_token
        assert counted[first : int(mask.sum())].all() and not counted[int(mask.sum()) :].any()
    assert seen == set(texts)


def test_the_loss_is_the_mean_over_reply_tokens(folder, tmp_path):
    kept = load_traces(traces(tmp_path / "traces", replies=(SHORT, reply(3))))
    model = load_backbone(folder, device="cpu")
    rows, _ = tokenize(kept, model, fast())
    total, count = 0.0, 0
    for row in rows:
        ids = torch.tensor(row["input_ids"])[None]
        with torch.no_grad():
            logprobs = model.causal_lm(input_ids=ids).logits[0, :-1].log_softmax(-1)
        chosen = logprobs.gather(-1, ids[0, 1:, None])[:, 0]
        said = torch.tensor(row["completion_mask"][1:]).bool()
        total, count = total - float(chosen[said].sum()), count + int(said.sum())
    report = sft(folder, tmp_path / "traces", tmp_path / "out", fast(max_steps=1, micro_batch_size=1), progress=False)
    assert report.losses[0] == pytest.approx(total / count, rel=1e-4)


def test_a_model_learns_to_repeat_its_traces(folder, tmp_path):
    traces(tmp_path / "traces")
    report = sft(folder, tmp_path / "traces", tmp_path / "out", fast(max_steps=80), progress=False)
    assert report.losses[-1] < 0.1 < 2 < report.losses[0]
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    words = AutoTokenizer.from_pretrained(tmp_path / "out")
    for trace in load_traces(tmp_path / "traces"):
        ids = words(render(trace.messages, words), return_tensors="pt")["input_ids"]
        start = ids.shape[1]
        with torch.no_grad():
            for _ in range(len(words(trace.reply)["input_ids"])):
                ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], dim=1)
        assert words.decode(ids[0, start:]) == trace.reply
    assert json.loads((tmp_path / "out" / REPORT_FILE).read_text())["used"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "traces"]  # no checkpoint is left


def test_prompt_of_replaces_the_teachers_prompt(folder, tmp_path):
    kept = load_traces(traces(tmp_path / "traces"))
    rows, _ = tokenize(kept, load_backbone(folder, device="cpu"), fast(), lambda trace: [5, 6, 7 + trace.row])
    assert [row["input_ids"][:3] for row in rows] == [[5, 6, 7], [5, 6, 8]]
    assert all(row["completion_mask"][:4] == [0, 0, 0, 1] for row in rows)


def test_traces_beyond_a_limit_are_left_out_and_counted(folder, tmp_path):
    kept = load_traces(
        traces(tmp_path / "traces", ("short", "sea " * 90, "short", "short"), (SHORT, SHORT, "4 " * 90, "4 " * 400))
    )
    model = load_backbone(folder, device="cpu")  # a context of 256 tokens
    rows, left_out = tokenize(kept, model, fast(max_prompt_tokens=60, max_reply_tokens=60))
    assert (len(rows), left_out) == (1, {"prompt too long": 1, "reply too long": 2})
    rows, left_out = tokenize(kept, model, fast())
    assert (len(rows), left_out) == (3, {"longer than the context": 1})
    assert rows[2]["input_ids"][-1] == model.tokenizer.eos_token_id
    with pytest.raises(DataError, match="4 prompt too long"):
        sft(folder, tmp_path / "traces", tmp_path / "out", fast(max_prompt_tokens=1), progress=False)


def test_adapters_are_merged_into_the_saved_model(folder, tmp_path):
    traces(tmp_path / "traces")
    settings = fast(lora=LoraSettings(r=2), max_steps=8)
    sft(folder, tmp_path / "traces", tmp_path / "out", settings, progress=False)
    assert not (tmp_path / "out" / "adapter_config.json").exists()
    before = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    after = AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    words = [AutoTokenizer.from_pretrained(path).get_vocab() for path in (folder, tmp_path / "out")]
    assert words[0] == words[1]


def test_an_interrupted_fine_tuning_resumes_to_the_same_weights(folder, tmp_path, monkeypatch):
    traces(tmp_path / "traces")
    sft(folder, tmp_path / "traces", tmp_path / "whole", fast(), progress=False)

    from reckon.methods.recone import fine_tuning as recone_sft

    class StopAtTwo(recone_sft.StopOnInterrupt):
        def on_step_end(self, args, state, control, **kwargs):
            self.interrupted = state.global_step == 2
            super().on_step_end(args, state, control, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(recone_sft, "StopOnInterrupt", StopAtTwo)
        with pytest.raises(Interrupted, match="--resume"):
            sft(folder, tmp_path / "traces", tmp_path / "out", fast(), progress=False)
    assert not (tmp_path / "out").exists()
    with pytest.raises(CheckpointError, match="unfinished"):
        sft(folder, tmp_path / "traces", tmp_path / "out", fast(), progress=False)
    with pytest.raises(CheckpointError, match="other settings"):
        sft(folder, tmp_path / "traces", tmp_path / "out", fast(max_steps=5), resume=True, progress=False)
    report = sft(folder, tmp_path / "traces", tmp_path / "out", fast(), resume=True, progress=False)
    assert len(report.losses) == 4
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "whole").state_dict()
    resumed = AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_without_trl_the_extra_is_named(folder, tmp_path, monkeypatch):
    real = builtins.__import__

    def without_trl(name, *args, **kwargs):
        if name.split(".")[0] == "trl":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_trl)
    with pytest.raises(MissingExtraError, match=r"reckon-recsys\[recone\]"):
        sft(folder, tmp_path, tmp_path / "out")


def test_existing_files_are_not_overwritten(folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(DataError, match="not empty"):
        sft(folder, traces(tmp_path / "traces"), tmp_path / "out", fast(), progress=False)


WRONG = [{"learning_rate": 0.0}, {"batch_size": 3, "micro_batch_size": 2}, {"max_steps": 0}, {"weight_decay": -0.1}]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_setting_out_of_range_is_refused(wrong):
    with pytest.raises(ConfigError, match=r"sft\."):
        SFTSettings(**wrong)
