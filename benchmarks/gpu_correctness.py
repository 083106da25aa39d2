"""Is the shared prefix right on this device? Hidden states, log-probabilities and gradients against whole sequences.

Entry point: `check`, for one model and one dtype, with prompts of unequal length. In float32 the two must agree to
rounding. In bfloat16 both are rounded, each in its own order, so both are compared with the same weights in float32:
the shared prefix may be as far from the truth as whole sequences are, within a factor.
"""

import copy
from typing import Any

import torch
from step_sides import make_model, make_prompts, make_tokenizer, shape_of
from torch import Tensor

from reckon.models import Backbone
from reckon.prompts.r2ec import MARKER
from reckon.rollout import Rollouts, SamplingConfig, SharedPrefixEngine

FLOAT32_DIFFERENCE = 1e-4  # relative
ERROR_RATIO = 2.0  # in lower precision: the shared prefix's error over that of whole sequences
Found = dict[str, Tensor]


def relative(ours: Tensor, theirs: Tensor) -> float:
    """Norm of the difference over the norm, in double precision."""
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm().clamp_min(1e-12))


def check(sizes: dict[str, Any], quick: bool = False) -> dict[str, Any]:
    """Relative differences of the shared prefix and whole sequences, and of both from float32 where they are not."""
    shape = shape_of(sizes, quick)
    torch.manual_seed(0)
    backbone = Backbone(make_model(shape), make_tokenizer(shape.vocab))
    texts = make_prompts(shape, shape.prompts)
    prompts = [ids[: len(ids) - row] for row, ids in enumerate(backbone.tokenize(texts))]  # of unequal length
    rolled = SharedPrefixEngine(backbone, MARKER).sample(
        prompts, SamplingConfig(max_completion_length=shape.reply_tokens), num_generations=shape.group
    )
    shared, whole = through_shared_prefix(backbone, rolled), through_whole_sequences(backbone, prompts, rolled)
    differences = {name: relative(shared[name], whole[name]) for name in shared}
    chosen = rolled.sampled
    differences["rollout_logprobs"] = relative(rolled.logprobs[chosen], whole["logprobs"][chosen])
    found: dict[str, Any] = {"model_weights": backbone.causal_lm.num_parameters(), "dtype": shape.dtype,
                             "differences": differences}  # fmt: skip
    if shape.dtype == "float32":
        found["allowed_difference"] = FLOAT32_DIFFERENCE
        return found | {"passed": max(differences.values()) <= FLOAT32_DIFFERENCE}
    exact = Backbone(copy.deepcopy(backbone.causal_lm).float(), backbone.tokenizer)
    truth = through_whole_sequences(exact, prompts, rolled)
    pairs = {name: (shared[name], whole[name], truth[name]) for name in truth}
    pairs["rollout_logprobs"] = (rolled.logprobs[chosen], whole["logprobs"][chosen], truth["logprobs"][chosen])
    errors = {
        name: {"shared": relative(ours, exactly), "whole": relative(theirs, exactly)}
        for name, (ours, theirs, exactly) in pairs.items()
    }
    found |= {"errors_against_float32": errors, "allowed_error_ratio": ERROR_RATIO}
    return found | {"passed": all(error["shared"] <= ERROR_RATIO * error["whole"] for error in errors.values())}


def through_shared_prefix(backbone: Backbone, rolled: Rollouts) -> Found:
    """As the trainer reads: every prompt once, its replies behind it."""
    size = rolled.group_size
    states, last = backbone.read_prompts(rolled.prompts)
    hidden = backbone.read_replies(rolled.reply_ids, states.reader(size))
    return _found(backbone, torch.cat([last.repeat_interleave(size, 0)[:, None], hidden[:, :-1]], dim=1), rolled)


def through_whole_sequences(backbone: Backbone, prompts: list[list[int]], rolled: Rollouts) -> Found:
    """Each trajectory alone, prompt and reply in one sequence, without padding."""
    rows = []
    for row, reply in enumerate(rolled.reply_ids):
        prompt = torch.tensor(prompts[row // rolled.group_size], device=backbone.device)
        whole = torch.cat([prompt, reply])[None]
        rows.append(backbone.decoder(input_ids=whole, use_cache=False).last_hidden_state[0, len(prompt) - 1 : -1])
    return _found(backbone, torch.stack(rows), rolled)


def _found(backbone: Backbone, predicting: Tensor, rolled: Rollouts) -> Found:
    """States, log-probabilities, and the gradient of one weighted sum of them in all weights."""
    ids = rolled.reply_ids
    logprobs = backbone.logits(predicting).log_softmax(dim=-1).gather(-1, ids[..., None])[..., 0]
    weights = torch.linspace(-1, 1, ids.numel(), device=backbone.device)
    backbone.model.zero_grad()
    (logprobs.flatten() * weights).sum().backward()
    gradient = torch.cat([parameter.grad.float().flatten() for parameter in backbone.model.parameters()])
    backbone.model.zero_grad()
    return {"hidden": predicting.detach(), "logprobs": logprobs.detach(), "gradient": gradient}
