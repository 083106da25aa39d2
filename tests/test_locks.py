"""One writer per output folder: what a second process is told, and what a killed one leaves."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager

import pytest
from support.waiting import wait_for

from reckon import locks, stopping
from reckon.errors import BusyError
from reckon.locks import SHOWN_COMMAND, Holder, folder_lock, locked, scratch_of
from reckon.messages import cut

HOLD = """
import sys
from pathlib import Path
from reckon.locks import folder_lock

with folder_lock(sys.argv[1], *sys.argv[2:3]):
    print("held", flush=True)
    sys.stdin.read()
"""
FORK_AND_DIE = """
import os, signal, sys
from reckon.locks import folder_lock

with folder_lock(sys.argv[1]):
    child = os.fork()
    if child == 0:
        print(os.getpid(), flush=True)
        signal.pause()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@contextmanager
def holder(*arguments):
    """Another process that holds a folder while the block runs."""
    command = [sys.executable, "-c", HOLD, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout.readline().strip() == b"held"
        yield process
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def record(out, **changes):
    """Leave a lock file as a holder with these changes would have."""
    own = Holder.here()
    about = {name: getattr(own, name) for name in ("pid", "host", "started", "since", "command")}
    lock = out.with_name(f".{out.name}.lock")
    lock.write_text(json.dumps(about | changes))
    return lock


def test_a_second_process_is_told_who_holds_the_folder_and_since_when(tmp_path):
    with holder(tmp_path / "out") as first:
        with pytest.raises(BusyError) as told, folder_lock(tmp_path / "out"):
            pass
        about = json.loads((tmp_path / ".out.lock").read_text())
    assert about["pid"] == first.pid
    assert f"process {first.pid} on {socket.gethostname()} since {about['since']}" in str(told.value)
    assert str(tmp_path / "out") in about["command"]
    assert cut(about["command"], SHOWN_COMMAND) in told.value.holder


def test_a_folder_is_free_again_after_its_holder_and_nothing_is_left(tmp_path):
    with holder(tmp_path / "deep" / "er" / "out"):
        pass
    assert list(tmp_path.iterdir()) == []
    with folder_lock(tmp_path / "out"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_folder_above_stays_where_something_was_written(tmp_path):
    with folder_lock(tmp_path / "new" / "out"):
        (tmp_path / "new" / "out").mkdir()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]


def test_two_names_of_one_folder_have_one_lock(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with holder(tmp_path / "real"), pytest.raises(BusyError), folder_lock(tmp_path / "link"):
        pass


def test_the_lock_of_a_killed_holder_is_taken_over(tmp_path):
    with holder(tmp_path / "out") as first:
        first.kill()
        first.wait()
        assert (tmp_path / ".out.lock").exists()
        with folder_lock(tmp_path / "out"):
            assert Holder.of_file(tmp_path / ".out.lock").pid == os.getpid()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_the_lock_of_a_killed_holder_is_taken_over_though_its_forked_child_lives(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", FORK_AND_DIE, str(tmp_path / "out")]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    child = int(process.stdout.readline())
    try:
        process.wait()
        with folder_lock(tmp_path / "out"):
            os.kill(child, 0)  # it lives
    finally:
        os.kill(child, signal.SIGKILL)
        process.stdout.close()


def test_the_record_of_a_process_that_runs_is_respected_where_the_system_has_no_locks(tmp_path):
    parent = os.getppid()
    import psutil

    record(tmp_path / "out", pid=parent, started=psutil.Process(parent).create_time())
    with pytest.raises(BusyError, match=f"process {parent} "), folder_lock(tmp_path / "out"):
        pass


def test_the_record_of_an_earlier_process_of_the_same_number_is_not(tmp_path):
    record(tmp_path / "out", pid=os.getppid(), started=1.0)
    with folder_lock(tmp_path / "out"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_record_of_another_computer_is_respected_and_the_message_says_what_to_delete(tmp_path):
    lock = record(tmp_path / "out", host="elsewhere")
    with pytest.raises(BusyError) as told, folder_lock(tmp_path / "out"):
        pass
    assert "on elsewhere " in told.value.holder and told.value.fix.endswith(f"if it has, delete {lock}")
    lock.unlink()
    with folder_lock(tmp_path / "out"):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', "null"])
def test_a_damaged_record_holds_nothing(tmp_path, text):
    (tmp_path / ".out.lock").write_text(text)
    with folder_lock(tmp_path / "out"):
        pass


def test_a_holder_may_lock_its_folder_and_those_inside_again(tmp_path):
    with folder_lock(tmp_path / "out"), folder_lock(tmp_path / "out"), folder_lock(tmp_path / "out" / "round" / "one"):
        assert [path.name for path in tmp_path.iterdir()] == [".out.lock"]


def test_another_thread_of_the_holder_is_another_writer(tmp_path):
    told = []

    def second():
        try:
            with folder_lock(tmp_path / "out"):
                pass
        except BusyError as error:
            told.append(error)

    with folder_lock(tmp_path / "out"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(told) == 1


def test_the_same_part_has_one_holder_and_other_parts_have_others(tmp_path):
    with holder(tmp_path / "store.sqlite", "1-of-2"):
        with folder_lock(tmp_path / "store.sqlite", "2-of-2"):
            pass
        with pytest.raises(BusyError), folder_lock(tmp_path / "store.sqlite", "1-of-2"):
            pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_child_that_leaves_the_block_does_not_free_its_parents_lock(tmp_path):
    with folder_lock(tmp_path / "out"):
        child = os.fork()
        if child == 0:
            try:
                with folder_lock(tmp_path / "out"):  # it belongs to the holder
                    pass
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert (tmp_path / ".out.lock").exists()


def test_a_locked_function_holds_the_folder_it_is_given(tmp_path):
    @locked()
    def write(data, out="here"):
        return sorted(path.name for path in tmp_path.iterdir())

    assert write(1, tmp_path / "out") == write(1, out=tmp_path / "out") == [".out.lock"]


def test_what_a_killed_holder_left_half_written_is_removed_by_the_next(tmp_path):
    (tmp_path / "a").mkdir()
    stale = [".a.abcdefgh.work", ".a.abc_efg1.partial", ".a.abcdefgh.old"]
    others = [".a.b.abcdefgh.work", ".a.notes", "a.abcdefgh.work", ".b.abcdefgh.partial"]
    for name in [*stale, *others]:
        (tmp_path / name).mkdir()
    with folder_lock(tmp_path / "a"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a", *others])


def test_what_it_left_inside_is_removed_too_but_not_where_another_is_at_work(tmp_path):
    inside, taken = tmp_path / "run" / "deep" / "er", tmp_path / "run" / "evaluation"
    (inside / ".model.abcdefgh.partial").mkdir(parents=True)
    record(inside / "cell", pid=os.getppid(), started=1.0)
    taken.mkdir()
    with holder(taken):
        for folder in (inside, taken):
            (folder / ".log.json.abcdefgh.part").write_text("half")
            (folder / ".log.json").write_text("mine")
        with folder_lock(tmp_path / "run"):
            assert [path.name for path in inside.iterdir()] == [".log.json"]
            assert (taken / ".log.json.abcdefgh.part").exists()


def test_what_it_left_in_the_temporary_folder_is_removed_by_the_next_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    scratch, other = scratch_of(tmp_path / "a"), scratch_of(tmp_path / "b")
    with folder_lock(tmp_path / "a"):
        assert other.exists() and not scratch.exists()


def test_a_data_set_that_was_being_replaced_comes_back_where_its_successor_is_not_there(tmp_path):
    (tmp_path / ".a.abcdefgh.old" / "a").mkdir(parents=True)
    (tmp_path / ".a.abcdefgh.old" / "a" / "dataset.json").write_text("{}")
    with folder_lock(tmp_path / "a"):
        assert (tmp_path / "a" / "dataset.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_command_line_says_who_holds_the_folder_and_ends_with_two(tmp_path):
    from typer.testing import CliRunner

    from reckon.cli import app

    with holder(tmp_path / "out") as first:
        for command in (
            ["demo", "--out"],
            ["data", "prepare", "bookshop"],
            ["compare", "--data", "none", "--config", "none.yaml", "--out"],
            ["train", "r2ec", "--data", "none", "--backbone", "none", "--out"],
            ["train", "rporec", "--data", "none", "--backbone", "none", "--out"],
            ["train", "reczero", "--data", "none", "--backbone", "none", "--out"],
            ["train", "recone", "--data", "none", "--backbone", "none", "--traces", "none", "--out"],
        ):
            result = CliRunner().invoke(app, [*command, str(tmp_path / "out")])
            assert result.exit_code == 2, command
            assert f"is held by process {first.pid}" in result.stderr


def test_waiting_for_a_holder_ends_when_it_does(tmp_path):
    def free():
        try:
            with folder_lock(tmp_path / "out"):
                return True
        except BusyError:
            return False

    with holder(tmp_path / "out") as first:
        assert not free()
        first.stdin.close()
        wait_for(free)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["taking", "freeing"])
def test_a_signal_while_a_lock_is_taken_or_freed_leaves_no_file(tmp_path, monkeypatch, number, moment):
    """The signal comes when the file is there, and nobody yet, or no longer, knows of it."""
    name = "_acquire" if moment == "taking" else "_release"
    whole = getattr(locks, name)

    def signalled(*arguments):
        if moment == "freeing":
            signal.raise_signal(number)
        result = whole(*arguments)
        if moment == "taking":
            signal.raise_signal(number)
        return result

    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in its background without
    stopping.listen()
    monkeypatch.setattr(locks, name, signalled)
    try:
        with pytest.raises(KeyboardInterrupt), folder_lock(tmp_path / "out"):
            assert moment == "freeing"
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    assert list(tmp_path.iterdir()) == []
