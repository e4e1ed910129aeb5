"""A task's data key: the keys derived from it, and the last ones used, unwrapped.

A digest is an HMAC under a key of the task, so that nobody without it can test a guess, and nothing
is provable any more once the key is destroyed.
"""

import hmac
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pointwork.contract.canonical import canonical_bytes
from pointwork.contract.failures import PointworkError
from pointwork.contract.task import ContentRef
from pointwork.ledger.key_ring import KeyRing

DATA_KEYS_CACHED_MAX = 1024
_NONCE_BYTES = 12


class ContentUnavailableError(PointworkError):
    """Content cannot be read: it is missing, erased, or not what was sealed."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """A task's key, as the keys derived from it."""

    sealing: bytes = field(repr=False)
    digesting: bytes = field(repr=False)
    requesting: bytes = field(repr=False)
    streaming: bytes = field(repr=False)

    @classmethod
    def derive(cls, secret: bytes) -> "DataKey":
        return cls(
            sealing=_mac(secret, b"pointwork seal"),
            digesting=_mac(secret, b"pointwork digest"),
            requesting=_mac(secret, b"pointwork request"),
            streaming=_mac(secret, b"pointwork tokens"),
        )

    def ref(self, data: bytes, media_type: str) -> ContentRef:
        digest = _mac(self.digesting, data).hex()
        return ContentRef(digest=digest, bytes=len(data), media_type=media_type)

    def request_digest(self, request: Mapping[str, Any]) -> str:
        return _mac(self.requesting, canonical_bytes(request)).hex()

    def seal(self, task_id: str, ref: ContentRef, data: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self.sealing).encrypt(nonce, data, _bound_to(task_id, ref))

    def unseal(self, task_id: str, ref: ContentRef, sealed: bytes) -> bytes:
        """The bytes behind ``ref``.

        Raises:
            ContentUnavailableError: they are not the ones sealed under it for this task.
        """
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            data = AESGCM(self.sealing).decrypt(nonce, ciphertext, _bound_to(task_id, ref))
        except (InvalidTag, ValueError):
            raise ContentUnavailableError(_altered(task_id, ref)) from None
        if self.ref(data, ref.media_type) != ref:
            raise ContentUnavailableError(_altered(task_id, ref))
        return data


class DataKeys:
    """Unwraps data keys and remembers those used last. Thread-safe."""

    def __init__(self, ring: KeyRing, cached_max: int = DATA_KEYS_CACHED_MAX) -> None:
        self._ring = ring
        self._cached_max = cached_max
        self._cache: OrderedDict[str, tuple[bytes, DataKey]] = OrderedDict()
        self._lock = threading.Lock()

    def key(self, task_id: str, master_key_id: str, wrapped: bytes | None) -> DataKey:
        """The key as it stands in the ledger: a destroyed one is gone, whatever is remembered.

        Raises:
            ContentUnavailableError: it was destroyed, or its master key is not known here.
        """
        if wrapped is None:
            raise ContentUnavailableError(f"the content of task {task_id} was erased")
        with self._lock:
            cached = self._cache.get(task_id)
            if cached is not None and cached[0] == wrapped:
                self._cache.move_to_end(task_id)
                return cached[1]
        secret = self._ring.unwrap(wrapped, task_id, master_key_id)
        if secret is None:
            msg = (
                f"the key of task {task_id} does not open with master key {master_key_id}; "
                "start with the master key file this ledger was written with"
            )
            raise ContentUnavailableError(msg)
        key = DataKey.derive(secret)
        with self._lock:
            self._cache[task_id] = wrapped, key
            self._cache.move_to_end(task_id)
            if len(self._cache) > self._cached_max:
                self._cache.popitem(last=False)
        return key

    def forget(self, task_id: str) -> None:
        with self._lock:
            self._cache.pop(task_id, None)


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _bound_to(task_id: str, ref: ContentRef) -> bytes:
    """Associated data: a ciphertext moved to another task, digest or type does not open."""
    return canonical_bytes([task_id, ref.digest, ref.media_type])


def _altered(task_id: str, ref: ContentRef) -> str:
    return f"content {ref.digest} of task {task_id} is not what was sealed; restore a backup"
