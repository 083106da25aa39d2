"""Types of the store's columns, which hold the same in SQLite and PostgreSQL and refuse the same.

Entry points: `Label` for ids and other texts, `Moment` for times, `Number` for values of events, `Arrival` for numbers
of arrival; `to_json` and `from_json` for columns of SQLAlchemy's type JSON; `Unstorable`.
"""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Double, Integer, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

# Ordered by code points, as SQLite orders: otherwise pages by id depend on the language of the server.
OrderedText = Text().with_variant(Text(collation="C"), "postgresql")
# SQLite numbers rows only in a column declared INTEGER.
Arrival = BigInteger().with_variant(Integer(), "sqlite")


class Unstorable(ValueError):
    """A value that a store cannot hold."""


class Label(TypeDecorator[str]):
    """A text without NUL, which PostgreSQL cannot hold, and in UTF-8."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(OrderedText)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is not None:
            if "\0" in value:
                raise Unstorable("a text holds the character NUL")
            _encodable(value)
        return value


class Moment(TypeDecorator[datetime]):
    """An aware time, as microseconds since 1970 in UTC: exact, and without a zone that a session could change."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise Unstorable("a time has no zone")
        return (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else EPOCH + timedelta(microseconds=value)


class Number(TypeDecorator[float]):
    """A finite number: SQLite would make NULL of a NaN."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        if value is None:
            return None
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise Unstorable("a number is not finite, or too large")
        return number


def to_json(value: object) -> str:
    """Compact JSON, of finite numbers and in UTF-8."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError) as error:
        raise Unstorable(f"no JSON: {error}") from None
    _encodable(text)
    return text


def from_json(text: str | bytes) -> Any:
    """What `to_json` wrote."""
    return json.loads(text)


def _encodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unstorable("a text holds half of a surrogate pair") from None
