"""A teacher behind an OpenAI-compatible chat endpoint, asked through the official client.

Entry point: `OpenAITeacher`. Its key comes from the environment and is in no message, reply or file.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from reckon.errors import ConfigError, MissingExtraError
from reckon.messages import HIDDEN, one_line, redacted
from reckon.teachers.teacher import Finish, Question, TeacherFailure, TeacherRefused, TeacherReply, check_sampling

if TYPE_CHECKING:
    from openai import APIStatusError

KEY_VARIABLE = "OPENAI_API_KEY"
URL_VARIABLE = "OPENAI_BASE_URL"
OPENAI_URL = "https://api.openai.com/v1"


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


def _public(url: str) -> str:
    """The URL without user name, password and query, which may be secrets."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
