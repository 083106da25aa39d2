"""The downloader against a real HTTP server on this machine that misbehaves on purpose."""

import hashlib
import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from reckon.data.prepare.download import download
from reckon.errors import DataError

CONTENT = random.Random(0).randbytes(1_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
TARGET = "All_Beauty.jsonl.gz"


@dataclass
class Behaviour:
    """What the server does, and what it was asked."""

    content: bytes = CONTENT
    drop_after: int | None = None  # bytes per connection, then the line is cut
    ranges: bool = True
    etag: str = '"1"'
    failures: list[int] = field(default_factory=list)  # statuses of the next answers
    lives: int | None = None  # connections served before the server is down for good
    asked: list[str | None] = field(default_factory=list)  # Range headers


def handler(behaviour: Behaviour) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range")
            behaviour.asked.append(asked)
            if behaviour.failures:
                self.send_error(behaviour.failures.pop(0))
                return
            if behaviour.lives is not None:
                behaviour.lives -= 1
                if behaviour.lives < 0:
                    self.send_error(503)
                    return
            size, start = len(behaviour.content), 0
            valid = self.headers.get("If-Range") in (None, behaviour.etag)
            if asked and behaviour.ranges and valid:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
                if start >= size:
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(size - start))
            self.send_header("ETag", behaviour.etag)
            self.end_headers()
            end = size if behaviour.drop_after is None else min(size, start + behaviour.drop_after)
            self.wfile.write(behaviour.content[start:end])
            self.close_connection = True

        def log_message(self, *_):
            pass

    return Handler


@contextmanager
def serving(behaviour: Behaviour):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(behaviour))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{TARGET}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "raw" / TARGET


def fetch(urls, target, **settings):
    return download(urls, target, **{"pause": 0.0, "attempts": 3, "timeout": 60.0, **settings})


def only(target):
    return [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_dropping_server_is_resumed_where_it_broke_off(target):
    behaviour = Behaviour(drop_after=300_000)
    with serving(behaviour) as url:
        fetch([url], target, sha256=SHA256)
    assert target.read_bytes() == CONTENT
    assert behaviour.asked == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]
    assert only(target)


def fetch_part(behaviour, url, target):
    """One connection brings 300,000 bytes, then the server is down; bring it back up."""
    behaviour.drop_after, behaviour.lives = 300_000, 1
    with pytest.raises(DataError, match="3 attempts without progress"):
        fetch([url], target)
    assert not target.exists() and target.with_name(TARGET + ".part").stat().st_size == 300_000
    behaviour.drop_after, behaviour.lives, behaviour.asked = None, None, []


def test_a_later_call_goes_on_with_what_an_earlier_one_brought(target):
    behaviour = Behaviour()
    with serving(behaviour) as url:
        fetch_part(behaviour, url, target)
        fetch([url], target, sha256=SHA256)
    assert behaviour.asked == ["bytes=300000-"]
    assert target.read_bytes() == CONTENT


def test_a_server_without_ranges_still_delivers(target):
    behaviour = Behaviour(drop_after=300_000, ranges=False)
    with serving(behaviour) as url:
        with pytest.raises(DataError, match="without progress"):
            fetch([url], target)
        behaviour.drop_after = None
        fetch([url], target, sha256=SHA256)
    assert target.read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_is_begun_anew(target):
    other = random.Random(1).randbytes(len(CONTENT))
    behaviour = Behaviour()
    with serving(behaviour) as url:
        fetch_part(behaviour, url, target)
        behaviour.content, behaviour.etag = other, '"2"'
        fetch([url], target)
    assert target.read_bytes() == other


def test_the_next_mirror_goes_on_where_the_first_failed(target):
    first, second = Behaviour(), Behaviour(etag='"of the second"')
    with serving(first) as url, serving(second) as mirror:
        fetch_part(first, url, target)
        first.lives = 0
        fetch([url, mirror], target, sha256=SHA256)
    assert second.asked == ["bytes=300000-"]
    assert target.read_bytes() == CONTENT


def test_a_mirror_that_lacks_the_file_is_asked_once(target):
    first, second = Behaviour(failures=[404]), Behaviour()
    with serving(first) as url, serving(second) as mirror:
        fetch([url, mirror], target)
    assert (len(first.asked), target.read_bytes()) == (1, CONTENT)


def test_a_mirror_with_other_content_is_found_out(target):
    wrong, right = Behaviour(content=b"x" * 1000), Behaviour()
    with serving(wrong) as url, serving(right) as mirror:
        fetch([url, mirror], target, sha256=SHA256)
        assert target.read_bytes() == CONTENT
        target.unlink()
        with pytest.raises(DataError, match="has sha256"):
            fetch([url], target, sha256=SHA256)
    assert not list(target.parent.iterdir())


def test_short_outages_are_waited_out(target):
    behaviour = Behaviour(failures=[503, 429])
    with serving(behaviour) as url:
        fetch([url], target, sha256=SHA256)
    assert target.read_bytes() == CONTENT


def test_no_server_at_all_is_one_clear_error(target):
    with serving(Behaviour()) as url:
        pass
    with pytest.raises(DataError, match="could not be fetched") as caught:
        fetch([url], target)
    assert "\n" not in str(caught.value) and url in str(caught.value)


def test_a_file_that_is_there_is_not_fetched_again(target):
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    assert fetch([], target, sha256=SHA256) == target
    with pytest.raises(DataError, match="remove the file"):
        fetch([], target, sha256="0" * 64)
