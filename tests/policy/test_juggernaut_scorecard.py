"""Milestone 6's goals: where each turns, and that the ledger's own figures feed them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest

from pointwork.juggernaut.cost_tracker import AverageCost
from pointwork.juggernaut.scorecard import (
    WINDOW_DAYS,
    Measured,
    Score,
    balance,
    measure,
    scorecard,
)
from pointwork.ledger.juggernaut_tables import CLOSES_AFTER, project
from tests.fakes.policy_facts import shipped
from tests.integration.ledger.charged import Charge, end, fail, run
from tests.integration.ledger.conftest import Ledger, ledger_url, sqlite_template
from tests.integration.ledger.conftest import ledger as ledger
from tests.integration.ledger.records import NOW

__all__ = ["ledger_url", "sqlite_template"]

NOTHING = Measured(
    since=date(2026, 3, 1),
    until=date(2026, 3, 7),
    average=AverageCost(tasks=0, cost_nano_usd=0),
    calls=0,
    succeeded=0,
    succeeded_ms=0,
    overspent=(),
    calls_by_policy={"normal": 0, "code": 0},
    balance_min=Decimal("0.5"),
)
COST, SUCCESS, TIME, BUDGETS, BALANCE = range(5)
CENT = 10_000_000


def score(goal: int, **measured: Any) -> Score:
    return scorecard(replace(NOTHING, **measured))[goal]


@pytest.mark.req("JG-58")
@pytest.mark.parametrize(
    ("nano_usd", "is_met", "shown"),
    [
        (49_900_000, True, "$0.0499"),
        (49_999_999, True, "$0.049999999"),
        (5 * CENT, False, "$0.0500"),
    ],
)
def test_a_task_costs_less_than_five_cents(nano_usd: int, is_met: bool, shown: str) -> None:
    found = score(COST, average=AverageCost(tasks=3, cost_nano_usd=3 * nano_usd))
    assert (found.is_met, found.measured, found.bound) == (is_met, shown, "under $0.0500")


@pytest.mark.req("JG-59")
@pytest.mark.parametrize(
    ("succeeded", "calls", "is_met", "shown"),
    [
        (950, 1_000, True, "95.00 %"),
        (9_499, 10_000, False, "94.99 %"),
        (9_499_999, 10_000_000, False, "94.99 %"),
        (1, 1, True, "100.00 %"),
        (0, 1, False, "0.00 %"),
    ],
)
def test_ninety_five_of_a_hundred_calls_succeed(
    succeeded: int, calls: int, is_met: bool, shown: str
) -> None:
    found = score(SUCCESS, calls=calls, succeeded=succeeded)
    assert (found.is_met, found.measured) == (is_met, shown)


@pytest.mark.req("JG-60")
@pytest.mark.parametrize(
    ("total_ms", "calls", "is_met", "shown"),
    [
        (4_999, 1, True, "4,999 ms"),
        (5_000, 1, False, "5,000 ms"),
        (9_999, 2, True, "4,999 ms"),
        (10_000, 2, False, "5,000 ms"),
    ],
)
def test_a_call_takes_less_than_five_seconds_on_average(
    total_ms: int, calls: int, is_met: bool, shown: str
) -> None:
    found = score(TIME, calls=calls, succeeded=calls, succeeded_ms=total_ms)
    assert (found.is_met, found.measured) == (is_met, shown)


@pytest.mark.req("JG-61")
def test_one_overspent_period_is_enough_to_miss_the_budgets() -> None:
    assert score(BUDGETS).is_met
    over = score(BUDGETS, overspent=("juggernaut/pack/juggernaut/week/2026-03-02",))
    assert (over.is_met, over.measured) == (False, "1 overspent")
    assert over.basis == "juggernaut/pack/juggernaut/week/2026-03-02"


@pytest.mark.req("JG-62")
@pytest.mark.parametrize(
    ("calls", "is_met", "shown", "shares"),
    [
        ({"a": 5, "b": 5, "c": 5, "d": 5}, True, "1.00", "a 25.0 %, b 25.0 %, c 25.0 %, d 25.0 %"),
        ({"a": 5, "b": 5, "c": 0, "d": 0}, True, "0.50", "a 50.0 %, b 50.0 %, c 0.0 %, d 0.0 %"),
        ({"a": 6, "b": 5, "c": 0, "d": 0}, False, "0.49", "a 54.5 %, b 45.5 %, c 0.0 %, d 0.0 %"),
        ({"a": 9, "b": 0, "c": 0, "d": 0}, False, "0.00", "a 100.0 %, b 0.0 %, c 0.0 %, d 0.0 %"),
    ],
)
def test_policies_are_balanced_from_two_of_four_used_alike(
    calls: Mapping[str, int], is_met: bool, shown: str, shares: str
) -> None:
    found = score(BALANCE, calls_by_policy=calls)
    assert (found.is_met, found.measured, found.basis) == (is_met, shown, shares)
    assert found.bound == "at least 0.50 of 1"


@pytest.mark.req("JG-62")
def test_the_bound_of_balanced_use_is_the_packs() -> None:
    uneven = {"normal": 9, "code": 1}
    assert shipped("juggernaut").pack.balance_min == NOTHING.balance_min
    for bound, is_met in ((Decimal("0.4"), True), (Decimal("0.5"), False), (None, None)):
        found = score(BALANCE, calls_by_policy=uneven, balance_min=bound)
        assert found.is_met is is_met


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    assert [each.is_met for each in scorecard(NOTHING)] == [None, None, None, True, None]
    assert balance({"only": 3}) is None


def charge(task_id: str, **known: Any) -> Charge:
    return Charge(task_id=task_id, pack="juggernaut", model="gpt-4o", **known)


@pytest.mark.req("JG-58", "JG-59", "JG-60", "JG-61", "JG-62")
def test_the_ledger_feeds_the_scorecard_alike_before_and_after_a_day_is_closed(
    ledger: Ledger,
) -> None:
    bundle = shipped("juggernaut")
    for number, policy in enumerate(("code", "code", "ops")):
        run(ledger, charge(f"good-{number}", task_class=policy, cost=CENT))
    bad = charge("bad", task_class="code", cost=0)
    fail(ledger, bad)
    end(ledger, bad)
    run(ledger, charge("long-ago", at=NOW - timedelta(days=WINDOW_DAYS)))
    run(ledger, Charge(task_id="of-another-pack", model="gpt-4o"))
    tomorrow = datetime.combine(NOW.date() + timedelta(days=1), time(), UTC) + CLOSES_AFTER
    expected = Measured(
        since=tomorrow.date() - timedelta(days=WINDOW_DAYS - 1),
        until=tomorrow.date(),
        average=AverageCost(tasks=4, cost_nano_usd=3 * CENT),
        calls=4,
        succeeded=3,
        succeeded_ms=36,
        overspent=(),
        calls_by_policy={"normal": 0, "deep_research": 0, "code": 3, "ops": 1},
        balance_min=Decimal("0.5"),
    )
    assert measure(ledger.engine, bundle, tomorrow) == expected
    assert project(ledger.engine, tomorrow) > 0
    assert measure(ledger.engine, bundle, tomorrow) == expected
    older = measure(ledger.engine, bundle, tomorrow + timedelta(days=WINDOW_DAYS - 2))
    assert (older.calls, older.succeeded) == (4, 3)
    run(ledger, charge("today", task_class="normal", cost=CENT, at=tomorrow))
    later = measure(ledger.engine, bundle, tomorrow + timedelta(hours=1))
    assert (later.calls, later.succeeded, later.succeeded_ms) == (5, 4, 48)


@pytest.mark.req("JG-59")
def test_days_that_no_sweeper_closed_count_all_the_same(ledger: Ledger) -> None:
    bundle = shipped("juggernaut")
    run(ledger, charge("first"))
    run(ledger, charge("second", at=NOW + timedelta(days=2)))
    measured = measure(ledger.engine, bundle, NOW + timedelta(days=WINDOW_DAYS - 1))
    assert (measured.calls, measured.succeeded) == (2, 2)
