"""What vendors bill above the bound of a call is learnt from their bills and held from then on."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from pointwork.contract.decision import Site, WindowSpec
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.local_run import LocalRun
from pointwork.contract.outcome import Invoke, Reservation, ReserveOutcome, Settlement
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import (
    NOW,
    UNLIMITED,
    accept,
    answer,
    decision,
    invoke,
    outcome,
    reserve,
    window,
)


def hosted(task_id: str, amount: int = 100, site: Site = Site.PUBLIC_API) -> Invoke:
    call = invoke(task_id, model="frontier", amount=amount)
    return call.model_copy(update={"candidate": call.candidate.model_copy(update={"site": site})})


def hold(
    ledger: Ledger,
    task_id: str,
    *,
    windows: Sequence[WindowSpec],
    amount: int = 100,
    ceiling: int = UNLIMITED,
    site: Site = Site.PUBLIC_API,
    number: int = 1,
    now: datetime = NOW,
) -> Reservation:
    """As the reserve activity asks for it."""
    return ledger.budgets.reserve(
        record=decision(task_id, number),
        part_id=f"{task_id}/{number}",
        task_id=task_id,
        invoke=hosted(task_id, amount, site),
        amount_nano_usd=amount,
        task_ceiling_nano_usd=ceiling,
        windows=windows,
        price_version="test-1",
        expires_in_seconds=3600,
        now=now,
        heeds_bills=True,
    )


def call(ledger: Ledger, task_id: str, cost: int, now: datetime = NOW) -> None:
    """Send the held call and record what it cost."""
    accept(ledger.vault, task_id)
    ledger.attempts.begin(hosted(task_id), f"{task_id}/1", now)
    ledger.attempts.finish(f"{task_id}/1", **answer(cost=cost, now=now))


@pytest.fixture
def billed(ledger: Ledger) -> Ledger:
    """A model that billed 130 where 100 was held."""
    hold(ledger, "t-1", windows=[window("day")])
    call(ledger, "t-1", 130)
    return ledger


def test_a_bill_above_its_hold_is_held_at_once_and_not_only_when_it_is_settled(
    billed: Ledger,
) -> None:
    assert billed.budgets.read(["day"]) == {"day": (1000, 130)}
    (overrun,) = billed.rows("SELECT held_nano_usd, cost_nano_usd FROM overrun")
    assert overrun == {"held_nano_usd": 100, "cost_nano_usd": 130}
    logged = billed.outcomes.log(outcome("t-1"), None, NOW)
    assert logged.cost_nano_usd == 130
    assert billed.budgets.read(["day"]) == {"day": (1000, 130)}
    assert len(billed.rows("SELECT part_id FROM overrun")) == 1
    assert len(billed.rows("SELECT alert_id FROM budget_alert WHERE kind = 'overrun'")) == 1


def test_the_next_call_of_the_model_holds_what_the_last_was_billed_besides(billed: Ledger) -> None:
    held = hold(billed, "t-2", windows=[window("day")], amount=200)
    assert (held.outcome, held.amount_nano_usd) == (ReserveOutcome.RESERVED, 230)
    call(billed, "t-2", 230)
    assert len(billed.rows("SELECT part_id FROM overrun")) == 1


def test_a_margin_is_given_back_with_what_the_call_did_not_cost(billed: Ledger) -> None:
    hold(billed, "t-2", windows=[window("day")])
    call(billed, "t-2", 40)
    billed.outcomes.log(outcome("t-2"), None, NOW)
    assert billed.budgets.read(["day"]) == {"day": (1000, 170)}


def test_a_margin_ends_a_week_after_the_last_bill_that_needed_it(billed: Ledger) -> None:
    week = timedelta(days=7)
    before = hold(billed, "t-2", windows=[window("day")], now=NOW + week - timedelta(seconds=1))
    after = hold(billed, "t-3", windows=[window("day")], now=NOW + week)
    assert (before.amount_nano_usd, after.amount_nano_usd) == (130, 100)


def test_a_smaller_bill_later_leaves_the_margin_and_renews_it(billed: Ledger) -> None:
    later = NOW + timedelta(days=6)
    hold(billed, "t-2", windows=[window("day")], now=later)
    call(billed, "t-2", 110, later)
    held = hold(billed, "t-3", windows=[window("day")], now=later + timedelta(days=6))
    assert held.amount_nano_usd == 130


def test_a_repeat_is_known_by_its_bound_though_the_margin_grew_meanwhile(billed: Ledger) -> None:
    hold(billed, "t-2", windows=[window("day")])
    hold(billed, "t-3", windows=[window("day")])
    call(billed, "t-3", 190)
    again = hold(billed, "t-2", windows=[window("day")])
    other = hold(billed, "t-2", windows=[window("day")], amount=101)
    assert (again.outcome, again.amount_nano_usd) == (ReserveOutcome.EXISTS, 130)
    assert other.outcome is ReserveOutcome.EXISTS_WITH_DIFFERENT_AMOUNT


def test_a_tasks_ceiling_is_compared_with_bounds_and_not_with_margins(billed: Ledger) -> None:
    assert hold(billed, "t-2", windows=[], ceiling=100).outcome is ReserveOutcome.RESERVED


@pytest.mark.parametrize(
    ("ceiling", "found"),
    [(200, ReserveOutcome.RESERVED), (199, ReserveOutcome.EXCEEDS_LIMIT)],
)
def test_a_ceiling_counts_the_bounds_of_all_the_tasks_calls(
    billed: Ledger, ceiling: int, found: ReserveOutcome
) -> None:
    hold(billed, "t-2", windows=[], ceiling=ceiling)
    assert hold(billed, "t-2", windows=[], ceiling=ceiling, number=2).outcome is found


@pytest.mark.parametrize(
    ("ceiling", "found"),
    [(230, ReserveOutcome.RESERVED), (229, ReserveOutcome.EXCEEDS_LIMIT)],
)
def test_a_ceiling_counts_what_a_call_was_billed(
    billed: Ledger, ceiling: int, found: ReserveOutcome
) -> None:
    assert hold(billed, "t-1", windows=[], ceiling=ceiling, number=2).outcome is found


def test_a_call_that_is_made_again_holds_its_margin_again(billed: Ledger) -> None:
    """And the ceiling is compared with the two bounds."""
    accept(billed.vault, "t-2")
    hold(billed, "t-2", windows=[window("day")], ceiling=200)
    for _ in range(2):
        billed.attempts.begin(hosted("t-2"), "t-2/1", NOW)
    assert billed.budgets.read(["day"]) == {"day": (1000, 130 + 130 + 130)}


def test_calls_of_another_model_keep_none_on_probation(ledger: Ledger) -> None:
    for number in range(5):
        reserve(ledger.budgets, f"other-{number}", windows=[window("day")])
    assert hold(ledger, "t-1", windows=[window("day")]).outcome is ReserveOutcome.RESERVED


@pytest.mark.parametrize(
    ("limit", "second"),
    [(800, ReserveOutcome.RESERVED), (799, ReserveOutcome.ON_PROBATION)],
)
def test_a_second_call_at_once_needs_its_bound_and_three_times_both(
    ledger: Ledger, limit: int, second: ReserveOutcome
) -> None:
    """One holds 100 of the window, so 100 and three times 200 must be left of it."""
    hold(ledger, "t-1", windows=[window("day", limit)])
    assert hold(ledger, "t-2", windows=[window("day", limit)]).outcome is second


def test_a_call_without_usage_is_charged_with_its_margin(billed: Ledger) -> None:
    hold(billed, "t-2", windows=[window("day")])
    accept(billed.vault, "t-2")
    billed.attempts.begin(hosted("t-2"), "t-2/1", NOW)
    kind = ProviderFailureKind.STREAM_INTERRUPTED
    billed.attempts.fail("t-2/1", kind, 100, Settlement.AT_LEAST, 5, NOW)
    assert billed.budgets.read(["day"]) == {"day": (1000, 260)}


def test_a_model_without_a_bill_runs_as_often_at_once_as_the_budget_pays_four_times(
    ledger: Ledger,
) -> None:
    tried = [hold(ledger, f"t-{n}", windows=[window("day")]).outcome for n in range(1, 5)]
    assert tried == [
        ReserveOutcome.RESERVED,
        ReserveOutcome.RESERVED,
        ReserveOutcome.ON_PROBATION,
        ReserveOutcome.ON_PROBATION,
    ]
    assert ledger.budgets.read(["day"]) == {"day": (1000, 200)}
    call(ledger, "t-1", 100)
    rest = [hold(ledger, f"t-{n}", windows=[window("day")]).outcome for n in range(3, 12)]
    assert rest == [ReserveOutcome.RESERVED] * 8 + [ReserveOutcome.EXCEEDS_LIMIT]


def test_one_call_of_a_model_without_a_bill_runs_where_the_budget_pays_it_once(
    ledger: Ledger,
) -> None:
    assert hold(ledger, "t-1", windows=[window("day", 100)]).outcome is ReserveOutcome.RESERVED
    assert hold(ledger, "t-2", windows=[window("day", 100)]).outcome in (
        ReserveOutcome.ON_PROBATION,
        ReserveOutcome.EXCEEDS_LIMIT,
    )


@pytest.mark.parametrize(
    ("limit", "first", "then"),
    [
        (390, ReserveOutcome.RESERVED, ReserveOutcome.EXISTS),
        (389, ReserveOutcome.ON_PROBATION, ReserveOutcome.EXCEEDS_LIMIT),
    ],
)
def test_a_call_leaves_room_for_those_under_way_that_hold_less_than_the_bills_say(
    ledger: Ledger, limit: int, first: ReserveOutcome, then: ReserveOutcome
) -> None:
    """Two were held at 100; the first bill is 130, so the other will need 30 more."""
    for task_id in ("t-1", "t-2"):
        hold(ledger, task_id, windows=[window("day", 1000)])
    call(ledger, "t-1", 130)
    assert hold(ledger, "t-3", windows=[window("day", limit)]).outcome is first
    call(ledger, "t-2", 130)
    assert hold(ledger, "t-3", windows=[window("day", limit)]).outcome is then
    assert ledger.budgets.read(["day"])["day"][1] <= limit


def test_a_call_that_cost_nothing_is_no_bill(ledger: Ledger) -> None:
    for number in (1, 2):
        hold(ledger, f"t-{number}", windows=[window("day")])
    accept(ledger.vault, "t-1")
    ledger.attempts.begin(hosted("t-1"), "t-1/1", NOW)
    kind = ProviderFailureKind.RATE_LIMITED
    ledger.attempts.fail("t-1/1", kind, 0, Settlement.EXACT, 5, NOW)
    assert hold(ledger, "t-3", windows=[window("day")]).outcome is ReserveOutcome.RESERVED
    assert hold(ledger, "t-4", windows=[window("day")]).outcome is ReserveOutcome.ON_PROBATION


def test_what_the_meter_of_the_house_counts_above_a_hold_is_held_for_its_next_calls(
    ledger: Ledger,
) -> None:
    hold(ledger, "t-1", windows=[window("day")], site=Site.LOCAL)
    accept(ledger.vault, "t-1")
    ledger.attempts.begin(hosted("t-1", site=Site.LOCAL), "t-1/1", NOW)
    run = LocalRun(energy_millijoules=5, electricity_nano_usd=900)
    ledger.attempts.finish("t-1/1", **answer(cost=900, local_run=run))
    held = hold(ledger, "t-2", windows=[window("day", 10_000)], site=Site.LOCAL)
    assert (held.outcome, held.amount_nano_usd) == (ReserveOutcome.RESERVED, 900)


def test_models_of_the_house_send_no_bills_and_are_never_on_probation(ledger: Ledger) -> None:
    tried = [
        hold(ledger, f"t-{n}", windows=[window("day")], site=Site.LOCAL).outcome for n in range(10)
    ]
    assert tried == [ReserveOutcome.RESERVED] * 10
