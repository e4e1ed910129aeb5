"""The vault: prompts and answers sealed under a key of their task (design 3, SP-45).

AES-256-GCM; a random data key for each task, wrapped by a master key that lives outside the
ledger. A digest is an HMAC under the task's key, so that nobody without it can test a guess, and
nothing is provable any more once the key is destroyed.
"""

import hmac
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, Engine, bindparam, delete, insert, select, update

from pointwork.contract.canonical import canonical_bytes
from pointwork.contract.failures import PointworkError, TaskIdReusedError, TaskNotFoundError
from pointwork.contract.task import CONTENT_BYTES_MAX, ContentRef
from pointwork.ledger import audit
from pointwork.ledger.engine import forget_old_pages, insert_if_absent, read, transact
from pointwork.ledger.master_keys import MasterKeys
from pointwork.ledger.tables import Task, VaultContent, VaultKey, table_of

__all__ = [
    "Accepted",
    "ContentTooLargeError",
    "ContentUnavailableError",
    "MasterKeys",
    "TaskDraft",
    "Vault",
]

DATA_KEYS_CACHED_MAX = 1024
_NONCE_BYTES = 12
_TASK = table_of(Task)
_KEY = table_of(VaultKey)
_CONTENT = table_of(VaultContent)


class ContentTooLargeError(ValueError):
    """Content is larger than the vault takes; the text gives both figures."""


class ContentUnavailableError(PointworkError):
    """Content cannot be read: it is missing, erased, or not what was sealed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskDraft:
    """A task as its caller declares it, before its content is sealed."""

    task_id: str
    caller: str
    pack: str
    declarations: Mapping[str, Any]
    """JSON of every field of the request but the content references and ``submitted_at``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """The sealed contents by name; ``existed`` where the same task was accepted before."""

    refs: dict[str, ContentRef]
    existed: bool


@dataclass(frozen=True, slots=True)
class _DataKey:
    """A task's key, as the three keys derived from it."""

    sealing: bytes = field(repr=False)
    digesting: bytes = field(repr=False)
    requesting: bytes = field(repr=False)

    @classmethod
    def derive(cls, secret: bytes) -> "_DataKey":
        return cls(
            sealing=_mac(secret, b"pointwork seal"),
            digesting=_mac(secret, b"pointwork digest"),
            requesting=_mac(secret, b"pointwork request"),
        )

    def ref(self, data: bytes, media_type: str) -> ContentRef:
        digest = _mac(self.digesting, data).hex()
        return ContentRef(digest=digest, bytes=len(data), media_type=media_type)

    def request_digest(self, draft: TaskDraft, refs: Mapping[str, ContentRef]) -> str:
        whole = {
            "task_id": draft.task_id,
            "caller": draft.caller,
            "pack": draft.pack,
            "declarations": draft.declarations,
            "contents": {name: ref.model_dump(mode="json") for name, ref in refs.items()},
        }
        return _mac(self.requesting, canonical_bytes(whole)).hex()


class Vault:
    """Seals and opens content. Thread-safe; keeps the data keys used last, unwrapped."""

    def __init__(
        self,
        engine: Engine,
        master_keys: MasterKeys,
        *,
        data_keys_cached_max: int = DATA_KEYS_CACHED_MAX,
    ) -> None:
        self._engine = engine
        self._cached_max = data_keys_cached_max
        self._master_keys = master_keys
        self._cache: OrderedDict[bytes, _DataKey] = OrderedDict()
        self._cache_lock = threading.Lock()

    def accept(
        self, draft: TaskDraft, contents: Sequence[tuple[str, bytes, str]], now: datetime
    ) -> Accepted:
        """Record the task and seal its (name, bytes, media type) contents, all or nothing.

        A repeat with the same id and the same request changes nothing and returns the same refs.

        Raises:
            TaskIdReusedError: the id belongs to another request.
            ContentTooLargeError: a content exceeds ``CONTENT_BYTES_MAX`` bytes.
        """
        for name, data, _ in contents:
            _check_size(name, data)
        if len({name for name, _, _ in contents}) != len(contents):
            msg = f"two contents of task {draft.task_id} have one name; give each its own"
            raise ValueError(msg)
        # Drawn and sealed before the transaction: the ledger's one writer is not kept waiting.
        secret = os.urandom(32)
        key = _DataKey.derive(secret)
        refs = {name: key.ref(data, media_type) for name, data, media_type in contents}
        rows = [
            _content_row(key, draft.task_id, refs[name], data, now) for name, data, _ in contents
        ]
        wrapped = self._master_keys.wrap(secret, draft.task_id)

        def write(connection: Connection) -> Accepted:
            task = {
                "task_id": draft.task_id,
                "request_digest": key.request_digest(draft, refs),
                "caller": draft.caller,
                "pack": draft.pack,
                "created_at": now,
            }
            if connection.execute(_INSERT_TASK[connection.dialect.name], task).rowcount == 0:
                return self._accepted_before(connection, draft, contents)
            connection.execute(
                _INSERT_KEY,
                {
                    "task_id": draft.task_id,
                    "master_key_id": self._master_keys.active,
                    "wrapped": wrapped,
                    "created_at": now,
                },
            )
            for row in rows:
                connection.execute(_INSERT_CONTENT[connection.dialect.name], row)
            return Accepted(refs=refs, existed=False)

        return transact(self._engine, write)

    def seal(self, task_id: str, data: bytes, media_type: str, now: datetime) -> ContentRef:
        """Seal ``data`` for an accepted task; the same bytes again give the same reference.

        Raises:
            TaskNotFoundError: the vault does not know the task.
            ContentUnavailableError: the task's key was destroyed.
            ContentTooLargeError: ``data`` exceeds ``CONTENT_BYTES_MAX`` bytes.
        """
        _check_size("content", data)
        return transact(self._engine, lambda c: self.seal_within(c, task_id, data, media_type, now))

    def seal_within(
        self, connection: Connection, task_id: str, data: bytes, media_type: str, now: datetime
    ) -> ContentRef:
        """As ``seal``, as part of the caller's transaction."""
        _check_size("content", data)
        row = connection.execute(_FIND_KEY, {"of_task": task_id}).first()
        if row is None:
            msg = f"task {task_id} is not in the vault; submit it before sealing content for it"
            raise TaskNotFoundError(msg)
        key = self._data_key(task_id, row.master_key_id, row.wrapped)
        ref = key.ref(data, media_type)
        connection.execute(
            _INSERT_CONTENT[connection.dialect.name], _content_row(key, task_id, ref, data, now)
        )
        return ref

    def open(self, task_id: str, ref: ContentRef) -> bytes:
        """The bytes behind ``ref``, proved to be the ones sealed under it for this task.

        Raises:
            ContentUnavailableError: they are missing, erased, or were altered.
        """
        with read(self._engine) as connection:
            return self.open_within(connection, task_id, ref)

    def open_within(self, connection: Connection, task_id: str, ref: ContentRef) -> bytes:
        """As ``open``, as part of the caller's transaction."""
        wanted = {"of_task": task_id, "of_digest": ref.digest, "of_media": ref.media_type}
        row = connection.execute(_FIND_CONTENT, wanted).first()
        if row is None:
            raise ContentUnavailableError(
                f"task {task_id} has no content {ref.digest} in the vault"
            )
        key = self._data_key(task_id, row.master_key_id, row.wrapped)
        nonce, ciphertext = row.sealed[:_NONCE_BYTES], row.sealed[_NONCE_BYTES:]
        try:
            data = AESGCM(key.sealing).decrypt(nonce, ciphertext, _bound_to(task_id, ref))
        except InvalidTag:
            raise ContentUnavailableError(_altered(task_id, ref)) from None
        if key.ref(data, ref.media_type) != ref:
            raise ContentUnavailableError(_altered(task_id, ref))
        return data

    def destroy_key(self, task_id: str, now: datetime) -> None:
        """Erase the task's text for good; the audit chain keeps one ``erasure`` record of it.

        A second call changes nothing. On SQLite the old pages leave the write-ahead log too, as
        soon as no other reader still needs them.

        Raises:
            TaskNotFoundError: the vault does not know the task.
        """

        def erase(connection: Connection) -> None:
            found = connection.execute(_FIND_KEY, {"of_task": task_id}).first()
            if found is None:
                raise TaskNotFoundError(f"task {task_id} is not in the vault; nothing was erased")
            if connection.execute(_ERASE_KEY, {"of_task": task_id, "at": now}).rowcount == 0:
                return
            contents = connection.execute(_DELETE_CONTENTS, {"of_task": task_id}).rowcount
            audit.append(connection, "erasure", {"contents_erased": contents}, now, task_id=task_id)
            with self._cache_lock:
                self._cache.pop(found.wrapped, None)

        transact(self._engine, erase)
        forget_old_pages(self._engine)

    def _accepted_before(
        self, connection: Connection, draft: TaskDraft, contents: Sequence[tuple[str, bytes, str]]
    ) -> Accepted:
        row = connection.execute(_FIND_TASK, {"of_task": draft.task_id}).one()
        if row.wrapped is None:
            msg = f"task id {draft.task_id} belongs to an erased task; submit under a new id"
            raise TaskIdReusedError(msg)
        key = self._data_key(draft.task_id, row.master_key_id, row.wrapped)
        refs = {name: key.ref(data, media_type) for name, data, media_type in contents}
        if not hmac.compare_digest(key.request_digest(draft, refs), row.request_digest):
            msg = (
                f"task id {draft.task_id} was used before with other content or declarations; "
                "repeat that request unchanged or submit this one under a new id"
            )
            raise TaskIdReusedError(msg)
        return Accepted(refs=refs, existed=True)

    def _data_key(self, task_id: str, master_key_id: str, wrapped: bytes | None) -> _DataKey:
        """The key as it stands in the ledger: a destroyed one is gone, whatever is cached."""
        if wrapped is None:
            raise ContentUnavailableError(f"the content of task {task_id} was erased")
        with self._cache_lock:
            cached = self._cache.get(wrapped)
            if cached is not None:
                self._cache.move_to_end(wrapped)
                return cached
        secret = self._master_keys.unwrap(wrapped, task_id, master_key_id)
        if secret is None:
            msg = (
                f"the key of task {task_id} does not open with master key {master_key_id}; "
                "start with the master key file this ledger was written with"
            )
            raise ContentUnavailableError(msg)
        key = _DataKey.derive(secret)
        with self._cache_lock:
            self._cache[wrapped] = key
            if len(self._cache) > self._cached_max:
                self._cache.popitem(last=False)
        return key


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _check_size(name: str, data: bytes) -> None:
    if len(data) > CONTENT_BYTES_MAX:
        msg = f"{name} is {len(data)} bytes; the most is {CONTENT_BYTES_MAX}, so split the task"
        raise ContentTooLargeError(msg)


def _bound_to(task_id: str, ref: ContentRef) -> bytes:
    """Associated data: a ciphertext moved to another task, digest or type does not open."""
    return canonical_bytes([task_id, ref.digest, ref.media_type])


def _altered(task_id: str, ref: ContentRef) -> str:
    return f"content {ref.digest} of task {task_id} is not what was sealed; restore a backup"


def _content_row(
    key: _DataKey, task_id: str, ref: ContentRef, data: bytes, now: datetime
) -> dict[str, object]:
    nonce = os.urandom(_NONCE_BYTES)
    return {
        "task_id": task_id,
        "digest": ref.digest,
        "media_type": ref.media_type,
        "bytes_count": ref.bytes,
        "sealed": nonce + AESGCM(key.sealing).encrypt(nonce, data, _bound_to(task_id, ref)),
        "created_at": now,
    }


_INSERT_TASK = insert_if_absent(_TASK, "task_id")
_INSERT_KEY = insert(_KEY)
_INSERT_CONTENT = insert_if_absent(_CONTENT, "task_id", "digest", "media_type")
_FIND_KEY = select(_KEY.c.master_key_id, _KEY.c.wrapped).where(
    _KEY.c.task_id == bindparam("of_task")
)
_FIND_TASK = (
    select(_TASK.c.request_digest, _KEY.c.master_key_id, _KEY.c.wrapped)
    .join(_KEY, _KEY.c.task_id == _TASK.c.task_id)
    .where(_TASK.c.task_id == bindparam("of_task"))
)
_FIND_CONTENT = (
    select(_KEY.c.master_key_id, _KEY.c.wrapped, _CONTENT.c.sealed)
    .join(_KEY, _KEY.c.task_id == _CONTENT.c.task_id)
    .where(
        _CONTENT.c.task_id == bindparam("of_task"),
        _CONTENT.c.digest == bindparam("of_digest"),
        _CONTENT.c.media_type == bindparam("of_media"),
    )
)
_ERASE_KEY = (
    update(_KEY)
    .where(_KEY.c.task_id == bindparam("of_task"), _KEY.c.wrapped.is_not(None))
    .values(wrapped=None, erased_at=bindparam("at"))
)
_DELETE_CONTENTS = delete(_CONTENT).where(_CONTENT.c.task_id == bindparam("of_task"))
