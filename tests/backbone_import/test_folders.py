"""Folders and hub ids: read as any backbone is, written plain."""

import pytest
import torch
from support.ggufs import write_gguf
from support.shelf import backbone_folder
from transformers import AutoModelForCausalLM

from reckon.backbone_import.importing import import_backbone
from reckon.errors import CheckpointError, ConfigError


def test_a_folder_keeps_its_weights_and_the_licence_of_its_card(tmp_path):
    folder = backbone_folder(tmp_path / "model")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    origin = import_backbone(folder, tmp_path / "out", dtype="float32")
    assert origin.licence == "mit"
    left, right = (AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (folder, tmp_path / "out"))
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_a_source_without_a_stated_licence_says_so(tmp_path):
    folder = backbone_folder(tmp_path / "model")
    assert import_backbone(folder, tmp_path / "out").licence is None
    assert "states no licence" in (tmp_path / "out" / "README.md").read_text()


def test_a_folder_of_gguf_files_is_refused_with_the_name_of_one(tmp_path):
    write_gguf(tmp_path / "tiny.gguf")
    with pytest.raises(CheckpointError, match=r"holds GGUF files \(tiny.gguf\)"):
        import_backbone(tmp_path, tmp_path / "out")


def test_a_folder_of_adapters_is_refused(tmp_path):
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="holds adapters, not a whole model"):
        import_backbone(tmp_path / "adapters", tmp_path / "out")


def test_a_hub_that_cannot_be_reached_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("transformers.utils.hub.is_offline_mode", lambda: True)
    with pytest.raises(CheckpointError, match="cannot be loaded as a causal language model") as error:
        import_backbone("nobody/no-such-model", tmp_path / "out")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("slip", "meant"), [("smolm2", "smollm2"), ("miniLM", "minilm")])
def test_a_slip_in_a_name_of_the_table_is_not_looked_up_in_the_hub(slip, meant, tmp_path):
    with pytest.raises(ConfigError, match=f"did you mean {meant}"):
        import_backbone(slip, tmp_path / "out")
