"""Sealed bytes as objects on S3, Google Cloud Storage, Azure or a folder, through ``obstore``.

The store gets ciphertext alone. What an address and its options leave open, credentials first of
all, ``obstore`` takes from where the store's own tools do: variables such as ``AWS_REGION``, or the
identity of the machine. Code of ours reads no environment here.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from obstore.exceptions import BaseError, UnknownConfigurationKeyError
from obstore.store import LocalStore, ObjectStore, from_url

from pointwork.contract.task import CONTENT_BYTES_MAX
from pointwork.ledger.sealed_bytes import (
    INLINE_BYTES_MAX,
    SealedStoreError,
    StoredObject,
    VaultUrlError,
    new_name,
    shard_folder,
)

SCHEMES = ("s3", "gs", "az", "file")
_TIMEOUT, _CONNECT_TIMEOUT = "10s", "5s"
_RETRIES_MAX = 3
_RETRY_FOR = timedelta(seconds=25)
"""Below the time a step may take (``workflows/calls.py``), so that it is the store that fails."""
_PAGE = 1000
_ALLOW_HTTP = "allow_http"
_PROBE = "doctor"

_T = TypeVar("_T")


class ObjectBytes:
    """One store. Thread-safe."""

    def __init__(
        self, store: ObjectStore, place: str, ledger_id: str, inline_bytes_max: int
    ) -> None:
        self._store = store
        self._place = place
        self._ledger_id = ledger_id
        self._inline_bytes_max = inline_bytes_max

    @property
    def place(self) -> str:
        return self._place

    def takes(self, bytes_count: int) -> bool:
        return bytes_count > self._inline_bytes_max

    def put(self, task_id: str, sealed: bytes) -> str:
        name = new_name(self._ledger_id, task_id)
        self._ask("take an object", lambda: self._store.put(name, sealed))
        return name

    def get(self, name: str) -> bytes | None:
        def fetch() -> bytes | None:
            try:
                return bytes(self._store.get(name).bytes())
            except FileNotFoundError:
                return None

        return self._ask("give an object", fetch)

    def delete(self, names: Iterable[str]) -> None:
        wanted = list(names)
        if isinstance(self._store, LocalStore):
            # A folder stops at the first that is gone already; the others go on.
            for name in wanted:
                self._ask("delete an object", partial(self._delete_one, name))
        elif wanted:
            self._ask("delete objects", lambda: self._store.delete(wanted))

    def listed(self, shard: int) -> Iterator[Sequence[StoredObject]]:
        folder = shard_folder(self._ledger_id, shard)
        pages = self._ask("list objects", lambda: iter(self._store.list(folder, chunk_size=_PAGE)))
        while page := self._ask("list objects", lambda: next(pages, None)):
            yield [
                StoredObject(
                    name=each["path"],
                    modified_at=each["last_modified"],
                    bytes_count=each["size"],
                )
                for each in page
            ]

    def check(self) -> None:
        """Write, read and delete an object, as the vault will.

        Raises:
            SealedStoreError: one of the three does not work.
        """
        name = self.put(_PROBE, b"pointwork")
        found = self.get(name)
        self.delete([name])
        if found != b"pointwork":
            raise self._failed("give back what it took", "altered")

    def _delete_one(self, name: str) -> None:
        try:
            self._store.delete(name)
        except FileNotFoundError:
            return

    def _ask(self, to: str, work: Callable[[], _T]) -> _T:
        """``work``, with its failure told without the store's own words: they may hold secrets."""
        try:
            return work()
        except (BaseError, OSError) as error:
            raise self._failed(to, type(error).__name__) from None

    def _failed(self, to: str, how: str) -> SealedStoreError:
        return SealedStoreError(
            f"the vault's store {self._place} did not {to} ({how}); check that it can be reached, "
            "that the bucket exists and that its credentials may read, write, list and delete"
        )


def open_object_store(
    url: str,
    options: Mapping[str, str] | None = None,
    *,
    ledger_id: str,
    inline_bytes_max: int = INLINE_BYTES_MAX,
) -> ObjectBytes:
    """The store at an address; nothing is asked of it yet (``ObjectBytes.check`` does).

    Args:
        url: ``s3://bucket/folder``, ``gs://bucket/folder``, ``az://container/folder`` or
            ``file:///folder``.
        options: by the names ``obstore`` gives them for this store, such as ``endpoint``,
            ``region``, ``access_key_id`` and ``secret_access_key``; besides ``allow_http``, which
            a server without TLS needs.
        ledger_id: whose objects these are; ledgers may share a store.
        inline_bytes_max: contents up to this many bytes stay in the ledger's table.

    Raises:
        VaultUrlError: the address or an option cannot be used.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not (parts.netloc or parts.path.strip("/")):
        msg = (
            "POINTWORK_VAULT_URL is no address of a store; give s3://BUCKET/FOLDER, "
            "gs://BUCKET/FOLDER, az://CONTAINER/FOLDER or file:///FOLDER"
        )
        raise VaultUrlError(msg)
    if not 0 <= inline_bytes_max <= CONTENT_BYTES_MAX:
        msg = f"inline_bytes_max is {inline_bytes_max}; give 0 to {CONTENT_BYTES_MAX} bytes"
        raise VaultUrlError(msg)
    place = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
    store = _open(url, parts.scheme, dict(options or {}))
    return ObjectBytes(store, place, ledger_id, inline_bytes_max)


def _open(url: str, scheme: str, options: dict[str, str]) -> ObjectStore:
    if scheme == "file":
        if options:
            msg = "POINTWORK_VAULT_OPTIONS is set and a folder has no options; unset it"
            raise VaultUrlError(msg)
        arguments: dict[str, Any] = {"mkdir": True, "automatic_cleanup": True}
    else:
        allows_http = options.pop(_ALLOW_HTTP, "false").lower() == "true"
        arguments = {
            "config": options,
            "client_options": {
                "timeout": _TIMEOUT,
                "connect_timeout": _CONNECT_TIMEOUT,
                _ALLOW_HTTP: allows_http,
            },
            "retry_config": {"max_retries": _RETRIES_MAX, "retry_timeout": _RETRY_FOR},
        }
    try:
        return from_url(url, **arguments)
    except UnknownConfigurationKeyError:
        msg = (
            f"POINTWORK_VAULT_OPTIONS holds a name that is no option of a store on {scheme}; see "
            "docs/operating/vault.md for those there are"
        )
        raise VaultUrlError(msg) from None
    except (BaseError, ValueError, OSError) as error:
        msg = (
            f"the store of POINTWORK_VAULT_URL cannot be opened ({type(error).__name__}); check "
            "it, and that POINTWORK_VAULT_OPTIONS or the store's own variables give what it needs"
        )
        raise VaultUrlError(msg) from None
