"""The vault's rows: the statements that write and find them, each one of the hot path's."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, exists, insert, select

from pointwork.contract.task import ContentRef
from pointwork.ledger.data_keys import ContentUnavailableError
from pointwork.ledger.engine import insert_if_absent, read
from pointwork.ledger.tables import (
    LedgerIdentity,
    SupersededMasterKey,
    Task,
    VaultContent,
    VaultKey,
    table_of,
)

_TASK = table_of(Task)
_KEY = table_of(VaultKey)
_CONTENT = table_of(VaultContent)
_SUPERSEDED = table_of(SupersededMasterKey)


def ledger_id(engine: Engine) -> str:
    """By which a store tells this ledger's objects from another's."""
    with read(engine) as connection:
        return str(connection.execute(_LEDGER_ID).scalar_one())


def insert_task(connection: Connection, task: Mapping[str, Any]) -> bool:
    """Whether the task is new."""
    return connection.execute(_INSERT_TASK[connection.dialect.name], task).rowcount == 1


def insert_key(connection: Connection, key: Mapping[str, Any]) -> bool:
    """Whether the key was written: a superseded master key wraps no new one, whoever tries."""
    return connection.execute(_INSERT_KEY, key).rowcount == 1


def insert_content(connection: Connection, content: Mapping[str, Any]) -> None:
    """Write a content; nothing happens where it stands already."""
    connection.execute(_INSERT_CONTENT[connection.dialect.name], content)


def content_row(
    task_id: str,
    ref: ContentRef,
    now: datetime,
    *,
    sealed: bytes = b"",
    object_name: str | None = None,
) -> dict[str, Any]:
    """A content's row, with its sealed bytes or with the object that holds them."""
    return {
        "task_id": task_id,
        "digest": ref.digest,
        "media_type": ref.media_type,
        "bytes_count": ref.bytes,
        "sealed": sealed,
        "created_at": now,
        "object_name": object_name,
    }


def find_task(connection: Connection, task_id: str) -> Any:
    """The digest of the task's request, and its key."""
    return connection.execute(_FIND_TASK, {"of_task": task_id}).one()


def find_key(connection: Connection, task_id: str) -> Any:
    """The task's key; None where the vault does not know the task."""
    return connection.execute(_FIND_KEY, {"of_task": task_id}).first()


def hold_key(connection: Connection, task_id: str) -> Any:
    """As ``find_key``; an erasure waits until the transaction ends, and so meets what it wrote."""
    return connection.execute(_HOLD_KEY, {"of_task": task_id}).first()


def find_content(connection: Connection, task_id: str, ref: ContentRef) -> Any:
    """The content's row, with its task's key.

    Raises:
        ContentUnavailableError: there is none; the text says whether it was erased.
    """
    wanted = {"of_task": task_id, "of_digest": ref.digest, "of_media": ref.media_type}
    row = connection.execute(_FIND_CONTENT, wanted).first()
    if row is not None:
        return row
    key = find_key(connection, task_id)
    if key is not None and key.wrapped is None:
        raise ContentUnavailableError(f"the content of task {task_id} was erased")
    raise ContentUnavailableError(f"task {task_id} has no content {ref.digest} in the vault")


_LEDGER_ID = select(table_of(LedgerIdentity).c.ledger_id)
_INSERT_TASK = insert_if_absent(_TASK, "task_id")
_INSERT_CONTENT = insert_if_absent(_CONTENT, "task_id", "digest", "media_type")
_KEY_COLUMNS = ("task_id", "master_key_id", "wrapped", "created_at")
_INSERT_KEY = (
    insert(_KEY)
    .from_select(
        _KEY_COLUMNS,
        select(*(bindparam(name, type_=_KEY.c[name].type) for name in _KEY_COLUMNS)).where(
            ~exists().where(_SUPERSEDED.c.key_id == bindparam("master_key_id"))
        ),
    )
    .execution_options(preserve_rowcount=True)
)
_FIND_KEY = select(_KEY.c.master_key_id, _KEY.c.wrapped).where(
    _KEY.c.task_id == bindparam("of_task")
)
_HOLD_KEY = _FIND_KEY.with_for_update(read=True)
_FIND_TASK = (
    select(_TASK.c.request_digest, _KEY.c.master_key_id, _KEY.c.wrapped)
    .join(_KEY, _KEY.c.task_id == _TASK.c.task_id)
    .where(_TASK.c.task_id == bindparam("of_task"))
)
_FIND_CONTENT = (
    select(_KEY.c.master_key_id, _KEY.c.wrapped, _CONTENT.c.sealed, _CONTENT.c.object_name)
    .join(_KEY, _KEY.c.task_id == _CONTENT.c.task_id)
    .where(
        _CONTENT.c.task_id == bindparam("of_task"),
        _CONTENT.c.digest == bindparam("of_digest"),
        _CONTENT.c.media_type == bindparam("of_media"),
    )
)
