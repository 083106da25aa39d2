"""Conditions on events: `purchase`, `rating>=4`.

Entry points: `Condition.parse`, `Condition.matches`; `meets` for several conditions.
"""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from reckon.errors import ConfigError
from reckon.serving.store.records import UserEvent

Comparison = Literal[">=", "<=", "!=", "=", ">", "<"]
COMPARISONS: dict[Comparison, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
FORM = re.compile(r"\s*(?P<type>\w[\w.:-]*)\s*(?:(?P<comparison>>=|<=|!=|==?|>|<)\s*(?P<value>[^\s<>=!]+)\s*)?")


@dataclass(frozen=True, slots=True)
class Condition:
    """Events of one type, with a value that compares so with a number. An event without a value meets no comparison."""

    type: str
    comparison: Comparison | None = None
    """None: every event of the type."""
    value: float | None = None

    @classmethod
    def parse(cls, text: str, field: str = "condition") -> Self:
        """A condition from its text.

        Args:
            text: `purchase`, or `rating>=4`; comparisons are >=, <=, !=, =, > and <.
            field: the setting that holds it, for the error.

        Raises:
            ConfigError: the text has another form.
        """
        found = FORM.fullmatch(text)
        fix = "write it as purchase or rating>=4"
        if found is None:
            raise ConfigError(field, text, "is no event type, alone or compared with a number", fix)
        if found["comparison"] is None:
            return cls(found["type"])
        try:
            value = float(found["value"])
        except ValueError:
            raise ConfigError(field, text, f"{found['value']!r} is no number", fix) from None
        if value - value != 0:  # infinite, or not a number
            raise ConfigError(field, text, "the number must be finite", fix)
        comparison: Comparison = found["comparison"] if found["comparison"] in COMPARISONS else "="  # "=="
        return cls(found["type"], comparison, value)

    def matches(self, event: UserEvent) -> bool:
        """Whether an event meets the condition."""
        if event.type != self.type or self.comparison is None:
            return event.type == self.type
        return event.value is not None and bool(COMPARISONS[self.comparison](event.value, self.value))

    def __str__(self) -> str:
        return self.type if self.comparison is None else f"{self.type}{self.comparison}{self.value:.15g}"


def meets(event: UserEvent, conditions: Sequence[Condition] | None) -> bool:
    """Whether an event meets at least one of some conditions; None: every event does."""
    return conditions is None or any(condition.matches(event) for condition in conditions)
