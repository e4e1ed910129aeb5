"""Holds over a given connection: reserve a part in all its windows, under its task's ceiling.

A task has one hold, the sum of its parts; a part pays for one chargeable call. Windows are taken
in the order of their keys, after the task's own lock, so that no two transactions wait for each
other (design 5; JG-26, JG-27, CX-90). How a part ends is in ``settling``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select

from pointwork.contract.approval import ApprovalRequest
from pointwork.contract.decision import GrantKind
from pointwork.contract.outcome import AttemptState, ReserveOutcome, Settlement
from pointwork.ledger.budget_windows import ALLOWANCE, take, take_allowed
from pointwork.ledger.clock import seconds_from_now
from pointwork.ledger.margins import check_probation, check_room_for_others, margin_of
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
    """Whose bills say what is held besides; None where none are heeded."""
    is_local: bool = False
    """Whether the model is the house's own, which is never on probation."""
    margin_nano_usd: int = 0
    """Held besides, as it was for a send of the same call before."""


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
        ProbationError: the call waits for a bill of its model; roll back.
    """
    parts = connection.execute(_TASK_PARTS, {"of_task": request.task_id}).all()
    held: int = sum(_committed(part) for part in parts)
    bounds = held - sum(map(_precaution, parts))
    for part in parts:
        if part.part_id == request.part_id:
            return _repeated(part, request.amount_nano_usd), held
    if connection.execute(_OUTCOME_EXISTS, {"of_task": request.task_id}).first():
        return ReserveOutcome.ALREADY_SETTLED, held
    amount = request.amount_nano_usd
    if amount and bounds + amount > request.task_ceiling_nano_usd:
        raise RefusedError(TASK_CEILING)
    keys = sorted(set(request.window_keys))
    margin = request.margin_nano_usd + _margin(connection, request, keys, now)
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
    if margin is None and not request.is_local:
        check_probation(connection, request.model, request.amount_nano_usd, keys)
    elif margin:
        amount = request.amount_nano_usd + margin
        check_room_for_others(connection, request.model, amount, margin, keys)
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


def _committed(part: Any) -> int:
    is_open = part.state == PartState.RESERVED
    return int(part.amount_nano_usd if is_open else part.posted_nano_usd)


def _precaution(part: Any) -> int:
    """What is held above the bound of a call without a bill; a bill counts against the ceiling."""
    is_held = part.state == PartState.RESERVED and part.call_state != AttemptState.DONE
    return int(part.margin_nano_usd) if is_held else 0


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


_LOCK_TASK = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("task_id"), 0)))
_TASK_PARTS = (
    select(
        PART.c.part_id,
        PART.c.amount_nano_usd,
        PART.c.margin_nano_usd,
        PART.c.state,
        PART.c.posted_nano_usd,
        ATTEMPT.c.state.label("call_state"),
    )
    .outerjoin(ATTEMPT, ATTEMPT.c.attempt_id == PART.c.part_id)
    .where(PART.c.task_id == bindparam("of_task"))
)
_OUTCOME_EXISTS = select(OUTCOME.c.task_id).where(OUTCOME.c.task_id == bindparam("of_task"))
_INSERT_PART = insert(PART).values(expires_at=seconds_from_now(bindparam("lifetime")))
_INSERT_PART_WINDOW = insert(PART_WINDOW)
_APPROVED = select(APPROVAL.c.body).where(
    APPROVAL.c.approval_id == bindparam("of_approval"),
    APPROVAL.c.task_id == bindparam("of_task"),
    APPROVAL.c.state == ApprovalState.APPROVED,
)
_ALLOWED_BY = select(ALLOWANCE.c.approval_id).where(ALLOWANCE.c.part_id == bindparam("of_part"))
