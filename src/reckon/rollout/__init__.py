"""Sampling groups of replies from a policy."""

from reckon.rollout.engine import SharedPrefixEngine
from reckon.rollout.rollouts import Rollouts
from reckon.rollout.sampling import SamplingConfig, sampled_logprobs, token_logprobs

__all__ = ["Rollouts", "SamplingConfig", "SharedPrefixEngine", "sampled_logprobs", "token_logprobs"]
