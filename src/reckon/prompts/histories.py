"""A ranking prompt within its budget: the oldest events of the history go first, and what goes is counted.

Entry point: `fitted_history`. Every method whose prompt shows a history of titles uses it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from reckon.data.examples import Example
from reckon.prompts.cutting import PromptTitles, Titles, cut_tokens, least_that_fits
from reckon.prompts.render import Message, render, rendered_ids

Turns = Callable[[Example, Titles], list[Message]]
"""The chat turns of an example, with these titles by item index."""


@dataclass(frozen=True, slots=True)
class FittedHistory:
    """A prompt that fits its token budget, and what had to be left out for it."""

    messages: list[Message]
    ids: list[int]
    """[P] tokens of the rendered prompt; it ends where the reply begins."""
    dropped_events: int
    """Events of the history, the oldest ones, that the budget left out."""
    cut_titles: int
    """Titles that are shown without their end."""


def fitted_history(example: Example, titles: PromptTitles, turns: Turns, tokenizer: Any, most: int) -> FittedHistory:
    """The prompt of an example with as many of its latest events as `most` tokens allow.

    Where the latest event alone does not fit, its title loses its end. A budget of `prompt_limit` in
    `reckon.prompts.cutting` has room for a part of it.

    Args:
        example: only its history and time are read.
        titles: as prompts show them.
        turns: the method's prompt.
        tokenizer: a Hugging Face tokenizer; its chat template is used where it has one.
        most: tokens of the prompt, start token included.
    """
    history = example.history

    def attempt(dropped: int, shown: Titles = titles) -> FittedHistory:
        kept = history[dropped:]
        messages = turns(replace(example, history=kept), shown)
        ids = rendered_ids(render(messages, tokenizer), tokenizer)
        return FittedHistory(messages, ids, dropped, sum(titles.is_cut(event.item_index) for event in kept))

    fitted = least_that_fits(attempt, max(len(history) - 1, 0), most)
    if len(fitted.ids) <= most or not history:
        return fitted
    latest, dropped = history[-1].item_index, len(history) - 1
    title = cut_tokens(titles[latest], most, lambda part: len(attempt(dropped, {latest: part}).ids))
    if not title:
        return attempt(len(history))
    return replace(attempt(dropped, {latest: title}), cut_titles=1)
