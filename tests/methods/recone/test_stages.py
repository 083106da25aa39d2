"""RecOne: a cold start on traces, then RecZero; a stop in either stage can be resumed."""

import builtins
import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from support import rated_shelf, rated_talker, shelf
from support.rated_traces import write_right_traces
from support.run_files import equal, log
from support.stopping import Killed, kill
from transformers import AutoModelForCausalLM, AutoTokenizer

from reckon.config import load_config
from reckon.data import Dataset
from reckon.data.ratings import rating_examples
from reckon.errors import CheckpointError, DataError, MissingExtraError
from reckon.methods.finished import name_of, task_of
from reckon.methods.recone import fine_tuning as recone_sft
from reckon.methods.recone import stages as recone
from reckon.methods.recone.config import RecOneConfig
from reckon.methods.recone.config import preset as constants
from reckon.methods.recone.fine_tuning import REPORT_FILE
from reckon.methods.reczero import RecZero
from reckon.methods.reczero.config import preset
from reckon.methods.train import train_run
from reckon.training.checkpoints import Interrupted

TINY = (
    "sft.max_steps=30",
    "sft.learning_rate=1e-2",
    "sft.batch_size=8",
    "sft.micro_batch_size=8",
    "rollout.max_completion_length=6",
    "grpo.num_generations=3",
    "training.max_steps=2",
    "training.warmup_steps=0",
    "training.learning_rate=1e-3",
    "training.eval_steps=1",
    "training.batch_size=4",
    "training.micro_batch_size=4",
    "training.validation_size=8",
    "prompt.window=3",
    "prompt.item_window=3",
    "prompt.review_words=3",
)
SHORT = "sft.max_steps=5"  # where nothing has to be learned


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """`data`, `backbone` (its replies have the form once in a while) and `traces`: the right reply to 24 rows."""
    path = tmp_path_factory.mktemp("recone")
    data = rated_shelf.dataset(path / "data")
    rated_talker.backbone_folder(path / "backbone", fluency=1)
    write_right_traces(path / "traces", data)
    return path


@pytest.fixture
def train(place, tmp_path):
    """Train into `tmp_path / out`."""

    def run(out="run", *overrides, resume=False, **changes):
        where = {"data": place / "data", "backbone": place / "backbone", "traces": place / "traces"} | changes
        return train_run(
            "recone", out=tmp_path / out, preset="small", overrides=(*TINY, *overrides), resume=resume, **where
        )

    return run


def unstopped(place, name, *overrides):
    """A run that nothing stopped."""
    where = {"data": place / "data", "backbone": place / "backbone", "traces": place / "traces"}
    train_run("recone", out=place / name, preset="small", overrides=(*TINY, *overrides), **where)
    return place / name


@pytest.fixture(scope="module")
def whole(place):
    return unstopped(place, "whole")


@pytest.fixture(scope="module")
def short(place):
    return unstopped(place, "short", SHORT)


def weights(folder):
    return load_file(folder / "model.safetensors")


# -- the two stages -----------------------------------------------------------------------------------------------


def test_the_fine_tuned_model_is_a_hugging_face_folder(whole, place):
    tuned = AutoModelForCausalLM.from_pretrained(whole / "sft")
    assert AutoTokenizer.from_pretrained(whole / "sft").eos_token == "<eos>"
    before = AutoModelForCausalLM.from_pretrained(place / "backbone").state_dict()
    assert any(not torch.equal(weight, before[name]) for name, weight in tuned.state_dict().items())
    report = json.loads((whole / "sft" / REPORT_FILE).read_text())
    assert (report["traces"], report["used"], len(report["losses"])) == (24, 24, 30)
    assert not (whole / "sft.training").exists()


def test_the_run_is_one_of_recone_and_loads_as_a_rating_model(whole, place):
    assert (task_of(whole), name_of(whole)) == ("rating", "recone")
    loaded = RecZero.from_pretrained(whole, device="cpu")
    assert loaded.data_path == (place / "data").resolve()
    assert loaded.config == load_config(RecOneConfig, whole / "recone.yaml").reinforcement


def test_the_cold_start_teaches_the_form_before_any_reinforcement(whole, place):
    data = Dataset.load(place / "data")
    untaught = RecZero.from_backbone(place / "backbone", data, RecZero.from_pretrained(whole).config)
    assert untaught.rate(rating_examples(data, "valid", 3, 3)).reply_parse_rate < 0.5
    first = next(entry for entry in log(whole) if "eval_mae" in entry)
    assert first["step"] == 0 and first["eval_parse_rate"] == 1


def test_reinforcement_starts_from_the_fine_tuned_model(whole, train, tmp_path):
    train("run", SHORT, "training.learning_rate=1e-12")
    tuned, trained = weights(tmp_path / "run" / "sft"), weights(tmp_path / "run" / "model")
    assert all(torch.allclose(tuned[name], trained[name], atol=1e-6) for name in tuned)
    [*_, last] = sorted(whole.glob("checkpoint-*"))  # what is kept may be the start, where nothing beat it
    assert not equal(weights(whole / "sft"), weights(last))


def test_fine_tuning_reads_the_prompts_that_reinforcement_reads(place, train, monkeypatch):
    """Not the teacher's, which may be longer and of another style."""
    seen = {}

    def sft(*_, prompt_of, **__):
        data = Dataset.load(place / "data")
        seen.update({trace.row: prompt_of(trace) for trace in recone_sft.load_traces(place / "traces")})
        config = load_config(RecOneConfig, None, TINY, base=constants("small"))
        model = RecZero.from_backbone(place / "backbone", data, config.reinforcement)
        examples = rating_examples(data, "train", 3, 3)
        assert seen == {row: model.prompt(examples[row]).ids for row in range(24)}
        raise Killed

    monkeypatch.setattr(recone, "sft", sft)
    with pytest.raises(Killed):
        train()
    assert len(seen) == 24


def test_the_arm_and_the_seed_reach_the_second_stage(train, tmp_path):
    train("run", "sft.max_steps=1", "training.max_steps=1", seed=5, arm="exact-answer")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert (manifest["seed"], manifest["arm"]) == (5, "exact-answer")
    assert json.loads((tmp_path / "run" / "sft" / REPORT_FILE).read_text())["seed"] == 5


@pytest.mark.parametrize("name", ["paper", "as_released", "small"])
def test_the_second_stage_has_reczeros_constants(name):
    assert constants(name).reinforcement == preset(name)
    assert constants(name, "no-format").arm == "no-format"


# -- stop and go on -----------------------------------------------------------------------------------------------


def test_a_stop_between_the_stages_repeats_no_stage(short, train, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(recone, "fit", kill)
        train("run", SHORT)
    with pytest.raises(CheckpointError, match="already holds a run"):
        train("run", SHORT)
    with monkeypatch.context() as patch:
        patch.setattr(recone, "sft", kill)
        train("run", SHORT, resume=True)
    assert log(tmp_path / "run") == log(short)
    assert equal(weights(tmp_path / "run" / "model"), weights(short / "model"))


def test_a_stop_in_the_second_stage_resumes_that_stage(short, train, tmp_path, monkeypatch):
    from reckon.training import loop as training

    class StopAtOne(training.StopOnInterrupt):
        def on_step_end(self, args, state, control, **kwargs):
            self.interrupted = state.global_step == 1
            super().on_step_end(args, state, control, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(Interrupted, match="--resume"):
        patch.setattr(training, "StopOnInterrupt", StopAtOne)
        train("run", SHORT)
    with pytest.raises(CheckpointError, match="already holds a run"):
        train("run", SHORT)
    monkeypatch.setattr(recone, "sft", kill)
    train("run", SHORT, resume=True)
    assert log(tmp_path / "run") == log(short)
    assert equal(weights(tmp_path / "run" / "model"), weights(short / "model"))


def test_a_stop_in_the_first_stage_resumes_that_stage(short, train, tmp_path, monkeypatch):
    class StopAtFour(recone_sft.StopOnInterrupt):
        def on_step_end(self, args, state, control, **kwargs):
            self.interrupted = state.global_step == 4
            super().on_step_end(args, state, control, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(Interrupted, match="--resume"):
        patch.setattr(recone_sft, "StopOnInterrupt", StopAtFour)
        train("run", SHORT)
    assert not (tmp_path / "run" / "sft").exists()
    with pytest.raises(CheckpointError, match="unfinished"):
        train("run", SHORT)
    train("run", SHORT, resume=True)
    assert equal(weights(tmp_path / "run" / "sft"), weights(short / "sft"))
    assert equal(weights(tmp_path / "run" / "model"), weights(short / "model"))


def test_a_kill_before_the_first_checkpoint_restarts_the_first_stage(short, train, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(recone_sft, "_save", kill)
        train("run", SHORT)
    assert not (tmp_path / "run" / "sft").exists()
    train("run", SHORT, resume=True)
    assert equal(weights(tmp_path / "run" / "sft"), weights(short / "sft"))
    assert log(tmp_path / "run") == log(short)


def test_a_resumed_run_keeps_its_first_settings(train, place, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(recone, "fit", kill)
        train("run", SHORT, seed=3)
    resumed = train_run(
        "recone",
        data=place / "data",
        backbone=place / "backbone",
        traces=place / "traces",
        out=tmp_path / "run",
        overrides=("training.max_steps=1",),
        resume=True,
    )
    began = load_config(RecOneConfig, tmp_path / "run" / "recone.yaml").reinforcement
    assert began.seed == 3 and began.prompt.style == "compact"
    assert resumed.config == replace(began, training=replace(began.training, max_steps=1))


def test_a_finished_run_is_not_repeated(whole, place, tmp_path, train):
    shutil.copytree(whole, tmp_path / "run")
    with pytest.raises(CheckpointError, match="already holds a run"):
        train()


def test_a_resume_without_a_run_is_refused(train, tmp_path):
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        train(resume=True)


# -- what is refused ----------------------------------------------------------------------------------------------


def test_an_existing_run_is_refused_before_fine_tuning(whole, train, tmp_path, monkeypatch):
    shutil.copytree(whole, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "sft")  # as RecZero leaves it
    monkeypatch.setattr(recone, "sft", kill)
    with pytest.raises(CheckpointError, match="already holds a run"):
        train()


def test_traces_of_other_data_are_refused(train, tmp_path):
    other = rated_shelf.dataset(tmp_path / "other", shift=1)
    with pytest.raises(DataError, match="made from other data") as error:
        train(data=other.path)
    assert "\n" not in str(error.value) and not (tmp_path / "run" / "sft").exists()


def test_a_folder_without_traces_is_refused(train, tmp_path):
    with pytest.raises(DataError, match="no finished traces"):
        train(traces=tmp_path)


def test_data_without_ratings_is_refused_in_one_line(train, tmp_path):
    with pytest.raises(DataError, match="rating") as error:
        train(data=shelf.dataset(tmp_path / "data").path)
    assert "\n" not in str(error.value)


def test_without_trl_the_extra_is_named(train, monkeypatch):
    real = builtins.__import__

    def without_trl(name, *args, **kwargs):
        if name.split(".")[0] == "trl":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_trl)
    with pytest.raises(MissingExtraError, match=r"reckon-recsys\[recone\]"):
        train()
