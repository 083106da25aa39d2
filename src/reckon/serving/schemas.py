"""Requests and replies of the service, as its OpenAPI description shows them.

Entry points: the models below; `reckon.serving.routes` reads and returns them.
"""

import math
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
)

from reckon.serving.config import Reasoning

LONGEST_TITLE = 10_000  # characters
LONGEST_REVIEW = 100_000
LONGEST_HISTORY = 10_000  # events of an inline history
YEAR_1, YEAR_10000 = -62_135_596_800, 253_402_300_799.9999  # seconds since 1970; above, microseconds round up
WIDEST = 1 << 63  # whole numbers of cells are below, as databases keep them
COLUMN = r"^[^\x00-\x1f\x7f]{1,128}$"


def _printable(text: str) -> str:
    """A text without NUL and lone surrogates, which no store keeps."""
    if "\x00" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("it holds a NUL or half a character")
    return text


def _moment(value: Any) -> Any:
    """RFC 3339 with an offset, or seconds since 1970. A time without an offset would be read differently by every
    machine."""
    if isinstance(value, bool):
        raise ValueError("give RFC 3339 with an offset, or seconds since 1970")
    if isinstance(value, int | float):
        if not YEAR_1 <= value < YEAR_10000:  # nor is NaN
            raise ValueError("the seconds since 1970 must be between the years 1 and 9999")
        return datetime.fromtimestamp(value, UTC)
    return value


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("the time has no offset; add Z or one such as +02:00")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time must be between the years 1 and 9999") from None


def _finite(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise ValueError("it is no finite number")
    return value


def _cell(value: Any) -> Any:
    """One check with one message, in place of one for each type that a cell may have."""
    if isinstance(value, str):
        if len(value) > LONGEST_TITLE:
            raise ValueError(f"it has more than {LONGEST_TITLE:,} characters")
        return _printable(value)
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, int) and not -WIDEST <= value < WIDEST:
        raise ValueError("a whole number must fit 64 bits")
    if value is not None and not isinstance(value, bool | int):
        raise ValueError("give a text, a number, true, false or null")
    return value


def _form(value: Any) -> str:
    return "many" if isinstance(value, list) else "text" if isinstance(value, str) else "one"


Id = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(_printable)]
Text = Annotated[str, AfterValidator(_printable)]
Moment = Annotated[datetime, BeforeValidator(_moment), AfterValidator(_aware)]
Finite = Annotated[float, AfterValidator(_finite)]
Cell = Annotated[str | bool | int | float | None, BeforeValidator(_cell)]
Columns = Annotated[dict[Annotated[Text, StringConstraints(pattern=COLUMN)], Cell], Field(max_length=200)]


class Strict(BaseModel):
    """An unknown field is refused: it would be a typing error that nobody notices."""

    model_config = ConfigDict(extra="forbid")


# -- items, users, events ------------------------------------------------------------------------------------------


class ItemBody(Strict):
    """An item without its id, which is in the address."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"title": "The Quiet Harbour", "columns": {"genre": "sea"}}]}
    )
    title: Annotated[Text, StringConstraints(min_length=1, max_length=LONGEST_TITLE)]
    columns: Columns = Field(default_factory=dict, description="Further columns, for prompts and filters.")


class ItemChange(Strict):
    """What changes of an item; what is left out stays. A column that is null is taken away."""

    title: Annotated[Text, StringConstraints(min_length=1, max_length=LONGEST_TITLE)] | None = None
    columns: Columns = Field(default_factory=dict)


class ItemLine(ItemBody):
    """One line of a bulk request."""

    model_config = ConfigDict(extra="forbid")
    id: Id


class ItemReply(BaseModel):
    id: str
    title: str
    columns: dict[str, Any]
    updated: datetime | None = None


class UserBody(Strict):
    """What the shop says of a user."""

    columns: Columns = Field(default_factory=dict)


class UserLine(UserBody):
    """One line of a bulk request."""

    id: Id


class UserReply(BaseModel):
    id: str
    columns: dict[str, Any]
    updated: datetime | None = None


class Page(BaseModel):
    """One page of records; the next one begins after `next`."""

    items: list[Any]
    next: str | None = None


class Counted(BaseModel):
    """How many records a bulk request wrote."""

    written: int


class Deleted(BaseModel):
    deleted: list[str]


class EventBody(Strict):
    """One interaction of a user with an item."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"event_id": "order-17-1", "user_id": "u1", "item_id": "b07", "type": "purchase",
                 "time": "2026-11-28T10:15:00+01:00"}
            ]
        },
    )  # fmt: skip
    event_id: Id | None = Field(default=None, description="Makes a repeated request harmless.")
    user_id: Id
    item_id: Id
    type: Annotated[Text, StringConstraints(min_length=1, max_length=64)]
    value: Finite | None = Field(default=None, description="A rating, say.")
    time: Moment | None = Field(
        default=None, description="RFC 3339 with an offset, or seconds since 1970; default: now."
    )
    recommendation_id: Id | None = Field(default=None, description="The answer that the user acted on.")
    summary: Annotated[Text, StringConstraints(max_length=LONGEST_TITLE)] | None = Field(
        default=None, description="Headline of a review, which runs that predict ratings read."
    )
    text: Annotated[Text, StringConstraints(max_length=LONGEST_REVIEW)] | None = Field(
        default=None, description="Body of a review."
    )


OneOrMany = Annotated[
    Annotated[EventBody, Tag("one")] | Annotated[list[EventBody], Tag("many")], Discriminator(_form)
]  # told apart before they are read, so that errors are those of the form that was sent


class EventsReply(BaseModel):
    """What became of the events of one request."""

    accepted: int = Field(description="Events that are new.")
    repeated: int = Field(description="Events of an id that was there already; nothing was counted twice.")
    event_ids: list[str]
    validate_only: bool = False


class EventTypes(BaseModel):
    """Types that an event may have."""

    types: list[str] = Field(description="All of them.")
    history: list[str] = Field(description="Those that belong to a user's history, some under a condition.")
    clicks: list[str] = Field(description="Those that count as clicks on a recommendation.")
    conversions: list[str] = Field(description="Those that count as conversions of a recommendation.")


# -- recommendations -----------------------------------------------------------------------------------------------


class HistoryEvent(Strict):
    """An event of an inline history."""

    item_id: Id
    time: Moment | None = None
    rating: Finite | None = None


IdOrEvent = Annotated[Annotated[Id, Tag("text")] | Annotated[HistoryEvent, Tag("one")], Discriminator(_form)]


class RecommendBody(Strict):
    """Whom to recommend to, and how. The next page of an answer needs its `recommendation_id` alone."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"user_id": "u1", "k": 5, "reasoning": "live"},
                {"history": ["b07", {"item_id": "b11", "rating": 5}], "k": 3, "filter": 'genre == "sea"'},
                {"recommendation_id": "2f6c…", "k": 5},
            ]
        },
    )
    user_id: Id | None = None
    history: Annotated[list[IdOrEvent], Field(max_length=LONGEST_HISTORY)] | None = Field(
        default=None, description="Anonymous: item ids or events, oldest first, in place of user_id."
    )
    recommendation_id: Id | None = Field(default=None, description="The next page of this answer.")
    k: Annotated[int, Field(ge=1, le=100_000)] | None = Field(default=None, description="Items of the page.")
    exclude_ids: Annotated[list[Id], Field(max_length=LONGEST_HISTORY)] = Field(default_factory=list)
    filter: Annotated[Text, StringConstraints(max_length=2_000)] | None = Field(
        default=None, description='A condition on item columns, e.g. genre == "sea" and price < 10.'
    )
    reasoning: Reasoning | None = Field(default=None, description="The first step of the chain.")
    deadline_ms: Annotated[int, Field(ge=0, le=600_000)] | None = Field(
        default=None, description="After so long the next step of the chain answers; 0: no deadline."
    )
    scenario: Annotated[Text, StringConstraints(max_length=64)] | None = Field(
        default=None, description="A label that is kept with the answer, e.g. the place on the page."
    )


class Ranked(BaseModel):
    """One recommended item."""

    id: str
    title: str
    score: float
    parts: dict[str, float] = Field(description="What each part added to the score.")


class Reasoned(BaseModel):
    """What the model wrote before it recommended."""

    text: str
    truncated: bool = Field(description="It ran out of its token budget.")
    written: datetime | None = Field(default=None, description="When, where it was written in advance.")
    stale: bool = Field(default=False, description="The user has had events since.")


class PassedStep(BaseModel):
    """A step of the chain that could not answer."""

    step: str
    why: str


class RecommendReply(BaseModel):
    """Ranked items, with what led to them."""

    recommendation_id: str
    source: Literal["live", "cached", "direct", "similar", "popular"] = Field(
        description="The step of the chain that answered."
    )
    passed: list[PassedStep] = Field(description="Earlier steps, and why they could not answer.")
    items: list[Ranked]
    reasoning: Reasoned | None = None
    model: str
    version: str = Field(description="Digest of the run.")
    data_version: int = Field(description="Changes of the catalog since the service began.")
    group: str | None = Field(default=None, description="A/B group of the user.")
    timings_ms: dict[str, float]


class ExplainReply(BaseModel):
    """What an answer came from."""

    recommendation_id: str
    user_id: str | None
    source: str
    model: str
    group: str | None
    created: datetime
    reasoning: Reasoned | None
    history: list[dict[str, str]]
    items: list[Ranked]


class ListReply(BaseModel):
    """Items without a user."""

    items: list[Ranked]


class RatedBefore(Strict):
    """A rating of an inline history."""

    item_id: Id
    rating: Finite
    summary: Annotated[Text, StringConstraints(max_length=LONGEST_TITLE)] = ""
    text: Annotated[Text, StringConstraints(max_length=LONGEST_REVIEW)] = ""


class RateBody(Strict):
    """Whose rating of what to predict."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"user_id": "u1", "item_id": "b07"},
                {"history": [{"item_id": "b11", "rating": 5}], "item_id": "b07", "samples": 8},
            ]
        },
    )
    user_id: Id | None = None
    history: Annotated[list[RatedBefore], Field(max_length=LONGEST_HISTORY)] | None = Field(
        default=None, description="Anonymous: ratings, oldest first, in place of user_id."
    )
    item_id: Id
    samples: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1, description="Replies whose mean is the rating; 1: the greedy one."
    )


class RateReply(BaseModel):
    """A predicted rating, and why."""

    rating: float | None = Field(description="Mean of the replies with a valid form; null where none has.")
    spread: float | None = Field(description="Standard deviation of their ratings; null with fewer than two.")
    lowest: float
    highest: float = Field(description="Ends of the scale.")
    reasoning: str = Field(description="The first reply.")
    truncated: bool = Field(description="It ran out of its token budget.")
    problems: list[str] = Field(description="What is wrong with the replies that have no valid form.")
    samples: int
    model: str
    version: str
    timings_ms: dict[str, float]


# -- operations ----------------------------------------------------------------------------------------------------


class Problem(BaseModel):
    """An error (RFC 9457)."""

    title: str
    status: int
    detail: str
    request_id: str | None = None
    errors: list[dict[str, Any]] | None = Field(default=None, description="Fields that are wrong.")
    missing_ids: list[str] | None = Field(default=None, description="Ids that nobody knows.")


class Ready(BaseModel):
    ready: bool
    reasons: list[str] = Field(default_factory=list, description="Why not.")


class Activate(Strict):
    """A finished run on this machine, which takes the place of the one with that name."""

    run: Annotated[Text, StringConstraints(min_length=1, max_length=4096)]


class ModelReply(BaseModel):
    name: str
    version: str
    reasons: bool
    items: int
    share: float
