"""Keys of the API: made, checked, never kept.

Entry points: `new_key`, `KeyRing`. A key is random text; the store has its SHA-256 alone. It travels as
`Authorization: Bearer KEY`, or as the password of HTTP Basic, which browsers can send.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from reckon.serving.store.errors import StoreError
from reckon.serving.store.records import Key, Scope
from reckon.serving.store.store import Store

PREFIX = "rk_"
FRESH_S = 2.0  # seconds after which the keys are read again
RANK: dict[Scope, int] = {"read": 0, "write": 1, "admin": 2}


def new_key(name: str, scope: Scope) -> tuple[str, Key]:
    """A secret, which is shown once, and the record of it."""
    secret = PREFIX + secrets.token_urlsafe(32)
    return secret, Key(name, scope, digest_of(secret), datetime.now(UTC))


def digest_of(secret: str) -> bytes:
    """SHA-256 of a secret. A slow hash would protect weak passwords; 256 random bits need none."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def secret_of(header: str | None) -> str | None:
    """The key of an `Authorization` header; None where there is none."""
    kind, _, rest = (header or "").partition(" ")
    if kind.lower() == "bearer":
        return rest.strip() or None
    if kind.lower() == "basic":
        try:
            return base64.b64decode(rest, validate=True).decode().partition(":")[2] or None
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return None
    return None


class KeyRing:
    """The keys of a store, read again every few seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys: Sequence[Key] | None = None  # not yet read
        self._read_at = 0.0

    @property
    def keys(self) -> Sequence[Key]:
        """All keys; an outage of the store leaves those that were read last.

        Raises:
            StoreError: they were never read, and cannot be read now.
        """
        if self._keys is None or time.monotonic() - self._read_at >= FRESH_S:
            try:
                self._keys = self._store.keys.all()
            except StoreError:
                if self._keys is None:
                    raise
            self._read_at = time.monotonic()
        return self._keys

    def find(self, secret: str | None) -> Key | None:
        """The key of a secret. Every key is compared, in constant time."""
        if secret is None:
            return None
        digest, found = digest_of(secret), None
        for key in self.keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


def allows(key: Key, scope: Scope) -> bool:
    """Whether a key may do what a scope needs."""
    return RANK[key.scope] >= RANK[scope]
