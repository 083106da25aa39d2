"""A condition on the rows of an input, such as `event = 'transaction' AND price >= 2`.

Entry point: `Condition.parse`. The text is taken apart here and written anew for DuckDB with quoted names and values,
so it can name columns of the input and compare them, and nothing else.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from reckon.data.prepare.workspace import literal, quoted
from reckon.errors import ConfigError, DataError
from reckon.messages import listed

TOKEN = re.compile(
    r"""\s*(?: '(?P<text>(?:[^']|'')*)' | "(?P<quoted>(?:[^"]|"")+)" | (?P<number>-?\d+(?:\.\d+)?(?![\w.]))
    | (?P<operator><=|>=|<>|!=|==|=|<|>) | (?P<mark>[(),]) | (?P<word>[^\W\d][\w.]*) )""",
    re.VERBOSE,
)
EXAMPLE = "write it as \"event = 'sale'\", \"kind IN ('a', 'b')\" or \"stars >= 4 AND kind = 'a'\""
OPERATORS = {"==": "=", "!=": "<>"}

Token = tuple[str, str]  # its kind, a group of TOKEN; and its text


@dataclass(frozen=True, slots=True)
class Condition:
    """Comparisons that all have to hold."""

    text: str
    comparisons: tuple[tuple[str, str, tuple[Token, ...]], ...]
    """Column, operator (`IN` too), values."""

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Read `COLUMN OPERATOR VALUE`, joined by AND; operators are =, !=, <, <=, >, >= and IN (…).

        A column whose name has blanks stands in double quotes, a text value in single ones.

        Raises:
            ConfigError: the text is none of this.
        """
        tokens = _Tokens(text)
        comparisons = [_comparison(tokens)]
        while not tokens.done:
            if not tokens.word("AND"):
                raise tokens.error("joins comparisons by something other than AND")
            comparisons.append(_comparison(tokens))
        return cls(text, tuple(comparisons))

    def sql(self, columns: Iterable[str], where: str) -> str:
        """The SQL condition on a relation with these columns; a row without a value does not fulfil it.

        Raises:
            DataError: a column is not there.
        """
        known = tuple(columns)
        parts = []
        for column, operator, values in self.comparisons:
            if column not in known:
                raise DataError(where, f"has no column {column!r}, which --where names", f"use {listed(known)}")
            number = all(kind == "number" for kind, _ in values)
            left = f"TRY_CAST({quoted(column)} AS DOUBLE)" if number else f"CAST({quoted(column)} AS VARCHAR)"
            right = ", ".join(value if number else literal(value) for _, value in values)
            parts.append(f"{left} {operator} {f'({right})' if operator == 'IN' else right}")
        return "coalesce(" + " AND ".join(parts) + ", false)"


class _Tokens:
    """The tokens of a condition, taken one by one."""

    def __init__(self, text: str) -> None:
        self._text, self._tokens, place = text, list[Token](), 0
        while text[place:].strip():
            match = TOKEN.match(text, place)
            if match is None:
                raise self.error(f"cannot be read at {text[place:].strip()[:20]!r}")
            kind = str(match.lastgroup)
            self._tokens.append((kind, match[kind]))
            place = match.end()

    @property
    def done(self) -> bool:
        return not self._tokens

    def take(self, *kinds: str) -> Token:
        """The next token, which has to be of one of these kinds."""
        if self.done or self._tokens[0][0] not in kinds:
            found = "the end" if self.done else repr(self._tokens[0][1])
            raise self.error(f"has {found} where a {' or '.join(kinds)} has to stand")
        return self._tokens.pop(0)

    def word(self, *words: str) -> bool:
        """Whether the next token is one of these; it is taken then."""
        if self.done or self._tokens[0][1].upper() not in words or self._tokens[0][0] not in ("word", "mark"):
            return False
        self._tokens.pop(0)
        return True

    def error(self, problem: str) -> ConfigError:
        return ConfigError("--where", self._text, problem, EXAMPLE)


def _comparison(tokens: _Tokens) -> tuple[str, str, tuple[Token, ...]]:
    kind, name = tokens.take("word", "quoted")
    column = name.replace('""', '"') if kind == "quoted" else name
    if not tokens.word("IN"):
        operator = tokens.take("operator")[1]
        return column, OPERATORS.get(operator, operator), (_value(tokens),)
    if not tokens.word("("):
        raise tokens.error("has no list after IN")
    values = [_value(tokens)]
    while tokens.word(","):
        values.append(_value(tokens))
    if not tokens.word(")"):
        raise tokens.error("has a list without its end")
    return column, "IN", tuple(values)


def _value(tokens: _Tokens) -> Token:
    kind, value = tokens.take("text", "number")
    return kind, value.replace("''", "'") if kind == "text" else value
