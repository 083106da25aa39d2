"""What the service counts: `GET /metrics`, in the format of Prometheus.

Entry point: `Metrics`. No label holds an id of a user or an item.
"""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of one service."""

    def __init__(self) -> None:
        disable_created_metrics()  # the start of every counter as a number of its own
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("reckon_requests", "Requests.", ["method", "route", "status"], registry=registry)
        self.request_seconds = Histogram(
            "reckon_request_seconds",
            "Seconds until the reply is complete.",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self.answers = Counter(
            "reckon_answers",
            "Recommendations by the step of the chain that answered.",
            ["source", "group"],
            registry=registry,
        )
        self.answer_seconds = Histogram(
            "reckon_answer_seconds", "Seconds until the ranked items.", ["source"], buckets=SECONDS, registry=registry
        )
        self.fallbacks = Counter(
            "reckon_fallbacks", "Steps of the chain that could not answer.", ["step", "why"], registry=registry
        )
        self.cache = Counter(
            "reckon_cached_reasoning", "Look-ups of reasoning written in advance.", ["result"], registry=registry
        )
        self.batches = Histogram(
            "reckon_batch_rows",
            "Histories in one pass of the model.",
            ["kind"],
            buckets=ROWS,
            registry=registry,
        )
        self.written_tokens = Counter("reckon_tokens", "Tokens of reasoning written.", registry=registry)
        self.events = Counter("reckon_events", "New events.", ["type"], registry=registry)
        self.feedback = Counter(
            "reckon_feedback",
            "Clicks and conversions of recommendations.",
            ["kind", "group", "source"],
            registry=registry,
        )
        self.streams = Gauge("reckon_open_streams", "Streams that are open.", registry=registry)

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A number that is asked for whenever somebody looks."""
        Gauge(name, text, registry=self.registry).set_function(value)

    def batch(self, kind: str, rows: int) -> None:
        self.batches.labels(kind).observe(rows)

    def tokens(self, count: int) -> None:
        self.written_tokens.inc(count)

    def text(self) -> bytes:
        """All numbers, as Prometheus reads them."""
        return generate_latest(self.registry)
