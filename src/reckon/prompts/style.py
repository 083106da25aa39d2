"""The style of prompts, and the settings of ranking prompts.

Entry points: `Style`, `PromptConfig`.
"""

from dataclasses import dataclass
from typing import Literal

from reckon.errors import ConfigError

Style = Literal["instruct", "brief", "compact"]
"""`instruct` for instruction-tuned models, `brief` for those of little capacity or with few tokens for a reply,
`compact` for small backbones trained on the data set's own text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptConfig:
    """Settings of ranking prompts. Section `prompt`."""

    style: Style = "instruct"
    """`instruct` for instruction-tuned models, `brief` for those of some 100 M parameters (R2ec asks for one short
    sentence, RPORec shows an answered example), `compact` for small backbones made by `reckon backbone new`."""

    window: int = 20
    """Most events of the history in the prompt, the latest ones, > 0."""

    title_words: int = 32
    """Words kept of each title in the history, > 0. In scripts without blanks two characters are a word."""

    title_tokens: int = 128
    """Tokens kept of each title in the history, > 0."""

    item_words: int = 64
    """Words of an item prompt after its title, >= 0; 0 keeps only the title."""

    item_tokens: int = 512
    """Most tokens of an item prompt with its title, > 0; a longer prompt loses its end."""

    max_tokens: int = 2048
    """Most tokens of the prompt, > 0; fewer where the model's positions leave fewer beside a reply. A longer prompt
    loses the oldest events of its history. Cuts are counted."""

    def __post_init__(self) -> None:
        positive = {name: 1 for name in ("window", "title_words", "title_tokens", "item_tokens", "max_tokens")}
        for name, least in {**positive, "item_words": 0}.items():
            if getattr(self, name) < least:
                raise ConfigError(f"prompt.{name}", getattr(self, name), f"must be at least {least}", "use the default")
