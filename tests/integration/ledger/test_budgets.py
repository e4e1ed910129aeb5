"""Reserving money: all windows or none, once for each part (reliability cases 4, 6, 10, 16)."""

from typing import Any

import pytest
from sqlalchemy import text

from pointwork.contract.decision import Obligation
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import ReserveOutcome, Settlement
from pointwork.contract.task import Sensitivity
from pointwork.ledger.holds import AMOUNT_NANO_USD_MAX
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import (
    NOW,
    accept,
    answer,
    decision,
    invoke,
    outcome,
    reserve,
    window,
)

KEYS = ("caller", "class", "day", "month", "pack", "vendor", "week")


@pytest.mark.req("CX-90")
def test_a_hold_counts_at_once_in_every_window(ledger: Ledger) -> None:
    reservation = reserve(ledger.budgets, "t-1", windows=[window(key) for key in KEYS])
    assert reservation.outcome is ReserveOutcome.RESERVED
    assert reservation.amount_nano_usd == 100
    assert reservation.decision_id == "t-1#1"
    assert reservation.refused_by is None
    assert ledger.budgets.read(KEYS) == {key: (1000, 100) for key in KEYS}


@pytest.mark.req("OM-31", "JG-26")
@pytest.mark.parametrize("tight", KEYS)
def test_one_window_that_is_too_small_leaves_all_others_untouched(
    ledger: Ledger, tight: str
) -> None:
    before = [window(key, 1000) for key in KEYS]
    reserve(ledger.budgets, "t-0", amount=37, windows=before)
    windows = [window(key, 136 if key == tight else 1000) for key in KEYS]
    refused = reserve(ledger.budgets, "t-1", windows=windows)
    assert refused.outcome is ReserveOutcome.EXCEEDS_LIMIT
    assert refused.refused_by == tight
    assert refused.amount_nano_usd == 0
    assert ledger.budgets.read(KEYS) == {spec.key: (spec.limit_nano_usd, 37) for spec in windows}
    assert ledger.rows("SELECT part_id FROM hold_part") == [{"part_id": "t-0/1"}]
    assert ledger.rows("SELECT attempt_id FROM attempt") == [{"attempt_id": "t-0/1"}]
    fits = [window(key, 137 if key == tight else 1000) for key in KEYS]
    assert reserve(ledger.budgets, "t-1", windows=fits).outcome is ReserveOutcome.RESERVED


@pytest.mark.req("SP-44")
def test_the_decision_is_kept_when_the_budget_refuses_it(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t-1", windows=[window("day", 10)])
    assert ledger.outcomes.decisions("t-1") == [decision("t-1")]


def test_a_decision_comes_back_byte_for_byte_and_only_once(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t-1")
    reserve(ledger.budgets, "t-1")
    reserve(ledger.budgets, "t-1", number=2)
    assert ledger.outcomes.decisions("t-1") == [decision("t-1", 1), decision("t-1", 2)]


def test_the_last_nano_usd_of_a_window_can_be_held_and_no_more(ledger: Ledger) -> None:
    assert reserve(ledger.budgets, "t-1", amount=999, windows=[window("day")]).refused_by is None
    assert reserve(ledger.budgets, "t-2", amount=2, windows=[window("day")]).refused_by == "day"
    assert reserve(ledger.budgets, "t-3", amount=1, windows=[window("day")]).refused_by is None


def test_the_same_reserve_again_holds_nothing_more(ledger: Ledger) -> None:
    for expected in [ReserveOutcome.RESERVED, *[ReserveOutcome.EXISTS] * 5]:
        reservation = reserve(ledger.budgets, "t-1", windows=[window("day"), window("week")])
        assert (reservation.outcome, reservation.amount_nano_usd) == (expected, 100)
    assert ledger.budgets.read(["day", "week"]) == {"day": (1000, 100), "week": (1000, 100)}


def test_the_same_part_with_another_amount_is_a_conflict(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t-1", windows=[window("day")])
    again = reserve(ledger.budgets, "t-1", amount=101, windows=[window("day")])
    assert again.outcome is ReserveOutcome.EXISTS_WITH_DIFFERENT_AMOUNT
    assert ledger.budgets.read(["day"]) == {"day": (1000, 100)}


def test_a_part_that_ended_is_not_held_again(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t-1", windows=[window("day")])
    ledger.outcomes.log(outcome("t-1"), None, NOW)
    assert reserve(ledger.budgets, "t-1").outcome is ReserveOutcome.ALREADY_SETTLED


def test_a_task_with_an_outcome_holds_nothing_more(ledger: Ledger) -> None:
    ledger.outcomes.log(outcome("t-1"), None, NOW)
    late = reserve(ledger.budgets, "t-1", number=2, windows=[window("day")])
    assert late.outcome is ReserveOutcome.ALREADY_SETTLED
    assert ledger.budgets.read(["day"]) == {"day": (1000, 0)}


@pytest.mark.req("JG-27")
def test_the_parts_of_a_task_may_not_exceed_its_ceiling(ledger: Ledger) -> None:
    first = reserve(ledger.budgets, "t-1", 1, amount=60, ceiling=100, windows=[window("day")])
    second = reserve(ledger.budgets, "t-1", 2, amount=41, ceiling=100, windows=[window("day")])
    third = reserve(ledger.budgets, "t-1", 3, amount=40, ceiling=100, windows=[window("day")])
    assert first.outcome is ReserveOutcome.RESERVED
    assert (second.outcome, second.refused_by) == (ReserveOutcome.EXCEEDS_LIMIT, "task")
    assert (third.outcome, third.amount_nano_usd) == (ReserveOutcome.RESERVED, 100)
    assert ledger.budgets.read(["day"]) == {"day": (1000, 100)}


@pytest.mark.req("JG-27")
def test_what_a_failed_call_really_cost_counts_against_the_ceiling(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t-1", 1, amount=60, ceiling=100)
    ledger.attempts.begin(invoke("t-1", amount=60), "t-1/1", NOW)
    kind = ProviderFailureKind.OVERLOADED
    ledger.attempts.fail("t-1/1", kind, 10, Settlement.EXACT, 5, NOW)
    assert reserve(ledger.budgets, "t-1", 2, amount=91, ceiling=100).refused_by == "task"
    assert reserve(ledger.budgets, "t-1", 3, amount=90, ceiling=100).amount_nano_usd == 100


@pytest.mark.req("OM-30")
def test_the_ceiling_that_was_applied_stands_on_the_part(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t-1", ceiling=777)
    (part,) = ledger.rows("SELECT task_ceiling_nano_usd, price_version FROM hold_part")
    assert part == {"task_ceiling_nano_usd": 777, "price_version": "test-1"}


def test_a_free_call_fits_in_a_budget_that_is_spent(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t-1", amount=1000, windows=[window("day")])
    free = reserve(ledger.budgets, "t-2", amount=0, ceiling=0, windows=[window("day")])
    assert free.outcome is ReserveOutcome.RESERVED
    assert ledger.budgets.read(["day"]) == {"day": (1000, 1000)}


@pytest.mark.parametrize(
    "amount",
    [-1, True, False, 1.0, float("nan"), float("inf"), 1e30, "5", None, AMOUNT_NANO_USD_MAX + 1],
)
def test_only_whole_amounts_in_range_are_held(ledger: Ledger, amount: Any) -> None:
    call = invoke("t-1")
    with pytest.raises(ValueError, match="give whole nano-USD"):
        ledger.budgets.reserve(
            record=decision("t-1"),
            part_id="t-1/1",
            task_id="t-1",
            invoke=call,
            amount_nano_usd=amount,
            task_ceiling_nano_usd=0,
            windows=[window("day")],
            price_version="test-1",
            expires_in_seconds=60,
            now=NOW,
        )
    assert ledger.rows("SELECT * FROM budget_window") == []


def test_the_largest_amount_is_counted_exactly(ledger: Ledger) -> None:
    limit = AMOUNT_NANO_USD_MAX * 3
    for number in range(3):
        reserve(
            ledger.budgets, f"t-{number}", amount=AMOUNT_NANO_USD_MAX, windows=[window("y", limit)],
            ceiling=limit,
        )  # fmt: skip
    assert ledger.budgets.read(["y"]) == {"y": (limit, limit)}


@pytest.mark.req("OM-31")
def test_the_next_period_opens_with_its_own_window(ledger: Ledger) -> None:
    assert reserve(ledger.budgets, "t-1", amount=1000, windows=[window("day/1")]).refused_by is None
    assert reserve(ledger.budgets, "t-2", windows=[window("day/1")]).refused_by == "day/1"
    assert reserve(ledger.budgets, "t-3", windows=[window("day/2")]).refused_by is None


def test_a_lowered_limit_admits_nothing_and_lets_open_holds_finish(ledger: Ledger) -> None:
    accept(ledger.vault, "t-1")
    reserve(ledger.budgets, "t-1", amount=600, windows=[window("day", 1000)])
    refused = reserve(ledger.budgets, "t-2", amount=1, windows=[window("day", 500)])
    assert refused.refused_by == "day"
    assert ledger.budgets.read(["day"]) == {"day": (500, 600)}
    ledger.attempts.begin(invoke("t-1", amount=600), "t-1/1", NOW)
    ledger.attempts.finish("t-1/1", **answer(cost=550))
    ledger.outcomes.log(outcome("t-1"), None, NOW)
    assert ledger.budgets.read(["day"]) == {"day": (500, 550)}
    assert (
        reserve(ledger.budgets, "t-3", amount=50, windows=[window("day", 600)]).refused_by is None
    )


def test_a_window_named_twice_is_taken_once(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t-1", windows=[window("day"), window("day")])
    assert ledger.budgets.read(["day"]) == {"day": (1000, 100)}


def test_windows_that_do_not_exist_yet_are_left_out_of_a_reading(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t-1", windows=[window("day")])
    assert ledger.budgets.read(["day", "never"]) == {"day": (1000, 100)}
    assert ledger.budgets.read([]) == {}


def test_a_hold_expires_by_the_databases_clock(ledger: Ledger) -> None:
    """``now`` is months off on purpose: only the database's word counts."""
    reserve(ledger.budgets, "t-1", expires_in_seconds=3600)
    with ledger.engine.begin() as connection:
        is_postgres = connection.dialect.name == "postgresql"
        clock = "now()" if is_postgres else "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
        seconds = (
            "EXTRACT(EPOCH FROM expires_at - now())"
            if is_postgres
            else f"(julianday(expires_at) - julianday({clock})) * 86400"
        )
        left = float(connection.execute(text(f"SELECT {seconds} FROM hold_part")).scalar_one())
    # SQLite knows the Julian day to some tens of microseconds.
    assert 3500 < left < 3600.001


@pytest.mark.parametrize(
    ("sensitivity", "obligations", "is_restricted"),
    [
        (Sensitivity.RESTRICTED, (), True),
        (Sensitivity.SENSITIVE, (), False),
        (Sensitivity.PUBLIC, (), False),
        (Sensitivity.PUBLIC, (Obligation.LOG_RESTRICTED,), True),
    ],
)
def test_a_decision_says_whether_what_it_decided_on_is_restricted(
    ledger: Ledger,
    sensitivity: Sensitivity,
    obligations: tuple[Obligation, ...],
    is_restricted: bool,
) -> None:
    record = decision("t-1", sensitivity=sensitivity, obligations=obligations)
    ledger.budgets.reserve(
        record=record,
        part_id="t-1/1",
        task_id="t-1",
        invoke=None,
        amount_nano_usd=1,
        task_ceiling_nano_usd=1,
        windows=(),
        price_version="test-1",
        expires_in_seconds=60,
        now=NOW,
    )
    (row,) = ledger.rows("SELECT is_restricted FROM decision")
    assert bool(row["is_restricted"]) is is_restricted
