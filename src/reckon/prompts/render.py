"""Chat messages to prompt text, with the tokenizer's chat template if it has one.

Entry point: `render`. Without a template the messages are joined as paragraphs and the reply begins on a new line, as
in the pretraining texts of `reckon backbone new`.
"""

from typing import Any, Literal, TypedDict

from reckon.prompts.plain import guarded


class Message(TypedDict):
    """One chat turn."""

    role: Literal["system", "user", "assistant"]
    content: str


def render(messages: list[Message], tokenizer: Any) -> str:
    """The prompt as one string that ends where the reply begins; special tokens in the turns' text are broken up."""
    turns = [Message(role=turn["role"], content=guarded(turn["content"], tokenizer)) for turn in messages]
    if getattr(tokenizer, "chat_template", None):
        return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return "\n".join(turn["content"] for turn in turns) + "\n"


def rendered_ids(text: str, tokenizer: Any) -> list[int]:
    """Token ids of a rendered prompt, with the tokenizer's start token unless the chat template has one."""
    return list(tokenizer.encode(text, add_special_tokens=not getattr(tokenizer, "chat_template", None)))


def prompt_ids(messages: list[Message], tokenizer: Any) -> list[int]:
    """Token ids of the prompt, which end where the reply begins."""
    return rendered_ids(render(messages, tokenizer), tokenizer)
