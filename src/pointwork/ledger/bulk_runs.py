"""Bulk runs on record: their items, in order, and how each has ended.

An item's end is the outcome of its task and is written nowhere else, so that the two cannot
disagree. What a run holds of an item is its id, its declarations and its references.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, and_, bindparam, exists, func, select, update

from pointwork.contract.bulk import BulkCounts, BulkItemEnd, BulkPage, RunId
from pointwork.contract.decision import ClassSource
from pointwork.contract.failures import FailureType, PointworkError, TaskRefusedError
from pointwork.contract.outcome import TaskOutcome, TaskStatus
from pointwork.contract.task import TaskRequest
from pointwork.ledger.engine import insert_if_absent, read, transact
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.tables import BulkItemRow, BulkRunRow, Outcome, Task, table_of

_RUN = table_of(BulkRunRow)
_ITEM = table_of(BulkItemRow)
_OUTCOME = table_of(Outcome)
_TASK = table_of(Task)
_ENTRIES_A_READ = 500
PAGE_BYTES_MAX = 1_000_000
"""Of the requests of one page: Temporal refuses a result above 2 MB."""


class BulkRunNotFoundError(PointworkError):
    """No bulk run has the id."""


class BulkRunReusedError(TaskRefusedError):
    """The run's id was used before, for another file or with other options."""


class BulkState(StrEnum):
    """A run's texts are sealed, then its items run, then it ends in one of two ways."""

    SEALING = "sealing"
    SEALED = "sealed"
    COMPLETED = "completed"
    CANCELLED = "cancelled"

    @property
    def has_ended(self) -> bool:
        return self in (BulkState.COMPLETED, BulkState.CANCELLED)


@dataclass(frozen=True, kw_only=True, slots=True)
class BulkDraft:
    """What makes two runs of one id the same run."""

    run_id: RunId
    caller: str
    pack: str
    item_count: int
    declared_sha256: str
    in_flight_max: int
    priority: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BulkRunEntry:
    """A run as it is recorded."""

    run_id: str
    caller: str
    pack: str
    item_count: int
    in_flight_max: int
    state: BulkState
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class BulkItemEntry:
    """One item, and its task's outcome where it has one."""

    position: int
    item_id: str
    task_id: str
    outcome: TaskOutcome | None


class BulkBook:
    """Writes and reads bulk runs. Thread-safe; keeps no state outside the ledger."""

    def __init__(self, engine: Engine, page_bytes_max: int = PAGE_BYTES_MAX) -> None:
        self._engine = engine
        self._page_bytes_max = page_bytes_max

    def begin(self, draft: BulkDraft, now: datetime) -> BulkRunEntry:
        """Record a run whose items are to be sealed; the same run again is found as it is.

        How many items are in flight may differ: it is the first that counts.

        Raises:
            BulkRunReusedError: the id belongs to another file, caller, pack or priority.
        """

        def write(connection: Connection) -> Any:
            row = {
                "run_id": draft.run_id,
                "caller": draft.caller,
                "pack": draft.pack,
                "declared_sha256": draft.declared_sha256,
                "item_count": draft.item_count,
                "in_flight_max": draft.in_flight_max,
                "priority": draft.priority,
                "state": BulkState.SEALING,
                "handed_position": 0,
                "created_at": now,
            }
            connection.execute(_INSERT_RUN[connection.dialect.name], row)
            return connection.execute(_FIND, {"of_run": draft.run_id}).one()

        found = transact(self._engine, write)
        wanted = (draft.declared_sha256, draft.caller, draft.pack, draft.priority)
        if (found.declared_sha256, found.caller, found.pack, found.priority) != wanted:
            msg = (
                f"run id {draft.run_id!r} was used before for another file or with other options; "
                "repeat that command unchanged or give another --id"
            )
            raise BulkRunReusedError(msg)
        return _entry(found)

    def add(self, run_id: str, items: Sequence[tuple[int, str, TaskRequest]]) -> None:
        """Record sealed items by position and id. One that stands already is left as it is."""
        rows = [
            {
                "run_id": run_id,
                "position": position,
                "item_id": item_id,
                "task_id": request.task_id,
                "body": request.model_dump_json(),
            }
            for position, item_id, request in items
        ]

        def write(connection: Connection) -> None:
            for row in rows:
                connection.execute(_INSERT_ITEM[connection.dialect.name], row)

        transact(self._engine, write)

    def finish_sealing(self, run_id: str, now: datetime) -> BulkRunEntry:
        """The run may start. Nothing changes where it has, or has ended.

        Raises:
            ValueError: items are missing.
        """

        def write(connection: Connection) -> Any:
            row = connection.execute(_FIND, {"of_run": run_id}).one()
            if row.state != BulkState.SEALING:
                return row
            held = connection.execute(_COUNT_ITEMS, {"of_run": run_id}).scalar_one()
            if held != row.item_count:
                msg = f"run {run_id} holds {held} of {row.item_count} items; seal them all first"
                raise ValueError(msg)
            connection.execute(
                _UPDATE, {"of_run": run_id, "state": BulkState.SEALED, "sealed_at": now}
            )
            return connection.execute(_FIND, {"of_run": run_id}).one()

        return _entry(transact(self._engine, write))

    def find(self, run_id: str) -> BulkRunEntry:
        """The run.

        Raises:
            BulkRunNotFoundError: there is none of this id.
        """
        with read(self._engine) as connection:
            row = connection.execute(_FIND, {"of_run": run_id}).first()
        if row is None:
            msg = f"no bulk run {run_id!r} is recorded; `pointwork bulk list` shows them"
            raise BulkRunNotFoundError(msg)
        return _entry(row)

    def recent(self, limit: int) -> list[BulkRunEntry]:
        """Up to ``limit`` runs, latest first."""
        with read(self._engine) as connection:
            return [_entry(row) for row in connection.execute(_LATEST.limit(limit))]

    def counts(self, run_id: str) -> BulkCounts:
        """How the items that have ended have ended."""
        with read(self._engine) as connection:
            rows = connection.execute(_COUNTS, {"of_run": run_id}).all()
        found = BulkCounts()
        for row in rows:
            one = BulkItemEnd(status=TaskStatus(row.status)).counts
            found = found.plus(
                BulkCounts(
                    done=one.done * row.items,
                    failed=one.failed * row.items,
                    cancelled=one.cancelled * row.items,
                    cost_nano_usd=int(row.cost_nano_usd),
                )
            )
        return found

    def hand_out(self, run_id: str, after_position: int, items_max: int) -> BulkPage:
        """The next items in order, and that they may begin from now on. A repeat is harmless.

        Fewer than ``items_max`` where theirs would be more than one result of an activity may be.
        """
        found = 0

        def write(connection: Connection) -> list[Any]:
            nonlocal found
            asked = {"of_run": run_id, "after": after_position}
            page = connection.execute(_PAGE.limit(items_max), asked).all()
            found, rows = len(page), _fitting(page, self._page_bytes_max)
            if rows:
                last = {"of_run": run_id, "upto": rows[-1].position}
                connection.execute(_HAND_OUT, last)
            return rows

        rows = transact(self._engine, write)
        ended = BulkCounts()
        for row in rows:
            if row.status is not None:
                status, cost_nano_usd = TaskStatus(row.status), row.cost_nano_usd
                ended = ended.plus(BulkItemEnd(status=status, cost_nano_usd=cost_nano_usd).counts)
        return BulkPage(
            requests=tuple(
                TaskRequest.model_validate_json(row.body) for row in rows if row.status is None
            ),
            last_position=rows[-1].position if rows else after_position,
            is_last=found == len(rows) < items_max,
            ended=ended,
        )

    def item_end(self, task_id: str) -> BulkItemEnd | None:
        """How the task ended; None while it has no outcome."""
        with read(self._engine) as connection:
            row = connection.execute(_END_OF, {"of_task": task_id}).first()
        if row is None:
            return None
        return BulkItemEnd(
            status=TaskStatus(row.status),
            failure=FailureType(row.failure) if row.failure else None,
            cost_nano_usd=row.cost_nano_usd,
        )

    def close_items(self, run_id: str, items_max: int, now: datetime) -> int:
        """Record up to ``items_max`` items without an outcome as cancelled; how many they were.

        For a run that was cancelled and of which no item runs any more.
        """
        with read(self._engine) as connection:
            rows = connection.execute(_UNENDED.limit(items_max), {"of_run": run_id}).all()
        outcomes = OutcomeLog(self._engine)
        for row in rows:
            request = TaskRequest.model_validate_json(row.body)
            outcomes.log(_never_begun(request, now), None, now)
        return len(rows)

    def end(self, run_id: str, now: datetime, *, cancelled: bool) -> BulkCounts:
        """Record that the run has ended, once, and how its items have."""
        state = BulkState.CANCELLED if cancelled else BulkState.COMPLETED
        values = {"of_run": run_id, "state": state, "ended_at": now}
        transact(self._engine, lambda connection: connection.execute(_END, values).rowcount)
        return self.counts(run_id)

    def entries(self, run_id: str) -> Iterator[BulkItemEntry]:
        """Every item in the file's order, a page a read."""
        after = 0
        while True:
            asked = {"of_run": run_id, "after": after}
            with read(self._engine) as connection:
                rows = connection.execute(_ENTRIES, asked).all()
            for row in rows:
                yield BulkItemEntry(
                    position=row.position,
                    item_id=row.item_id,
                    task_id=row.task_id,
                    outcome=TaskOutcome.model_validate_json(row.body) if row.body else None,
                )
            if len(rows) < _ENTRIES_A_READ:
                return
            after = rows[-1].position


def waits_in_bulk() -> Any:
    """A condition on a ``task`` row: an item of a running bulk run that has not begun yet.

    Nobody need ask Temporal about such a task: no workflow of it was ever started.
    """
    return exists(
        select(_ITEM.c.task_id)
        .join(_RUN, _RUN.c.run_id == _ITEM.c.run_id)
        .where(
            _ITEM.c.task_id == _TASK.c.task_id,
            _ITEM.c.position > _RUN.c.handed_position,
            _RUN.c.ended_at.is_(None),
        )
    )


def _never_begun(request: TaskRequest, now: datetime) -> TaskOutcome:
    is_declared = request.task_class is not None
    return TaskOutcome(
        task_id=request.task_id,
        status=TaskStatus.CANCELLED,
        reason="The bulk run was cancelled before this item began.",
        caller=request.caller,
        task_class=request.task_class,
        class_source=ClassSource.DECLARED if is_declared else ClassSource.UNKNOWN,
        sensitivity=request.sensitivity,
        started_at=request.submitted_at,
        finished_at=now,
    )


def _entry(row: Any) -> BulkRunEntry:
    return BulkRunEntry(
        run_id=row.run_id,
        caller=row.caller,
        pack=row.pack,
        item_count=row.item_count,
        in_flight_max=row.in_flight_max,
        state=BulkState(row.state),
        created_at=row.created_at,
        ended_at=row.ended_at,
    )


_INSERT_RUN = insert_if_absent(_RUN, "run_id")
_INSERT_ITEM = insert_if_absent(_ITEM, "run_id", "position")
_FIND = select(_RUN).where(_RUN.c.run_id == bindparam("of_run"))
_LATEST = select(_RUN).order_by(_RUN.c.created_at.desc(), _RUN.c.run_id.desc())
_COUNT_ITEMS = select(func.count()).select_from(_ITEM).where(_ITEM.c.run_id == bindparam("of_run"))
_UPDATE = update(_RUN).where(_RUN.c.run_id == bindparam("of_run"))
_END = _UPDATE.where(_RUN.c.ended_at.is_(None))
_HAND_OUT = _UPDATE.where(_RUN.c.handed_position < bindparam("upto")).values(
    handed_position=bindparam("upto")
)
_OF_TASK = _OUTCOME.c.task_id == _ITEM.c.task_id
_COUNTS = (
    select(
        _OUTCOME.c.status,
        func.count().label("items"),
        func.sum(_OUTCOME.c.cost_nano_usd).label("cost_nano_usd"),
    )
    .select_from(_ITEM.join(_OUTCOME, _OF_TASK))
    .where(_ITEM.c.run_id == bindparam("of_run"))
    .group_by(_OUTCOME.c.status)
)


def _fitting(rows: Sequence[Any], left_bytes: int) -> list[Any]:
    """The first of ``rows`` whose requests fit so many bytes; one at least."""
    kept: list[Any] = []
    for row in rows:
        left_bytes -= len(row.body.encode())
        if kept and left_bytes < 0:
            break
        kept.append(row)
    return kept


_PAGE = (
    select(_ITEM.c.position, _ITEM.c.body, _OUTCOME.c.status, _OUTCOME.c.cost_nano_usd)
    .select_from(_ITEM.outerjoin(_OUTCOME, _OF_TASK))
    .where(and_(_ITEM.c.run_id == bindparam("of_run"), _ITEM.c.position > bindparam("after")))
    .order_by(_ITEM.c.position)
)
_UNENDED = (
    select(_ITEM.c.body)
    .select_from(_ITEM.outerjoin(_OUTCOME, _OF_TASK))
    .where(_ITEM.c.run_id == bindparam("of_run"), _OUTCOME.c.task_id.is_(None))
    .order_by(_ITEM.c.position)
)
_END_OF = select(_OUTCOME.c.status, _OUTCOME.c.failure, _OUTCOME.c.cost_nano_usd).where(
    _OUTCOME.c.task_id == bindparam("of_task")
)
_ENTRIES = (
    select(_ITEM.c.position, _ITEM.c.item_id, _ITEM.c.task_id, _OUTCOME.c.body)
    .select_from(_ITEM.outerjoin(_OUTCOME, _OF_TASK))
    .where(_ITEM.c.run_id == bindparam("of_run"), _ITEM.c.position > bindparam("after"))
    .order_by(_ITEM.c.position)
    .limit(_ENTRIES_A_READ)
)
