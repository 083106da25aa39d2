"""Prompts and replies: examples to chat messages, messages to token ids, items to text, replies to their parts."""

from reckon.prompts.items import item_text
from reckon.prompts.render import Message, prompt_ids, render, rendered_ids

__all__ = ["Message", "item_text", "prompt_ids", "render", "rendered_ids"]
