import io
import time

from rich.console import Console
from support.waiting import wait_for

from reckon.progress import phase


def console():
    return Console(file=io.StringIO(), force_terminal=True, width=80)


def test_short_steps_draw_nothing():
    screen = console()
    with phase("reading", console=screen, delay=600):
        pass
    assert screen.file.getvalue() == ""


def test_long_steps_show_what_they_do_and_how_far_they_are():
    screen = console()
    with phase("reading orders.csv", total=10, console=screen, delay=0.05) as running:
        running.advance(5)
        wait_for(lambda: "reading orders.csv" in screen.file.getvalue() and "50%" in screen.file.getvalue())


def test_nothing_is_drawn_into_a_file():
    screen = Console(file=io.StringIO())
    with phase("reading", console=screen, delay=0.0):
        time.sleep(0.3)
    assert screen.file.getvalue() == ""
