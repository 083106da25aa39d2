"""The backbone: every family's own logits, loaded in every way we offer."""

import json
import shutil

import pytest
import torch
from support.tiny import FAMILIES, backbone, model, tokenizer

from reckon.errors import CheckpointError, ConfigError
from reckon.models import Backbone
from reckon.models.backbone import LoraSettings, load_backbone
from reckon.models.token_batch import TokenBatch
from reckon.prompts import render
from reckon.prompts.r2ec import MARKER
from reckon.rollout import SamplingConfig, SharedPrefixEngine

IDS = torch.tensor([[5, 9, 40, 22, 31, 8, 99, 120, 45, 7, 12]])
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def saved(path, family="qwen2", **changes):
    """A folder as `save_pretrained` writes it."""
    model(family, **changes).save_pretrained(path)
    tokenizer().save_pretrained(path)
    return path


def our_logits(bone):
    positions = torch.arange(IDS.shape[1])[None]
    return bone.logits(bone.decoder(input_ids=IDS, position_ids=positions, use_cache=False).last_hidden_state)


def loss_of(bone):
    hidden = bone.last_hidden(bone.pad([IDS[0].tolist(), IDS[0, :4].tolist()]))
    return bone.logits(hidden).log_softmax(-1)[:, 3].sum()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_a_loaded_model_gives_its_own_logits(family, tied, tmp_path):
    original = model(family, tie_word_embeddings=tied)
    original.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    original.set_attn_implementation("eager")
    bone = load_backbone(tmp_path, device="cpu")
    head, embedding = bone.causal_lm.get_output_embeddings().weight, bone.causal_lm.get_input_embeddings().weight
    assert (head.data_ptr() == embedding.data_ptr()) == tied
    with torch.no_grad():
        torch.testing.assert_close(our_logits(bone), original(input_ids=IDS).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_lora_trains_the_adapters_only(family, tmp_path):
    bone = load_backbone(saved(tmp_path, family), lora=LoraSettings(r=2), device="cpu")
    loss_of(bone).backward()
    trained = {name for name, parameter in bone.model.named_parameters() if parameter.grad is not None}
    assert trained and all("lora_" in name for name in trained)
    assert all("lora_" in name for name, parameter in bone.model.named_parameters() if parameter.requires_grad)
    assert any("q_proj" in name for name in trained) and any("down_proj" in name for name in trained)


def test_a_new_adapter_changes_nothing_yet(tmp_path):
    plain = load_backbone(saved(tmp_path), device="cpu")
    with torch.no_grad():
        adapted = load_backbone(tmp_path, lora=LoraSettings(r=2), device="cpu")
        torch.testing.assert_close(our_logits(adapted), our_logits(plain))


def trained_adapters(base, out):
    bone = load_backbone(base, lora=LoraSettings(r=2, alpha=64), device="cpu")
    with torch.no_grad():
        for name, parameter in bone.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(len(name)))
    bone.model.save_pretrained(out)
    bone.tokenizer.save_pretrained(out)
    return bone


def test_new_adapters_are_a_function_of_the_seed_alone(tmp_path):
    path = saved(tmp_path)

    def first(seed):
        torch.randn(3)  # what was drawn before does not matter
        bone = load_backbone(path, lora=LoraSettings(r=2), device="cpu", seed=seed)
        return next(weight for name, weight in bone.model.named_parameters() if "lora_A" in name)

    assert torch.equal(first(1), first(1)) and not torch.equal(first(1), first(2))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_of_adapters_loads_with_its_base(family, tmp_path):
    bone = trained_adapters(saved(tmp_path / "base", family), tmp_path / "lora")
    loaded = load_backbone(tmp_path / "lora", device="cpu")
    with torch.no_grad():
        torch.testing.assert_close(our_logits(loaded), our_logits(bone.model.eval() and bone))
    assert {name for name, parameter in loaded.model.named_parameters() if parameter.requires_grad} == {
        name for name, parameter in bone.model.named_parameters() if parameter.requires_grad
    }


def test_adapters_remember_their_base_from_another_working_directory(tmp_path, monkeypatch):
    saved(tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    trained_adapters("base", tmp_path / "lora")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    load_backbone(tmp_path / "lora", device="cpu")


def test_adapters_whose_base_is_gone_name_it(tmp_path):
    base = saved(tmp_path / "base")
    trained_adapters(base, tmp_path / "lora")
    shutil.rmtree(base)
    with pytest.raises(CheckpointError, match=r"holds adapters of .*base.*put that model back"):
        load_backbone(tmp_path / "lora", device="cpu")


def test_adapters_on_adapters_are_refused(tmp_path):
    trained_adapters(saved(tmp_path / "base"), tmp_path / "lora")
    with pytest.raises(ConfigError, match="holds adapters already"):
        load_backbone(tmp_path / "lora", lora=LoraSettings(r=4), device="cpu")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rank", [0, 2], ids=["full", "lora"])
def test_gradient_checkpointing_changes_no_gradient(family, rank, tmp_path):
    saved(tmp_path, family)
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)  # LoRA starts at random
        bone = load_backbone(tmp_path, lora=LoraSettings(r=rank), gradient_checkpointing=checkpointing, device="cpu")
        bone.model.train()
        loss_of(bone).backward()
        gradients.append({name: p.grad for name, p in bone.model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() and gradients[0]
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_weights_sample_replies_and_stay_close_to_float32(family, tmp_path):
    bone = load_backbone(saved(tmp_path, family, spread=2.0), dtype="bfloat16", device="cpu")
    assert bone.causal_lm.dtype == torch.bfloat16
    rolled = SharedPrefixEngine(bone, MARKER).sample(
        [[5, 9], [7, 7, 12]],
        SamplingConfig(max_completion_length=4),
        num_generations=2,
        generator=torch.Generator().manual_seed(0),
    )
    assert rolled.logprobs.dtype == torch.float32 and rolled.logprobs.isfinite().all()
    with torch.no_grad():
        plain = our_logits(load_backbone(tmp_path, device="cpu")).log_softmax(-1)
        assert (our_logits(bone).log_softmax(-1) - plain).abs().mean() < 0.1


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.mkdir(),
        lambda path: (path.mkdir(), (path / "config.json").write_text("{}")),
    ],
    ids=["empty folder", "no model"],
)
def test_a_folder_without_a_model_is_a_checkpoint_error(make, tmp_path):
    make(tmp_path / "model")
    with pytest.raises(CheckpointError, match="cannot be loaded as a causal language model"):
        load_backbone(tmp_path / "model", device="cpu")


def no_hub(*_, **__):
    raise AssertionError("nobody should be asked")


@pytest.mark.parametrize("path", ["missing", "./model", "runs/a/model", "backbones/model", "~/no-such-model", "runs/"])
def test_a_mistyped_path_is_not_looked_up_in_the_hub(path, tmp_path, monkeypatch):
    (tmp_path / "backbones").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("reckon.models.model_files.AutoTokenizer.from_pretrained", no_hub)
    with pytest.raises(CheckpointError, match="there is no such folder"):
        load_backbone(tmp_path / path if path == "missing" else path, device="cpu")


@pytest.mark.parametrize("path", ["gpt2", "Qwen/Qwen3-0.6B"])
def test_a_hub_id_is_looked_up(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("reckon.models.model_files.AutoTokenizer.from_pretrained", no_hub)
    with pytest.raises(CheckpointError, match="nobody should be asked"):
        load_backbone(path, device="cpu")


@pytest.mark.parametrize("name", ["smolm2", "nobody/model"])
def test_a_hub_that_does_not_answer_is_asked_once(name, tmp_path, monkeypatch):
    asked = []

    def model_info(self, name, timeout):
        asked.append(name)
        raise OSError("name or service not known")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    monkeypatch.setattr("reckon.models.model_files.AutoTokenizer.from_pretrained", no_hub)
    with pytest.raises(CheckpointError, match="the hub does not answer"):
        load_backbone(name, device="cpu")
    assert asked == [name]


def test_a_file_is_no_folder_of_a_model(tmp_path):
    (tmp_path / "weights.bin").touch()
    with pytest.raises(CheckpointError, match="is no folder"):
        load_backbone(tmp_path / "weights.bin", device="cpu")


def test_a_model_with_code_of_its_own_is_refused(tmp_path):
    settings = json.loads((saved(tmp_path) / "config.json").read_text())
    settings |= {
        "model_type": "homemade",
        "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"},
    }
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match="code of its own"):
        load_backbone(tmp_path, device="cpu")


def test_damaged_weights_are_a_checkpoint_error(tmp_path):
    weights = saved(tmp_path) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load_backbone(tmp_path, device="cpu")


def test_gemma2_caps_its_final_logits():
    bone = backbone("gemma2")
    with torch.no_grad():
        logits = our_logits(bone)
        raw = bone.causal_lm.get_output_embeddings()(bone.decoder(input_ids=IDS, use_cache=False).last_hidden_state)
    assert (logits - raw).abs().max() > 0.2, "these weights must reach where the cap bends"
    assert logits.abs().max() <= 3
    torch.testing.assert_close(logits, 3 * torch.tanh(raw / 3), rtol=1e-4, atol=1e-4)


def test_a_family_with_logits_of_its_own_is_refused():
    strange = model()
    original = strange.forward

    def scaled(*args, **kwargs):
        output = original(*args, **kwargs)
        output.logits = output.logits * 0.5
        return output

    strange.forward = scaled
    with pytest.raises(ConfigError, match="unknown way"):
        Backbone(strange, tokenizer())


def test_a_tokenizer_without_a_pad_token_pads_with_its_end_token():
    bare = tokenizer()
    bare.pad_token = None
    assert Backbone(model(), bare).tokenizer.pad_token_id == bare.eos_token_id


def test_padding_does_not_change_a_last_state():
    bone = backbone()
    with torch.no_grad():
        together = bone.last_hidden(bone.pad([[5, 9, 40, 22, 31], [7, 12]]))
        alone = bone.last_hidden(bone.pad([[7, 12]]))
    torch.testing.assert_close(together[1], alone[0], rtol=1e-4, atol=1e-5)


def test_a_token_batch_is_padded_on_the_right():
    batch = TokenBatch.pad([[5, 6, 7], [8]], pad_id=0, device=torch.device("cpu"))
    assert batch.ids.tolist() == [[5, 6, 7], [8, 0, 0]] and batch.lengths.tolist() == [3, 1]


def test_a_prompt_uses_the_chat_template_where_there_is_one():
    turns = [{"role": "user", "content": "read: [A]"}]
    assert render(turns, tokenizer(chat_template=TEMPLATE)) == "<user>read: [A]<assistant>"
    assert render(turns, tokenizer()) == "read: [A]\n"


def test_evaluating_restores_the_mode_even_after_an_error():
    bone = backbone()
    bone.model.train()
    with pytest.raises(RuntimeError), bone.evaluating():
        assert not bone.model.training and not torch.is_grad_enabled()
        raise RuntimeError
    assert bone.model.training and torch.is_grad_enabled()


@pytest.mark.parametrize("settings", [dict(r=-1), dict(dropout=1.0)], ids=str)
def test_lora_settings_out_of_range_are_refused(settings):
    with pytest.raises(ConfigError, match="lora"):
        LoraSettings(**settings)


def test_adapters_store_the_absolute_path_of_their_base(tmp_path):
    trained_adapters(saved(tmp_path / "base"), tmp_path / "lora")
    stored = json.loads((tmp_path / "lora" / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert stored == str((tmp_path / "base").resolve())
