"""Holds that nobody settles are freed, and a call that was sent is never forgotten (design 5)."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import AttemptState, ReserveOutcome, Settlement
from pointwork.contract.sweep import SweepPlace
from pointwork.ledger.attempts import AttemptClosedError
from pointwork.ledger.sweeper import expire_parts, unrecorded_tasks
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, accept, answer, invoke, outcome, reserve, window


def is_open(_: str) -> bool:
    return True


def is_closed(_: str) -> bool:
    return False


def part_states(ledger: Ledger) -> list[str]:
    return [row["state"] for row in ledger.rows("SELECT state FROM hold_part ORDER BY part_id")]


@pytest.fixture
def expired(ledger: Ledger) -> Ledger:
    """Task t-1 with a planned call whose part has expired."""
    accept(ledger.vault, "t-1")
    reserve(ledger.budgets, "t-1", windows=[window("day")], expires_in_seconds=0)
    return ledger


@pytest.mark.parametrize("asked", [is_open, is_closed])
def test_a_call_never_sent_frees_its_part(expired: Ledger, asked: Callable[[str], bool]) -> None:
    assert expire_parts(expired.engine, NOW, asked) == 1
    assert part_states(expired) == ["expired"]
    assert expired.budgets.read(["day"]) == {"day": (1000, 0)}
    assert expire_parts(expired.engine, NOW, asked) == 0


def test_a_part_that_has_not_expired_is_left_alone(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t-1", windows=[window("day")], expires_in_seconds=3600)
    assert expire_parts(ledger.engine, NOW, is_closed) == 0
    assert part_states(ledger) == ["reserved"]


def test_a_sent_call_of_a_running_task_keeps_its_part(expired: Ledger) -> None:
    expired.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    assert expire_parts(expired.engine, NOW, is_open) == 0
    assert expired.budgets.read(["day"]) == {"day": (1000, 100)}


def test_a_sent_call_of_a_closed_task_is_unknown_and_charged_in_full(expired: Ledger) -> None:
    expired.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    assert expire_parts(expired.engine, NOW, is_closed) == 1
    assert part_states(expired) == ["posted"]
    (attempt,) = expired.outcomes.attempts("t-1")
    assert (attempt.state, attempt.settlement) == (AttemptState.UNKNOWN, Settlement.AT_LEAST)
    assert expired.budgets.read(["day"]) == {"day": (1000, 100)}


def test_an_answered_call_of_a_closed_task_posts_what_it_cost(expired: Ledger) -> None:
    expired.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    expired.attempts.finish("t-1/1", **answer(cost=60))
    assert expire_parts(expired.engine, NOW, is_closed) == 1
    assert expired.budgets.read(["day"]) == {"day": (1000, 60)}


def test_a_call_is_not_sent_on_an_expired_part(expired: Ledger) -> None:
    expire_parts(expired.engine, NOW, is_open)
    with pytest.raises(AttemptClosedError, match="is expired; reserve a new part"):
        expired.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    assert reserve(expired.budgets, "t-1").outcome is ReserveOutcome.ALREADY_SETTLED


def test_the_outcome_of_a_swept_task_counts_what_was_posted(expired: Ledger) -> None:
    expired.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    expire_parts(expired.engine, NOW, is_closed)
    logged = expired.outcomes.log(outcome("t-1"), None, NOW)
    assert (logged.cost_nano_usd, logged.settlement) == (100, Settlement.AT_LEAST)


def test_a_bill_that_comes_after_the_sweep_is_an_overrun(expired: Ledger) -> None:
    expired.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    expire_parts(expired.engine, NOW, is_closed)
    kind = ProviderFailureKind.TIMEOUT
    expired.attempts.fail("t-1/1", kind, 160, Settlement.EXACT, 5, NOW)
    assert expired.budgets.read(["day"]) == {"day": (1000, 160)}
    (overrun,) = expired.rows("SELECT excess_nano_usd FROM overrun")
    assert overrun == {"excess_nano_usd": 60}


def test_whether_a_task_runs_is_asked_once_and_only_where_it_matters(ledger: Ledger) -> None:
    for number in (1, 2, 3):
        reserve(ledger.budgets, "t-1", number, expires_in_seconds=0)
        ledger.attempts.begin(invoke("t-1", number), f"t-1/{number}", NOW)
    reserve(ledger.budgets, "t-2", expires_in_seconds=0)
    asked: list[str] = []

    def ask(task_id: str) -> bool:
        asked.append(task_id)
        return False

    assert expire_parts(ledger.engine, NOW, ask) == 4
    assert asked == ["t-1"]


def test_a_call_sent_while_the_sweep_looked_on_keeps_its_part(ledger: Ledger) -> None:
    """The sweep read it as planned; by the time its turn comes it is sent."""
    reserve(ledger.budgets, "t-1", number=1, windows=[window("day")], expires_in_seconds=0)
    ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    reserve(ledger.budgets, "t-2", windows=[window("day")], expires_in_seconds=0)

    def send_t_2(_: str) -> bool:
        ledger.attempts.begin(invoke("t-2"), "t-2/1", NOW)
        return True

    assert expire_parts(ledger.engine, NOW, send_t_2) == 0
    assert part_states(ledger) == ["reserved", "reserved"]


def test_what_expires_unsent_costs_nothing_and_surely_so(expired: Ledger) -> None:
    expire_parts(expired.engine, NOW, is_closed)
    (part,) = expired.rows("SELECT state, posted_nano_usd, settlement FROM hold_part")
    assert part == {"state": "expired", "posted_nano_usd": 0, "settlement": "exact"}


def test_a_task_has_no_money_left_once_it_held_some_and_holds_none(ledger: Ledger) -> None:
    for task_id in ("never-held", "holds", "freed", "freed-and-holds", "recorded"):
        accept(ledger.vault, task_id)
    reserve(ledger.budgets, "holds")
    for task_id in ("freed", "freed-and-holds"):
        reserve(ledger.budgets, task_id, expires_in_seconds=0)
    expire_parts(ledger.engine, NOW, is_closed)
    reserve(ledger.budgets, "freed-and-holds", 2)
    ledger.outcomes.log(outcome("recorded"), None, NOW)
    found = unrecorded_tasks(ledger.engine, NOW + timedelta(seconds=1))
    assert {each.task_id: each.has_no_money_left for each in found} == {
        "freed": True,
        "freed-and-holds": False,
        "holds": False,
        "never-held": False,
    }
    assert unrecorded_tasks(ledger.engine, NOW) == []


def test_a_walk_goes_on_behind_the_last_task_of_the_same_moment(ledger: Ledger) -> None:
    for task_id in ("a", "b", "c"):
        accept(ledger.vault, task_id)
    later, seen, after = NOW + timedelta(seconds=1), [], None
    while found := unrecorded_tasks(ledger.engine, later, after):
        seen.append(found[0].task_id)
        after = SweepPlace(at=found[0].created_at, row_id=found[0].task_id)
    assert seen == ["a", "b", "c"]
