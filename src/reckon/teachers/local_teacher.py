"""A teacher that is a Hugging Face model in this process.

Entry point: `LocalTeacher`.
"""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from reckon.identity import source_identity
from reckon.prompts.rating_reply import REPLY_END
from reckon.prompts.render import prompt_ids
from reckon.teachers.teacher import Question, TeacherFailure, TeacherReply, check_sampling


class LocalTeacher:
    """A Hugging Face model in this process, one question at a time. Serving the model and using OpenAITeacher is
    faster."""

    most_parallel: int | None = 1

    def __init__(
        self,
        model: str | Path,
        *,
        max_tokens: int = 1024,
        temperature: float | None = None,
        seed: int = 0,
        reply_end: str = REPLY_END,
    ) -> None:
        """
        Args:
            model: a hub id, or a folder of a causal language model.
            max_tokens: most tokens of a reply, >= 1.
            temperature: sampling temperature, >= 0; None is 0.7; 0 is greedy.
            seed: of the sampling; a reply depends on it, on the row and on the attempt.
            reply_end: text that ends a reply, as in the method that is fine-tuned on it.

        Raises:
            CheckpointError: there is no such model.
        """
        from reckon.models.backbone import load_backbone
        from reckon.rollout import SamplingConfig, SharedPrefixEngine

        check_sampling(max_tokens, temperature)
        self.model, self.seed = str(model), seed
        self.sampling = SamplingConfig(
            temperature=0.7 if temperature is None else temperature, max_completion_length=max_tokens
        )
        self._backbone = load_backbone(model)
        self._engine = SharedPrefixEngine(self._backbone, reply_end, appends_marker=False)
        self._one_at_a_time = threading.Lock()

    @property
    def identity(self) -> dict[str, Any]:
        sampling = {"max_tokens": self.sampling.max_completion_length, "temperature": self.sampling.temperature}
        return {"teacher": "local", "model": source_identity(self.model), "seed": self.seed, **sampling}

    def answers(self, question: Question) -> bool:
        return True

    def ask(self, question: Question) -> TeacherReply:
        import torch

        tokenizer = self._backbone.tokenizer
        prompt = prompt_ids(question.messages, tokenizer)
        longest = self._backbone.positions
        budget = self.sampling.max_completion_length
        if longest is not None:
            budget = min(budget, longest - len(prompt))
        if budget < 1:
            raise TeacherFailure("prompt too long", f"{len(prompt)} tokens of {longest}", again=False)
        sampling = replace(self.sampling, max_completion_length=budget)
        with self._one_at_a_time:
            generator = torch.Generator(device=self._backbone.device)
            generator.manual_seed((self.seed * 1_000_003 + question.row) * 2 + question.attempt - 1)
            rollouts = self._engine.sample([prompt], sampling, generator=generator)
        written = rollouts.reply_ids[0, : int(rollouts.lengths[0])].tolist()
        text = str(tokenizer.decode(written, skip_special_tokens=True))
        return TeacherReply(text, len(prompt), len(written), "length" if rollouts.finish[0] == "length" else "stop")
