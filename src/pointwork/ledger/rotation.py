"""Rotating the master key: every data key is wrapped anew; no content is sealed anew.

The new key is in the file first. Then the ledger learns that the others are superseded, after which
no process can wrap a new data key under them, whatever its memory holds; then the data keys follow,
a batch at a time. A process with the old file meets the new id and reads the file again. Every step
can be repeated, and a rotation that was cut short goes on where it stopped.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, func, select, text, update

from pointwork.ledger import audit
from pointwork.ledger.engine import insert_if_absent, read, transact
from pointwork.ledger.master_keys import MasterKeyError, MasterKeys
from pointwork.ledger.tables import SupersededMasterKey, VaultKey, table_of

BATCH = 500
KEY = table_of(VaultKey)
SUPERSEDED = table_of(SupersededMasterKey)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rewrapped:
    """One batch of data keys: how many are wrapped anew, and how many do not open."""

    rewrapped: int
    unopened: int


def open_master_keys(engine: Engine, path: Path) -> MasterKeys:
    """The keys in the file at ``path``; a new file with one key where nothing was sealed yet.

    Raises:
        MasterKeyError: the file is gone and content is sealed under what it held, or it is no
            master key file. A new key would open none of it, and hide that it is lost.
        PermissionError: other users may read the file.
    """
    if not path.exists():
        tasks = sum(Rotation(engine).wrapped().values())
        if tasks:
            msg = (
                f"{path} is gone, and the content of {tasks} tasks is sealed under what it held; "
                "restore it from a backup, or name the file with POINTWORK_MASTER_KEY_FILE"
            )
            raise MasterKeyError(msg)
    return MasterKeys.load_or_create(path)


class Rotation:
    """Changes which master key wraps, in one ledger. Thread-safe; keeps no state outside it."""

    def __init__(self, engine: Engine, batch: int = BATCH) -> None:
        self._engine = engine
        self._batch = batch

    def wrapped(self) -> dict[str, int]:
        """How many data keys each master key wraps, by its id; it looks at every one."""
        with read(self._engine) as connection:
            rows = connection.execute(_WRAPPED).all()
        return {row.master_key_id: row.data_keys for row in rows}

    def superseded(self) -> dict[str, datetime | None]:
        """The keys that wrap nothing new, by id, each with the time since when it is retired."""
        with read(self._engine) as connection:
            rows = connection.execute(_SUPERSEDED_KEYS).all()
        return {row.key_id: row.retired_at for row in rows}

    def activated(self, keys: MasterKeys, by: str, now: datetime) -> list[str]:
        """Let nobody wrap a new data key under any key of the file but its active one.

        Returns:
            The ids that are superseded by this; none where it was so already.
        """

        def write(connection: Connection) -> list[str]:
            connection.execute(_REINSTATE, {"of_key": keys.active})
            others = [
                key_id
                for key_id in sorted(set(keys.keys) - {keys.active})
                if _supersede(connection, key_id, now)
            ]
            if others:
                body = {"key_id": keys.active, "superseded": others, "by": by}
                audit.append(connection, "master_key_activated", body, now)
            return others

        return transact(self._engine, write)

    def staged(self, key_id: str, by: str, now: datetime) -> None:
        """Record that the file holds one more key, which wraps nothing yet."""
        body = {"key_id": key_id, "by": by}
        transact(self._engine, lambda c: audit.append(c, "master_key_staged", body, now))

    def rewrap(self, keys: MasterKeys, by: str, now: datetime) -> Iterator[Rewrapped]:
        """Wrap every data key under the active master key, a batch a transaction.

        A data key that changed meanwhile is left as it is: an erasure is never undone. One that
        no key of the file opens stays as well. The last step is one audit record, where any data
        key was wrapped anew.
        """
        done, after = Rewrapped(rewrapped=0, unopened=0), ""
        while rows := self._page(keys.active, after):
            after = rows[-1].task_id
            anew = [each for each in (_anew(keys, row) for row in rows) if each is not None]
            changed = transact(self._engine, partial(_put, anew=anew)) if anew else 0
            batch = Rewrapped(rewrapped=changed, unopened=len(rows) - len(anew))
            done = Rewrapped(
                rewrapped=done.rewrapped + batch.rewrapped, unopened=done.unopened + batch.unopened
            )
            yield batch
        if done.rewrapped:
            body = {
                "key_id": keys.active,
                "data_keys": done.rewrapped,
                "unopened": done.unopened,
                "by": by,
            }
            transact(self._engine, lambda c: audit.append(c, "data_keys_rewrapped", body, now))

    def retire(self, key_id: str, by: str, now: datetime) -> None:
        """Let a master key go that wraps nothing; it may leave the file after this.

        Raises:
            MasterKeyError: it still wraps data keys.
        """

        def write(connection: Connection) -> None:
            if connection.dialect.name == "postgresql":
                # A data key that is being written under it is seen, and none comes after.
                connection.execute(_LOCK_KEYS)
            left = connection.execute(_COUNT, {"of_key": key_id}).scalar_one()
            if left:
                msg = (
                    f"{key_id} still wraps {left} data keys; run `pointwork vault rotate` first, "
                    "or erase the tasks whose keys do not open"
                )
                raise MasterKeyError(msg)
            _supersede(connection, key_id, now)
            if connection.execute(_RETIRE, {"of_key": key_id, "at": now}).rowcount == 1:
                body = {"key_id": key_id, "by": by}
                audit.append(connection, "master_key_retired", body, now)

        transact(self._engine, write)

    def _page(self, active: str, after: str) -> list[Any]:
        with read(self._engine) as connection:
            wanted = {"active": active, "after": after, "most": self._batch}
            return list(connection.execute(_PAGE, wanted).all())


def _supersede(connection: Connection, key_id: str, now: datetime) -> bool:
    row = {"key_id": key_id, "superseded_at": now}
    return connection.execute(_SUPERSEDE[connection.dialect.name], row).rowcount == 1


def _anew(keys: MasterKeys, row: Any) -> dict[str, Any] | None:
    """The data key under the active master key; None where it does not open."""
    secret = keys.unwrap(row.wrapped, row.task_id, row.master_key_id)
    if secret is None:
        return None
    return {
        "of_task": row.task_id,
        "was": row.wrapped,
        "is_now": keys.wrap(secret, row.task_id),
        "under": keys.active,
    }


def _put(connection: Connection, anew: list[dict[str, Any]]) -> int:
    return sum(connection.execute(_REWRAP, each).rowcount for each in anew)


_WRAPPED = (
    select(KEY.c.master_key_id, func.count().label("data_keys"))
    .where(KEY.c.wrapped.is_not(None))
    .group_by(KEY.c.master_key_id)
    .order_by(KEY.c.master_key_id)
)
_COUNT = select(func.count()).where(
    KEY.c.master_key_id == bindparam("of_key"), KEY.c.wrapped.is_not(None)
)
_PAGE = (
    select(KEY.c.task_id, KEY.c.master_key_id, KEY.c.wrapped)
    .where(
        KEY.c.wrapped.is_not(None),
        KEY.c.master_key_id != bindparam("active"),
        KEY.c.task_id > bindparam("after"),
    )
    .order_by(KEY.c.task_id)
    .limit(bindparam("most"))
)
_REWRAP = (
    update(KEY)
    .where(KEY.c.task_id == bindparam("of_task"), KEY.c.wrapped == bindparam("was"))
    .values(wrapped=bindparam("is_now"), master_key_id=bindparam("under"))
)
_SUPERSEDED_KEYS = select(SUPERSEDED.c.key_id, SUPERSEDED.c.retired_at)
_SUPERSEDE = insert_if_absent(SUPERSEDED, "key_id")
_REINSTATE = SUPERSEDED.delete().where(SUPERSEDED.c.key_id == bindparam("of_key"))
_RETIRE = (
    update(SUPERSEDED)
    .where(SUPERSEDED.c.key_id == bindparam("of_key"), SUPERSEDED.c.retired_at.is_(None))
    .values(retired_at=bindparam("at"))
)
_LOCK_KEYS = text("LOCK TABLE vault_key IN SHARE ROW EXCLUSIVE MODE")
