"""Chat messages to the text a model reads, with the tokenizer's chat template where it has one.

Entry point: `render`. Without a template the messages follow each other as paragraphs and the reply begins on a
line of its own, which is what a small backbone made by `reckon backbone new` is pretrained on.
"""

from typing import Any, Literal, TypedDict

from reckon.prompts.plain import guarded


class Message(TypedDict):
    """One chat turn."""

    role: Literal["system", "user", "assistant"]
    content: str


def render(messages: list[Message], tokenizer: Any) -> str:
    """The prompt as one string that ends where the reply begins; no turn spells a special token of the tokenizer."""
    turns = [Message(role=turn["role"], content=guarded(turn["content"], tokenizer)) for turn in messages]
    if getattr(tokenizer, "chat_template", None):
        return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return "\n".join(turn["content"] for turn in turns) + "\n"


def rendered_ids(text: str, tokenizer: Any) -> list[int]:
    """A rendered prompt as token ids, with the tokenizer's start token unless a chat template has written it."""
    return list(tokenizer.encode(text, add_special_tokens=not getattr(tokenizer, "chat_template", None)))


def prompt_ids(messages: list[Message], tokenizer: Any) -> list[int]:
    """The prompt as token ids that end where the reply begins."""
    return rendered_ids(render(messages, tokenizer), tokenizer)
