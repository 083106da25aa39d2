"""Ctrl-C and SIGTERM: one way to stop for all commands, and a second one that ends at once."""

import os
import signal
import subprocess
import sys

import pytest

from reckon.stopping import has_interrupted, listen, stop_listening, stopped_by

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
COMMAND = """
import signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
from reckon import cli
from reckon.__main__ import main

@cli.app.command()
def work(clean: str) -> None:
    try:
        print("working", flush=True)
        threading.Event().wait()
    finally:
        print("cleaning", flush=True)
        if clean == "slowly":
            threading.Event().wait()

sys.argv = ["reckon", "work", sys.argv[1]]
main()
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows ends processes without a word")


def started(*arguments):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", COMMAND, *arguments], env=environment, text=True, **pipes)


@pytest.mark.parametrize(("how", "word"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
def test_a_stopped_command_cleans_up_and_says_so_in_one_line(how, word):
    process = started("quickly")
    assert process.stdout.readline() == "working\n"
    process.send_signal(how)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (CODES[how], "cleaning\n", f"reckon: {word}.\n")


@pytest.mark.parametrize("how", CODES)
def test_a_second_signal_ends_a_command_that_does_not_get_done(how):
    process = started("slowly")
    for line in ("working\n", "cleaning\n"):
        assert process.stdout.readline() == line
        process.send_signal(how)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (-how, "", "")


@pytest.fixture
def handlers():
    """The handlers of the tests stand again afterwards."""
    before = {number: signal.getsignal(number) for number in CODES}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("how", CODES)
def test_work_that_finishes_a_step_first_does_so_after_either_signal(how, handlers):
    asked = []
    listen()
    signal.signal(signal.SIGINT, lambda *_: asked.append("finish"))
    os.kill(os.getpid(), how)
    assert asked == ["finish"] and not has_interrupted()
    assert stopped_by() is (how if how is signal.SIGTERM else signal.SIGINT)


@pytest.mark.parametrize("how", CODES)
def test_either_signal_is_an_interrupt_elsewhere(how, handlers):
    listen()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), how)
    assert has_interrupted() and stopped_by() is how


def test_a_process_that_ignores_ctrl_c_still_listens_to_sigterm(handlers):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    listen()
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_after_the_work_either_signal_is_the_systems_own(handlers):
    listen()
    stop_listening()
    assert {signal.getsignal(number) for number in CODES} == {signal.SIG_DFL}
