"""A local endpoint that answers like OpenAI's and misbehaves on demand, and a rated data set to ask about."""

import json
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa

from reckon.data import Dataset
from reckon.data.prepare.write import write_dataset
from reckon.teachers.asking import Patience

DAY = 86_400
QUICK = Patience(parallel=4, retries=3, first_wait=0.01, longest_wait=0.05)
HINT = "Hint: the user's rating was "


def rated_dataset(path, users=8, length=6):
    """Users rate books one after the other from 1 to 5; leave-one-out, so `users * (length - 3)` training rows."""
    ids = [f"b{number}" for number in range(6)]
    events = [
        (
            f"u{user}",
            ids[(user + n) % len(ids)],
            (user + n) * DAY,
            float((user * 3 + n * 2) % 5 + 1),
            f"note {user} {n}",
        )
        for user in range(users)
        for n in range(length)
    ]
    columns = zip(("user_id", "item_id", "timestamp", "rating", "review"), zip(*events, strict=True), strict=True)
    write_dataset(
        path,
        pa.table({"item_id": ids, "title": [f"Book {name}" for name in ids]}),
        pa.table({name: list(values) for name, values in columns}),
        source={"name": "classroom"},
        split="leave-one-out",
        words={"item": "book", "items": "books", "action": "rated"},
        tie_rule="none",
    )
    return Dataset.load(path)


def reply(rating, match="a good fit", user="likes books"):
    """A reply of the right form."""
    return (
        f"<analyze user>{user}</analyze user><analyze item>[pos] calm [neg] long</analyze item>"
        f"<match>{match}</match><rate>{rating:g}</rate>"
    )


def completion(text, finish="stop", usage=(100, 20), **message):
    """The body of a chat completion."""
    body = {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
        ],
    }
    if usage is not None:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return body


class Answering:
    """What a behaviour does with one request; the connection is the handler's."""

    def __init__(self, handler):
        self.handler = handler

    def json(self, body, status=200, headers=None, cut=None):
        """Send a JSON body; `cut` keeps only so many bytes of it, with a matching Content-Length."""
        data = json.dumps(body).encode()[:cut]
        self.raw(data, len(data), status, headers)

    def raw(self, data, length, status=200, headers=None):
        self.handler.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(length),
            **(headers or {}),
        }.items():
            self.handler.send_header(name, value)
        self.handler.end_headers()
        self.handler.wfile.write(data)

    def close_early(self):
        """Promise more bytes than are sent."""
        self.raw(b'{"choices": [', 500)
        self.handler.close_connection = True

    def hang_up(self):
        """Close without a word."""
        self.handler.close_connection = True


@contextmanager
def endpoint(behaviour, port=0):
    """Serve `behaviour(answering, prompt, nth)`, nth = 1 for the first request with that prompt; yields the server.

    `server.url` is the base URL, `server.asked` counts requests by prompt, `server.times` are their moments.
    """
    asked, times, lock = Counter(), [], threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = body["messages"][-1]["content"]
            with lock:
                asked[prompt] += 1
                nth = asked[prompt]
                times.append(time.monotonic())
                server.bodies.append((body, {name.lower(): value for name, value in self.headers.items()}))
            with suppress(BrokenPipeError, ConnectionResetError):  # the client has given up
                behaviour(Answering(self), prompt, nth)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    server.asked, server.times, server.bodies = asked, times, []
    server.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
