"""Text in and out of the policy: an example to chat messages, messages to token text, an item to text."""

from reckon.prompts.items import item_text
from reckon.prompts.render import Message, prompt_ids, render, rendered_ids

__all__ = ["Message", "item_text", "prompt_ids", "render", "rendered_ids"]
