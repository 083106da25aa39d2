"""Both stages of RPORec, alternating: each writes a run, a stopped training resumes, and the result is evaluated."""

import pytest
from safetensors.torch import load_file
from support.rporec_talker import backbone_folder, recommender, settings
from support.run_files import equal, weights
from support.shelf import dataset
from support.stopping import Killed, kill

from reckon.config import save_config
from reckon.errors import CheckpointError, ConfigError
from reckon.evaluation.run import evaluate
from reckon.methods.finished import name_of
from reckon.methods.rporec import RPORec
from reckon.methods.rporec.rounds import fit
from reckon.methods.rporec.stage_one import fit_rechead
from reckon.methods.train import train_run
from reckon.runs.read import manifest_of


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


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Train both stages into a folder, the same start every time."""
    path = tmp_path_factory.mktemp("rounds")
    backbone_folder(path / "backbone")
    dataset(path / "data")
    save_config(settings(max_steps=2), path / "config.yaml")

    def run(out, **changes):
        common = dict(data=path / "data", backbone=path / "backbone", config_file=path / "config.yaml")
        return train_run("rporec", **common, out=out, **changes)

    return run


@pytest.fixture(scope="module")
def whole(train, tmp_path_factory):
    """The run of both stages that nothing stopped."""
    path = tmp_path_factory.mktemp("whole") / "run"
    train(path)
    return path


@pytest.mark.parametrize("stopped", ["rechead", "reasoning"])
def test_a_run_of_both_stages_resumes_where_it_stopped(stopped, train, whole, tmp_path, monkeypatch):
    from reckon.methods.rporec import rounds as rporec_run

    broken = tmp_path / "broken"
    with monkeypatch.context() as patch:
        patch.setattr(rporec_run, f"fit_{stopped}", lambda *_, **__: kill())
        with pytest.raises(Killed):
            train(broken)
    with pytest.raises(CheckpointError, match="--resume"):
        train(broken)
    train(broken, resume=True)
    assert manifest_of(whole)["backbone"] == manifest_of(broken)["backbone"]
    for part in ("rechead.safetensors", "model/model.safetensors"):
        assert equal(load_file(whole / part), load_file(broken / part)), part


def test_a_run_that_has_ended_is_only_written_again_and_keeps_its_rounds(tmp_path):
    model, data = recommender(tmp_path, max_steps=2)
    fit(model, data, tmp_path / "run")
    before = load_file(tmp_path / "run" / "model" / "model.safetensors")
    for name in ("manifest.json", "config.yaml", "model"):
        (tmp_path / "run" / name).rename(tmp_path / name)
    again = recommender(tmp_path / "again", max_steps=2)[0]
    with pytest.raises(CheckpointError, match=r"another rounds \(1, now 2\)"):
        fit(again, data, tmp_path / "run", rounds=2, resume=True)
    fit(again, data, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "manifest.json").exists() and (tmp_path / "run" / "config.yaml").exists()
    assert equal(load_file(tmp_path / "run" / "model" / "model.safetensors"), before)


def test_a_finished_first_stage_is_taken_as_it_is(train, tmp_path):
    for resume in (False, True):
        train(tmp_path / "run", stage="rechead", resume=resume)


def test_a_run_may_start_from_another_with_its_settings(first_stage, tmp_path):
    model, data, run = first_stage
    two = train_run(
        "rporec", data=data.path, start=run, out=tmp_path / "two", stage="reasoning", overrides=["training.max_steps=1"]
    )
    assert two.config.training.max_steps == 1 and two.config.rechead == model.config.rechead
    assert equal(weights(two.rechead), weights(model.rechead))
    again = train_run("rporec", data=data.path, start=tmp_path / "two", out=tmp_path / "three", stage="rechead")
    assert (tmp_path / "three" / "replies.sqlite").exists() and again.config.training.max_steps == 1


def test_an_arm_that_is_named_wins_over_that_of_the_run_it_starts_from(first_stage, tmp_path):
    _, data, run = first_stage
    plain = train_run("rporec", data=data.path, start=run, out=tmp_path / "plain", stage="rechead", arm="history-only")
    assert plain.config.arm == name_of(tmp_path / "plain") == "history-only"


def test_invalid_stages_and_starts_are_refused_before_training(first_stage, tmp_path):
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
            train_run("rporec", **common, **wrong)
    assert not (tmp_path / "refused").exists()
    other = dataset(tmp_path / "other", step=2)
    with pytest.raises(CheckpointError, match="other data"):
        train_run("rporec", data=other.path, start=run, out=tmp_path / "refused")


def test_a_run_is_evaluated_beside_its_first_stage_and_without_its_reasoning(tmp_path):
    model, data = recommender(tmp_path, max_steps=1, eval_steps=1)
    fit(model, data, tmp_path / "run")
    plain = RPORec.from_backbone(tmp_path / "backbone", data, settings("history-only"))
    fit_rechead(plain, data, tmp_path / "plain")
    evaluation = evaluate(
        tmp_path / "run", ks=(5,), beside=[tmp_path / "plain", tmp_path / "run" / "round-1" / "rechead"]
    )
    names = ["popularity", "history-only", "rporec, stage I", "rporec, reasoning left out", "rporec"]
    assert [result.name for result in evaluation.results] == names
    assert evaluation.results[-1].rates["parsed"] == model.ranks(data.examples("test", 3)).parsed.mean()
    assert evaluation.about.method == "RPORec" and evaluation.about.source == "shelf"
