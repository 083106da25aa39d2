"""Ranking prompts within a token budget; the oldest events of the history are dropped first and counted.

Entry point: `fitted_history`. All prompts with a history of titles use it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from reckon.data.examples import Example
from reckon.prompts.cutting import PromptTitles, Titles, cut_tokens, least_that_fits
from reckon.prompts.render import Message, render, rendered_ids

Turns = Callable[[Example, Titles], list[Message]]
"""A function from an example and titles by item index to chat turns."""


@dataclass(frozen=True, slots=True)
class FittedHistory:
    """A prompt within its token budget, and counts of what was cut."""

    messages: list[Message]
    ids: list[int]
    """[P] tokens of the rendered prompt; it ends where the reply begins."""
    dropped_events: int
    """Number of dropped events, the oldest ones of the history."""
    cut_titles: int
    """Number of shortened titles."""


def fitted_history(example: Example, titles: PromptTitles, turns: Turns, tokenizer: Any, most: int) -> FittedHistory:
    """The prompt of an example with as many of its latest events as fit into `most` tokens.

    Where the latest event alone does not fit, its title is shortened; a budget of `prompt_limit` always has room for a
    part of it.

    Args:
        example: only its history and time are read.
        titles: shortened titles of the catalog.
        turns: the method's prompt.
        tokenizer: a Hugging Face tokenizer; its chat template is used where it has one.
        most: most tokens of the prompt, start token included.
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
