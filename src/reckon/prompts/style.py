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
    """Words of each history title that are kept, > 0."""

    item_words: int = 64
    """Words of an item prompt after its title, >= 0; 0 is the title alone."""

    def __post_init__(self) -> None:
        for name, least in (("window", 1), ("title_words", 1), ("item_words", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"prompt.{name}", getattr(self, name), f"must be at least {least}", "use the default")
