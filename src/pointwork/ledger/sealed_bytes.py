"""Where sealed bytes lie: in the ledger's own table, or in a store of objects beside it.

Keys, digests and sizes stand in the ledger either way. An object's name tells which ledger and task
it belongs to and nothing of what it holds: ``contents/LEDGER/SHARD/TASK/RANDOM``. It is random, and
not the content's digest, for two reasons. No name is written twice, so that taking away an object
which no row names can never meet a writer who is about to name it. And while the digest would give
nothing away, being an HMAC under the task's own key with which nobody without that key can test a
guess, a name that has nothing to do with the content needs no such argument.
"""

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pointwork.contract.failures import PointworkError, ServiceUnavailableError

INLINE_BYTES_MAX = 64 * 1024
"""Contents up to here stay in the table, store or not: a download would take longer than they."""
SHARDS = 256
"""Parts of a store that can be listed one at a time."""
_ROOT = "contents"


class SealedStoreError(ServiceUnavailableError):
    """The store did not do what it was asked. The text names it and the remedy, and no secret."""


class VaultUrlError(PointworkError, ValueError):
    """The store's address or options cannot be used. The text names the remedy, and no value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredObject:
    """An object as the store lists it."""

    name: str
    modified_at: datetime
    bytes_count: int


class SealedBytes(Protocol):
    """Keeps bytes that are sealed already. What reaches the store may raise SealedStoreError."""

    @property
    def place(self) -> str:
        """For people; holds no credentials."""
        ...

    def takes(self, bytes_count: int) -> bool:
        """Whether a content of this size, before it is sealed, lies outside the ledger's table."""
        ...

    def put(self, task_id: str, sealed: bytes) -> str:
        """Keep the bytes under a name that was never used, and return it."""
        ...

    def get(self, name: str) -> bytes | None:
        """The bytes; None where there is no such object."""
        ...

    def delete(self, names: Iterable[str]) -> None:
        """Take objects away; those that are gone already are no error."""
        ...

    def listed(self, shard: int) -> Iterator[Sequence[StoredObject]]:
        """Every object of this ledger in a shard (0 to 255), a page at a time, in any order."""
        ...

    def check(self) -> None:
        """Try what the vault will do: write, read and delete."""
        ...


class InTable:
    """The table alone: no content lies outside it."""

    @property
    def place(self) -> str:
        return "the ledger's table"

    def takes(self, bytes_count: int) -> bool:
        return False

    def put(self, task_id: str, sealed: bytes) -> str:
        raise _no_store(task_id)

    def get(self, name: str) -> bytes | None:
        raise _no_store(task_of(name) or name)

    def delete(self, names: Iterable[str]) -> None:
        for name in names:
            raise _no_store(task_of(name) or name)

    def listed(self, shard: int) -> Iterator[Sequence[StoredObject]]:
        yield from ()

    def check(self) -> None:
        return None


def new_name(ledger_id: str, task_id: str) -> str:
    """A name for one more object of a task. A task's id has no slash (``TASK_ID_PATTERN``)."""
    shard = hashlib.sha256(task_id.encode()).digest()[0]
    return f"{shard_folder(ledger_id, shard)}{task_id}/{secrets.token_hex(16)}"


def shard_folder(ledger_id: str, shard: int) -> str:
    return f"{_ROOT}/{ledger_id}/{shard:02x}/"


def task_of(name: str) -> str | None:
    """Id of the task an object belongs to; None where the name is none of ours."""
    match name.split("/"):
        case [root, _, _, task_id, _] if root == _ROOT:
            return task_id
        case _:
            return None


def _no_store(whose: str) -> SealedStoreError:
    return SealedStoreError(
        f"content of {whose} lies in an object store and this process knows none; set "
        "POINTWORK_VAULT_URL as it was when the content was written"
    )
