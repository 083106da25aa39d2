"""Chat messages to the text a model reads, with the tokenizer's chat template where it has one.

Entry point: `render`. Without a template the messages follow each other as paragraphs and the reply begins on a
line of its own, which is what a small backbone made by `reckon backbone new` is pretrained on.
"""

from typing import Any, Literal, TypedDict


class Message(TypedDict):
    """One chat turn."""

    role: Literal["system", "user", "assistant"]
    content: str


def render(messages: list[Message], tokenizer: Any) -> str:
    """The prompt as one string that ends where the reply begins."""
    if getattr(tokenizer, "chat_template", None):
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return "\n".join(message["content"] for message in messages) + "\n"
