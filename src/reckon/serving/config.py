"""Settings of the service: `reckon serve --config FILE`, or `--set section.field=value`.

Entry point: `ServiceConfig`. The table of all settings is in docs/serving.md.
"""

from dataclasses import dataclass, field
from typing import Literal

from reckon.errors import ConfigError

Reasoning = Literal["none", "cached", "live"]
Seen = Literal["exclude", "fade", "keep"]
Now = Literal["last_event", "clock"]
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _check(section: object, path: str, lowest: dict[str, float]) -> None:
    for name, least in lowest.items():
        value = getattr(section, name)
        if value < least:
            raise ConfigError(f"{path}.{name}", value, f"must be at least {least:g}", f"use {least:g} or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommendConfig:
    """What `POST /recommend` does where a request says nothing."""

    k: int = 10
    """Items of a page, at least 1."""

    most: int = 100
    """Most items that a request may ask for, at least 1."""

    kept: int = 200
    """Ranked items kept of every answer, from which its next pages come; at least `most`."""

    reasoning: Reasoning = "cached"
    """First step of the chain: `live` writes a reasoning while the caller waits, `cached` takes one written in advance,
    `none` ranks without one."""

    deadline_ms: int = 0
    """Milliseconds after which an answer falls back to the next step of the chain; 0 for no deadline."""

    seen: Seen = "exclude"
    """Items that the user had before: left out (`exclude`), ranked lower the more recent they are (`fade`), or ranked
    as all others (`keep`)."""

    fade_days: float = 30.0
    """With `fade`: days after which half of the penalty is left, > 0."""

    fade_penalty: float = 5.0
    """With `fade`: what an item seen just now loses of its score, >= 0."""

    neighbours: int = 3
    """Latest events whose similar items answer where the model cannot, at least 1."""

    now: Now = "last_event"
    """The present time in prompts: that of the user's last event, as in old data, or the clock's."""

    kept_days: float = 30.0
    """Days that an answer can be paged and explained, > 0."""

    def __post_init__(self) -> None:
        _check(self, "recommend", {"k": 1, "most": 1, "neighbours": 1, "deadline_ms": 0, "fade_penalty": 0})
        for name in ("fade_days", "kept_days"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"recommend.{name}", getattr(self, name), "must be positive", "use 30, say")
        if not self.k <= self.most <= self.kept:
            rule = "must be in the order k <= most <= kept"
            raise ConfigError("recommend.most", self.most, rule, "raise kept, or lower k and most")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsConfig:
    """Which events there are, and which belong to a user's history."""

    history: tuple[str, ...] = ("interaction", "purchase", "view", "rating>=4")
    """Types of events that belong to a history, each with a condition on its value where one is wanted."""

    types: tuple[str, ...] = ("click",)
    """Further types that are stored."""

    ratings: tuple[str, ...] = ("interaction", "rating")
    """Types whose values are ratings, for a run that predicts them."""

    clicks: tuple[str, ...] = ("click", "view")
    """Types that count as clicks on a recommendation, in /metrics."""

    conversions: tuple[str, ...] = ("purchase",)
    """Types that count as conversions of a recommendation, in /metrics."""

    auto_create: bool = False
    """Whether an event of an unknown user creates that user. An unknown item is always refused: nothing is known of
    it that could be recommended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """How the models work."""

    rows: int = 32
    """Reasonings that are written at once, at least 1: each decoding step adds a token to all of them."""

    queue: int = 256
    """Requests that may wait for the model, at least 1; further ones get 429."""

    threads: int = 0
    """Threads of the model's computations; 0 takes PyTorch's default."""

    shares: tuple[float, ...] = ()
    """Shares of users for each of several runs, in their order; empty: equal ones."""

    def __post_init__(self) -> None:
        _check(self, "model", {"rows": 1, "queue": 1, "threads": 0})


@dataclass(frozen=True, slots=True, kw_only=True)
class NearlineConfig:
    """Reasoning that is written in advance for users with new events."""

    enabled: bool = True
    """Whether this process writes it, while no request waits."""

    ttl_hours: float = 168.0
    """Hours after which a written reasoning is not used any more, > 0."""

    stale: bool = True
    """Whether a reasoning is used until the new one is written, though its user has had events since."""

    batch: int = 8
    """Users at a time, at least 1."""

    def __post_init__(self) -> None:
        _check(self, "nearline", {"batch": 1})
        if not self.ttl_hours > 0:
            raise ConfigError("nearline.ttl_hours", self.ttl_hours, "must be positive", "use 168, say")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig:
    """What one caller may ask of the service."""

    body_bytes: int = 8 << 20
    """Largest body of a request."""

    bulk: int = 10_000
    """Most records of one bulk request."""

    streams: int = 256
    """Streams that are open at once; further ones get 429."""

    per_minute: int = 0
    """Requests of one key in a minute; 0 for no limit."""

    heartbeat_s: float = 15.0
    """Seconds without an event after which a stream gets a heartbeat, > 0."""

    def __post_init__(self) -> None:
        _check(self, "limits", {"body_bytes": 1024, "bulk": 1, "streams": 1, "per_minute": 0})
        if not self.heartbeat_s > 0:
            raise ConfigError("limits.heartbeat_s", self.heartbeat_s, "must be positive", "use 15, say")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceConfig:
    """Everything that `reckon serve` can be told."""

    recommend: RecommendConfig = field(default_factory=RecommendConfig)
    events: EventsConfig = field(default_factory=EventsConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    nearline: NearlineConfig = field(default_factory=NearlineConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
