"""What a store keeps, as plain records: items, users, events, answers, written reasoning, keys.

Entry points: the dataclasses here, which every other module of the service passes around. Times are aware and in UTC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Value = str | float | int | bool | None
Scope = Literal["read", "write", "admin"]


@dataclass(frozen=True, slots=True)
class Item:
    """An item that may be recommended."""

    id: str
    title: str
    columns: Mapping[str, Value] = field(default_factory=dict)
    """Further columns, for prompts and filters."""
    created: datetime | None = None
    """First stored; the store sets it, and `updated`."""
    updated: datetime | None = None
    """Last change."""


@dataclass(frozen=True, slots=True)
class User:
    """A user, with what the shop says of them."""

    id: str
    columns: Mapping[str, Value] = field(default_factory=dict)
    created: datetime | None = None
    updated: datetime | None = None


@dataclass(frozen=True, slots=True)
class UserEvent:
    """One interaction of a user with an item."""

    id: str
    """Given by the shop, or made by the service. An event of a known id is not stored again."""
    user_id: str
    item_id: str
    type: str
    time: datetime
    value: float | None = None
    """A rating, say."""
    recommendation_id: str | None = None
    """The answer that the user acted on."""
    summary: str | None = None
    """Headline of a review."""
    text: str | None = None
    """Body of a review."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the service, kept for its next pages and for its explanation."""

    id: str
    user_id: str | None
    """None for an anonymous history."""
    history: Sequence[str]
    """Item ids that the answer is about, oldest first."""
    items: Sequence[str]
    """Ranked item ids, best first: those of its pages so far, and of the next ones."""
    scores: Sequence[float]
    """Of the same items."""
    parts: Mapping[str, Sequence[float]]
    """What each part added to each score."""
    returned: int
    """Items of its pages so far."""
    source: str
    """The step of the chain that answered."""
    model: str
    """Name of the run that answered."""
    version: str
    """Digest of that run."""
    group: str | None
    """A/B group of the user."""
    created: datetime
    reasoning: str | None = None
    truncated: bool = False
    scenario: str | None = None
    """Label of the request, e.g. the place on the shop's page."""


@dataclass(frozen=True, slots=True)
class WrittenReasoning:
    """Reasoning written for a user in advance, with the user vector that it gave."""

    user_id: str
    model: str
    """Name and digest of the run that wrote it."""
    text: str
    truncated: bool
    vector: bytes
    """The user vector, float32, little-endian."""
    history: Sequence[str]
    """Item ids that it is about, oldest first."""
    created: datetime
    changes: int = 0
    """Changes of the user that it knows of: those of the `Waiting` that it answers."""
    stale: bool = False
    """Whether the user has changed since; the store tells, and ignores it when it is put."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A user on the queue for reasoning."""

    user_id: str
    changes: int
    """How often the user's events have changed so far."""
    since: datetime
    """Waits since then."""


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, without its secret."""

    name: str
    scope: Scope
    digest: bytes
    """SHA-256 of the secret."""
    created: datetime
