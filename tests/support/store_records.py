"""Records of a store for tests."""

from datetime import UTC, datetime, timedelta

from reckon.serving.store.records import Answer, UserEvent, WrittenReasoning

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event_of(id, minutes=0, **fields):
    """An event: `event_of("e1", minutes=3, user_id="u")`."""
    usual = {"user_id": "u", "item_id": "i", "type": "view", "time": NOON + timedelta(minutes=minutes)}
    return UserEvent(id, **usual | fields)


def answer_of(id="r1", **fields):
    usual = {
        "user_id": "u",
        "history": ("a", "b"),
        "items": ("c", "d"),
        "scores": (0.1, -2.5e-300),
        "parts": {"prior": (0.5, 0.25), "reasoning": (-1, 1e10)},
        "returned": 1,
        "source": "live",
        "model": "m",
        "version": "abc123",
        "group": "B",
        "created": NOON,
        "reasoning": "Likes <b>harbours</b>\n& tides 🙂",
        "truncated": True,
        "scenario": "cart",
    }
    return Answer(id, **usual | fields)


def reasoning_of(user_id="u", text="likes harbours", changes=0, **fields):
    usual = {"model": "m", "truncated": False, "vector": b"\0\x01\xff", "history": ("a", "b"), "created": NOON}
    return WrittenReasoning(user_id=user_id, text=text, changes=changes, **usual | fields)
