"""The first tables. Types are written out: a script stays as it was, whatever the tables become later."""

from alembic import op
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
)

revision = "0001"
down_revision = None

TEXT = Text().with_variant(Text(collation="C"), "postgresql")
MOMENT = BigInteger()
ARRIVAL = BigInteger().with_variant(Integer(), "sqlite")


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "reckon_items",
        Column("id", TEXT, nullable=False),
        Column("title", TEXT, nullable=False),
        Column("columns", JSON, nullable=False),
        Column("created", MOMENT, nullable=False),
        Column("updated", MOMENT, nullable=False),
        PrimaryKeyConstraint("id", name="reckon_items_pk"),
    )
    op.create_index("reckon_items_created", "reckon_items", ["created"])
    op.create_table(
        "reckon_users",
        Column("id", TEXT, nullable=False),
        Column("columns", JSON, nullable=False),
        Column("created", MOMENT, nullable=False),
        Column("updated", MOMENT, nullable=False),
        PrimaryKeyConstraint("id", name="reckon_users_pk"),
    )
    op.create_table(
        "reckon_events",
        Column("seq", ARRIVAL, nullable=False),
        Column("id", TEXT, nullable=False),
        Column("user_id", TEXT, nullable=False),
        Column("item_id", TEXT, nullable=False),
        Column("type", TEXT, nullable=False),
        Column("time", MOMENT, nullable=False),
        Column("value", Double),
        Column("recommendation_id", TEXT),
        Column("summary", TEXT),
        Column("text", TEXT),
        PrimaryKeyConstraint("seq", name="reckon_events_pk"),
        UniqueConstraint("id", name="reckon_events_id_unique"),
        sqlite_autoincrement=True,
    )
    op.create_index("reckon_events_history", "reckon_events", ["user_id", "time", "seq"])
    op.create_index("reckon_events_item", "reckon_events", ["item_id", "time", "seq"])
    op.create_table(
        "reckon_answers",
        Column("id", TEXT, nullable=False),
        Column("user_id", TEXT),
        Column("history", JSON, nullable=False),
        Column("items", JSON, nullable=False),
        Column("scores", JSON, nullable=False),
        Column("parts", JSON, nullable=False),
        Column("returned", BigInteger, nullable=False),
        Column("source", TEXT, nullable=False),
        Column("model", TEXT, nullable=False),
        Column("version", TEXT, nullable=False),
        Column("group", TEXT),
        Column("created", MOMENT, nullable=False),
        Column("reasoning", TEXT),
        Column("truncated", Boolean, nullable=False),
        Column("scenario", TEXT),
        PrimaryKeyConstraint("id", name="reckon_answers_pk"),
    )
    op.create_index("reckon_answers_created", "reckon_answers", ["created"])
    op.create_index("reckon_answers_user", "reckon_answers", ["user_id"])
    op.create_table(
        "reckon_changes",
        Column("user_id", TEXT, nullable=False),
        Column("changes", BigInteger, nullable=False),
        Column("since", MOMENT),
        PrimaryKeyConstraint("user_id", name="reckon_changes_pk"),
    )
    op.create_index("reckon_changes_since", "reckon_changes", ["since"])
    op.create_table(
        "reckon_reasoning",
        Column("user_id", TEXT, nullable=False),
        Column("model", TEXT, nullable=False),
        Column("text", TEXT, nullable=False),
        Column("truncated", Boolean, nullable=False),
        Column("vector", LargeBinary, nullable=False),
        Column("history", JSON, nullable=False),
        Column("created", MOMENT, nullable=False),
        Column("changes", BigInteger, nullable=False),
        PrimaryKeyConstraint("user_id", "model", name="reckon_reasoning_pk"),
    )
    op.create_table(
        "reckon_keys",
        Column("name", TEXT, nullable=False),
        Column("scope", TEXT, nullable=False),
        Column("digest", LargeBinary, nullable=False),
        Column("created", MOMENT, nullable=False),
        PrimaryKeyConstraint("name", name="reckon_keys_pk"),
    )
    op.create_table(
        "reckon_facts",
        Column("name", TEXT, nullable=False),
        Column("value", TEXT, nullable=False),
        PrimaryKeyConstraint("name", name="reckon_facts_pk"),
    )
