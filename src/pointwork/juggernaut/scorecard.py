"""Milestone 6's five goals against what the ledger measured (JG-58 to JG-62)."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from pointwork.contract.money import format_usd
from pointwork.juggernaut.cost_tracker import AVERAGE_TARGET_NANO_USD, AverageCost, CostTracker
from pointwork.ledger.costs import CostBy, CostReport, Days
from pointwork.ledger.juggernaut_tables import call_sums
from pointwork.ledger.selections import PACK

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pointwork.policy.bundle import PolicyBundle

WINDOW_DAYS = 7
"""A scorecard is of so many UTC days, today among them: every daily budget and one weekly."""
SUCCESS_MIN_PER_CENT = 95
CALL_TIME_BELOW_MS = 5_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What the ledger knows of the days from ``since`` to ``until``, both included."""

    since: date
    until: date
    average: AverageCost
    """Of the tasks that ended on these days."""
    calls: int
    """Calls that ended, to any model; the time a task waits for a person is in none of them."""
    succeeded: int
    succeeded_ms: int
    """The time of those that succeeded, together."""
    overspent: tuple[str, ...]
    """Daily and weekly budget periods that spent more than their budget."""
    calls_by_policy: Mapping[str, int]
    """Every policy of the pack, those without a call too."""
    balance_min: Decimal | None
    """The pack's own bound; None where it states none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One goal; ``is_met`` is None where nothing was measured."""

    goal: str
    is_met: bool | None
    measured: str
    bound: str
    basis: str


def scorecard(measured: Measured) -> tuple[Score, ...]:
    """Each goal with its figure and bound. Every comparison is of whole numbers but the balance's.

    A figure is cut, never rounded up, so that one short of its bound does not read as the bound.
    """
    return (
        _cost(measured.average),
        _success(measured.calls, measured.succeeded),
        _time(measured.succeeded, measured.succeeded_ms),
        _budgets(measured.overspent),
        _balance(measured.calls_by_policy, measured.balance_min),
    )


def balance(calls: Mapping[str, int]) -> float | None:
    """The entropy of the shares over the most it could be: 1 where all are alike (JG-62).

    None where there was no call, or fewer than two names to spread over.
    """
    total = sum(calls.values())
    if not total or len(calls) < 2:
        return None
    shares = [each / total for each in calls.values() if each]
    return -sum(share * math.log2(share) for share in shares) / math.log2(len(calls))


def measure(engine: "Engine", bundle: "PolicyBundle", now: datetime) -> Measured:
    """What the ledger says of the last ``WINDOW_DAYS`` days of ``bundle``'s tasks.

    Closed days are read from ``model_performance``, whose average times are whole milliseconds.
    """
    until = now.astimezone(UTC).date()
    since = until - timedelta(days=WINDOW_DAYS - 1)
    days, tracker = Days(since=since, until=until), CostTracker(engine)
    sums = call_sums(engine, since, now)
    by_policy = CostReport(engine).totals(CostBy.POLICY, days, PACK)
    calls = {each.name: each.calls for each in by_policy}
    return Measured(
        since=since,
        until=until,
        average=tracker.average(days),
        calls=sums.calls,
        succeeded=sums.succeeded,
        succeeded_ms=sums.succeeded_ms,
        overspent=tuple(tracker.overspent(datetime.combine(since, time(), UTC))),
        calls_by_policy={name: calls.get(name, 0) for name in bundle.pack.classes},
        balance_min=bundle.pack.balance_min,
    )


def _cost(average: AverageCost) -> Score:
    amount = average.average_nano_usd
    return Score(
        goal="average cost of a task",
        is_met=None if amount is None else average.is_met,
        measured="" if amount is None else format_usd(amount),
        bound=f"under {format_usd(AVERAGE_TARGET_NANO_USD)}",
        basis=f"{average.tasks} tasks that ended",
    )


def _success(calls: int, succeeded: int) -> Score:
    cut = 10_000 * succeeded // calls if calls else 0
    return Score(
        goal="calls that succeeded",
        is_met=100 * succeeded >= SUCCESS_MIN_PER_CENT * calls if calls else None,
        measured=f"{cut // 100}.{cut % 100:02d} %" if calls else "",
        bound=f"at least {SUCCESS_MIN_PER_CENT} %",
        basis=f"{succeeded} of {calls} calls, over all models",
    )


def _time(succeeded: int, total_ms: int) -> Score:
    return Score(
        goal="average time of a call",
        is_met=total_ms < CALL_TIME_BELOW_MS * succeeded if succeeded else None,
        measured=f"{total_ms // succeeded:,} ms" if succeeded else "",
        bound=f"under {CALL_TIME_BELOW_MS:,} ms",
        basis=f"{succeeded} calls that succeeded; waiting for a person is not in it",
    )


def _budgets(overspent: tuple[str, ...]) -> Score:
    count = len(overspent)
    return Score(
        goal="daily and weekly budgets",
        is_met=not overspent,
        measured=f"{count} overspent" if count else "none overspent",
        bound="none overspent",
        basis=", ".join(overspent) or "every period that lay in these days",
    )


def _balance(calls: Mapping[str, int], bound: Decimal | None) -> Score:
    found = balance(calls)
    return Score(
        goal="balanced use of the policies",
        is_met=None if found is None or bound is None else found >= bound,
        measured="" if found is None else f"{math.floor(found * 100) / 100:.2f}",
        bound="the pack states none" if bound is None else f"at least {bound:.2f} of 1",
        basis=", ".join(_shares(calls)),
    )


def _shares(calls: Mapping[str, int]) -> Iterator[str]:
    total = sum(calls.values())
    for name, count in calls.items():
        yield f"{name} {100 * count / total:.1f} %" if total else f"{name} –"
