"""Teachers: sources of the reasoning that RecOne is fine-tuned on.

Entry points: `OpenAITeacher` (any OpenAI-compatible endpoint, through the official client), `LocalTeacher` (a Hugging
Face model in this process) and `FileTeacher` (replies from a file). `ask` answers one question; `most_parallel` limits
the number of threads that call it.

A teacher that cannot answer a question raises `TeacherFailure`, with a flag for retries; one that cannot answer any
question raises `TeacherRefused`. `reckon.teachers.asking` retries, `reckon.teachers.rules` judges.

Source: RecZero (arXiv 2510.23077), RecOne's cold start.
"""

import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import urlsplit, urlunsplit

from reckon.errors import ConfigError, DataError, MissingExtraError, ReckonError
from reckon.files import file_sha256
from reckon.identity import source_identity
from reckon.messages import HIDDEN, one_line, redacted
from reckon.prompts.rating import REPLY_END
from reckon.prompts.render import Message, prompt_ids

if TYPE_CHECKING:
    from openai import APIStatusError

Finish = Literal["stop", "length", "refused"]
PLAIN, HINTED, CHECK = 1, 2, 3  # attempts at one row, in this order
KEY_VARIABLE = "OPENAI_API_KEY"
URL_VARIABLE = "OPENAI_BASE_URL"
OPENAI_URL = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class Question:
    """A question to a teacher about one training row."""

    row: int
    """Row number in `rating_examples(dataset, "train")`."""
    user_id: str
    item_id: str
    time: int | None
    messages: list[Message]
    attempt: int = PLAIN
    """PLAIN; HINTED: the messages hold the true rating; CHECK: the messages hold a reasoning for the second reading."""

    @property
    def hinted(self) -> bool:
        """Whether the messages hold the true rating."""
        return self.attempt == HINTED


@dataclass(frozen=True, slots=True)
class TeacherReply:
    """Reply of a teacher. Token counts are None where the teacher does not report them."""

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish: Finish = "stop"


class TeacherFailure(Exception):
    """One question got no reply. `kind` is a stable word for reports."""

    def __init__(self, kind: str, detail: str = "", *, again: bool = True, retry_after: float | None = None) -> None:
        self.kind, self.detail, self.again, self.retry_after = kind, detail, again, retry_after
        super().__init__(f"{kind}: {detail}" if detail else kind)


class TeacherRefused(ReckonError):
    """The teacher cannot answer any question: wrong key, unknown model, no credit."""


class Teacher(Protocol):
    """Interface of a teacher."""

    most_parallel: int | None
    """Most questions at the same time; None: no limit."""

    @property
    def identity(self) -> dict[str, Any]:
        """Settings that decide the replies, as JSON; stored with the traces and compared when a run is resumed."""

    def answers(self, question: Question) -> bool:
        """Whether the teacher can answer this question."""

    def ask(self, question: Question) -> TeacherReply:
        """Answer a question. Raises TeacherFailure or TeacherRefused."""


class OpenAITeacher:
    """A model behind an OpenAI-compatible chat endpoint; safe to ask from several threads."""

    most_parallel: int | None = None

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        max_tokens: int = 2048,
        temperature: float | None = None,
        timeout: float = 120.0,
    ) -> None:
        """
        Args:
            model: name of the model at the endpoint.
            base_url: e.g. `http://localhost:8000/v1`; default: OPENAI_BASE_URL, else OpenAI's own.
            max_tokens: most tokens of a reply, >= 1. Sent as `max_completion_tokens` to OpenAI, as `max_tokens` to
                other endpoints.
            temperature: sampling temperature, >= 0; None sends none (some models accept only their default).
            timeout: seconds without data after which a request fails, > 0.

        Raises:
            ConfigError: OpenAI's own endpoint without a key in OPENAI_API_KEY, or a setting breaks its rule.
            MissingExtraError: the client is not installed.
        """
        check_sampling(max_tokens, temperature)
        if timeout <= 0:
            raise ConfigError("--timeout", timeout, "must be positive", "use 120 seconds")
        url = (base_url or os.environ.get(URL_VARIABLE) or OPENAI_URL).rstrip("/")
        try:
            named = urlsplit(url).hostname
        except ValueError:
            named = None
        if not named:
            raise ConfigError("--base-url", url, "is no address", "write it as http://localhost:8000/v1")
        self._key = os.environ.get(KEY_VARIABLE, "").strip()
        if not self._key and url == OPENAI_URL:
            raise ConfigError(KEY_VARIABLE, "", "OpenAI's endpoint needs a key", f"export {KEY_VARIABLE}=…")
        try:
            from openai import OpenAI
        except ImportError:
            raise MissingExtraError("openai", "recone", "a teacher behind an OpenAI-compatible endpoint") from None
        self.model, self.url = model, url
        self._limit = {"max_completion_tokens" if url == OPENAI_URL else "max_tokens": max_tokens}
        self._sampling = {} if temperature is None else {"temperature": temperature}
        # The client's retries are off: `Asker` retries, within the rate limit, until Ctrl-C, and also after truncated
        # bodies.
        self._client: Any = OpenAI(api_key=self._key or "none", base_url=url, timeout=timeout, max_retries=0)

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "teacher": "openai",
            "model": self.model,
            "base_url": _public(self.url),
            **self._limit,
            **self._sampling,
        }

    def answers(self, question: Question) -> bool:
        return True

    def ask(self, question: Question) -> TeacherReply:
        try:
            reply = self._asked(question)
        except TeacherFailure as failure:
            raise TeacherFailure(
                failure.kind, self._redact(failure.detail), again=failure.again, retry_after=failure.retry_after
            ) from None
        # An endpoint that echoes its request would put the key into the traces.
        return replace(reply, text=reply.text.replace(self._key, HIDDEN)) if self._key else reply

    def _asked(self, question: Question) -> TeacherReply:
        import openai

        try:
            raw = self._client.chat.completions.with_raw_response.create(
                model=self.model, messages=question.messages, **self._limit, **self._sampling
            )
            return reply_of(json.loads(raw.http_response.text))
        except openai.APITimeoutError:
            raise TeacherFailure("timeout") from None
        except openai.APIConnectionError as error:
            raise TeacherFailure("connection", str(error.__cause__ or error)) from None
        except openai.APIStatusError as error:
            raise self._status_failure(error) from None
        except ValueError as error:  # a truncated body is not JSON
            raise TeacherFailure("bad answer", str(error)) from None

    def _status_failure(self, error: "APIStatusError") -> Exception:
        status, said = error.status_code, self._redact(error.message)
        if status in (401, 403):
            fix = f"set {KEY_VARIABLE} to a key that may use {self.model!r}, then run the same command again"
            return TeacherRefused(f"{_public(self.url)} refused the key ({status}). Fix: {fix}.")
        if status == 404:
            fix = "correct --model or --base-url (it usually ends in /v1), then run the same command again"
            return TeacherRefused(f"{_public(self.url)} does not know the model {self.model!r} ({said}). Fix: {fix}.")
        if status == 402 or error.code == "insufficient_quota":
            fix = "add credit, then run the same command again; answers so far are kept"
            return TeacherRefused(f"{_public(self.url)} reports no credit left ({said}). Fix: {fix}.")
        if status == 429:
            return TeacherFailure("rate limit", said, retry_after=retry_after(error.response.headers))
        if status >= 500 or status in (408, 409):
            return TeacherFailure("server error", f"{status} {said}", retry_after=retry_after(error.response.headers))
        if error.code == "context_length_exceeded":
            return TeacherFailure("prompt too long", said, again=False)
        return TeacherFailure("bad request", f"{status} {said}", again=False)

    def _redact(self, text: str) -> str:
        return one_line(redacted(text, self._key))


def reply_of(body: Any) -> TeacherReply:
    """The reply in a chat completion. Raises TeacherFailure("bad answer") where there is none."""
    try:
        choice = body["choices"][0]
        message = choice["message"]
        text, refusal = message.get("content"), message.get("refusal")
        usage = body.get("usage") or {}
        reason = choice.get("finish_reason")
        tokens = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    except (AttributeError, IndexError, KeyError, TypeError):
        error = body.get("error") if isinstance(body, Mapping) else None
        raise TeacherFailure("bad answer", f"no choices in it; error: {error}"[:300]) from None
    if text is not None and not isinstance(text, str):
        raise TeacherFailure("bad answer", f"content is {type(text).__name__}, not text")
    refused = reason == "content_filter" or (refusal and not text)
    finish: Finish = "refused" if refused else "length" if reason == "length" else "stop"
    prompt_tokens, completion_tokens = (count if type(count) is int and count >= 0 else None for count in tokens)
    # JSON may hold a lone surrogate; UTF-8 files cannot.
    clean = (text or "").encode("utf-8", "replace").decode("utf-8")
    return TeacherReply(clean, prompt_tokens, completion_tokens, finish)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait according to a `Retry-After` (number or date) or `retry-after-ms` header; None without one."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):
            continue
    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    except (KeyError, ValueError, TypeError):
        return None


class LocalTeacher:
    """A Hugging Face model in this process, one question at a time. Serving the model and using OpenAITeacher is
    faster."""

    most_parallel: int | None = 1

    def __init__(
        self,
        model: str | Path,
        *,
        max_tokens: int = 1024,
        temperature: float | None = None,
        seed: int = 0,
        reply_end: str = REPLY_END,
    ) -> None:
        """
        Args:
            model: a hub id, or a folder of a causal language model.
            max_tokens: most tokens of a reply, >= 1.
            temperature: sampling temperature, >= 0; None is 0.7; 0 is greedy.
            seed: of the sampling; a reply depends on it, on the row and on the attempt.
            reply_end: text that ends a reply, as in the method that is fine-tuned on it.

        Raises:
            CheckpointError: there is no such model.
        """
        from reckon.models.backbone import load_backbone
        from reckon.rollout import SamplingConfig, SharedPrefixEngine

        check_sampling(max_tokens, temperature)
        self.model, self.seed = str(model), seed
        self.sampling = SamplingConfig(
            temperature=0.7 if temperature is None else temperature, max_completion_length=max_tokens
        )
        self._backbone = load_backbone(model)
        self._engine = SharedPrefixEngine(self._backbone, reply_end, appends_marker=False)
        self._one_at_a_time = threading.Lock()

    @property
    def identity(self) -> dict[str, Any]:
        sampling = {"max_tokens": self.sampling.max_completion_length, "temperature": self.sampling.temperature}
        return {"teacher": "local", "model": source_identity(self.model), "seed": self.seed, **sampling}

    def answers(self, question: Question) -> bool:
        return True

    def ask(self, question: Question) -> TeacherReply:
        import torch

        tokenizer = self._backbone.tokenizer
        prompt = prompt_ids(question.messages, tokenizer)
        longest = getattr(self._backbone.config, "max_position_embeddings", None)
        budget = self.sampling.max_completion_length
        if longest is not None:
            budget = min(budget, longest - len(prompt))
        if budget < 1:
            raise TeacherFailure("prompt too long", f"{len(prompt)} tokens of {longest}", again=False)
        sampling = replace(self.sampling, max_completion_length=budget)
        with self._one_at_a_time:
            generator = torch.Generator(device=self._backbone.device)
            generator.manual_seed((self.seed * 1_000_003 + question.row) * 2 + question.attempt - 1)
            rollouts = self._engine.sample([prompt], sampling, generator=generator)
        written = rollouts.reply_ids[0, : int(rollouts.lengths[0])].tolist()
        text = str(tokenizer.decode(written, skip_special_tokens=True))
        return TeacherReply(text, len(prompt), len(written), "length" if rollouts.finish[0] == "length" else "stop")


class FileTeacher:
    """Replies from a file of JSON lines with `user_id`, `item_id`, `reply`, and optionally `timestamp` (seconds since
    1970, to distinguish two ratings of one item) and `hinted_reply` (written with the true rating known)."""

    most_parallel: int | None = 1

    def __init__(self, path: str | Path) -> None:
        """
        Raises:
            DataError: a line is not such an object, or two lines are about the same row.
        """
        self.path = Path(path)
        self._replies: dict[tuple[str, str, int | None], dict[str, Any]] = {}
        try:
            with self.path.open(encoding="utf-8") as file:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        self._add(line, f"{self.path} line {number}")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(str(self.path), f"cannot be read ({error})", "give a file of JSON lines in UTF-8") from None
        if not self._replies:
            raise DataError(str(self.path), "holds no replies", "write one JSON object per line; see docs/traces.md")

    @property
    def identity(self) -> dict[str, Any]:
        return {"teacher": "file", "file": self.path.name, "sha256": file_sha256(self.path)}

    @property
    def users(self) -> set[str]:
        """User ids of all replies."""
        return {user for user, _, _ in self._replies}

    def __len__(self) -> int:
        return len(self._replies)

    def key(self, user_id: str, item_id: str, time: int | None) -> tuple[str, str, int | None] | None:
        """Key of the reply about this rating: the one of its time, else the one without a time; None if there is
        none."""
        for moment in (time, None):
            if (found := (user_id, item_id, moment)) in self._replies:
                return found
        return None

    def answers(self, question: Question) -> bool:
        return self._text(question) is not None

    def ask(self, question: Question) -> TeacherReply:
        text = self._text(question)
        if text is None:
            raise TeacherFailure("no reply in the file", again=False)
        return TeacherReply(text)

    def _text(self, question: Question) -> str | None:
        found = self.key(question.user_id, question.item_id, question.time)
        if found is None or question.attempt == CHECK:  # a file has no second reading
            return None
        return self._replies[found].get("hinted_reply" if question.hinted else "reply")

    def _add(self, line: str, where: str) -> None:
        fix = 'write {"user_id": "…", "item_id": "…", "reply": "…"}'
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise DataError(where, f"is not JSON ({error})", fix) from None
        if not isinstance(entry, dict):
            raise DataError(where, "is not a JSON object", fix)
        for name in ("user_id", "item_id"):
            if type(entry.get(name)) not in (str, int):
                raise DataError(where, f"{name} is {entry.get(name)!r}", fix)
        for name in ("reply", *(["hinted_reply"] if "hinted_reply" in entry else [])):
            if not isinstance(entry.get(name), str):
                raise DataError(where, f"{name} is not text", fix)
            entry[name] = entry[name].encode("utf-8", "replace").decode("utf-8")
        moment = entry.get("timestamp")
        if moment is not None and type(moment) is not int:
            raise DataError(where, f"timestamp is {moment!r}", "give whole seconds since 1970, or leave it out")
        key = (str(entry["user_id"]), str(entry["item_id"]), moment)
        if key in self._replies:
            raise DataError(where, "is about the same row as an earlier line", "keep one of them, or add timestamps")
        self._replies[key] = entry


def check_sampling(max_tokens: int, temperature: float | None) -> None:
    """Raises ConfigError for sampling settings out of range."""
    if max_tokens < 1:
        raise ConfigError("--max-tokens", max_tokens, "must be at least 1", "use 2048")
    if temperature is not None and not temperature >= 0:
        raise ConfigError("--temperature", temperature, "must not be negative", "use 0.7, or leave it out")


def _public(url: str) -> str:
    """The URL without user name, password and query, which may be secrets."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
