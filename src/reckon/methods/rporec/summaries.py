"""Summaries of reasonings by the frozen starting model, for RPORec's rewards.

Entry point: `Summariser`. Decoding is greedy, so a reasoning has one summary. The summaries of recent reasonings are
cached, because a trained policy repeats reasonings.

Source: RPORec (arXiv 2605.21967), Stage II: y^ is a summary of y by the frozen starting LLM.
"""

from collections import OrderedDict
from collections.abc import Sequence

from reckon.methods.rporec.model import written_text
from reckon.prompts.cutting import cut_tokens
from reckon.prompts.render import prompt_ids
from reckon.prompts.rporec import REPLY_END, parse_reply, summary_messages
from reckon.prompts.style import Style
from reckon.rl.reference import ReferencePolicy
from reckon.rollout import SamplingConfig, SharedPrefixEngine

REMEMBERED = 20_000  # cached reasonings
AT_ONCE = 64  # prompts per batch


class Summariser:
    """Summarises reasonings with the starting model."""

    def __init__(self, start: ReferencePolicy, style: Style, max_tokens: int) -> None:
        """
        Args:
            start: the frozen starting model.
            style: style of the prompt, that of the policy.
            max_tokens: most tokens of a summary, > 0.
        """
        self.start, self.style = start, style
        self.sampling = SamplingConfig(temperature=0, max_completion_length=max_tokens)
        self._engine = SharedPrefixEngine(start.backbone, REPLY_END, appends_marker=False)
        self._known: OrderedDict[str, str] = OrderedDict()

    def summaries(self, reasonings: Sequence[str]) -> list[str]:
        """One summary per reasoning; empty for an empty reasoning."""
        fresh = [text for text in dict.fromkeys(reasonings) if text and text not in self._known]
        fresh.sort(key=len)  # similar lengths pad little
        found: dict[str, str] = {}
        for start in range(0, len(fresh), AT_ONCE):
            some = fresh[start : start + AT_ONCE]
            found |= zip(some, self._write(some), strict=True)
        for text in dict.fromkeys(reasonings):
            if text in self._known:
                found[text] = self._known[text]
                self._known.move_to_end(text)
            elif text:
                self._known[text] = found[text]
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return [found[text] if text else "" for text in reasonings]

    def _write(self, reasonings: Sequence[str]) -> list[str]:
        backbone = self.start.backbone
        prompts = [self._prompt(text) for text in reasonings]
        with self.start.as_it_was():
            rollouts = self._engine.sample(prompts, self.sampling)
        return [
            summary_of(written_text(backbone, ids[:length].tolist()))
            for ids, length in zip(rollouts.reply_ids, rollouts.lengths.tolist(), strict=True)
        ]

    def _prompt(self, reasoning: str) -> list[int]:
        """Token ids of the prompt of a reasoning; a reasoning loses its end where prompt and summary exceed the model's
        positions."""
        backbone = self.start.backbone

        def ids(text: str) -> list[int]:
            return prompt_ids(summary_messages(text, self.style), backbone.tokenizer)

        whole = ids(reasoning)
        if backbone.positions is None:
            return whole
        most = backbone.positions - self.sampling.max_completion_length
        return whole if len(whole) <= most else ids(cut_tokens(reasoning, most, lambda text: len(ids(text))))


def summary_of(written: str) -> str:
    """The summary in a reply: the text after a think block, if the model wrote one."""
    parsed = parse_reply(written)
    if parsed.problem is None:
        return parsed.answer
    return written.rpartition("</think>")[2].strip()
