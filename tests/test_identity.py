"""Files, folders and weights are told apart by every byte of them."""

import json
import os
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import torch
from support import tiny

from reckon.errors import CheckpointError, DataError
from reckon.identity import file_digest, folder_digest, source_identity
from reckon.models.backbone import Backbone
from reckon.models.model_files import weights_fingerprint
from reckon.runs.write import BEGUN_FILE, refuse_other, starting_point

MIB = 1 << 20


def changed_in_the_middle(path):
    """Another byte in the middle, at the size and (but for the time) the place it had."""
    middle = path.stat().st_size // 2
    with path.open("r+b") as file:
        file.seek(middle)
        file.write(b"\1")
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def test_a_byte_in_the_middle_of_a_large_file_makes_another_folder(tmp_path):
    (tmp_path / "model").mkdir()
    file = tmp_path / "model" / "weights"
    file.write_bytes(bytes(5 * MIB))
    before, whole = folder_digest(tmp_path / "model"), file_digest(file)
    changed_in_the_middle(file)
    assert file_digest(file) != whole
    assert folder_digest(tmp_path / "model") != before


def test_a_cell_of_a_comparison_notices_a_changed_layer_in_the_middle_of_its_backbone(tmp_path):
    from reckon.comparison.contestant import identified

    (tmp_path / "weights").write_bytes(bytes(5 * MIB))
    before = identified({"backbone": str(tmp_path), "encoder": str(tmp_path), "rest": 1})
    changed_in_the_middle(tmp_path / "weights")
    after = identified({"backbone": str(tmp_path), "encoder": str(tmp_path), "rest": 1})
    assert before["backbone"] != after["backbone"]
    assert before["encoder"] != after["encoder"]


def test_a_file_is_read_once(tmp_path, monkeypatch):
    import reckon.identity

    (tmp_path / "a").write_text("a")
    file_digest(tmp_path / "a")
    monkeypatch.setattr(reckon.identity, "file_sha256", None)
    file_digest(tmp_path / "a")


def test_names_of_files_count_and_the_place_of_the_folder_does_not(tmp_path):
    for folder, name in (("one", "a"), ("two", "a"), ("three", "b")):
        (tmp_path / folder / "sub").mkdir(parents=True)
        (tmp_path / folder / "sub" / name).write_text("text")
    one, two, three = (folder_digest(tmp_path / folder) for folder in ("one", "two", "three"))
    assert one == two != three


def test_adapters_are_known_by_the_model_they_belong_to_as_well(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "weights").write_text("a")
    (tmp_path / "adapters").mkdir()
    config = {"base_model_name_or_path": str(tmp_path / "base")}
    (tmp_path / "adapters" / "adapter_config.json").write_text(json.dumps(config))
    before = folder_digest(tmp_path / "adapters")
    (tmp_path / "base" / "weights").write_text("bb")
    assert folder_digest(tmp_path / "adapters") != before


def test_what_is_no_folder_is_known_by_its_name(tmp_path):
    assert source_identity("somebody/model") == "somebody/model"
    assert source_identity(tmp_path).startswith("files ")


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_every_value_of_every_tensor_counts(kind):
    weight = torch.zeros(64, 64, dtype=kind)
    before = weights_fingerprint([("w", weight)])
    weight[63, 63] = 1
    assert weights_fingerprint([("w", weight)]) != before
    assert weights_fingerprint([("w", weight.T)]) != weights_fingerprint([("w", weight.clone().T * 2)])


def test_a_backbone_with_another_last_value_is_another():
    backbone = tiny.backbone()
    before = backbone.fingerprint()
    with torch.no_grad():
        next(iter(backbone.causal_lm.parameters())).flatten()[-1] += 1
    assert backbone.fingerprint() != before


def test_adapters_count_as_soon_as_they_have_learned_something(tmp_path):
    from peft import LoraConfig, get_peft_model

    plain = tiny.backbone()

    def adapted(seed):
        torch.manual_seed(seed)
        settings = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
        return Backbone(get_peft_model(tiny.model(), settings), plain.tokenizer)

    one, two = adapted(0), adapted(1)
    before = one.fingerprint()
    assert two.fingerprint() == before
    with torch.no_grad():
        next(w for name, w in two.causal_lm.named_parameters() if "lora_B" in name).fill_(1)
    assert two.fingerprint() != before


def test_no_method_resumes_a_run_under_another_split(tmp_path, monkeypatch):
    """Each trainer asks for its starting point first, with what the run may not change."""
    import reckon.methods.r2ec.trainer as r2ec
    import reckon.methods.reczero.trainer as reczero
    import reckon.methods.rporec.rounds as rounds
    import reckon.methods.rporec.stage_one as stage_one
    import reckon.methods.rporec.stage_two as stage_two

    class Asked(Exception):
        pass

    def ask(out, resume, identity):
        assert identity["split"] == "temporal"
        assert identity["data"] == "d"
        raise Asked

    model = MagicMock()
    model.backbone.identity = {"dtype": "float32", "backbone": "b"}
    dataset = SimpleNamespace(checksum="d", protocol="temporal", identity={"data": "d", "split": "temporal"})
    for module, fit in (
        (r2ec, r2ec.fit),
        (reczero, reczero.fit),
        (rounds, rounds.fit),
        (stage_one, stage_one.fit_rechead),
        (stage_two, stage_two.fit_reasoning),
    ):
        monkeypatch.setattr(module, "starting_point", ask)
        with pytest.raises(Asked):
            fit(model, dataset, tmp_path / "run")
    (tmp_path / "both").mkdir()
    (tmp_path / "both" / BEGUN_FILE).write_text('{"data": "d", "split": "leave-one-out"}')
    with pytest.raises(CheckpointError, match=r"another split \(leave-one-out, now temporal\)"):
        rounds.fit(model, dataset, tmp_path / "both", resume=True)


def test_recone_is_not_resumed_under_another_split_in_either_stage(tmp_path):
    from reckon.methods.recone.config import preset
    from reckon.methods.recone.stages import train

    dataset = SimpleNamespace(checksum="d", protocol="temporal", identity={"data": "d", "split": "temporal"})
    (tmp_path / BEGUN_FILE).write_text('{"data": "d", "split": "leave-one-out"}')
    with pytest.raises(CheckpointError, match=r"another split \(leave-one-out, now temporal\)"):
        train(preset("small"), dataset, "b", tmp_path, traces="t", resume=True)


def test_replies_of_stage_one_know_their_split():
    from reckon.methods.rporec.config import preset
    from reckon.methods.rporec.stage_one import reply_identity

    model = SimpleNamespace(config=preset("small"), backbone=SimpleNamespace(fingerprint=lambda: "b"))
    dataset = SimpleNamespace(checksum="d", protocol="temporal", identity={"data": "d", "split": "temporal"})
    assert reply_identity(model, dataset)["split"] == "temporal"


def test_a_run_goes_on_with_the_split_it_was_begun_with_alone(tmp_path):
    begun = {"data": "d", "split": "temporal", "backbone": "b"}
    starting_point(tmp_path / "run", False, begun)
    refuse_other(tmp_path / "run", begun)
    with pytest.raises(CheckpointError, match=r"another split \(temporal, now leave-one-out\)"):
        refuse_other(tmp_path / "run", begun | {"split": "leave-one-out"})


def test_a_run_that_does_not_say_its_split_is_refused_and_the_message_says_how_to_mend_it(tmp_path):
    starting_point(tmp_path / "run", False, {"data": "d"})
    with pytest.raises(CheckpointError, match=r'does not say with which split .*add "split": "temporal"'):
        refuse_other(tmp_path / "run", {"data": "d", "split": "temporal"})
    (tmp_path / "run" / BEGUN_FILE).write_text('{"data": "d", "split": "temporal"}')
    refuse_other(tmp_path / "run", {"data": "d", "split": "temporal"})


def test_a_store_of_replies_is_of_one_split(tmp_path):
    from reckon.methods.rporec.reply_store import ReplyStore

    with ReplyStore(tmp_path / "s", {"data": "d", "split": "temporal"}):
        pass
    with pytest.raises(DataError, match="begun with split = 'temporal', now it is 'leave-one-out'"):
        ReplyStore(tmp_path / "s", {"data": "d", "split": "leave-one-out"})
