"""Contestants: the protocol decides seed, masking and window, and an interrupted fit resumes."""

import pytest
from support import rporec_talker, shelf

from reckon.baselines import RANKING_BASELINES
from reckon.comparison.config import ProtocolConfig
from reckon.comparison.registry import contestant, contestants
from reckon.training.checkpoints import Interrupted

SMALL = {"preset": "small", "training.max_steps": 4, "training.eval_steps": 2, "training.batch_size": 4}
SMALL |= {"training.micro_batch_size": 4, "training.validation_size": 4, "rollout.max_completion_length": 4}
R2EC = SMALL | {"recpo.num_generations": 2}
PROTOCOL = ProtocolConfig(window=3, exclude_seen=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return shelf.dataset(tmp_path_factory.mktemp("shelf") / "data")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return str(shelf.backbone_folder(tmp_path_factory.mktemp("b") / "backbone"))


def fit(name, data, values, folder, protocol=PROTOCOL, seed=5, on_progress=lambda share: None):
    found = contestant(name, "m")
    return found.fit(data, found.settings_of(values, "s"), protocol, seed, folder, on_progress)


def test_every_baseline_is_a_contestant():
    assert set(RANKING_BASELINES) < set(contestants())


@pytest.mark.parametrize("name", ["r2ec", "no-reasoning"])
def test_the_protocol_decides_seed_masking_and_window_of_a_method(name, data, backbone, tmp_path):
    fitted = fit(name, data, R2EC | {"backbone": backbone}, tmp_path)
    config = fitted.model.config
    assert (config.seed, config.head.exclude_seen, config.prompt.window, fitted.window) == (5, False, 3, 3)
    assert fitted.model.reasons == (name == "r2ec")
    assert fitted.log and fitted.facts["parameters"] > 0
    assert (fitted.ranker.ranks(data.examples("test", 3), 5).ranks >= 1).all()


def test_a_smaller_window_of_a_method_is_kept(data, backbone, tmp_path):
    shares = []
    values = R2EC | {"backbone": backbone, "prompt.window": 2}
    fitted = fit("no-reasoning", data, values, tmp_path, on_progress=shares.append)
    assert fitted.window == 2 and shares == [0.25, 0.5, 0.75, 1]


def test_a_killed_method_resumes_from_its_checkpoint(data, backbone, tmp_path, monkeypatch):
    import reckon.methods.r2ec.trainer as training

    values, whole = R2EC | {"backbone": backbone}, training.run_trainer

    def killed(trainer, out, *rest):
        trainer.args.max_steps = 2
        whole(trainer, out, *rest)
        raise Interrupted(out)

    monkeypatch.setattr(training, "run_trainer", killed)
    with pytest.raises(Interrupted):
        fit("no-reasoning", data, values, tmp_path)
    monkeypatch.setattr(training, "run_trainer", whole)
    resumed = fit("no-reasoning", data, values, tmp_path)
    assert max(entry["step"] for entry in resumed.log) == 4


def test_a_model_that_was_trained_but_not_ranked_is_not_trained_again(data, backbone, tmp_path, monkeypatch):
    first = fit("no-reasoning", data, R2EC | {"backbone": backbone}, tmp_path)
    monkeypatch.setattr("reckon.methods.r2ec.trainer.fit", lambda *_, **__: pytest.fail("it trained again"))
    again = fit("no-reasoning", data, R2EC | {"backbone": backbone}, tmp_path)  # as after a stop while it was ranked
    examples = data.examples("test", 3)
    assert (again.ranker.ranks(examples, 5).ranks == first.ranker.ranks(examples, 5).ranks).all()
    assert again.log == first.log


def test_rporec_is_fitted_in_both_stages(data, tmp_path):
    values = SMALL | {"backbone": str(rporec_talker.backbone_folder(tmp_path / "b")), "grpo.num_generations": 2}
    shares = []
    fitted = fit("rporec", data, values | {"stage_one.max_epochs": 1}, tmp_path / "cell", on_progress=shares.append)
    assert shares == sorted(shares) and {0.5, 1} <= set(shares) and 0.5 < shares[1] < 1
    assert fitted.model.config.rechead.exclude_seen is False and fitted.model.config.seed == 5
    assert (tmp_path / "cell" / "run" / "round-1" / "reasoning").is_dir()


def test_an_rporec_that_was_trained_but_not_ranked_is_not_trained_again(data, tmp_path):
    values = SMALL | {"backbone": str(rporec_talker.backbone_folder(tmp_path / "b")), "stage_one.max_epochs": 1}
    first = fit("history-only", data, values, tmp_path / "cell")
    again = fit("history-only", data, values, tmp_path / "cell")  # as after a stop while the cell was ranked
    examples = data.examples("test", 3)
    assert (again.ranker.ranks(examples, 5).ranks == first.ranker.ranks(examples, 5).ranks).all()
    assert again.log == first.log


def test_another_backbone_in_the_same_place_is_another_cell(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "model.safetensors").write_bytes(b"one")
    method = contestant("r2ec", "m")

    def identity():
        return method.identity(method.settings_of({"backbone": str(tmp_path / "b")}, "s"))

    before = identity()
    assert identity() == before
    (tmp_path / "b" / "model.safetensors").write_bytes(b"two")
    assert identity() != before
    assert method.identity(method.settings_of({"backbone": "hub/id"}, "s"))["backbone"] == "hub/id"


@pytest.mark.parametrize(("name", "setting"), [("tiger", "encoder"), ("rporec", "rechead.encoder"), ("d3", "backbone")])
def test_another_model_behind_a_setting_is_another_cell(tmp_path, monkeypatch, name, setting):
    monkeypatch.chdir(tmp_path)
    method = contestant(name, "m")

    def identity(**values):
        return method.identity(method.settings_of(values | ({"backbone": "hub/id"} if name == "rporec" else {}), "s"))

    plain = identity()
    for folder in ("static", "new", "model"):
        (tmp_path / folder / "deep").mkdir(parents=True)
        (tmp_path / folder / "deep" / "weights").write_bytes(b"one")
    assert identity() == plain  # the default is no folder, whatever lies there
    named = identity(**{setting: "model"})
    assert named != plain
    (tmp_path / "model" / "deep" / "weights").write_bytes(b"two")
    assert identity(**{setting: "model"}) != named


def test_the_path_of_a_backbone_is_not_part_of_its_identity(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    method = contestant("r2ec", "m")
    identities = [method.identity(method.settings_of({"backbone": str(tmp_path / name)}, "s")) for name in ("a", "b")]
    assert identities[0] == identities[1]
