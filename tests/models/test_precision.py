"""The setting `dtype`: what `auto` means on a machine, and what stays float32 in either precision."""

import pytest
import torch
from support.shelf import backbone_folder

from reckon.models import precision
from reckon.models.backbone import LoraSettings, load_backbone
from reckon.models.precision import computes_bfloat16, settled
from reckon.models.rec_head import encode_items, user_vectors
from reckon.rollout import SamplingConfig, SharedPrefixEngine, token_logprobs

CPU = torch.device("cpu")


@pytest.fixture
def cpu(monkeypatch):
    """Give the CPU other instruction sets."""

    def flags(*names):
        monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset(names))

    return flags


def test_auto_is_bfloat16_under_adapters_on_a_cpu_with_amx(cpu):
    cpu("avx2", "amx_bf16")
    assert settled("auto", adapters=True, device=CPU) == "bfloat16"


def test_auto_is_float32_where_the_weights_train_themselves(cpu):
    cpu("amx_bf16")
    assert settled("auto", adapters=False, device=CPU) == "float32"


@pytest.mark.parametrize("flags", [(), ("avx2",), ("avx512_bf16",)], ids=["unknown", "avx2", "avx512_bf16"])
def test_auto_is_float32_on_a_cpu_without_amx(cpu, flags):
    cpu(*flags)
    assert settled("auto", adapters=True, device=CPU) == "float32"


@pytest.mark.parametrize(("capability", "dtype"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")])
def test_auto_on_a_gpu_follows_its_compute_capability(monkeypatch, capability, dtype):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert settled("auto", adapters=True, device=torch.device("cuda", 0)) == dtype


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("flags", [(), ("amx_bf16",)], ids=["plain", "amx"])
def test_a_named_dtype_holds_on_every_machine(cpu, dtype, flags):
    cpu(*flags)
    assert settled(dtype, adapters=True, device=CPU) == dtype


def test_this_cpu_is_known():
    assert computes_bfloat16(CPU) == ("amx_bf16" in precision.cpu_flags())


def test_adapters_are_float32_over_bfloat16_weights(cpu, tmp_path):
    cpu("amx_bf16")
    bone = load_backbone(backbone_folder(tmp_path / "model"), dtype="auto", lora=LoraSettings(r=2), device="cpu")
    dtypes = {name: weight.dtype for name, weight in bone.model.named_parameters()}
    assert bone.dtype == "bfloat16"
    assert {dtype for name, dtype in dtypes.items() if "lora_" in name} == {torch.float32}
    assert {dtype for name, dtype in dtypes.items() if "lora_" not in name} == {torch.bfloat16}


def test_saved_adapters_are_read_in_the_precision_that_they_were_trained_in(cpu, tmp_path):
    cpu("amx_bf16")
    bone = load_backbone(backbone_folder(tmp_path / "model"), dtype="auto", lora=LoraSettings(r=2), device="cpu")
    bone.model.save_pretrained(tmp_path / "adapters")
    bone.tokenizer.save_pretrained(tmp_path / "adapters")
    again = load_backbone(tmp_path / "adapters", dtype="auto", device="cpu")
    assert again.identity == bone.identity


def test_a_whole_model_is_read_in_float32_by_auto(cpu, tmp_path):
    cpu("amx_bf16")
    assert load_backbone(backbone_folder(tmp_path / "model"), dtype="auto", device="cpu").dtype == "float32"


def test_log_probabilities_and_scores_of_bfloat16_weights_are_float32(tmp_path):
    bone = load_backbone(backbone_folder(tmp_path / "model"), dtype="bfloat16", device="cpu")
    sampling = SamplingConfig(temperature=1.0, max_completion_length=4)
    generator = torch.Generator().manual_seed(0)
    rollouts = SharedPrefixEngine(bone, "<answer>").sample([[5, 6, 7]], sampling, generator=generator)
    hidden = bone.hidden(rollouts.reply_ids)
    logprobs, entropies = token_logprobs(bone, hidden, rollouts.reply_ids, rollouts.sampled, sampling)
    scores = user_vectors(rollouts.hidden) @ encode_items(bone, [[5, 6], [8]]).T
    assert {x.dtype for x in (rollouts.logprobs, logprobs, entropies, scores)} == {torch.float32}
