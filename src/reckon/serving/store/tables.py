"""The tables of a store. Their names begin with `reckon_`, so a shop's own PostgreSQL database may hold them.

Entry point: `METADATA`. A change here needs a script in `migrations/versions`; a test compares the two.
"""

from sqlalchemy import JSON, Boolean, Column, Index, LargeBinary, MetaData, Table
from sqlalchemy import BigInteger as Counter

from reckon.serving.store.database.column_types import Arrival, Label, Moment, Number

METADATA = MetaData(
    naming_convention={"pk": "%(table_name)s_pk", "uq": "%(table_name)s_%(column_0_name)s_unique"},
)
VERSION_TABLE = "reckon_version"

ITEMS = Table(
    "reckon_items",
    METADATA,
    Column("id", Label, primary_key=True),
    Column("title", Label, nullable=False),
    Column("columns", JSON, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    Index("reckon_items_created", "created"),
)

USERS = Table(
    "reckon_users",
    METADATA,
    Column("id", Label, primary_key=True),
    Column("columns", JSON, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
)

EVENTS = Table(
    "reckon_events",
    METADATA,
    Column("seq", Arrival, primary_key=True),  # the order of arrival
    Column("id", Label, nullable=False, unique=True),
    Column("user_id", Label, nullable=False),
    Column("item_id", Label, nullable=False),
    Column("type", Label, nullable=False),
    Column("time", Moment, nullable=False),
    Column("value", Number),
    Column("recommendation_id", Label),
    Column("summary", Label),
    Column("text", Label),
    Index("reckon_events_history", "user_id", "time", "seq"),
    Index("reckon_events_item", "item_id", "time", "seq"),
    sqlite_autoincrement=True,  # the number of a deleted event is not given again
)

ANSWERS = Table(
    "reckon_answers",
    METADATA,
    Column("id", Label, primary_key=True),
    Column("user_id", Label),
    Column("history", JSON, nullable=False),
    Column("items", JSON, nullable=False),
    Column("scores", JSON, nullable=False),
    Column("parts", JSON, nullable=False),
    Column("returned", Counter, nullable=False),
    Column("source", Label, nullable=False),
    Column("model", Label, nullable=False),
    Column("version", Label, nullable=False),
    Column("group", Label),
    Column("created", Moment, nullable=False),
    Column("reasoning", Label),
    Column("truncated", Boolean, nullable=False),
    Column("scenario", Label),
    Index("reckon_answers_created", "created"),
    Index("reckon_answers_user", "user_id"),
)

CHANGES = Table(  # of users with events
    "reckon_changes",
    METADATA,
    Column("user_id", Label, primary_key=True),
    Column("changes", Counter, nullable=False),
    Column("since", Moment),  # waits for reasoning since then; NULL: does not wait
    Index("reckon_changes_since", "since"),
)

REASONING = Table(
    "reckon_reasoning",
    METADATA,
    Column("user_id", Label, primary_key=True),
    Column("model", Label, primary_key=True),
    Column("text", Label, nullable=False),
    Column("truncated", Boolean, nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Column("history", JSON, nullable=False),
    Column("created", Moment, nullable=False),
    Column("changes", Counter, nullable=False),
)

KEYS = Table(
    "reckon_keys",
    METADATA,
    Column("name", Label, primary_key=True),
    Column("scope", Label, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("created", Moment, nullable=False),
)

FACTS = Table(
    "reckon_facts",
    METADATA,
    Column("name", Label, primary_key=True),
    Column("value", Label, nullable=False),
)
