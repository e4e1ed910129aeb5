"""People are told of a budget once: near, reached, overrun (JG-28, OM-39)."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import ReserveOutcome, Settlement
from pointwork.ledger.budget_tables import AlertKind
from pointwork.ledger.reconcile import Reconciled, reconcile
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, accept, answer, decision, outcome
from tests.integration.ledger.spending import DAY, PACK_LIMIT, Office, call, end, hold, pack_with
from tests.integration.ledger.test_reconcile import Record

NEAR, REACHED, OVERRUN = AlertKind.NEAR, AlertKind.REACHED, AlertKind.OVERRUN
WEEK = "omega/pack/omega/week/2026-02-23"
TOLD_AT_80 = pack_with(
    {"scope": "pack", "period": "day", "limit": PACK_LIMIT, "alert_ratio": "0.80"}
)


@pytest.fixture
def office(ledger: Ledger) -> Office:
    return Office(ledger, pack=TOLD_AT_80)


@pytest.mark.req("JG-28")
def test_the_call_that_brings_a_budget_to_80_percent_tells_people_and_no_later_one_does(
    office: Office,
) -> None:
    for number in range(7):
        hold(office.ledger, f"t-{number}", office.decided())
    assert office.told() == []
    for number in range(7, 10):
        hold(office.ledger, f"t-{number}", office.decided())
    (alert,) = office.alerts.alerts()
    assert (alert.kind, alert.subject, alert.task_id) == (NEAR, DAY, "t-7")
    assert (alert.amount_nano_usd, alert.limit_nano_usd) == (800, PACK_LIMIT)
    assert alert.occurred_at == NOW
    assert (alert.seen_at, alert.seen_by) == (None, None)


@pytest.mark.req("JG-28")
def test_what_was_spent_counts_towards_the_alert_as_what_is_held_does(office: Office) -> None:
    hold(office.ledger, "t-1", office.decided(), 400)
    end(office.ledger, "t-1", 390, amount=400)
    hold(office.ledger, "t-2", office.decided(), 409)
    assert office.told() == []
    hold(office.ledger, "t-3", office.decided(), 1)
    assert office.told() == [(DAY, 800, PACK_LIMIT)]


def test_people_are_not_told_again_where_spending_falls_below_the_share_and_rises_again(
    office: Office,
) -> None:
    hold(office.ledger, "t-1", office.decided(), 900)
    end(office.ledger, "t-1", 10, amount=900)
    hold(office.ledger, "t-2", office.decided(), 900)
    assert office.told(NEAR) == [(DAY, 900, PACK_LIMIT)]


@pytest.mark.req("JG-28")
def test_a_new_limit_is_news_again_at_its_own_share(office: Office) -> None:
    hold(office.ledger, "t-1", office.decided(), 800)
    office.set(2000)
    hold(office.ledger, "t-2", office.decided(), 799)
    assert office.told() == [(DAY, 800, PACK_LIMIT)]
    hold(office.ledger, "t-3", office.decided(), 1)
    hold(office.ledger, "t-4", office.decided(), 1)
    assert sorted(office.told()) == [(DAY, 800, PACK_LIMIT), (DAY, 1600, 2000)]


def test_a_task_decided_under_an_older_limit_tells_nobody_of_its_share(office: Office) -> None:
    """800 of 2000 is nothing to tell, and telling it would keep 1600 from being told."""
    before = office.decided()
    hold(office.ledger, "t-1", before, 700)
    office.set(2000)
    hold(office.ledger, "t-2", before, 200)
    assert office.told() == []
    hold(office.ledger, "t-3", office.decided(), 700)
    assert office.told() == [(DAY, 1600, 2000)]


def test_an_owner_may_say_from_which_share_on_people_are_told(office: Office) -> None:
    office.set(1000, alert_ratio=Decimal("0.5"))
    hold(office.ledger, "t-1", office.decided(), 499)
    assert office.told() == []
    hold(office.ledger, "t-2", office.decided(), 1)
    assert office.told() == [(DAY, 500, 1000)]


def test_each_period_and_each_window_has_an_alert_of_its_own(ledger: Ledger) -> None:
    week = {"scope": "pack", "period": "week", "limit": 1800, "alert_ratio": "0.50"}
    both = (TOLD_AT_80.budgets[0].model_dump(), week)
    office = Office(ledger, pack=pack_with(*both))
    hold(ledger, "t-1", office.decided(), 900)
    assert sorted(office.told()) == [(DAY, 900, 1000), (WEEK, 900, 1800)]
    office.now = NOW + timedelta(days=1)
    hold(ledger, "t-2", office.decided(), 850)
    tomorrow = "omega/pack/omega/day/2026-03-02"
    assert (tomorrow, 850, 1000) in office.told()


def test_nobody_is_told_of_a_hold_that_another_window_refused(ledger: Ledger) -> None:
    week = {"scope": "pack", "period": "week", "limit": 850}
    office = Office(ledger, pack=pack_with(TOLD_AT_80.budgets[0].model_dump(), week))
    assert hold(ledger, "t-1", office.decided(), 900).refused_by == WEEK
    assert office.told(NEAR) == []
    hold(ledger, "t-2", office.decided(), 810)
    assert office.told(NEAR) == [(DAY, 810, 1000)]


@pytest.mark.req("JG-28")
def test_sixteen_racing_reservers_raise_one_near_alert(office: Office) -> None:
    """In 10 races of 10, whichever of them passes the share."""
    barrier = threading.Barrier(16)

    def reserve(task_id: str, race: Office) -> ReserveOutcome:
        windows = race.decided()
        barrier.wait(60)
        return hold(race.ledger, task_id, windows, 100).outcome

    for turn in range(10):
        race = Office(office.ledger, office.pack, office.now + timedelta(days=turn))
        with ThreadPoolExecutor(16) as pool:
            tasks = [f"t-{turn}-{number}" for number in range(16)]
            outcomes = list(pool.map(reserve, tasks, [race] * 16))
        assert outcomes.count(ReserveOutcome.RESERVED) == 10
    near, reached = office.told(NEAR), office.told(REACHED)
    assert len({key for key, _, _ in near}) == len(near) == 10
    assert len({key for key, _, _ in reached}) == len(reached) == 10
    assert {(amount, limit) for _, amount, limit in near} == {(800, PACK_LIMIT)}


@pytest.mark.req("OM-31")
def test_people_are_told_once_that_a_limit_refuses_calls_and_again_under_a_new_one(
    office: Office,
) -> None:
    hold(office.ledger, "t-1", office.decided(), 700)
    for number in range(2, 6):
        hold(office.ledger, f"t-{number}", office.decided(), 301)
    assert office.told(REACHED) == [(DAY, 700, PACK_LIMIT)]
    office.set(750)
    for number in range(6, 8):
        hold(office.ledger, f"t-{number}", office.decided(), 301)
    assert sorted(office.told(REACHED)) == [(DAY, 700, 750), (DAY, 700, PACK_LIMIT)]


def test_a_tasks_own_ceiling_is_no_budget_to_tell_people_of(office: Office) -> None:
    office.ledger.budgets.reserve(
        record=decision("t-1"),
        part_id="t-1/1",
        task_id="t-1",
        invoke=call("t-1", 100),
        amount_nano_usd=100,
        task_ceiling_nano_usd=99,
        windows=office.decided(),
        price_version="test-1",
        expires_in_seconds=3600,
        now=NOW,
    )
    assert office.told() == []


@pytest.mark.req("OM-39")
@pytest.mark.parametrize("is_late", [False, True], ids=["in-time", "late"])
def test_a_bill_that_grows_leaves_one_overrun_and_one_alert(office: Office, is_late: bool) -> None:
    """Of a call whose hold filled the budget, so that the overrun must explain every nano-USD."""
    ledger = office.ledger
    hold(ledger, "t-1", office.decided(), PACK_LIMIT)
    ledger.attempts.begin(call("t-1", PACK_LIMIT), "t-1/1", NOW)
    if is_late:
        ledger.outcomes.log(outcome("t-1"), None, NOW)
    timeout, at_least = ProviderFailureKind.TIMEOUT, Settlement.AT_LEAST
    ledger.attempts.fail("t-1/1", timeout, 1030, at_least, 5, NOW)
    assert office.told(OVERRUN) == [("t-1/1", 1030, PACK_LIMIT)]
    ledger.outcomes.log(outcome("t-1"), None, NOW)
    found = Record(cost_nano_usd=1050)
    assert reconcile(ledger.engine, "t-1/1", found, NOW) is Reconciled.CORRECTED
    assert office.told(OVERRUN) == [("t-1/1", 1030, PACK_LIMIT)]
    (row,) = ledger.rows("SELECT held_nano_usd, cost_nano_usd, excess_nano_usd FROM overrun")
    assert row == {"held_nano_usd": PACK_LIMIT, "cost_nano_usd": 1050, "excess_nano_usd": 50}
    assert ledger.budgets.read([DAY]) == {DAY: (PACK_LIMIT, 1050)}


ENDS = ("answered", "failed", "late", "resent")


@dataclass(frozen=True)
class Billed:
    """A call, what was held for it, what it cost, and how that became known."""

    amount: int
    cost: int
    end: str


def bill(ledger: Ledger, task_id: str, each: Billed) -> None:
    accept(ledger.vault, task_id)
    ledger.attempts.begin(call(task_id, each.amount), f"{task_id}/1", NOW)
    if each.end == "late":
        ledger.outcomes.log(outcome(task_id), None, NOW)
    for _ in range(2 if each.end == "resent" else 1):
        if each.end == "failed":
            timeout = ProviderFailureKind.TIMEOUT
            ledger.attempts.fail(f"{task_id}/1", timeout, each.cost, Settlement.EXACT, 5, NOW)
        else:
            ledger.attempts.finish(f"{task_id}/1", **answer(cost=each.cost))
    for _ in range(2):
        ledger.outcomes.log(outcome(task_id), None, NOW)


@pytest.mark.req("OM-39")
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    billed=st.lists(
        st.builds(Billed, st.integers(0, 100), st.integers(0, 200), st.sampled_from(ENDS)),
        min_size=1,
        max_size=5,
    )
)
def test_every_call_that_cost_more_than_was_held_has_one_overrun_and_one_alert(
    ledger: Ledger, billed: list[Billed]
) -> None:
    office = Office(ledger, pack=pack_with({"scope": "pack", "period": "day", "limit": 10**9}))
    turn = len(ledger.rows("SELECT task_id FROM outcome"))
    tasks = {f"t-{turn + number}": each for number, each in enumerate(billed)}
    for task_id, each in tasks.items():
        hold(ledger, task_id, office.decided(), each.amount)
        bill(ledger, task_id, each)
    over = {f"{name}/1": (b.cost, b.amount) for name, b in tasks.items() if b.cost > b.amount}
    rows = ledger.rows("SELECT part_id, cost_nano_usd, held_nano_usd FROM overrun")
    of_turn = {f"{name}/1" for name in tasks}
    found = [tuple(row.values()) for row in rows if row["part_id"] in of_turn]
    told = [each for each in office.alerts.alerts(limit=10_000) if each.subject in of_turn]
    assert sorted(found) == sorted((part, *figures) for part, figures in over.items())
    assert sorted(each.subject for each in told) == sorted(over)
    assert {each.kind for each in told} <= {OVERRUN}


@pytest.mark.req("OM-39")
def test_an_alert_is_seen_by_one_person_and_that_stands_in_the_chain(office: Office) -> None:
    hold(office.ledger, "t-1", office.decided(), 900)
    (alert,) = office.alerts.alerts()
    later = NOW + timedelta(minutes=5)
    with ThreadPoolExecutor(8) as pool:
        people = [f"person-{number}" for number in range(8)]
        seen = list(pool.map(lambda name: office.alerts.see(alert.alert_id, name, later), people))
    assert seen.count(True) == 1
    who = people[seen.index(True)]
    assert office.alerts.alerts() == []
    assert office.alerts.unseen_count() == 0
    (kept,) = office.alerts.alerts(seen=True)
    assert (kept.seen_by, kept.seen_at) == (who, later)
    (record,) = office.ledger.chain.records(10)
    assert (record.kind, record.body) == (
        "alert_seen",
        {"alert_id": alert.alert_id, "seen_by": who},
    )
    assert not office.alerts.see("no-such-alert", "ada", later)
    assert len(office.ledger.chain.records(10)) == 1


def test_the_latest_alerts_come_first(office: Office) -> None:
    hold(office.ledger, "t-1", office.decided(), 900)
    hold(office.ledger, "t-2", office.decided(), 900)
    office.alerts.see(office.alerts.alerts()[0].alert_id, "ada", NOW)
    assert len(office.alerts.alerts()) == office.alerts.unseen_count() == 1
    assert len(office.alerts.alerts(seen=True)) == 2
    assert len(office.alerts.alerts(seen=True, limit=1)) == 1
