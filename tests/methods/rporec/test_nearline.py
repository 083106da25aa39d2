"""Nearline serving returns the lists of the model, and a killed fill resumes without losses or repetitions."""

import sqlite3

import pytest
from support.rporec_talker import recommender
from support.shelf import dataset
from support.stopping import run_until_killed

from reckon.errors import CheckpointError, ConfigError, DataError
from reckon.methods.rporec import RPORec
from reckon.methods.rporec import nearline as rporec_nearline
from reckon.methods.rporec.nearline import Nearline, reason_all, users_of
from reckon.methods.rporec.reply_store import ReplyStore
from reckon.methods.rporec.stage_one import fit_rechead

USERS = 16


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run, with a popularity prior so that all parts of a score are there."""
    path = tmp_path_factory.mktemp("run")
    model, data = recommender(path, rechead={"popularity_prior": 0.5}, stage_one={"learning_rate": 1e-2})
    fit_rechead(model, data, path / "run")
    return path / "run"


@pytest.fixture(scope="module")
def online(run):
    return RPORec.from_pretrained(run)


@pytest.fixture(scope="module")
def store(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "users.sqlite"
    assert reason_all(run, path, batch_size=5) == rporec_nearline.ReasonedUsers(USERS, USERS)
    return path


def data_of(online):
    from reckon.data import Dataset

    return Dataset.load(online.data_path)


@pytest.mark.parametrize("exclude_seen", [None, True, False])
def test_nearline_lists_equal_those_of_the_model_for_the_stored_replies(run, store, online, exclude_seen):
    data = data_of(online)
    with Nearline.open(run, store) as nearline, ReplyStore(store, None) as kept:
        for user in users_of(data):
            example = online.example_of_user(data, user)
            read = online.reading_of([example], [kept.get(user).reply])
            expected = online.listed([example], read, 8, exclude_seen)[0]
            found, history = nearline.recommend_with_history(user, 8, exclude_seen)
            assert (found.items, found.item_ids, found.reasoning) == (
                expected.items,
                expected.item_ids,
                expected.reasoning,
            )
            assert found.scores == pytest.approx(expected.scores, abs=1e-4)
            assert found.truncated == expected.truncated and history == list(example.seen)


def test_nearline_lists_equal_those_of_the_model_that_reasons_online(run, store, online):
    """The most likely reply is the same whenever it is written."""
    data = data_of(online)
    with Nearline.open(run, store) as nearline:
        for user in users_of(data):
            now = online.recommend_examples([online.example_of_user(data, user)], 5)[0]
            assert nearline.recommend(user, 5).items == now.items


def test_serving_loads_no_language_model(run, store, monkeypatch):
    monkeypatch.setattr("reckon.methods.rporec.model.load_backbone", lambda *_, **__: pytest.fail("the language model"))
    monkeypatch.setattr("reckon.methods.rporec.model.load_encoder", lambda *_, **__: pytest.fail("the encoder"))
    with Nearline.open(run, store) as nearline:
        assert len(nearline.recommend("u03", 4).items) == 4


def test_a_second_run_writes_no_replies(run, store):
    before = store.read_bytes()
    assert reason_all(run, store).written == 0
    assert store.read_bytes() == before


def test_progress_counts_every_user_once(run, tmp_path):
    seen = []
    reason_all(
        run, tmp_path / "s.sqlite", batch_size=6, part=(1, 2), on_batch=lambda rows, total: seen.append((rows, total))
    )
    assert sum(rows for rows, _ in seen) == 8 and {total for _, total in seen} == {8}
    seen.clear()
    reason_all(run, tmp_path / "s.sqlite", on_batch=lambda rows, total: seen.append((rows, total)))
    assert sum(rows for rows, _ in seen) == USERS


def test_parts_fill_one_store_together(run, store, tmp_path):
    parts = [reason_all(run, tmp_path / "s.sqlite", part=(number, 3)) for number in (1, 2, 3)]
    assert sum(part.users for part in parts) == sum(part.written for part in parts) == USERS
    with ReplyStore(store, None) as one, ReplyStore(tmp_path / "s.sqlite", None) as other:
        assert list(one) == list(other)
        assert [one.get(key).reply for key in one] == [other.get(key).reply for key in other]


SCRIPT = """
import os, signal, sys
from reckon.methods.rporec.reply_store import ReplyStore
from reckon.methods.rporec.nearline import reason_all

put, moment, batches = ReplyStore.put, sys.argv[3], []

def dying(self, rows):
    batches.append(rows)
    if len(batches) == 3 and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    if len(batches) == 3 and moment == "inside":
        self._database.execute("BEGIN IMMEDIATE")
        for row in rows[:2]:
            values = (row.key, row.reply.text, 0, 0, None, None)
            self._database.execute("INSERT INTO replies VALUES (?, ?, ?, ?, ?, ?)", values)
        os.kill(os.getpid(), signal.SIGKILL)
    put(self, rows)
    if len(batches) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

ReplyStore.put = dying
reason_all(sys.argv[1], sys.argv[2], batch_size=4)
"""


@pytest.mark.parametrize(("moment", "kept"), [("before", 8), ("inside", 8), ("after", 12)])
def test_a_killed_process_resumes_without_lost_or_repeated_users(run, store, tmp_path, monkeypatch, moment, kept):
    path = tmp_path / "s.sqlite"
    run_until_killed(SCRIPT, run, path, moment)
    with ReplyStore(path, None) as left:
        before = {key: left.get(key) for key in left}
    assert len(before) == kept
    asked = []
    write = rporec_nearline.PolicyWriter.write
    monkeypatch.setattr(
        rporec_nearline.PolicyWriter,
        "write",
        lambda self, rows: (asked.extend(key for key, _ in rows), write(self, rows))[1],
    )
    done = reason_all(run, path, batch_size=4)
    assert (done.users, done.written) == (USERS, USERS - kept) and len(asked) == USERS - kept
    assert not set(asked) & set(before)
    with ReplyStore(path, None) as after, ReplyStore(store, None) as whole:
        assert list(after) == list(whole)
        assert [after.get(key).reply for key in after] == [whole.get(key).reply for key in whole]
        assert all(after.get(key).seen == row.seen for key, row in before.items())


def test_a_missing_store_and_one_of_another_run_are_refused(run, store, online, tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        Nearline.open(run, tmp_path / "none.sqlite")
    with Nearline.open(run, store) as nearline:
        with pytest.raises(DataError, match="'nobody': has no reasoning"):
            nearline.recommend("nobody")
        with pytest.raises(ConfigError, match="k = 0"):
            nearline.recommend("u03", 0)
    model, data = recommender(tmp_path)
    fit_rechead(model, data, tmp_path / "other")
    with pytest.raises(DataError, match="was not made for"):
        Nearline.open(tmp_path / "other", store)
    with pytest.raises(DataError, match="was begun with run"):
        reason_all(tmp_path / "other", store)
    with pytest.raises(CheckpointError):
        Nearline.open(tmp_path, store)
    for part in ((0, 2), (3, 2)):
        with pytest.raises(ConfigError, match="--part"):
            reason_all(run, store, part=part)
    plain, data = recommender(tmp_path / "plain", "history-only")
    fit_rechead(plain, data, tmp_path / "plain" / "run")
    with pytest.raises(ConfigError, match="writes no reasoning"):
        reason_all(tmp_path / "plain" / "run", tmp_path / "s.sqlite")


def test_a_removed_item_in_a_stored_history_is_ignored(run, store, online):
    with Nearline.open(run, store) as nearline:
        gone = nearline.recommend_with_history("u03")[1][0]
        nearline.table.remove([nearline.table.item_ids[gone]])
        nearline.bias = None
        found, history = nearline.recommend_with_history("u03", 100)
        assert len(history) == 5 and len(set(found.items) | set(history)) == len(nearline.table)


def test_users_of_given_rows_are_included(tmp_path):
    data = dataset(tmp_path / "data")
    assert users_of(data) == sorted(map(str, data.user_ids)) and len(users_of(data, (2, 5))) == 3


def test_the_commands_fill_a_store_and_serve_from_it(run, tmp_path):
    from typer.testing import CliRunner

    from reckon.cli import app

    runner, store = CliRunner(), str(tmp_path / "s.sqlite")
    made = runner.invoke(app, ["reason", str(run), "--out", store, "--batch-size", "7", "--part", "1/2"])
    assert made.exit_code == 0 and "holds 8 users, 8 of them new" in made.output
    shown = runner.invoke(app, ["recommend", str(run), "--nearline", store, "--user", "u00", "--k", "3"])
    assert shown.exit_code == 0, shown.output
    assert shown.output.startswith("History: ") and shown.output.count("b0") + shown.output.count("b1") >= 3
    for wrong in (["--part", "x"], ["--part", "3/2"]):
        assert runner.invoke(app, ["reason", str(run), "--out", store, *wrong]).exit_code == 2
    for wrong in (["--history", "Calm Sea"], ["--user", "u00", "--stream"], ["--user", "u01"]):
        assert runner.invoke(app, ["recommend", str(run), "--nearline", store, *wrong]).exit_code == 2
    with sqlite3.connect(store) as database:
        assert database.execute("SELECT COUNT(*) FROM replies").fetchone() == (8,)
