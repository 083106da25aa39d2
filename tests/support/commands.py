"""The command line as real processes that can be killed: forked from the server that has imported everything."""

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from support.processes import server

POLL = 0.002  # seconds


class Command:
    """A running `reckon …` in a session of its own, with what it has said."""

    def __init__(self, words, cwd, place):
        """Start it.

        Args:
            words: its arguments.
            cwd: its working directory.
            place: a folder for what it says and for its temporary files, which must not be that of another command.
        """
        self.words = [str(word) for word in words]
        self.temporary, self.output = Path(place) / "tmp", Path(place) / "said"
        self.temporary.mkdir(parents=True, exist_ok=True)
        began, theirs = server().Pipe(duplex=False)
        self.process = server().Process(
            target=_run, args=(self.words, str(cwd), str(self.temporary), str(self.output), theirs)
        )
        self.process.start()
        theirs.close()
        began.recv()
        began.close()
        self.began = time.monotonic()

    @property
    def pid(self):
        return self.process.pid

    @property
    def seconds(self):
        """Since it began."""
        return time.monotonic() - self.began

    def said(self):
        return self.output.read_text(errors="replace")

    def send(self, number):
        """Send a signal, as `kill` does."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:  # it has just ended
            return

    def ends(self, seconds):
        """Whether it has ended after so many seconds at most."""
        self.process.join(seconds)
        return self.process.exitcode is not None

    @property
    def code(self):
        return self.process.exitcode

    def processes(self):
        """Those of its session that still run, itself included."""
        import psutil

        found = []
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == self.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
            except (ProcessLookupError, psutil.Error):
                continue
        return found

    def end_all(self):
        """Kill whatever of it still runs."""
        for process in self.processes():
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.join(60)


def _run(words, cwd, temporary, output, began):
    os.setsid()
    os.chdir(cwd)
    os.environ["TMPDIR"], tempfile.tempdir = temporary, None
    multiprocessing.current_process()._config["tempdir"] = None  # that of the tests is not this command's
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    sys.argv = ["reckon", *words]
    from reckon.__main__ import main
    from reckon.stopping import listen

    listen()
    began.send(os.getpid())
    began.close()
    main()
