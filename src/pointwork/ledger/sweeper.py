"""Frees the holds that nobody will settle any more: workers die, and so do whole workflows."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, select

from pointwork.contract.outcome import AttemptState, Settlement
from pointwork.ledger.attempt_rows import PARTS, settled_by
from pointwork.ledger.attempts import mark_unknown
from pointwork.ledger.clock import seconds_from_now
from pointwork.ledger.engine import read, transact
from pointwork.ledger.holds import PART, Posting, Settled, lock_task, settle_parts
from pointwork.ledger.tables import Outcome, PartState, Task, table_of

TASK = table_of(Task)
OUTCOME = table_of(Outcome)
PARTS_PER_SWEEP_MAX = 1000


def expire_parts(engine: Engine, now: datetime, is_open: Callable[[str], bool]) -> int:
    """End the expired parts of calls never sent, and every expired part of a closed task.

    A call never sent costs nothing. One that was sent is charged like a logged one: its cost
    where it is known, else its whole estimate as AT_LEAST. While its task is open a sent call
    keeps its part, however late it is. Whether a part has expired is the database clock's word.

    Args:
        engine: the ledger.
        now: when the parts are recorded to end.
        is_open: whether the workflow of a task id still runs; asked outside any transaction.

    Returns:
        How many parts ended, at most ``PARTS_PER_SWEEP_MAX``.
    """
    with read(engine) as connection:
        rows = connection.execute(_EXPIRED).all()
    verdicts: dict[str, bool] = {}
    ended = 0
    for row in rows:
        task_id = row.part_task_id
        if not _never_sent(row):
            if task_id not in verdicts:
                verdicts[task_id] = is_open(task_id)
            if verdicts[task_id]:
                continue
        ended += transact(engine, _Expiry(row.part_id, task_id, now, _never_sent(row)))
    return ended


@dataclass(frozen=True, kw_only=True, slots=True)
class UnrecordedTask:
    """A task that was accepted and has no outcome."""

    task_id: str
    caller: str
    created_at: datetime


def unrecorded_tasks(engine: Engine, accepted_before: datetime) -> list[UnrecordedTask]:
    """Tasks accepted before a moment that have no outcome yet, oldest first.

    Most of them run. One whose workflow is closed was ended from outside, where no code of ours
    could record it: terminated, or timed out by the server.
    """
    query = (
        select(TASK.c.task_id, TASK.c.caller, TASK.c.created_at)
        .outerjoin(OUTCOME, OUTCOME.c.task_id == TASK.c.task_id)
        .where(OUTCOME.c.task_id.is_(None), TASK.c.created_at < accepted_before)
        .order_by(TASK.c.created_at)
        .limit(PARTS_PER_SWEEP_MAX)
    )
    with read(engine) as connection:
        return [
            UnrecordedTask(task_id=row.task_id, caller=row.caller, created_at=row.created_at)
            for row in connection.execute(query)
        ]


class _Expiry:
    """One part's end, in a transaction that looks again: it may have been sent meanwhile."""

    def __init__(self, part_id: str, task_id: str, now: datetime, was_never_sent: bool) -> None:
        self._part_id = part_id
        self._task_id = task_id
        self._now = now
        self._was_never_sent = was_never_sent

    def __call__(self, connection: Connection) -> int:
        lock_task(connection, self._task_id)
        row = connection.execute(_FIND, {"of_part": self._part_id}).one()
        if row.part_state != PartState.RESERVED or _never_sent(row) != self._was_never_sent:
            return 0
        if row.state == AttemptState.SENT:
            mark_unknown(connection, row, self._now)
        part = _expired(row) if self._was_never_sent else settled_by(row)
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
    )


_EXPIRED = (
    PARTS.where(PART.c.state == PartState.RESERVED, PART.c.expires_at <= seconds_from_now(0))
    .order_by(PART.c.expires_at)
    .limit(PARTS_PER_SWEEP_MAX)
)
_FIND = PARTS.where(PART.c.part_id == bindparam("of_part"))
