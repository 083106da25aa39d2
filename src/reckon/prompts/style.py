"""What all prompts share: their style, and the section of settings that says what a ranking prompt holds.

Entry points: `Style`, `PromptConfig`.
"""

from dataclasses import dataclass
from typing import Literal

from reckon.errors import ConfigError

Style = Literal["instruct", "compact"]
"""`instruct` for instruction-tuned models, `compact` for small backbones trained on the data set's own text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptConfig:
    """What the model reads. Section `prompt`."""

    style: Style = "instruct"
    """`instruct` for instruction-tuned models, `compact` for small backbones made by `reckon backbone new`."""

    window: int = 20
    """Events of the history in the prompt, the latest ones, > 0."""

    title_words: int = 32
    """Words of each history title that are kept, > 0. In scripts without blanks two characters are a word."""

    title_tokens: int = 128
    """Tokens of each history title that are kept, > 0."""

    item_words: int = 64
    """Words of an item prompt after its title, >= 0; 0 is the title alone."""

    item_tokens: int = 512
    """Tokens of an item prompt with its title, > 0; a longer one loses its end."""

    max_tokens: int = 2048
    """Tokens of the whole prompt, > 0; fewer where the model's positions leave fewer beside a reply. Beyond it the
    oldest events of the history are left out. What was cut is counted."""

    def __post_init__(self) -> None:
        positive = {name: 1 for name in ("window", "title_words", "title_tokens", "item_tokens", "max_tokens")}
        for name, least in {**positive, "item_words": 0}.items():
            if getattr(self, name) < least:
                raise ConfigError(f"prompt.{name}", getattr(self, name), f"must be at least {least}", "use the default")
