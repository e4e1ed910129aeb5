"""Pages of tasks, running and ended, newest first; how many have ended is no matter."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, Select, and_, bindparam, or_, select

from pointwork.contract.failures import PointworkError
from pointwork.contract.outcome import TaskStatus
from pointwork.ledger.bulk_runs import waits_in_bulk
from pointwork.ledger.engine import read
from pointwork.ledger.tables import Approval, ApprovalState, Outcome, Task, table_of

PAGE_ROWS_MAX = 200
RUNNING = "running"
"""Any task that was begun and has not ended."""
_RARE_MAX = 2_000
"""Fewer are looked up one by one; more are met soon enough on the way from the newest."""

_TASK, _OUTCOME, _APPROVAL = table_of(Task), table_of(Outcome), table_of(Approval)


class BadCursorError(PointworkError):
    """The cursor is none that a page ended with."""


@dataclass(frozen=True, slots=True)
class TaskEntry:
    """One task of a list: facts, no text."""

    task_id: str
    caller: str
    pack: str
    created_at: datetime
    status: str
    """A ``TaskStatus``; ``running`` where it was begun and has not ended."""
    failure: str | None
    task_class: str | None
    served_model: str | None
    cost_nano_usd: int | None
    settlement: str | None
    finished_at: datetime | None
    waits_for_person: bool


@dataclass(frozen=True, slots=True)
class TaskPage:
    entries: tuple[TaskEntry, ...]
    next_cursor: str | None
    """Where the next page starts; None on the last."""


class TaskList:
    """Reads tasks from the vault's rows and the outcomes. Thread-safe, no state."""

    def __init__(self, engine: Engine, rare_max: int = _RARE_MAX) -> None:
        """``rare_max``: so many tasks that ended in one way are looked up one by one."""
        self._engine = engine
        self._rare_max = rare_max

    def caller_of(self, task_id: str) -> str | None:
        """Who submitted the task; None where it is not known."""
        with read(self._engine) as connection:
            query = select(_TASK.c.caller).where(_TASK.c.task_id == task_id)
            found: str | None = connection.execute(query).scalar_one_or_none()
        return found

    def some(self, task_ids: Sequence[str]) -> tuple[TaskEntry, ...]:
        """The tasks with these ids, as ``page`` has them, newest first."""
        with read(self._engine) as connection:
            rows = connection.execute(_ROWS.where(_TASK.c.task_id.in_(task_ids))).all()
        return tuple(map(_entry, rows))

    def page(
        self,
        *,
        rows_max: int = 50,
        callers: tuple[str, ...] | None = None,
        status: str | None = None,
        pack: str | None = None,
        id_prefix: str = "",
        cursor: str | None = None,
    ) -> TaskPage:
        """Up to ``rows_max`` tasks that match, newest first.

        Args:
            callers: whose tasks; None is everybody's.
            status: a terminal ``TaskStatus``, ``running``, ``queued`` or ``pending_approval``.
            id_prefix: what the ids begin with.

        Raises:
            BadCursorError: ``cursor`` is none of this list.
        """
        count = max(1, min(rows_max, PAGE_ROWS_MAX))
        query = _narrowed(_ROWS, callers, status, pack)
        if id_prefix:
            query = query.where(_TASK.c.task_id.startswith(id_prefix, autoescape=True))
        if cursor is not None:
            query = query.where(_after(cursor))
        with read(self._engine) as connection:
            if status in _TERMINAL:
                asked = {"so": status, "most": self._rare_max + 1}
                rare = connection.execute(_ENDED_SO, asked).scalars().all()
                if len(rare) <= self._rare_max:
                    query = query.where(_TASK.c.task_id.in_(rare))
            rows = connection.execute(query.limit(count + 1)).all()
        entries = tuple(_entry(row) for row in rows[:count])
        last = entries[-1] if len(rows) > count else None
        return TaskPage(entries, _cursor(last) if last else None)


def _narrowed(
    query: Select[Any], callers: tuple[str, ...] | None, status: str | None, pack: str | None
) -> Select[Any]:
    if callers is not None:
        query = query.where(_TASK.c.caller.in_(callers))
    if pack is not None:
        query = query.where(_TASK.c.pack == pack)
    match status:
        case None:
            return query
        case "running":
            return query.where(_TASK.c.is_open, ~waits_in_bulk())
        case TaskStatus.QUEUED:
            return query.where(_TASK.c.is_open, waits_in_bulk())
        case TaskStatus.PENDING_APPROVAL:
            return query.where(_APPROVAL.c.task_id.is_not(None))
        case _:
            return query.where(_OUTCOME.c.status == status)


_TERMINAL = frozenset(each for each in TaskStatus if each.is_terminal)
_ENDED_SO = (
    select(_OUTCOME.c.task_id).where(_OUTCOME.c.status == bindparam("so")).limit(bindparam("most"))
)


def _after(cursor: str) -> Any:
    try:
        moment, task_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        at = datetime.fromisoformat(moment).astimezone(UTC)
    except (ValueError, TypeError, AttributeError):
        raise BadCursorError(
            "cursor is none that a page ended with; leave it out to begin at the newest"
        ) from None
    return or_(
        _TASK.c.created_at < at, and_(_TASK.c.created_at == at, _TASK.c.task_id < str(task_id))
    )


def _cursor(entry: TaskEntry) -> str:
    text = json.dumps([entry.created_at.isoformat(), entry.task_id])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _entry(row: Any) -> TaskEntry:
    waits = row.waiting_task_id is not None and row.status is None
    standing = TaskStatus.QUEUED if row.is_queued else RUNNING
    if waits:
        standing = TaskStatus.PENDING_APPROVAL
    return TaskEntry(
        task_id=row.task_id,
        caller=row.caller,
        pack=row.pack,
        created_at=row.created_at,
        status=str(row.status or standing),
        failure=row.failure,
        task_class=row.task_class,
        served_model=row.served_model,
        cost_nano_usd=row.cost_nano_usd,
        settlement=row.settlement,
        finished_at=row.finished_at,
        waits_for_person=waits,
    )


_ROWS = (
    select(
        _TASK.c.task_id,
        _TASK.c.caller,
        _TASK.c.pack,
        _TASK.c.created_at,
        _OUTCOME.c.status,
        _OUTCOME.c.failure,
        _OUTCOME.c.task_class,
        _OUTCOME.c.served_model,
        _OUTCOME.c.cost_nano_usd,
        _OUTCOME.c.settlement,
        _OUTCOME.c.finished_at,
        _APPROVAL.c.task_id.label("waiting_task_id"),
        waits_in_bulk().label("is_queued"),
    )
    .select_from(
        _TASK.outerjoin(_OUTCOME, _OUTCOME.c.task_id == _TASK.c.task_id).outerjoin(
            _APPROVAL,
            and_(
                _APPROVAL.c.task_id == _TASK.c.task_id,
                _APPROVAL.c.state == ApprovalState.WAITING,
            ),
        )
    )
    .order_by(_TASK.c.created_at.desc(), _TASK.c.task_id.desc())
)
