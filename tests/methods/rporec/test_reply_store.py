"""The store of replies: keys are written once, missing keys are known, and a kill leaves whole batches."""

import sqlite3
import threading

import numpy as np
import pytest

from reckon.errors import DataError
from reckon.methods.rporec.reply_store import Reply, ReplyStore, StoredReply

WHO = {"backbone": "abc", "window": 5}


def row(key, text="<think>a</think><answer>b</answer>", **further):
    return StoredReply(key, Reply(text, 7, False), **further)


def test_a_stored_reply_is_read_back(tmp_path):
    vector = np.arange(4, dtype=np.float32) / 3
    rows = [
        row("ann", vector=vector, seen=("b1", "犯罪")),
        StoredReply("böb", Reply("<think>海", 64, True)),
        row("", seen=()),
    ]
    with ReplyStore(tmp_path / "s.sqlite", WHO) as store:
        store.put(rows)
    with ReplyStore(tmp_path / "s.sqlite", None) as store:
        found = store.get("ann")
        assert np.array_equal(found.vector, vector) and found.vector.dtype == np.float32
        assert (found.seen, found.reply) == (("b1", "犯罪"), rows[0].reply)
        assert store.get("böb") == rows[1] and store.get("").seen == ()
        assert store.get("nobody") is None and len(store) == 3 and list(store) == ["", "ann", "böb"]
        assert store.identity == WHO
        assert store.replies(["böb", "nobody"]) == {"böb": rows[1].reply}


def test_a_key_keeps_its_first_reply(tmp_path):
    with ReplyStore(tmp_path / "s.sqlite", WHO) as store:
        store.put([row("ann", "first")])
        store.put([row("ann", "second"), row("bob")])
        assert store.get("ann").reply.text == "first" and len(store) == 2


def test_missing_keys_come_in_their_order(tmp_path):
    keys = [f"u{n}" for n in range(1200)]  # more than one query asks for
    with ReplyStore(tmp_path / "s.sqlite", WHO) as store:
        store.put([row(key) for key in keys[::3]])
        assert store.missing(keys) == [key for n, key in enumerate(keys) if n % 3]
        assert len(store.replies(keys)) == 400


def test_a_batch_is_written_whole_or_not_at_all(tmp_path):
    with ReplyStore(tmp_path / "s.sqlite", WHO) as store:
        broken = StoredReply("bob", Reply(None, 1, False))  # no text: the table refuses it
        with pytest.raises(DataError, match=r"s\.sqlite"):
            store.put([row("ann"), broken])
        assert len(store) == 0
        store.put([row("ann")])
        assert len(store) == 1


@pytest.mark.parametrize("other", [WHO | {"backbone": "xyz"}, WHO | {"window": 6}, WHO | {"teacher": "openai"}])
def test_a_store_of_another_model_is_refused(tmp_path, other):
    ReplyStore(tmp_path / "s.sqlite", WHO).__exit__(None, None, None)
    name = next(name for name in other if other[name] != WHO.get(name))
    with pytest.raises(DataError, match=f"was begun with {name}"):
        ReplyStore(tmp_path / "s.sqlite", other)


def test_a_file_that_is_not_a_store_is_refused_and_not_changed(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        ReplyStore(tmp_path / "none.sqlite", None)
    assert not (tmp_path / "none.sqlite").exists()
    (tmp_path / "text").write_text("no database " * 1000)
    with sqlite3.connect(tmp_path / "other.sqlite") as other:
        other.execute("CREATE TABLE people (name TEXT)")
    other.close()
    for name in ("text", "other.sqlite"):
        before = (tmp_path / name).read_bytes()
        for identity in (WHO, None):
            with pytest.raises(DataError, match=name):
                ReplyStore(tmp_path / name, identity)
        assert (tmp_path / name).read_bytes() == before
    with pytest.raises(DataError):
        ReplyStore(tmp_path, WHO)  # a directory


def test_several_writers_share_a_file(tmp_path):
    path = tmp_path / "s.sqlite"

    def write(part):
        with ReplyStore(path, WHO) as store:
            for n in range(20):
                store.put([row(f"u{n}", f"by {part}"), row(f"{part} {n}")])

    threads = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ReplyStore(path, None) as store:
        assert len(store) == 20 + 4 * 20


def test_a_reader_sees_whole_batches_while_a_batch_is_written(tmp_path):
    with ReplyStore(tmp_path / "s.sqlite", WHO) as writer, ReplyStore(tmp_path / "s.sqlite", None) as reader:
        writer.put([row("ann")])
        writer._database.execute("BEGIN IMMEDIATE")
        writer._database.execute("INSERT INTO replies VALUES ('bob', 'x', 1, 0, NULL, NULL)")
        assert list(reader) == ["ann"]
        writer._database.execute("COMMIT")
        assert list(reader) == ["ann", "bob"]
