"""Puts the vendor's own record in the place of a full estimate (design 5; reliability 2.3).

A call whose fate is unknown is charged in full, and AT_LEAST never refunds by guess. A vendor's
record is no guess: the part is corrected in the windows it was taken in, downwards or upwards, and
its settlement is EXACT from then on. The task's outcome stays as it was recorded; the correction
stands in the attempt's row and in the audit chain. Of a record and a late answer, the first to
come sets the cost where it is exact, and a record corrects what the house could only bound.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, bindparam, or_, select, update

from pointwork.contract.decision import Candidate, DecisionRecord
from pointwork.contract.money import usage_cost_nano_usd
from pointwork.contract.outcome import Settlement, TokenUsage
from pointwork.ledger import audit, cost_rollup
from pointwork.ledger.attempt_rows import WITH_PART, usage_columns
from pointwork.ledger.budget_alerts import tell
from pointwork.ledger.budget_tables import AlertKind
from pointwork.ledger.budget_windows import move
from pointwork.ledger.engine import insert_or_update, read, transact
from pointwork.ledger.holds import (
    AMOUNT_NANO_USD_MAX,
    ATTEMPT,
    OVERRUN,
    PART,
    PART_WINDOW,
    lock_task,
)
from pointwork.ledger.selections import settle_selections
from pointwork.ledger.tables import Decision, PartState, table_of

LOOKED_UP_FOR = timedelta(days=2)
"""A vendor that has no record of a call by then will have none."""
ASK_AGAIN_AFTER = timedelta(minutes=10)
ATTEMPTS_PER_RUN_MAX = 100
QUESTIONS_AT_ONCE_MAX = 4

_DECISION = table_of(Decision)


class FoundCall(Protocol):
    """The vendor's record of one call: what it cost in nano-USD, or else a usage to price."""

    @property
    def is_found(self) -> bool: ...
    @property
    def source(self) -> str: ...
    @property
    def cost_nano_usd(self) -> int | None: ...
    @property
    def usage(self) -> TokenUsage | None: ...


class Lookup(Protocol):
    """One endpoint's records; asking never raises."""

    async def find(self, provider_request_id: str, attempt_id: str) -> FoundCall: ...


class Reconciled(StrEnum):
    """What a record came to."""

    CORRECTED = "corrected"
    EXACT_ALREADY = "exact_already"
    """The cost was known by then, from an answer or from an earlier record."""
    OPEN = "open"
    """The part has not ended: an answer may still come, and its money is held."""
    NO_COST = "no_cost"
    """The record has no cost, or none that a call can have, and no usage that has a price."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnknownAttempt:
    """A call that was charged in full because nobody knew what it cost."""

    attempt_id: str
    endpoint: str
    provider_request_id: str
    """Empty where the vendor's id never arrived."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReconcileReport:
    """One run: calls asked about, and how many of them were corrected."""

    asked: int
    corrected: int


def unknown_attempts(
    engine: Engine, endpoints: Collection[str], now: datetime, limit: int = ATTEMPTS_PER_RUN_MAX
) -> list[UnknownAttempt]:
    """Calls charged at AT_LEAST over ``endpoints``, those asked about longest ago first.

    A part still open is left out: its task runs, and its answer may come. So is a call sent more
    than ``LOOKED_UP_FOR`` ago, and one asked about within ``ASK_AGAIN_AFTER``.
    """
    values = {
        "of_endpoints": sorted(endpoints),
        "since": now - LOOKED_UP_FOR,
        "before": now - ASK_AGAIN_AFTER,
        "most": limit,
    }
    with read(engine) as connection:
        rows = connection.execute(_UNKNOWN, values).all()
    return [
        UnknownAttempt(
            attempt_id=row.attempt_id,
            endpoint=row.endpoint,
            provider_request_id=row.provider_request_id,
        )
        for row in rows
    ]


def reconcile(engine: Engine, attempt_id: str, found: FoundCall, now: datetime) -> Reconciled:
    """Post what the vendor's record says the call cost, in one transaction.

    Above the amount held it is an overrun. A repeat changes nothing.

    Raises:
        LookupError: no attempt has this id.
    """
    return transact(engine, lambda connection: _reconcile(connection, attempt_id, found, now))


async def reconcile_all(
    engine: Engine, lookups: Mapping[str, Lookup], now: datetime
) -> ReconcileReport:
    """Ask once about every call in question, by the endpoint it was sent to."""
    attempts = await asyncio.to_thread(unknown_attempts, engine, lookups.keys(), now)
    turns = asyncio.Semaphore(QUESTIONS_AT_ONCE_MAX)

    async def ask(attempt: UnknownAttempt) -> bool:
        async with turns:
            lookup = lookups[attempt.endpoint]
            found = await lookup.find(attempt.provider_request_id, attempt.attempt_id)
            return await asyncio.to_thread(_take, engine, attempt.attempt_id, found, now)

    corrected = await asyncio.gather(*(ask(attempt) for attempt in attempts))
    return ReconcileReport(asked=len(attempts), corrected=sum(corrected))


def _take(engine: Engine, attempt_id: str, found: FoundCall, now: datetime) -> bool:
    if found.is_found and reconcile(engine, attempt_id, found, now) is Reconciled.CORRECTED:
        return True
    asked = {"of_attempt": attempt_id, "at": now}
    transact(engine, lambda connection: connection.execute(_NOTE_ASKED, asked))
    return False


def _reconcile(
    connection: Connection, attempt_id: str, found: FoundCall, now: datetime
) -> Reconciled:
    row = _locked(connection, attempt_id)
    if row.part_state == PartState.RESERVED:
        return Reconciled.OPEN
    if row.part_settlement != Settlement.AT_LEAST:
        return Reconciled.EXACT_ALREADY
    cost_nano_usd = _cost(connection, row, found)
    if cost_nano_usd is None:
        return Reconciled.NO_COST
    cost_rollup.take_out(connection, [row.part_id])
    connection.execute(_CORRECT_ATTEMPT, _attempt_values(row, found, cost_nano_usd, now))
    connection.execute(_CORRECT_PART, {"of_part": row.part_id, "cost": cost_nano_usd})
    cost_rollup.put_in(connection, [row.part_id])
    settle_selections(connection, [row])
    _move(connection, row.part_id, cost_nano_usd - row.posted_nano_usd)
    if cost_nano_usd > row.amount_nano_usd:
        _record_overrun(connection, row, cost_nano_usd, now)
    body = {
        "attempt_id": attempt_id,
        "before_nano_usd": row.posted_nano_usd,
        "after_nano_usd": cost_nano_usd,
        "source": found.source,
    }
    audit.append(connection, "reconciled", body, now, task_id=row.task_id)
    return Reconciled.CORRECTED


def _locked(connection: Connection, attempt_id: str) -> Any:
    """The attempt with its part, after the task's lock: a late answer waits, or came first."""
    row = connection.execute(_FIND, {"of_attempt": attempt_id}).first()
    if row is None:
        msg = f"no attempt {attempt_id} is in the ledger; reconcile one that was sent"
        raise LookupError(msg)
    lock_task(connection, row.task_id)
    return connection.execute(_FIND, {"of_attempt": attempt_id}).one()


def _cost(connection: Connection, row: Any, found: FoundCall) -> int | None:
    """The vendor's own figure first; else its token counts at the prices the call was held at."""
    cost_nano_usd = found.cost_nano_usd
    if cost_nano_usd is None and found.usage is not None:
        cost_nano_usd = _priced(connection, row, found.usage)
    if cost_nano_usd is None or not 0 <= cost_nano_usd <= AMOUNT_NANO_USD_MAX:
        return None
    return cost_nano_usd


def _priced(connection: Connection, row: Any, usage: TokenUsage) -> int | None:
    body = connection.execute(_DECIDED, {"of_decision": row.decision_id}).scalar()
    if body is None:
        return None
    plan = DecisionRecord.model_validate_json(body).plan
    named: list[Candidate] = [*plan.candidates, *plan.beside]
    for candidate in named:
        if (candidate.model, candidate.endpoint) == (row.model, row.endpoint):
            return usage_cost_nano_usd(
                candidate.prices,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cached_input_tokens=usage.cached_input_tokens,
                cache_write_tokens=usage.cache_write_tokens,
            )
    return None


def _attempt_values(
    row: Any, found: FoundCall, cost_nano_usd: int, now: datetime
) -> dict[str, object]:
    counted = usage_columns(found.usage) if found.usage and row.input_tokens is None else {}
    return {
        "of_attempt": row.attempt_id,
        "cost_nano_usd": cost_nano_usd,
        "settlement": Settlement.EXACT,
        "looked_up_at": now,
        "reconciled_at": now,
        "reconciled_from": found.source,
        **counted,
    }


def _move(connection: Connection, part_id: str, more_nano_usd: int) -> None:
    """Spend the difference, which may be negative, in the windows the part was taken in."""
    if more_nano_usd:
        keys = connection.execute(_WINDOW_KEYS, {"of_part": part_id}).scalars()
        move(connection, {key: (0, more_nano_usd) for key in keys})


def _record_overrun(connection: Connection, row: Any, cost_nano_usd: int, now: datetime) -> None:
    """One row and one alert for each part (OM-39).

    A bill that was above its hold before keeps what was held: the part's amount has grown since.
    """
    connection.execute(
        _SET_OVERRUN[connection.dialect.name],
        {
            "part_id": row.part_id,
            "task_id": row.task_id,
            "model": row.model,
            "held_nano_usd": row.amount_nano_usd,
            "cost_nano_usd": cost_nano_usd,
            "excess_nano_usd": cost_nano_usd - row.amount_nano_usd,
            "reason": "the vendor's record shows more than the worst-case estimate",
            "occurred_at": now,
        },
    )
    tell(
        connection,
        AlertKind.OVERRUN,
        row.part_id,
        "cost",
        task_id=row.task_id,
        amount_nano_usd=cost_nano_usd,
        limit_nano_usd=row.amount_nano_usd,
        now=now,
    )


_FIND = WITH_PART.where(ATTEMPT.c.attempt_id == bindparam("of_attempt"))
_DECIDED = select(_DECISION.c.body).where(_DECISION.c.decision_id == bindparam("of_decision"))
_WINDOW_KEYS = select(PART_WINDOW.c.window_key).where(PART_WINDOW.c.part_id == bindparam("of_part"))
_UNKNOWN = (
    select(ATTEMPT.c.attempt_id, ATTEMPT.c.endpoint, ATTEMPT.c.provider_request_id)
    .join(PART, PART.c.part_id == ATTEMPT.c.attempt_id)
    .where(
        PART.c.state == PartState.POSTED,
        PART.c.settlement == Settlement.AT_LEAST,
        ATTEMPT.c.reconciled_at.is_(None),
        ATTEMPT.c.endpoint.in_(bindparam("of_endpoints", expanding=True)),
        ATTEMPT.c.sent_at >= bindparam("since"),
        or_(ATTEMPT.c.looked_up_at.is_(None), ATTEMPT.c.looked_up_at <= bindparam("before")),
    )
    .order_by(ATTEMPT.c.looked_up_at.asc().nulls_first(), ATTEMPT.c.sent_at)
    .limit(bindparam("most"))
)
_NOTE_ASKED = (
    update(ATTEMPT)
    .where(ATTEMPT.c.attempt_id == bindparam("of_attempt"))
    .values(looked_up_at=bindparam("at"))
)
_CORRECT_ATTEMPT = update(ATTEMPT).where(ATTEMPT.c.attempt_id == bindparam("of_attempt"))
_CORRECT_PART = (
    update(PART)
    .where(PART.c.part_id == bindparam("of_part"))
    .values(posted_nano_usd=bindparam("cost"), settlement=Settlement.EXACT)
)
_SET_OVERRUN = insert_or_update(
    OVERRUN,
    "part_id",
    values=lambda new: {
        "cost_nano_usd": new.cost_nano_usd,
        "excess_nano_usd": new.cost_nano_usd - OVERRUN.c.held_nano_usd,
        "reason": new.reason,
        "occurred_at": new.occurred_at,
        "reviewed_at": None,
        "reviewed_by": None,
    },
)
