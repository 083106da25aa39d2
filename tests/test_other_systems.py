"""Reckon on systems that lack Unix's own modules, and processes that a system ends."""

import os
import signal
import subprocess
import sys

import pytest
from support.processes import run_source
from support.waiting import wait_for

IMPORT_ALL = """
import builtins, importlib, pkgutil, sys, types

HIDDEN = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
plain = builtins.__import__

def without_unix(name, globals=None, *rest, **more):
    if str((globals or {}).get("__name__")).startswith("reckon"):
        if name in HIDDEN:
            raise ModuleNotFoundError(name)
        if name == "msvcrt":
            return types.ModuleType(name)
    return plain(name, globals, *rest, **more)

for name in [name for name in sys.modules if name.partition(".")[0] == "reckon"]:
    del sys.modules[name]
builtins.__import__ = without_unix
import reckon

modules = [found.name for found in pkgutil.walk_packages(reckon.__path__, "reckon.")]
assert len(modules) > 100
for name in modules:
    if name != "reckon.__main__":
        importlib.import_module(name)
from reckon.comparison.cells import _peak_mib
assert _peak_mib() is None  # psutil knows the peak of a process on Windows alone
"""
WRITE = """
import sys, threading
from pathlib import Path
from reckon.files import new_directory
from reckon.locks import folder_lock
from reckon.stopping import listen

listen()
with folder_lock(sys.argv[1]), new_directory(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("written")
    print("begun", flush=True)
    threading.Event().wait()
"""


def environment():
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def test_every_module_is_imported_where_unix_has_no_say(tmp_path):
    code = run_source(IMPORT_ALL, errors=tmp_path / "errors")
    assert code == 0, (tmp_path / "errors").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends processes without a word")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_is_ended_leaves_nothing_and_one_that_is_killed_leaves_it_to_the_next(how, tmp_path):
    from reckon.locks import folder_lock

    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(tmp_path / "out")], env=environment(), stdout=subprocess.PIPE
    )
    assert process.stdout.readline().strip() == b"begun"
    process.send_signal(how)
    wait_for(lambda: process.poll() is not None)
    process.stdout.close()
    if how is signal.SIGKILL:
        assert len(list(tmp_path.iterdir())) == 2  # the lock, and what was half written
        with folder_lock(tmp_path / "out"):
            pass
    assert list(tmp_path.iterdir()) == []
