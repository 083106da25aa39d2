"""A real PostgreSQL server for tests, which skip where none is installed."""

import glob
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.waiting import wait_for

NOBODY = 65_534  # PostgreSQL refuses to run as root


class Server:
    """A server in a folder of its own, which can be stopped and started again on the same port."""

    def __init__(self, folder):
        self.folder, self.process, self.databases = folder, None, set()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        if self.user:
            os.chown(folder, NOBODY, NOBODY)
        words = ("-D", folder / "data", "-U", "reckon", "-A", "trust", "-N", "--no-locale", "-E", "UTF8")
        subprocess.run([binary("initdb"), *words], check=True, capture_output=True, cwd=folder, **self.user)

    def address(self, database="postgres"):
        return f"postgresql://reckon:secret@127.0.0.1:{self.port}/{database}"

    def start(self):
        place = ("-D", self.folder / "data", "-p", str(self.port), "-k", self.folder, "-h", "127.0.0.1")
        fast = ("-F", "-c", "autovacuum=off")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen([binary("postgres"), *place, *fast], cwd=self.folder, **quiet, **self.user)
        wait_for(self._answers)

    def stop(self):
        """Stop it at once; clients lose their connections."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
            self.process.wait(timeout=120)
            self.process = None

    def execute(self, *statements, database="postgres"):
        import psycopg

        with psycopg.connect(self.address(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def fresh_database(self, name):
        """The address of a database without tables; one of that name is emptied."""
        if name not in self.databases:
            self.execute(f"CREATE DATABASE {name}")
            self.databases.add(name)
        else:
            self.execute("DROP SCHEMA public CASCADE", "CREATE SCHEMA public", database=name)
        return self.address(name)

    def _answers(self):
        import psycopg

        assert self.process.poll() is None, "the server ended"
        try:
            psycopg.connect(self.address()).close()
        except psycopg.OperationalError:
            return False
        return True


def binary(name):
    """A program of the server, or a skip."""
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}")) or [shutil.which(name)]
    if not found[-1]:
        pytest.skip(f"no PostgreSQL server on this machine ({name} not found); install the package postgresql")
    return str(found[-1])


@contextmanager
def running_server():
    """A server that runs until the block ends, or a skip."""
    pytest.importorskip("psycopg", reason="psycopg is not installed; pip install 'reckon-recsys[postgres]'")
    binary("initdb"), binary("postgres")
    folder = Path(tempfile.mkdtemp(prefix="reckon-pg-", dir="/tmp"))  # short: the socket's path has a length limit
    try:
        server = Server(folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
