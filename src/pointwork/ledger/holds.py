"""Holds over a given connection: reserve a part in all its windows, settle it, post a late cost.

A task has one hold, the sum of its parts; a part pays for one chargeable call. Windows are taken
in the order of their keys, after the task's own lock, so that no two transactions wait for each
other (design 5; JG-26, JG-27, CX-90).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, case, func, insert, select, update

from pointwork.contract.decision import WindowSpec
from pointwork.contract.outcome import AttemptState, ReserveOutcome, Settlement
from pointwork.ledger.clock import seconds_from_now
from pointwork.ledger.engine import insert_or_update
from pointwork.ledger.tables import (
    Attempt,
    BudgetWindow,
    HoldPart,
    HoldPartWindow,
    Outcome,
    Overrun,
    PartState,
    table_of,
)

AMOUNT_NANO_USD_MAX = 2**53 - 1
"""The largest amount of one call, 9 million USD: exact in JSON, and no sum overflows."""
TASK_CEILING = "task"
"""``refused_by`` where the task's own ceiling, not a window, does not cover the amount."""

ATTEMPT = table_of(Attempt)
OUTCOME = table_of(Outcome)
OVERRUN = table_of(Overrun)
PART = table_of(HoldPart)
PART_WINDOW = table_of(HoldPartWindow)
WINDOW = table_of(BudgetWindow)


class RefusedError(Exception):
    """A limit does not cover the amount; the transaction (or savepoint) must be rolled back."""

    def __init__(self, refused_by: str) -> None:
        super().__init__(refused_by)
        self.refused_by = refused_by


@dataclass(frozen=True, kw_only=True, slots=True)
class PartRequest:
    """A part to reserve in windows that exist already."""

    part_id: str
    task_id: str
    decision_id: str
    amount_nano_usd: int
    task_ceiling_nano_usd: int
    window_keys: Sequence[str]
    price_version: str
    expires_in_seconds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Posting:
    """How a part ends: what is charged, and how sure that is."""

    state: PartState
    posted_nano_usd: int
    settlement: Settlement


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """An open part and its end."""

    part_id: str
    task_id: str
    model: str
    amount_nano_usd: int
    posting: Posting


def check_amount(field: str, value: int) -> int:
    """``value``, if it is an amount a call can cost.

    Raises:
        ValueError: it is no integer (a bool or a float is none), negative or beyond the maximum.
    """
    if type(value) is not int or not 0 <= value <= AMOUNT_NANO_USD_MAX:
        msg = f"{field} is {value!r}; give whole nano-USD from 0 to {AMOUNT_NANO_USD_MAX}"
        raise ValueError(msg)
    return value


def lock_task(connection: Connection, task_id: str) -> None:
    """Let one transaction at a time change a task's money; SQLite's write lock does it already."""
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK_TASK, {"task_id": task_id})


def open_windows(connection: Connection, windows: Iterable[WindowSpec]) -> None:
    """Make the windows exist, with the limits given: a missing row could not be locked."""
    statement = _OPEN_WINDOW[connection.dialect.name]
    for spec in sorted(windows, key=lambda each: each.key):
        connection.execute(
            statement,
            {
                "window_key": spec.key,
                "scope": spec.scope,
                "period": spec.period,
                "starts_at": spec.starts_at,
                "ends_at": spec.ends_at,
                "limit_nano_usd": spec.limit_nano_usd,
                "limit_high_nano_usd": spec.limit_nano_usd,
                "spent_nano_usd": 0,
                "reserved_nano_usd": 0,
            },
        )


def reserve_part(
    connection: Connection, request: PartRequest, now: datetime
) -> tuple[ReserveOutcome, int]:
    """Hold the amount in every window and under the task's ceiling, or in none of them.

    The caller holds the task's lock (``lock_task``), taken before any window was touched.
    An amount of 0 always fits: it worsens no budget, so cheaper work goes on in a spent one (R-12).

    Returns:
        What happened, and the nano-USD held or posted for the task in all.

    Raises:
        RefusedError: a limit does not cover the amount; roll back.
    """
    parts = connection.execute(_TASK_PARTS, {"of_task": request.task_id}).all()
    held: int = sum(_committed(part) for part in parts)
    for part in parts:
        if part.part_id == request.part_id:
            return _repeated(part, request.amount_nano_usd), held
    if connection.execute(_OUTCOME_EXISTS, {"of_task": request.task_id}).first():
        return ReserveOutcome.ALREADY_SETTLED, held
    amount = request.amount_nano_usd
    if amount and held + amount > request.task_ceiling_nano_usd:
        raise RefusedError(TASK_CEILING)
    connection.execute(_INSERT_PART, _part_row(request, now))
    keys = sorted(set(request.window_keys))
    for key in keys if amount else ():
        taken = connection.execute(_TAKE_FROM_WINDOW, {"of_window": key, "amount": amount})
        if taken.rowcount != 1:
            raise RefusedError(key)
    if keys:
        rows = [{"part_id": request.part_id, "window_key": key} for key in keys]
        connection.execute(_INSERT_PART_WINDOW, rows)
    return ReserveOutcome.RESERVED, held + amount


def held_for_task(connection: Connection, task_id: str) -> int:
    """Nano-USD reserved and posted for the task together."""
    return sum(_committed(part) for part in connection.execute(_TASK_PARTS, {"of_task": task_id}))


def posting_for(
    amount_nano_usd: int, state: str | None, cost_nano_usd: int, settlement: str
) -> Posting:
    """How a part ends whose attempt is in ``state``; None where no attempt was planned.

    A call that may have reached a meter is charged in full, for good: AT_LEAST never refunds.
    """
    match state:
        case None | AttemptState.PLANNED:
            return Posting(state=PartState.VOIDED, posted_nano_usd=0, settlement=Settlement.EXACT)
        case AttemptState.SENT | AttemptState.UNKNOWN:
            return Posting(
                state=PartState.POSTED,
                posted_nano_usd=amount_nano_usd,
                settlement=Settlement.AT_LEAST,
            )
        case _:
            return Posting(
                state=PartState.POSTED,
                posted_nano_usd=cost_nano_usd,
                settlement=Settlement(settlement),
            )


def settle_parts(connection: Connection, parts: Iterable[Settled], now: datetime) -> list[str]:
    """End open parts: post what each cost, release the rest, and record what no hold covered.

    A part that is no longer open is left as it is, so racing settlers move its money once.

    Returns:
        The ids of the parts that this call ended.
    """
    ended = [
        part for part in sorted(parts, key=lambda each: each.part_id) if _end(connection, part, now)
    ]
    _move(
        connection,
        [(part.part_id, part.amount_nano_usd, part.posting.posted_nano_usd) for part in ended],
    )
    for part in ended:
        excess = part.posting.posted_nano_usd - part.amount_nano_usd
        if excess > 0:
            connection.execute(
                _INSERT_OVERRUN,
                {
                    "part_id": part.part_id,
                    "task_id": part.task_id,
                    "model": part.model,
                    "held_nano_usd": part.amount_nano_usd,
                    "cost_nano_usd": part.posting.posted_nano_usd,
                    "excess_nano_usd": excess,
                    "reason": "the call cost more than its worst-case estimate",
                    "occurred_at": now,
                },
            )
    return [part.part_id for part in ended]


def post_late(connection: Connection, part: Any, cost_nano_usd: int, now: datetime) -> bool:
    """Post a cost learnt after its part ended. The bill is real, so it may break the limit.

    What was posted before is never refunded; only the excess moves, and an overrun row says why.

    Returns:
        True where money moved.
    """
    excess = cost_nano_usd - part.posted_nano_usd
    if excess <= 0:
        return False
    connection.execute(_POST_MORE, {"of_part": part.part_id, "excess": excess})
    _move(connection, [(part.part_id, 0, excess)])
    connection.execute(
        _INSERT_OVERRUN,
        {
            "part_id": part.part_id,
            "task_id": part.task_id,
            "model": part.model,
            "held_nano_usd": part.posted_nano_usd,
            "cost_nano_usd": cost_nano_usd,
            "excess_nano_usd": excess,
            "reason": f"the cost became known after the part was {part.part_state}",
            "occurred_at": now,
        },
    )
    return True


def _committed(part: Any) -> int:
    is_open = part.state == PartState.RESERVED
    return int(part.amount_nano_usd if is_open else part.posted_nano_usd)


def _repeated(part: Any, amount_nano_usd: int) -> ReserveOutcome:
    if part.amount_nano_usd != amount_nano_usd:
        return ReserveOutcome.EXISTS_WITH_DIFFERENT_AMOUNT
    if part.state != PartState.RESERVED:
        return ReserveOutcome.ALREADY_SETTLED
    return ReserveOutcome.EXISTS


def _part_row(request: PartRequest, now: datetime) -> dict[str, object]:
    return {
        "part_id": request.part_id,
        "task_id": request.task_id,
        "decision_id": request.decision_id,
        "amount_nano_usd": request.amount_nano_usd,
        "task_ceiling_nano_usd": request.task_ceiling_nano_usd,
        "state": PartState.RESERVED,
        "posted_nano_usd": 0,
        "settlement": Settlement.EXACT,
        "price_version": request.price_version,
        "expires_in_seconds": request.expires_in_seconds,
        "created_at": now,
        "lifetime": request.expires_in_seconds,
    }


def _end(connection: Connection, part: Settled, now: datetime) -> bool:
    ended = connection.execute(
        _END_PART,
        {
            "of_part": part.part_id,
            "to_state": part.posting.state,
            "posted": part.posting.posted_nano_usd,
            "sureness": part.posting.settlement,
            "at": now,
        },
    )
    return ended.rowcount == 1


def _move(connection: Connection, parts: Sequence[tuple[str, int, int]]) -> None:
    """Release and spend, for each (part, released, spent), in the windows the part was taken in."""
    amounts = {
        part_id: (released, spent) for part_id, released, spent in parts if released or spent
    }
    if not amounts:
        return
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in connection.execute(_WINDOWS_OF, {"of_parts": sorted(amounts)}):
        released, spent = amounts[row.part_id]
        sums[row.window_key][0] += released
        sums[row.window_key][1] += spent
    for key, (released, spent) in sorted(sums.items()):
        connection.execute(
            _MOVE_IN_WINDOW, {"of_window": key, "released": released, "spent": spent}
        )


_LOCK_TASK = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("task_id"), 0)))
_TASK_PARTS = select(
    PART.c.part_id, PART.c.amount_nano_usd, PART.c.state, PART.c.posted_nano_usd
).where(PART.c.task_id == bindparam("of_task"))
_OUTCOME_EXISTS = select(OUTCOME.c.task_id).where(OUTCOME.c.task_id == bindparam("of_task"))
_OPEN_WINDOW = insert_or_update(
    WINDOW,
    "window_key",
    values=lambda new: {
        "limit_nano_usd": new.limit_nano_usd,
        "limit_high_nano_usd": case(
            (new.limit_nano_usd > WINDOW.c.limit_high_nano_usd, new.limit_nano_usd),
            else_=WINDOW.c.limit_high_nano_usd,
        ),
    },
    where=lambda new: WINDOW.c.limit_nano_usd != new.limit_nano_usd,
)
_INSERT_PART = insert(PART).values(expires_at=seconds_from_now(bindparam("lifetime")))
_INSERT_PART_WINDOW = insert(PART_WINDOW)
_INSERT_OVERRUN = insert(OVERRUN)
_TAKE_FROM_WINDOW = (
    update(WINDOW)
    .where(
        WINDOW.c.window_key == bindparam("of_window"),
        WINDOW.c.spent_nano_usd + WINDOW.c.reserved_nano_usd + bindparam("amount")
        <= WINDOW.c.limit_nano_usd,
    )
    .values(reserved_nano_usd=WINDOW.c.reserved_nano_usd + bindparam("amount"))
)
_MOVE_IN_WINDOW = (
    update(WINDOW)
    .where(WINDOW.c.window_key == bindparam("of_window"))
    .values(
        reserved_nano_usd=WINDOW.c.reserved_nano_usd - bindparam("released"),
        spent_nano_usd=WINDOW.c.spent_nano_usd + bindparam("spent"),
    )
)
_END_PART = (
    update(PART)
    .where(PART.c.part_id == bindparam("of_part"), PART.c.state == PartState.RESERVED)
    .values(
        state=bindparam("to_state"),
        posted_nano_usd=bindparam("posted"),
        settlement=bindparam("sureness"),
        settled_at=bindparam("at"),
    )
)
_POST_MORE = (
    update(PART)
    .where(PART.c.part_id == bindparam("of_part"))
    .values(posted_nano_usd=PART.c.posted_nano_usd + bindparam("excess"))
)
_WINDOWS_OF = select(PART_WINDOW.c.part_id, PART_WINDOW.c.window_key).where(
    PART_WINDOW.c.part_id.in_(bindparam("of_parts", expanding=True))
)
