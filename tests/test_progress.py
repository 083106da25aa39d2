import io
import sys

import pytest
from rich.console import Console
from support.waiting import wait_for

from reckon import progress
from reckon.progress import Phase, PlainLines, phase


def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=120)


def test_short_steps_draw_nothing():
    screen = terminal()
    with phase("reading", console=screen, delay=600):
        pass
    assert screen.file.getvalue() == ""


def test_long_steps_show_what_they_do_and_how_far_they_are():
    screen = terminal()
    with phase("reading orders.csv", total=10, console=screen, delay=0.05) as running:
        running.advance(5)
        wait_for(lambda: "reading orders.csv" in screen.file.getvalue() and "5 of 10" in screen.file.getvalue())


def test_a_file_gets_plain_lines_without_escape_codes():
    file = Console(file=io.StringIO())
    with phase("encoding items", total=3686, console=file, lines=PlainLines(first=0.0, interval=0.0)) as running:
        running.advance(1200)
        wait_for(lambda: "encoding items 1,200 of 3,686, 0:0" in file.file.getvalue())
    assert "\x1b" not in file.file.getvalue() and "\r" not in file.file.getvalue()


def test_a_pipe_is_no_terminal_whatever_the_environment_says(monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    console = progress.standard_error()
    console.print("done", style="red")
    assert not console.is_terminal and sys.stderr.getvalue() == "done\n"


def told(lines, until):
    """Seconds and lines of a fake clock that ticks every second."""
    return [(now, line) for now in range(until + 1) for line in lines.due(now)]


def test_the_first_line_comes_after_seconds_and_the_next_at_least_every_half_minute():
    lines = PlainLines(first=5, interval=30)
    lines.begin(Phase("encoding items", 3686), 0)
    assert [now for now, _ in told(lines, 100)] == [5, 35, 65, 95]


def test_a_phase_inside_another_speaks_for_both_until_it_ends():
    lines, outer, inner = PlainLines(first=5, interval=30), Phase("training", 10), Phase("validating", 50)
    lines.begin(outer, 0)
    lines.begin(inner, 10)
    assert [line.split()[0] for _, line in told(lines, 80)] == ["training", "validating", "validating", "validating"]
    lines.end(inner)
    assert lines.due(120) == ["training 0 of 10, 2:00"]


def test_short_phases_inside_a_long_one_do_not_silence_it():
    lines, outer = PlainLines(first=5, interval=30), Phase("training", 10)
    lines.begin(outer, 0)
    found = []
    for now in range(100):  # a validation of three seconds every four
        if now % 4 == 0:
            inner = Phase("validating", 50)
            lines.begin(inner, now)
        if now % 4 == 3:
            lines.end(inner)
        found += lines.due(now)
    assert [line.split(",")[1] for line in found] == [" 0:05", " 0:35", " 1:05", " 1:35"]


@pytest.mark.parametrize(
    ("running", "seconds", "line"),
    [
        (Phase("encoding items", 3686), 31, "encoding items 0 of 3,686, 0:31"),
        (Phase("writing", None), 3723, "writing, 1:02:03"),
        (Phase("downloading books.gz", 2_000_000, "bytes"), 9, "downloading books.gz 0 bytes of 2.0 MB, 0:09"),
        (Phase("reading", 100.0, "percent"), 9, "reading, 0:09"),
    ],
    ids=["count", "unknown", "bytes", "percent"],
)
def test_a_line_says_what_how_far_and_how_long(running, seconds, line):
    assert running.line(seconds) == line


def test_a_long_phase_tells_how_long_it_will_last_once_its_first_units_are_done():
    lines, running = PlainLines(first=5, interval=30), Phase("training", 101)
    lines.begin(running, 0)
    found = []
    for now in range(60):  # a validation of nine seconds, then an update every ten
        running.done = max(0, now // 10)
        found += lines.due(now)
    assert found == [
        "training 0 of 101, 0:05",
        "training 2 of 101, 0:20, about 16 min left",
        "training 5 of 101, 0:50, about 16 min left",
    ]


def test_a_resumed_phase_is_measured_by_what_it_does_now():
    lines, running = PlainLines(first=5, interval=30), Phase("training", 200)
    lines.begin(running, 0)
    found = []
    for now in range(40):
        running.done = 100 + now // 10
        found += lines.due(now)
    assert found[1] == "training 101 of 200, 0:10, about 16 min left"


def test_a_note_stands_at_the_end_of_the_line_in_one_row():
    running = Phase("training", 10)
    running.done, running.note = 4, "loss 0.120\nreward 0.500"
    assert running.line(62) == "training 4 of 10, 1:02, loss 0.120; reward 0.500"


def test_phases_inside_phases_share_one_display():
    with phase("outer"):
        display = progress._SCREEN.display
        with phase("inner"):
            assert progress._SCREEN.display is display is not None
    assert progress._SCREEN.display is None


def test_a_closed_standard_error_does_not_stop_the_work():
    file = io.StringIO()
    console = Console(file=file)
    file.close()
    with phase("reading", console=console, lines=PlainLines(first=0.0, interval=0.0)):
        pass


def test_an_error_inside_a_phase_ends_its_display():
    screen = terminal()
    with pytest.raises(KeyError), phase("reading", console=screen, delay=0.01):
        raise KeyError
