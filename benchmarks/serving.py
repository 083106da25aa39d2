"""How fast the service is, what it holds, and what it loses.

Run it:  python benchmarks/serving.py demo/full --parts lists streams batching kills leaving soak [--json FILE]

    lists      p50 and p99 of lists from 64 clients at once: direct, cached, popular
    batching   live answers a second with one row at a time, and with 32: both sides in one run
    streams    1,000 streams open at once: lost ones, memory
    leaving    clients that go away in the middle: tokens written for nobody, rows left
    kills      SIGKILL at random moments under a load of events: acknowledged events lost or counted twice
    soak       mixed load for --minutes: memory and file descriptors at the start and at the end

The run is a finished one that reasons, e.g. that of `reckon demo`; every part starts servers of its own on a new store.
"""

import argparse
import asyncio
import itertools
import json
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from measure import MIB, environment, table, write_json
from serving_client import Server, call, stream

from reckon.progress import phase

CLIENTS = 64
LISTS = 2_000  # requests of one kind
LIVE = 256  # live answers of one side
STREAMS = 1_000


def users_of(server: Server) -> list[str]:
    return [user["id"] for user in server.get("/users?limit=1000")["items"]]


def items_of(server: Server) -> list[str]:
    return [item["id"] for item in server.get("/items?limit=1000")["items"]]


async def load(clients: int, count: int, ask: Callable[[int], Awaitable[Any]]) -> tuple[list[float], list[Any], float]:
    """`count` requests from so many clients at once: seconds of each, their results, and seconds of all."""
    numbers, seconds, results = itertools.count(), list[float](), list[Any]()

    async def client() -> None:
        while (number := next(numbers)) < count:
            began = time.perf_counter()
            results.append(await ask(number))
            seconds.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return seconds, results, time.perf_counter() - began


def milliseconds(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100)
    return {"p50_ms": round(1000 * cuts[49], 2), "p99_ms": round(1000 * cuts[98], 2)}


def lists(run: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Lists from 64 clients, by the step of the chain that answers."""
    found: dict[str, Any] = {}
    with Server(run, folder / "lists.sqlite", ["nearline.ttl_hours=1000"]) as server:
        users = users_of(server)[:CLIENTS]
        for user in users:  # ask once, so that nearline writes about them
            asyncio.run(call(server.port, "/recommend", {"user_id": user}))
        while server.number("reckon_nearline_waiting"):
            time.sleep(0.1)
        for source, body in (
            ("direct", {"reasoning": "none"}),
            ("cached", {"reasoning": "cached"}),
            ("popular", {"user_id": "nobody"}),
        ):

            async def ask(number: int, body: dict[str, Any] = body) -> str:
                user = {"user_id": users[number % len(users)]}
                status, reply = await call(server.port, "/recommend", user | body)
                return str(reply["source"]) if status == 200 else f"status {status}"

            seconds, sources, total = asyncio.run(load(CLIENTS, options.requests, ask))
            found[source] = {
                **milliseconds(seconds),
                "a_second": round(len(seconds) / total, 1),
                "answered_by": dict(Counter(sources)),
            }
    rows = [[name, *(str(value) for value in list(one.values())[:3])] for name, one in found.items()]
    print(table(["list", "p50 ms", "p99 ms", "a second"], rows))
    return found


def batching(run: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Live answers a second, one at a time against 32 together."""
    found: dict[str, Any] = {}
    for rows in (1, 32):
        settings = [f"model.rows={rows}", "nearline.enabled=false"]
        with Server(run, folder / f"batching-{rows}.sqlite", settings) as server:
            users = users_of(server)

            async def ask(number: int, server: Server = server, users: list[str] = users) -> int:
                body = {"user_id": users[number % len(users)], "reasoning": "live", "k": 5}
                return (await call(server.port, "/recommend", body))[0]

            seconds, statuses, total = asyncio.run(load(CLIENTS, options.live, ask))
            found[f"rows {rows}"] = {
                **milliseconds(seconds),
                "a_second": round(len(seconds) / total, 2),
                "statuses": dict(Counter(map(str, statuses))),
            }
    found["ratio"] = round(found["rows 32"]["a_second"] / found["rows 1"]["a_second"], 2)
    print(f"batching: {found['rows 1']['a_second']} live answers a second one at a time, "
          f"{found['rows 32']['a_second']} with 32 rows, {found['ratio']} times as many")  # fmt: skip
    return found


def streams(run: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All streams open at once."""
    count = options.streams
    settings = [f"limits.streams={count}", f"model.queue={count}", "model.rows=64", "nearline.enabled=false"]
    with Server(run, folder / "streams.sqlite", settings) as server:
        users, before = users_of(server), server.memory()

        async def ask(number: int) -> str:
            events = await stream(server.port, {"user_id": users[number % len(users)], "reasoning": "live", "k": 5})
            return "whole" if [name for name, _ in events[-2:]] == ["items", "usage"] else str(events[-1:])

        seconds, ends, total = asyncio.run(load(count, count, ask))
        found = {
            "streams": count,
            "ends": dict(Counter(ends)),
            "seconds": round(total, 1),
            "memory_mib": round(before / MIB),
            "peak_memory_mib": round(server.memory("VmHWM") / MIB),
            "left_open": server.number("reckon_open_streams"),
            **milliseconds(seconds),
        }
    print(f"streams: {found}")
    return found


def leaving(run: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Clients that close the connection after no, one or two pieces of reasoning."""
    with Server(run, folder / "leaving.sqlite", ["nearline.enabled=false"]) as server:
        users = users_of(server)

        async def ask(number: int) -> int:
            body = {"user_id": users[number % len(users)], "reasoning": "live"}
            return len(await stream(server.port, body, leave_after=number % 3))

        asyncio.run(load(CLIENTS, options.live, ask))
        began = time.perf_counter()
        while server.number("reckon_growing") or server.number("reckon_queue"):
            time.sleep(0.002)
        found = {
            "left": options.live,
            "seconds_until_no_row_is_left": round(time.perf_counter() - began, 3),
            "tokens_written": server.number("reckon_tokens_total"),
            "tokens_of_whole_replies": None,
            "left_open": server.number("reckon_open_streams"),
        }

        async def whole(number: int) -> int:
            body = {"user_id": users[number % len(users)], "reasoning": "live"}
            events = await stream(server.port, body)
            return int(events[-1][1]["reasoning_tokens"])

        _, tokens, _ = asyncio.run(load(CLIENTS, options.live, whole))
        found["tokens_of_whole_replies"] = sum(tokens)
    print(f"leaving: {found}")
    return found


def kills(run: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """SIGKILL under load; what was acknowledged must be there, once."""
    draw, acknowledged, sent = random.Random(options.seed), set[str](), itertools.count()
    server = Server(run, folder / "kills.sqlite", ["nearline.enabled=false", "limits.bulk=10"])
    server.start()
    users, items = users_of(server), items_of(server)

    async def client(stop_at: float) -> None:
        while time.monotonic() < stop_at + 1:
            number = next(sent)
            body = {
                "event_id": f"event-{number}",
                "user_id": users[number % len(users)],
                "item_id": items[number % len(items)],
                "type": "click",
            }
            try:
                status, _ = await call(server.port, "/events", body)
            except (OSError, ValueError, asyncio.IncompleteReadError):
                return  # killed
            if status == 200:
                acknowledged.add(body["event_id"])
                if number % 7 == 0:  # a shop that is not sure repeats the request
                    await call(server.port, "/events", body)

    async def clients(seconds: float) -> None:
        stop_at = time.monotonic() + seconds
        asyncio.get_running_loop().call_later(seconds, server.stop, signal.SIGKILL)
        await asyncio.gather(*(client(stop_at) for _ in range(8)), return_exceptions=True)

    with phase("kills", total=options.kills) as running:
        for _ in range(options.kills):
            asyncio.run(clients(draw.uniform(0.05, 1.0)))
            server.start()
            running.advance(1)
    stored = Counter[str]()
    after = 0
    while page := server.get(f"/events?limit=1000&before={after}" if after else "/events?limit=1000")["events"]:
        stored.update(event["event_id"] for event in page)
        after = page[-1]["number"]
    server.stop(signal.SIGTERM)
    found = {
        "kills": options.kills,
        "acknowledged": len(acknowledged),
        "lost": len(acknowledged - stored.keys()),
        "counted_twice": sum(count > 1 for count in stored.values()),
    }
    print(f"kills: {found}")
    return found


def soak(run: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Mixed load: lists, streams, streams that are left, events, items."""
    samples: list[dict[str, float]] = []
    with Server(run, folder / "soak.sqlite") as server:
        users, items = users_of(server), items_of(server)
        end = time.monotonic() + 60 * options.minutes

        async def client(number: int) -> None:
            draw = random.Random(number)
            while time.monotonic() < end:
                user = draw.choice(users)
                kind = draw.randrange(5)
                if kind == 0:
                    await call(server.port, "/recommend", {"user_id": user, "reasoning": "none"})
                elif kind == 1:
                    await call(server.port, "/recommend", {"user_id": user})
                elif kind == 2:
                    await stream(server.port, {"user_id": user, "reasoning": "live"})
                elif kind == 3:
                    await stream(server.port, {"user_id": user, "reasoning": "live"}, leave_after=draw.randrange(3))
                else:
                    event = {"user_id": user, "item_id": draw.choice(items), "type": "click"}
                    await call(server.port, "/events", event)

        async def watch() -> None:
            while time.monotonic() < end:
                samples.append({"memory_mib": server.memory() / MIB, "files": server.open_files()})
                await asyncio.sleep(5)

        async def both() -> None:
            await asyncio.gather(watch(), *(client(number) for number in range(8)))

        asyncio.run(both())
        answers = server.number("reckon_requests_total")
    tenth = max(1, len(samples) // 10)
    quarter = samples[len(samples) // 4 :][:tenth]  # after the caches have filled
    found: dict[str, Any] = {"minutes": options.minutes, "requests": answers}
    for name in ("memory_mib", "files"):
        found[name] = {
            "after_a_quarter": round(statistics.mean(sample[name] for sample in quarter), 1),
            "at_the_end": round(statistics.mean(sample[name] for sample in samples[-tenth:]), 1),
        }
    print(f"soak: {found}")
    return found


PARTS = {part.__name__: part for part in (lists, batching, streams, leaving, kills, soak)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["lists", "batching", "streams", "leaving"])
    parser.add_argument("--requests", type=int, default=LISTS, help="requests of each kind of list")
    parser.add_argument("--live", type=int, default=LIVE, help="live answers of each side")
    parser.add_argument("--streams", type=int, default=STREAMS)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=30.0, help="of the soak")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the result here")
    options = parser.parse_args()
    result: dict[str, Any] = {"environment": environment(), "parts": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.parts:
            print(f"{name}: {(PARTS[name].__doc__ or '').strip()}", file=sys.stderr)
            result["parts"][name] = PARTS[name](options.run, Path(folder), options)
    if options.json:
        write_json(options.json, result)
    else:
        print(json.dumps(result["parts"], indent=2))


if __name__ == "__main__":
    main()
