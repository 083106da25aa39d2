"""Acknowledged events outlive a kill of the service at any moment."""

import multiprocessing
import os
import random
import signal

import pytest
from support.store_records import event_of

from reckon.serving.store.store import Store

KILLS = 6


def add_forever(url, first, told):
    """Add events in pairs and tell of each pair that was acknowledged."""
    with Store.open(url) as store:
        for number in range(first, first + 1_000_000, 2):
            pair = [event_of(f"e{number}"), event_of(f"e{number + 1}", user_id="v")]
            assert store.events.add(pair) == [True, True]
            told.send_bytes(b"%d" % number)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_no_acknowledged_event_is_lost_or_stored_twice(database, tmp_path, request):
    url = str(tmp_path / "store.sqlite")
    if database == "postgresql":
        server = request.getfixturevalue("server")
        url = server.fresh_database("killed")
    Store.open(url).close()
    moments, acknowledged = random.Random(0), []
    for kill in range(KILLS):
        told, theirs = multiprocessing.Pipe(duplex=False)
        worker = multiprocessing.get_context("fork").Process(target=add_forever, args=(url, kill * 1_000_000, theirs))
        worker.start()
        theirs.close()
        for _ in range(moments.randrange(1, 12)):
            acknowledged.append(int(told.recv_bytes()))
        told.poll(moments.random() * 0.005)  # into the middle of a transaction
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        try:
            while True:
                acknowledged.append(int(told.recv_bytes()))
        except EOFError:
            told.close()
    with Store.open(url) as store:
        stored = [int(event.id[1:]) for _, event in store.events.recent(10**6)]
    pairs = {number for number in stored if number % 2 == 0}
    assert len(stored) == len(set(stored)) == 2 * len(pairs), "a call is kept whole or not at all"
    assert set(acknowledged) <= pairs
    assert len(pairs - set(acknowledged)) <= KILLS, "at most the call that was cut off was stored unacknowledged"
    assert len(acknowledged) >= KILLS
