"""GGUF files become folders with the weights, tokenizer and chat template that transformers reads from them."""

import threading

import pytest
import torch
from support.ggufs import ARCHITECTURES, CHAT, original, write_gguf
from support.tiny import tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from reckon.backbone_import.gguf_file import about_gguf
from reckon.backbone_import.importing import import_backbone
from reckon.errors import BusyError, CheckpointError, DataError, MissingExtraError
from reckon.locks import folder_lock
from reckon.models.backbone import LoraSettings, load_backbone

IDS = torch.arange(5, 25)[None]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """Imported folders and their GGUF files, each made once."""
    made = {}

    def folder(architecture="llama", quantise=True, dtype="float32"):
        key = (architecture, quantise, dtype)
        if key not in made:
            path = tmp_path_factory.mktemp(architecture)
            file = write_gguf(path / "tiny.gguf", architecture, quantise=quantise)
            import_backbone(file, path / "out", dtype=dtype)
            made[key] = (path / "out", file)
        return made[key]

    return folder


def logits_of(path, dtype=torch.float32, **options):
    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(path, dtype=dtype, **options)(IDS).logits.float()


def dequantised(file, dtype=torch.float32):
    return logits_of(file.parent, dtype, gguf_file=file.name, quantization_config=GgufConfig(dequantize=True))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_are_those_of_the_model_that_transformers_dequantises(folder_of, architecture):
    folder, file = folder_of(architecture)
    assert torch.equal(logits_of(folder), dequantised(file))


def test_logits_in_bfloat16_are_those_of_the_model_that_transformers_dequantises(folder_of):
    folder, file = folder_of(dtype="bfloat16")
    torch.testing.assert_close(logits_of(folder, torch.bfloat16), dequantised(file, torch.bfloat16), rtol=0, atol=1e-3)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_weights_that_are_not_quantised_come_through_unchanged(folder_of, architecture):
    folder, _ = folder_of(architecture, quantise=False)
    with torch.no_grad():
        torch.testing.assert_close(logits_of(folder), original(architecture)(IDS).logits, rtol=1e-5, atol=1e-5)


def test_the_tokenizer_splits_as_the_one_in_the_file(folder_of):
    folder, _ = folder_of()
    text = "read: [The Quiet Harbour] 12 <answer>"
    assert AutoTokenizer.from_pretrained(folder)(text)["input_ids"] == tokenizer()(text)["input_ids"]


def test_the_chat_template_comes_along(folder_of):
    folder, _ = folder_of()
    assert AutoTokenizer.from_pretrained(folder).chat_template == CHAT


def test_the_written_folder_holds_no_quantisation_config(folder_of):
    folder, _ = folder_of()
    assert "quantization" not in (folder / "config.json").read_text()


def test_the_written_folder_is_trained_like_any_other(folder_of):
    folder, _ = folder_of()
    backbone = load_backbone(folder, lora=LoraSettings(r=2), device="cpu")
    backbone.logits(backbone.hidden(IDS)).sum().backward()
    assert any(p.grad is not None and bool(p.grad.any()) for p in backbone.model.parameters())


def test_the_note_states_source_and_licence(folder_of):
    folder, _ = folder_of()
    note = (folder / "README.md").read_text()
    assert note.startswith("---\nlicense: mit\n---\n# Tiny\n")
    assert "the file tiny.gguf; weights in float32" in note


def test_weights_are_bfloat16_unless_told_otherwise(tmp_path):
    import_backbone(write_gguf(tmp_path / "tiny.gguf"), tmp_path / "out")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").dtype == torch.bfloat16


def refused(source, out, **options):
    """The message of an import that leaves nothing behind."""
    before = set(out.parent.iterdir())
    with pytest.raises(CheckpointError) as error:
        import_backbone(source, out, **options)
    assert set(out.parent.iterdir()) == before
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_architecture_that_transformers_cannot_dequantise_is_refused_in_one_line(tmp_path):
    file = write_gguf(tmp_path / "tiny.gguf")
    file.write_bytes(file.read_bytes().replace(b"llama", b"lamda"))
    message = refused(file, tmp_path / "out")
    assert "cannot be dequantised by transformers, architecture 'lamda'" in message
    assert "not supported" in message


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_refused_in_one_line(tmp_path, share):
    file = write_gguf(tmp_path / "tiny.gguf")
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    assert "is cut off or damaged" in refused(file, tmp_path / "out")


def test_a_file_that_lacks_weights_is_refused_in_one_line(tmp_path):
    file = write_gguf(tmp_path / "tiny.gguf", without=("blk.1.ffn_up.weight",))
    assert "lacks 1 of the model's weights (model.layers.1.mlp.up_proj.weight)" in refused(file, tmp_path / "out")


def test_a_file_of_another_kind_is_refused_in_one_line(tmp_path):
    file = tmp_path / "model.gguf"
    file.write_bytes(b"PK\3\4")
    assert "is no GGUF file" in refused(file, tmp_path / "out")


def test_a_missing_file_is_refused_without_a_look_at_the_hub(tmp_path):
    assert "cannot be read (No such file" in refused(tmp_path / "model.gguf", tmp_path / "out")


def test_a_full_disk_is_refused_before_the_weights_are_written(tmp_path, monkeypatch):
    file = write_gguf(tmp_path / "tiny.gguf")
    free = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("reckon.backbone_import.importing.shutil.disk_usage", lambda path: free)
    assert "no space left on its disk" in refused(file, tmp_path / "out")


def test_a_disk_that_fills_up_while_weights_are_written_leaves_nothing(tmp_path, monkeypatch):
    from safetensors import SafetensorError

    def full(*_, **__):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    file = write_gguf(tmp_path / "tiny.gguf")
    monkeypatch.setattr("transformers.PreTrainedModel.save_pretrained", full)
    assert "no space left on its disk" in refused(file, tmp_path / "out")


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="exists and is not empty"):
        import_backbone(write_gguf(tmp_path / "tiny.gguf"), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_folder_that_another_process_writes_is_refused(tmp_path):
    file = write_gguf(tmp_path / "tiny.gguf")
    told = []

    def second():
        try:
            import_backbone(file, tmp_path / "out")
        except BusyError as error:
            told.append(str(error))

    with folder_lock(tmp_path / "out"):
        thread = threading.Thread(target=second)  # a thread is another holder
        thread.start()
        thread.join()
    assert len(told) == 1 and "is held by" in told[0]


def test_the_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
    file = write_gguf(tmp_path / "tiny.gguf")
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'reckon-recsys\[gguf\]'"):
        about_gguf(file)
