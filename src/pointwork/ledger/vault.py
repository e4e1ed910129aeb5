"""The vault: prompts and answers sealed under a key of their task (design 3, SP-45).

AES-256-GCM; a random data key for each task, wrapped by a master key that lives outside the
ledger. Sealed bytes stand in the ledger's table, or as objects in a store (``sealed_bytes``): the
object is written first and the row that names it after, so that no row names what is not there.
"""

import hmac
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from pointwork.contract.failures import PointworkError, TaskIdReusedError, TaskNotFoundError
from pointwork.contract.task import CONTENT_BYTES_MAX, ContentRef
from pointwork.ledger.data_keys import (
    DATA_KEYS_CACHED_MAX,
    ContentUnavailableError,
    DataKey,
    DataKeys,
)
from pointwork.ledger.engine import read, transact
from pointwork.ledger.erasure import Eraser, Erasure, delete_objects
from pointwork.ledger.key_ring import KeyRing
from pointwork.ledger.master_keys import MasterKeyError, MasterKeys
from pointwork.ledger.sealed_bytes import InTable, SealedBytes
from pointwork.ledger.vault_rows import (
    content_row,
    find_content,
    find_key,
    find_task,
    hold_key,
    insert_content,
    insert_key,
    insert_task,
)

__all__ = [
    "Accepted",
    "ContentTooLargeError",
    "ContentUnavailableError",
    "MasterKeys",
    "Outside",
    "TaskDraft",
    "Vault",
]


class ContentTooLargeError(PointworkError, ValueError):
    """Content is larger than the vault takes; the text gives both figures."""


class SupersededKeyError(MasterKeyError):
    """The active master key of this process was rotated, and its file holds no newer one."""


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
class Outside:
    """A content whose sealed bytes lie in the store already, before any row names them."""

    ref: ContentRef
    object_name: str


class Vault:
    """Seals and opens content. Thread-safe; keeps the data keys used last, unwrapped."""

    def __init__(
        self,
        engine: Engine,
        master_keys: MasterKeys,
        *,
        store: SealedBytes | None = None,
        data_keys_cached_max: int = DATA_KEYS_CACHED_MAX,
    ) -> None:
        self._engine = engine
        self._store = InTable() if store is None else store
        self._ring = KeyRing(master_keys)
        self._keys = DataKeys(self._ring, data_keys_cached_max)

    @property
    def master_keys(self) -> MasterKeys:
        """The keys as this process knows them now."""
        return self._ring.current

    def is_outside(self, bytes_count: int) -> bool:
        """Whether a content of this size lies in the store and not in the ledger's table."""
        return self._store.takes(bytes_count)

    def accept(
        self, draft: TaskDraft, contents: Sequence[tuple[str, bytes, str]], now: datetime
    ) -> Accepted:
        """Record the task and seal its (name, bytes, media type) contents, all or nothing.

        A repeat with the same id and the same request changes nothing and returns the same refs.

        Raises:
            TaskIdReusedError: the id belongs to another request.
            ContentTooLargeError: a content exceeds ``CONTENT_BYTES_MAX`` bytes.
            SupersededKeyError: the master key was rotated and this process has no newer one.
        """
        for name, data, _ in contents:
            _check_size(name, data)
        if len({name for name, _, _ in contents}) != len(contents):
            msg = f"two contents of task {draft.task_id} have one name; give each its own"
            raise ValueError(msg)
        # Drawn and sealed before the transaction: the ledger's one writer is not kept waiting.
        secret = os.urandom(32)
        key = DataKey.derive(secret)
        refs = {name: key.ref(data, media_type) for name, data, media_type in contents}
        task = {
            "task_id": draft.task_id,
            "request_digest": key.request_digest(_request(draft, refs)),
            "caller": draft.caller,
            "pack": draft.pack,
            "created_at": now,
        }
        rows = [self._row(key, draft.task_id, refs[name], data, now) for name, data, _ in contents]

        def write(connection: Connection, wrapped: Mapping[str, Any]) -> Accepted:
            if not insert_task(connection, task):
                return self._accepted_before(connection, draft, contents)
            if not insert_key(connection, wrapped):
                raise SupersededKeyError(_superseded(wrapped["master_key_id"]))
            for row in rows:
                insert_content(connection, row)
            return Accepted(refs=refs, existed=False)

        def record(keys: MasterKeys) -> Accepted:
            wrapped = {
                "task_id": draft.task_id,
                "master_key_id": keys.active,
                "wrapped": keys.wrap(secret, draft.task_id),
                "created_at": now,
            }
            return transact(self._engine, lambda connection: write(connection, wrapped))

        try:
            accepted = self._under_active_key(record)
        except (TaskIdReusedError, SupersededKeyError):
            self._take_back(rows)
            raise
        if accepted.existed:
            self._take_back(rows)
        return accepted

    def seal(self, task_id: str, data: bytes, media_type: str, now: datetime) -> ContentRef:
        """Seal ``data`` for an accepted task; the same bytes again give the same reference.

        Raises:
            TaskNotFoundError: the vault does not know the task.
            ContentUnavailableError: the task's key was destroyed.
            ContentTooLargeError: ``data`` exceeds ``CONTENT_BYTES_MAX`` bytes.
            SealedStoreError: it belongs into the store, which does not answer.
        """
        outside = self.put_outside(task_id, data, media_type)
        return transact(
            self._engine,
            lambda c: self.seal_within(c, task_id, data, media_type, now, outside),
        )

    def put_outside(self, task_id: str, data: bytes, media_type: str) -> Outside | None:
        """Put a content into the store ahead of the transaction that seals it.

        None where it belongs into the table, and where ``seal_within`` will refuse it anyway. An
        object that no row comes to name is the sweep's to take away.

        Raises:
            ContentTooLargeError, SealedStoreError: as for ``seal``.
        """
        _check_size("content", data)
        if not self._store.takes(len(data)):
            return None
        with read(self._engine) as connection:
            row = find_key(connection, task_id)
        if row is None or row.wrapped is None:
            return None
        key = self._keys.key(task_id, row.master_key_id, row.wrapped)
        ref = key.ref(data, media_type)
        return Outside(ref, self._store.put(task_id, key.seal(task_id, ref, data)))

    def seal_within(
        self,
        connection: Connection,
        task_id: str,
        data: bytes,
        media_type: str,
        now: datetime,
        outside: Outside | None = None,
    ) -> ContentRef:
        """As ``seal``, as part of the caller's transaction, which no store is to keep waiting.

        ``outside`` is what ``put_outside`` gave for the same content; without it the sealed bytes
        stand in the table, however many they are.
        """
        _check_size("content", data)
        # Held until the commit, so that an erasure meanwhile takes this content along.
        row = hold_key(connection, task_id)
        if row is None:
            msg = f"task {task_id} is not in the vault; submit it before sealing content for it"
            raise TaskNotFoundError(msg)
        key = self._keys.key(task_id, row.master_key_id, row.wrapped)
        ref = key.ref(data, media_type)
        if outside is not None and outside.ref == ref:
            content = content_row(task_id, ref, now, object_name=outside.object_name)
        else:
            content = content_row(task_id, ref, now, sealed=key.seal(task_id, ref, data))
        insert_content(connection, content)
        return ref

    def open(self, task_id: str, ref: ContentRef) -> bytes:
        """The bytes behind ``ref``, proved to be the ones sealed under it for this task.

        Raises:
            ContentUnavailableError: they are missing, erased, or were altered.
            SealedStoreError: they lie in the store, which does not answer.
        """
        with read(self._engine) as connection:
            row = find_content(connection, task_id, ref)
        return self._opened(task_id, ref, row)

    def open_within(self, connection: Connection, task_id: str, ref: ContentRef) -> bytes:
        """As ``open``, as part of the caller's transaction."""
        return self._opened(task_id, ref, find_content(connection, task_id, ref))

    def stream_key(self, task_id: str) -> bytes:
        """32 bytes that seal the pieces of the task's answer on their way to its caller.

        Raises:
            ContentUnavailableError: the vault does not know the task, or its key was destroyed.
        """
        with read(self._engine) as connection:
            row = find_key(connection, task_id)
        if row is None:
            raise ContentUnavailableError(f"the vault has no key of task {task_id}")
        return self._keys.key(task_id, row.master_key_id, row.wrapped).streaming

    def destroy_key(
        self, task_id: str, now: datetime, *, by: str = "", reason: str = ""
    ) -> Erasure:
        """Erase the task's text for good, whether it runs or not (``Eraser.erase``).

        A second call changes nothing.

        Raises:
            TaskNotFoundError: the vault does not know the task.
        """
        erased = Eraser(self._engine, self._store).erase(
            [task_id], now, by=by, reason=reason, even_if_running=True
        )
        self._keys.forget(task_id)
        return erased

    def _under_active_key(self, record: Callable[[MasterKeys], Accepted]) -> Accepted:
        """Record under the active master key, or under the one that took its place meanwhile."""
        try:
            return record(self._ring.current)
        except SupersededKeyError:
            return record(self._ring.read_again())

    def _accepted_before(
        self, connection: Connection, draft: TaskDraft, contents: Sequence[tuple[str, bytes, str]]
    ) -> Accepted:
        row = find_task(connection, draft.task_id)
        if row.wrapped is None:
            msg = f"task id {draft.task_id} belongs to an erased task; submit under a new id"
            raise TaskIdReusedError(msg)
        key = self._keys.key(draft.task_id, row.master_key_id, row.wrapped)
        refs = {name: key.ref(data, media_type) for name, data, media_type in contents}
        digest = key.request_digest(_request(draft, refs))
        if not hmac.compare_digest(digest, row.request_digest):
            msg = (
                f"task id {draft.task_id} was used before with other content or declarations; "
                "repeat that request unchanged or submit this one under a new id"
            )
            raise TaskIdReusedError(msg)
        return Accepted(refs=refs, existed=True)

    def _row(
        self, key: DataKey, task_id: str, ref: ContentRef, data: bytes, now: datetime
    ) -> dict[str, Any]:
        """A content's row; what the store takes of it is in the store when this returns."""
        sealed = key.seal(task_id, ref, data)
        if not self._store.takes(len(data)):
            return content_row(task_id, ref, now, sealed=sealed)
        return content_row(task_id, ref, now, object_name=self._store.put(task_id, sealed))

    def _take_back(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Objects of rows that are known not to be written; of any other failure nobody knows."""
        delete_objects(self._store, [row["object_name"] for row in rows if row["object_name"]])

    def _opened(self, task_id: str, ref: ContentRef, row: Any) -> bytes:
        key = self._keys.key(task_id, row.master_key_id, row.wrapped)
        if row.object_name is None:
            return key.unseal(task_id, ref, row.sealed)
        sealed = self._store.get(row.object_name)
        if sealed is None:
            with read(self._engine) as connection:
                # It may have been erased since the row was read.
                find_content(connection, task_id, ref)
            raise ContentUnavailableError(
                f"content {ref.digest} of task {task_id} is not in {self._store.place}; restore "
                f"the object {row.object_name} from a backup of that store"
            )
        return key.unseal(task_id, ref, sealed)


def _check_size(name: str, data: bytes) -> None:
    if len(data) > CONTENT_BYTES_MAX:
        msg = f"{name} is {len(data)} bytes; the most is {CONTENT_BYTES_MAX}, so split the task"
        raise ContentTooLargeError(msg)


def _request(draft: TaskDraft, refs: Mapping[str, ContentRef]) -> dict[str, Any]:
    """What makes two submissions of one id the same request."""
    return {
        "task_id": draft.task_id,
        "caller": draft.caller,
        "pack": draft.pack,
        "declarations": draft.declarations,
        "contents": {name: ref.model_dump(mode="json") for name, ref in refs.items()},
    }


def _superseded(key_id: str) -> str:
    return (
        f"master key {key_id} was superseded and wraps no new data key; give this process the "
        "key file as it is after the rotation"
    )
