"""Holds over a given connection: reserve a part in all its windows, settle it, post a late cost.

A task has one hold, the sum of its parts; a part pays for one chargeable call. Windows are taken
in the order of their keys, after the task's own lock, so that no two transactions wait for each
other (design 5; JG-26, JG-27, CX-90).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from pointwork.contract.approval import ApprovalRequest
from pointwork.contract.decision import GrantKind
from pointwork.contract.outcome import AttemptState, ReserveOutcome, Settlement
from pointwork.ledger import cost_rollup
from pointwork.ledger.budget_alerts import tell
from pointwork.ledger.budget_tables import AlertKind
from pointwork.ledger.budget_windows import ALLOWANCE, move, take, take_allowed
from pointwork.ledger.clock import seconds_from_now
from pointwork.ledger.engine import insert_or_update
from pointwork.ledger.margins import check_probation, cover, margin_of
from pointwork.ledger.selections import PACK as JUGGERNAUT
from pointwork.ledger.selections import settle_selections
from pointwork.ledger.tables import (
    Approval,
    ApprovalState,
    Attempt,
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
APPROVAL = table_of(Approval)


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
    alerts_nano_usd: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By window key, committed together from where on people are told, and of which limit."""
    approval_id: str | None = None
    """A person's approval to go on over exceeded budgets, up to its ceiling (OM-33)."""
    model: str | None = None
    """Whose bills say what is held besides; None where nobody sends one."""


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
    pack: str | None = None


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
        ProbationError: the call waits for its model's first bill; roll back.
    """
    parts = connection.execute(_TASK_PARTS, {"of_task": request.task_id}).all()
    held: int = sum(_committed(part) for part in parts)
    bounds = held - sum(p.margin_nano_usd for p in parts if p.state == PartState.RESERVED)
    for part in parts:
        if part.part_id == request.part_id:
            return _repeated(part, request.amount_nano_usd), held
    if connection.execute(_OUTCOME_EXISTS, {"of_task": request.task_id}).first():
        return ReserveOutcome.ALREADY_SETTLED, held
    amount = request.amount_nano_usd
    if amount and bounds + amount > request.task_ceiling_nano_usd:
        raise RefusedError(TASK_CEILING)
    keys = sorted(set(request.window_keys))
    margin = _margin(connection, request, keys, now)
    amount += margin
    connection.execute(_INSERT_PART, _part_row(request, margin, now))
    for key in keys if amount else ():
        alert = request.alerts_nano_usd.get(key)
        if take(connection, key, amount, alert=alert, task_id=request.task_id, now=now):
            continue
        if request.approval_id is None or held + amount > _allowed(connection, request):
            raise RefusedError(key)
        take_allowed(connection, key, amount, request.part_id, request.approval_id)
    if keys:
        rows = [{"part_id": request.part_id, "window_key": key} for key in keys]
        connection.execute(_INSERT_PART_WINDOW, rows)
    return ReserveOutcome.RESERVED, held + amount


def _margin(connection: Connection, request: PartRequest, keys: list[str], now: datetime) -> int:
    """What is held above the call's bound."""
    if request.model is None or not request.amount_nano_usd:
        return 0
    margin = margin_of(connection, request.model, now)
    if margin is None:
        check_probation(connection, request.model, request.amount_nano_usd, keys)
    return margin or 0


def allowed_by(connection: Connection, part_id: str) -> str | None:
    """The approval that let a part be held over an exceeded budget; None where none did."""
    return connection.execute(_ALLOWED_BY, {"of_part": part_id}).scalar()


def _allowed(connection: Connection, request: PartRequest) -> int:
    """The ceiling of the approval in nano-USD; 0 where it is none for this task's budget."""
    values = {"of_approval": request.approval_id, "of_task": request.task_id}
    body = connection.execute(_APPROVED, values).scalar()
    if body is None:
        return 0
    approval = ApprovalRequest.model_validate_json(body)
    return approval.ceiling_nano_usd if approval.asks_for is GrantKind.BUDGET else 0


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
    cost_rollup.put_in(
        connection, [part.part_id for part in ended if part.posting.state is PartState.POSTED]
    )
    settle_selections(connection, [part.part_id for part in ended if part.pack == JUGGERNAUT])
    _move(
        connection,
        [(part.part_id, part.amount_nano_usd, part.posting.posted_nano_usd) for part in ended],
    )
    for part in ended:
        excess = part.posting.posted_nano_usd - part.amount_nano_usd
        if excess > 0:
            cost, held = part.posting.posted_nano_usd, part.amount_nano_usd
            why = "the call cost more than its worst-case estimate"
            _overrun(connection, part, held, cost, why, now)
    return [part.part_id for part in ended]


def cover_bill(connection: Connection, part: Any, cost_nano_usd: int, now: datetime) -> None:
    """Hold a bill that is above its open part at once, before others are let in (OM-37, OM-39)."""
    above = cost_nano_usd - part.amount_nano_usd
    if above > 0:
        cover(connection, part, above)
        why = "the call cost more than its worst-case estimate"
        _overrun(connection, part, part.amount_nano_usd, cost_nano_usd, why, now)


def post_late(connection: Connection, part: Any, cost_nano_usd: int, now: datetime) -> bool:
    """Post a cost learnt after its part ended. The bill is real, so it may break the limit.

    What was posted before is never refunded; only the excess moves, and an overrun row says why.
    The caller has taken the part out of ``cost_day`` before it changed the attempt; here it goes
    back in.

    Returns:
        True where money moved.
    """
    excess = max(0, cost_nano_usd - part.posted_nano_usd)
    if excess:
        connection.execute(_POST_MORE, {"of_part": part.part_id, "excess": excess})
    cost_rollup.put_in(connection, [part.part_id])
    if part.pack == JUGGERNAUT:
        settle_selections(connection, [part.part_id])
    if not excess:
        return False
    _move(connection, [(part.part_id, 0, excess)])
    why = f"the cost became known after the part was {part.part_state}"
    _overrun(connection, part, part.posted_nano_usd, cost_nano_usd, why, now)
    return True


def _overrun(
    connection: Connection, part: Any, held: int, cost: int, reason: str, now: datetime
) -> None:
    """One row for each part and one alert, however often its bill grows (OM-37, OM-39)."""
    row = {
        "part_id": part.part_id,
        "task_id": part.task_id,
        "model": part.model,
        "held_nano_usd": held,
        "cost_nano_usd": cost,
        "excess_nano_usd": cost - held,
        "reason": reason,
        "occurred_at": now,
    }
    connection.execute(_PUT_OVERRUN[connection.dialect.name], row)
    tell(
        connection,
        AlertKind.OVERRUN,
        part.part_id,
        "cost",
        task_id=part.task_id,
        amount_nano_usd=cost,
        limit_nano_usd=held,
        now=now,
    )


def _committed(part: Any) -> int:
    is_open = part.state == PartState.RESERVED
    return int(part.amount_nano_usd if is_open else part.posted_nano_usd)


def _repeated(part: Any, amount_nano_usd: int) -> ReserveOutcome:
    if part.amount_nano_usd - part.margin_nano_usd != amount_nano_usd:
        return ReserveOutcome.EXISTS_WITH_DIFFERENT_AMOUNT
    if part.state != PartState.RESERVED:
        return ReserveOutcome.ALREADY_SETTLED
    return ReserveOutcome.EXISTS


def _part_row(request: PartRequest, margin: int, now: datetime) -> dict[str, object]:
    return {
        "part_id": request.part_id,
        "task_id": request.task_id,
        "decision_id": request.decision_id,
        "amount_nano_usd": request.amount_nano_usd + margin,
        "margin_nano_usd": margin,
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
    move(connection, sums)


_LOCK_TASK = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("task_id"), 0)))
_TASK_PARTS = select(
    PART.c.part_id,
    PART.c.amount_nano_usd,
    PART.c.margin_nano_usd,
    PART.c.state,
    PART.c.posted_nano_usd,
).where(PART.c.task_id == bindparam("of_task"))
_OUTCOME_EXISTS = select(OUTCOME.c.task_id).where(OUTCOME.c.task_id == bindparam("of_task"))
_INSERT_PART = insert(PART).values(expires_at=seconds_from_now(bindparam("lifetime")))
_INSERT_PART_WINDOW = insert(PART_WINDOW)
_PUT_OVERRUN = insert_or_update(
    OVERRUN,
    "part_id",
    values=lambda new: {
        "cost_nano_usd": new.cost_nano_usd,
        "excess_nano_usd": OVERRUN.c.excess_nano_usd + new.excess_nano_usd,
        "reason": new.reason,
    },
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
_APPROVED = select(APPROVAL.c.body).where(
    APPROVAL.c.approval_id == bindparam("of_approval"),
    APPROVAL.c.task_id == bindparam("of_task"),
    APPROVAL.c.state == ApprovalState.APPROVED,
)
_ALLOWED_BY = select(ALLOWANCE.c.approval_id).where(ALLOWANCE.c.part_id == bindparam("of_part"))
