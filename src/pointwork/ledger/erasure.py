"""Erasing the text of tasks for good, by destroying their data keys; the records stay.

Without its key nothing of a task can be read, whatever copies of the sealed bytes exist, and no
digest of it can be proved. Outcome, decisions and audit chain hold digests and facts alone and
still verify.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Select, bindparam, delete, exists, select, update

from pointwork.contract.failures import PointworkError, TaskNotFoundError
from pointwork.ledger import audit
from pointwork.ledger.engine import forget_old_pages, read, transact
from pointwork.ledger.sealed_bytes import SealedBytes, SealedStoreError
from pointwork.ledger.tables import Outcome, Task, VaultContent, VaultKey, table_of

KEY = table_of(VaultKey)
CONTENT = table_of(VaultContent)
OUTCOME = table_of(Outcome)
TASK = table_of(Task)
_ASKED_AT_ONCE = 500

_log = logging.getLogger(__name__)


class TaskRunningError(PointworkError):
    """The task has no outcome yet, so its workflow may still need its content."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What stands in the way of erasing a task."""

    task_id: str
    has_ended: bool
    """It has an outcome. One without may run, wait for a person, or never have started."""
    is_erased: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Erased:
    """What erasing one task did. ``was_erased`` before: then nothing changed."""

    task_id: str
    was_erased: bool = False
    contents: int = 0
    objects: tuple[str, ...] = ()
    """Names of what lay in the store."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Erasure:
    """The tasks, and what still lies somewhere although nobody can read it any more."""

    tasks: tuple[Erased, ...]
    are_objects_deleted: bool
    """False where the store did not answer: the sweep takes them away."""
    are_pages_forgotten: bool
    """False where a reader keeps old pages in SQLite's write-ahead log (``forget_old_pages``)."""


class Eraser:
    """Erases tasks and says which there are. Thread-safe; needs no master key."""

    def __init__(self, engine: Engine, store: SealedBytes) -> None:
        self._engine = engine
        self._store = store

    def standing(self, task_ids: Sequence[str]) -> list[Standing]:
        """The tasks of these ids that the vault knows, by id."""
        found: list[Standing] = []
        for at in range(0, len(task_ids), _ASKED_AT_ONCE):
            found += self._stand(_OF_IDS, {"of_tasks": list(task_ids[at : at + _ASKED_AT_ONCE])})
        return sorted(found, key=lambda each: each.task_id)

    def of_caller(self, caller: str) -> list[Standing]:
        """Every task of one caller, by id."""
        return self._stand(_OF_CALLER, {"of_caller": caller})

    def erase(
        self,
        task_ids: Sequence[str],
        now: datetime,
        *,
        by: str,
        reason: str,
        even_if_running: bool = False,
    ) -> Erasure:
        """Destroy the key of each task, in a transaction with one ``erasure`` record each.

        Sealed bytes go as well: out of the table in that transaction, out of the store after it.
        On SQLite the old pages leave the write-ahead log too, as soon as no reader needs them.

        Args:
            task_ids: the tasks; one that was erased before is left as it is.
            now: when.
            by: who did it.
            reason: why, in a sentence.
            even_if_running: also tasks without an outcome. Their workflows end with
                CONTENT_UNAVAILABLE at the next step that needs the content.

        Raises:
            TaskNotFoundError: the vault does not know one of them; those before it are erased.
            TaskRunningError: one of them has no outcome; those before it are erased.
        """
        told = {name: value for name, value in (("by", by), ("reason", reason)) if value}
        erased = tuple(
            transact(self._engine, _Erasing(task_id, now, told, even_if_running))
            for task_id in task_ids
        )
        names = [name for each in erased for name in each.objects]
        return Erasure(
            tasks=erased,
            are_objects_deleted=delete_objects(self._store, names),
            are_pages_forgotten=forget_old_pages(self._engine),
        )

    def _stand(self, query: Select[Any], values: dict[str, Any]) -> list[Standing]:
        with read(self._engine) as connection:
            return [
                Standing(
                    task_id=row.task_id,
                    has_ended=bool(row.has_ended),
                    is_erased=row.erased_at is not None,
                )
                for row in connection.execute(query, values)
            ]


def delete_objects(store: SealedBytes, names: Sequence[str]) -> bool:
    """Take away what no row names any more; False where the store did not answer."""
    if not names:
        return True
    try:
        store.delete(names)
    except SealedStoreError as error:
        _log.warning("%s; the sweep takes away %d objects", error, len(names))
        return False
    return True


class _Erasing:
    """One task's erasure, inside a transaction."""

    def __init__(
        self, task_id: str, now: datetime, told: dict[str, str], even_if_running: bool
    ) -> None:
        self._task_id = task_id
        self._now = now
        self._told = told
        self._even_if_running = even_if_running

    def __call__(self, connection: Connection) -> Erased:
        task_id = self._task_id
        found = connection.execute(_OF_IDS, {"of_tasks": [task_id]}).first()
        if found is None:
            raise TaskNotFoundError(f"task {task_id} is not in the vault; nothing was erased")
        if found.erased_at is not None:
            return Erased(task_id=task_id, was_erased=True)
        if not found.has_ended and not self._even_if_running:
            msg = f"task {task_id} has no outcome, so it may still run; cancel it, or force it"
            raise TaskRunningError(msg)
        if connection.execute(_ERASE_KEY, {"of_task": task_id, "at": self._now}).rowcount == 0:
            # Another process was faster.
            return Erased(task_id=task_id, was_erased=True)
        names = connection.execute(_DELETE_CONTENTS, {"of_task": task_id}).scalars().all()
        body = {"contents_erased": len(names), **self._told}
        audit.append(connection, "erasure", body, self._now, task_id=task_id)
        objects = tuple(name for name in names if name is not None)
        return Erased(task_id=task_id, contents=len(names), objects=objects)


_STANDING = (
    select(
        KEY.c.task_id,
        KEY.c.erased_at,
        exists().where(OUTCOME.c.task_id == KEY.c.task_id).label("has_ended"),
    )
    .join(TASK, TASK.c.task_id == KEY.c.task_id)
    .order_by(KEY.c.task_id)
)
_OF_IDS = _STANDING.where(KEY.c.task_id.in_(bindparam("of_tasks", expanding=True)))
_OF_CALLER = _STANDING.where(TASK.c.caller == bindparam("of_caller"))
_ERASE_KEY = (
    update(KEY)
    .where(KEY.c.task_id == bindparam("of_task"), KEY.c.wrapped.is_not(None))
    .values(wrapped=None, erased_at=bindparam("at"))
)
_DELETE_CONTENTS = (
    delete(CONTENT)
    .where(CONTENT.c.task_id == bindparam("of_task"))
    .returning(CONTENT.c.object_name)
)
