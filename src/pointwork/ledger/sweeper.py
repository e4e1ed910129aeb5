"""Frees the holds that nobody will settle any more: workers die, and so do whole workflows."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, bindparam, or_, select

from pointwork.contract.outcome import AttemptState, Settlement
from pointwork.contract.sweep import SweepPlace
from pointwork.ledger.attempt_rows import PARTS, mark_unknown, settled_by
from pointwork.ledger.bulk_runs import waits_in_bulk
from pointwork.ledger.clock import seconds_from_now
from pointwork.ledger.engine import read, transact
from pointwork.ledger.holds import PART, lock_task
from pointwork.ledger.settling import Posting, Settled, settle_parts
from pointwork.ledger.tables import PartState, Task, table_of

TASK = table_of(Task)
ROWS_PER_PAGE = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpiredPart:
    """An open part whose time is over, as it stood when it was read."""

    part_id: str
    task_id: str
    was_never_sent: bool
    expires_at: datetime


def expired_parts(engine: Engine, after: SweepPlace | None = None) -> list[ExpiredPart]:
    """Up to ``ROWS_PER_PAGE`` open parts past their time, earliest first, from ``after`` on.

    Whether a part has expired is the database clock's word.
    """
    query = _EXPIRED if after is None else _EXPIRED.where(_follows(_EXPIRED_ORDER, after))
    with read(engine) as connection:
        return [
            ExpiredPart(
                part_id=row.part_id,
                task_id=row.part_task_id,
                was_never_sent=_never_sent(row),
                expires_at=row.expires_at,
            )
            for row in connection.execute(query)
        ]


def expire_parts(
    engine: Engine,
    now: datetime,
    is_open: Callable[[str], bool],
    parts: Iterable[ExpiredPart] | None = None,
) -> int:
    """End the expired parts of calls never sent, and every expired part of a closed task.

    A call never sent costs nothing. One that was sent is charged like a logged one: its cost
    where it is known, else its whole estimate as AT_LEAST. While its task is open a sent call
    keeps its part, however late it is.

    Args:
        engine: the ledger.
        now: when the parts are recorded to end.
        is_open: whether the workflow of a task id still runs; asked once a task, where a call of
            it was sent, and outside any transaction.
        parts: which to look at; the first page of ``expired_parts`` where they are not given.

    Returns:
        How many parts ended.
    """
    verdicts: dict[str, bool] = {}
    ended = 0
    for part in expired_parts(engine) if parts is None else parts:
        if not part.was_never_sent:
            if part.task_id not in verdicts:
                verdicts[part.task_id] = is_open(part.task_id)
            if verdicts[part.task_id]:
                continue
        ended += transact(engine, _Expiry(part, now))
    return ended


@dataclass(frozen=True, kw_only=True, slots=True)
class UnrecordedTask:
    """A task that was accepted and has no outcome."""

    task_id: str
    caller: str
    created_at: datetime
    has_no_money_left: bool
    """It held money once, so its workflow has run, and it holds none now."""


def unrecorded_tasks(
    engine: Engine, accepted_before: datetime, after: SweepPlace | None = None
) -> list[UnrecordedTask]:
    """Up to ``ROWS_PER_PAGE`` tasks accepted before a moment that have no outcome yet.

    Oldest first, from ``after`` on. Most of them run. One whose workflow is closed was ended from
    outside, where no code of ours could record it: terminated, or timed out by the server. Items
    that a bulk run has yet to begin are left out.
    """
    parts = select(PART.c.part_id).where(PART.c.task_id == TASK.c.task_id)
    query = (
        select(
            TASK.c.task_id,
            TASK.c.caller,
            TASK.c.created_at,
            and_(parts.exists(), ~parts.where(PART.c.state == PartState.RESERVED).exists()).label(
                "has_no_money_left"
            ),
        )
        .where(TASK.c.is_open, TASK.c.created_at < accepted_before, ~waits_in_bulk())
        .order_by(*_TASK_ORDER)
        .limit(ROWS_PER_PAGE)
    )
    if after is not None:
        query = query.where(_follows(_TASK_ORDER, after))
    with read(engine) as connection:
        return [
            UnrecordedTask(
                task_id=row.task_id,
                caller=row.caller,
                created_at=row.created_at,
                has_no_money_left=bool(row.has_no_money_left),
            )
            for row in connection.execute(query)
        ]


class _Expiry:
    """One part's end, in a transaction that looks again: it may have been sent meanwhile."""

    def __init__(self, part: ExpiredPart, now: datetime) -> None:
        self._part = part
        self._now = now

    def __call__(self, connection: Connection) -> int:
        lock_task(connection, self._part.task_id)
        row = connection.execute(_FIND, {"of_part": self._part.part_id}).one()
        if row.part_state != PartState.RESERVED or _never_sent(row) != self._part.was_never_sent:
            return 0
        if row.state == AttemptState.SENT:
            mark_unknown(connection, row, self._now)
        part = _expired(row) if self._part.was_never_sent else settled_by(row)
        return len(settle_parts(connection, [part], self._now))


def _never_sent(row: Any) -> bool:
    return row.state is None or row.state == AttemptState.PLANNED


def _expired(row: Any) -> Settled:
    return Settled(
        part_id=row.part_id,
        task_id=row.part_task_id,
        model=row.model or "",
        amount_nano_usd=row.amount_nano_usd,
        posting=Posting(state=PartState.EXPIRED, posted_nano_usd=0, settlement=Settlement.EXACT),
        pack=row.pack,
    )


def _follows(order: tuple[ColumnElement[Any], ColumnElement[Any]], place: SweepPlace) -> Any:
    """Later in ``order``, a time and an id, than the place where a walk stopped."""
    time, row_id = order
    return or_(time > place.at, and_(time == place.at, row_id > place.row_id))


_EXPIRED_ORDER = (PART.c.expires_at, PART.c.part_id)
_TASK_ORDER = (TASK.c.created_at, TASK.c.task_id)
_EXPIRED = (
    PARTS.add_columns(PART.c.expires_at)
    .where(PART.c.state == PartState.RESERVED, PART.c.expires_at <= seconds_from_now(0))
    .order_by(*_EXPIRED_ORDER)
    .limit(ROWS_PER_PAGE)
)
_FIND = PARTS.where(PART.c.part_id == bindparam("of_part"))
