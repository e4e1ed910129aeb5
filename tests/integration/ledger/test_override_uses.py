"""Overrides as tasks use them: claimed by one of many, over at the hold, told when a task ends."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pointwork.contract.outcome import ReserveOutcome, TaskStatus
from pointwork.contract.override_request import OverrideState
from pointwork.ledger.overrides import OverrideBook
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.overriding import (
    BY_REVIEWER,
    CHEAP,
    DAY,
    DEAR,
    OF_SESSION,
    OF_TASK,
    REASON,
    SINGLE,
    asked,
    hold,
    ids,
    in_force,
    overridden,
    state,
    told,
)
from tests.integration.ledger.records import NOW, outcome, reserve


@pytest.fixture
def book(ledger: Ledger) -> OverrideBook:
    return OverrideBook(ledger.engine)


@pytest.mark.req("OM-72")
def test_of_many_tasks_at_once_one_has_the_single_use(ledger: Ledger, book: OverrideBook) -> None:
    in_force(book, ledger.approvals, asked(**SINGLE))
    racers = 8
    start = threading.Barrier(racers)

    def race(number: int) -> ReserveOutcome:
        start.wait()
        return hold(ledger.budgets, overridden(f"t-{number}")).outcome

    with ThreadPoolExecutor(racers) as threads:
        ended = list(threads.map(race, range(racers)))
    assert sorted(ended) == [ReserveOutcome.OVERRIDE_OVER] * (racers - 1) + [
        ReserveOutcome.RESERVED
    ]
    winner = f"t-{ended.index(ReserveOutcome.RESERVED)}"
    assert book.find("override-1", NOW).used_by == winner
    assert state(book) is OverrideState.ENDED
    assert (ids(ledger, winner), ids(ledger, "t-99")) == ({"override-1"}, set())
    assert told(ledger).count("override_claimed") == 1
    # Each decision is on record, and only the winner's money is held.
    assert len(ledger.rows("SELECT decision_id FROM decision")) == racers
    assert len(ledger.rows("SELECT part_id FROM hold_part")) == 1


def test_the_task_that_has_it_may_hold_again_for_the_same_call(
    ledger: Ledger, book: OverrideBook
) -> None:
    in_force(book, ledger.approvals, asked(**SINGLE))
    first = [hold(ledger.budgets, overridden("t-1")).outcome for _ in range(2)]
    assert first == [ReserveOutcome.RESERVED, ReserveOutcome.EXISTS]
    assert told(ledger).count("override_claimed") == 1


def test_a_refused_hold_leaves_the_single_use_to_another_task(
    ledger: Ledger, book: OverrideBook
) -> None:
    in_force(book, ledger.approvals, asked(**SINGLE))
    refused = hold(ledger.budgets, overridden("t-1"), ceiling=99)
    assert refused.outcome is ReserveOutcome.EXCEEDS_LIMIT
    assert hold(ledger.budgets, overridden("t-2")).outcome is ReserveOutcome.RESERVED


@pytest.mark.parametrize("how", ["revoked", "struck", "past", "session over"])
def test_what_ended_after_it_was_read_holds_no_money(
    ledger: Ledger, book: OverrideBook, how: str
) -> None:
    in_force(book, ledger.approvals, asked(**OF_SESSION if how == "session over" else {}))
    at, record = NOW, overridden("t-1", conversation="thread-9")
    match how:
        case "revoked":
            book.revoke("override-1", *BY_REVIEWER, NOW)
        case "struck":
            book.strike("override-1", *BY_REVIEWER, NOW)
        case "past":
            at = NOW + DAY
        case _:
            book.end_session("thread-9", "ada", NOW)
    held = hold(ledger.budgets, record, at)
    assert (held.outcome, held.refused_by) == (ReserveOutcome.OVERRIDE_OVER, "override-1")
    assert held.amount_nano_usd == 0


@pytest.mark.req("OM-74")
@pytest.mark.parametrize(
    ("status", "word"),
    [
        (TaskStatus.SUCCEEDED, "success"),
        (TaskStatus.FAILED, "failure"),
        (TaskStatus.CANCELLED, "failure"),
    ],
)
def test_after_the_task_ends_its_use_has_all_eight_facts(
    ledger: Ledger, book: OverrideBook, status: TaskStatus, word: str
) -> None:
    in_force(book, ledger.approvals, asked())
    hold(ledger.budgets, overridden("t-1"))
    assert book.find("override-1", NOW).uses == ()
    for _ in range(2):
        ledger.outcomes.log(outcome("t-1", status), None, NOW)
    entry = book.find("override-1", NOW)
    (use,) = entry.uses
    assert (entry.approver, entry.asked.requester) == ("ada", "billing")
    assert (entry.asked.reason, entry.asked.scope) == (REASON, "period")
    assert (entry.asked.duration, entry.asked.cost_impact_nano_usd) == ("indefinite", 5_000_000)
    assert (use.original_route, use.overridden_route, use.outcome) == (CHEAP, DEAR, word)
    (row,) = ledger.rows("SELECT * FROM override_use")
    assert None not in row.values()
    assert told(ledger).count("override_used") == 1
    assert state(book) is OverrideState.ACTIVE


def test_a_decision_that_held_nothing_is_no_use(ledger: Ledger, book: OverrideBook) -> None:
    in_force(book, ledger.approvals, asked())
    book.revoke("override-1", *BY_REVIEWER, NOW)
    hold(ledger.budgets, overridden("t-1"))
    reserve(ledger.budgets, "t-1", 2)
    ledger.outcomes.log(outcome("t-1"), None, NOW)
    assert book.find("override-1", NOW).uses == ()


@pytest.mark.parametrize("changed", [SINGLE, OF_TASK])
def test_what_is_for_one_task_ends_with_it(
    ledger: Ledger, book: OverrideBook, changed: dict[str, Any]
) -> None:
    in_force(book, ledger.approvals, asked(**changed))
    hold(ledger.budgets, overridden("t-1"))
    ledger.outcomes.log(outcome("t-1"), None, NOW)
    assert state(book) is OverrideState.ENDED
    assert ids(ledger) == set()


def test_one_for_a_task_that_went_its_own_way_ends_with_it_too(
    ledger: Ledger, book: OverrideBook
) -> None:
    in_force(book, ledger.approvals, asked(**OF_TASK))
    ledger.outcomes.log(outcome("t-1"), None, NOW)
    assert state(book) is OverrideState.ENDED


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("UPDATE route_override SET reason = 'another reason'", "is not as the chain tells"),
        ("UPDATE route_override SET cost_impact_nano_usd = 1", "is not as the chain tells"),
        ("UPDATE route_override SET body = replace(body, '5000000', '1')", "is not as the chain"),
        ("UPDATE route_override SET used_by = 't-2'", "is not as the chain tells of it"),
        ("UPDATE route_override SET ended_as = 'struck'", "is not as the chain tells of it"),
        ("UPDATE override_use SET outcome = 'failure'", "moved task t-1 not as the chain tells"),
        ("UPDATE override_use SET original_route = 'x'", "moved task t-1 not as the chain tells"),
        ("UPDATE override_use SET task_id = 't-2'", "its single use was t-1's"),
        ("DELETE FROM override_use", "moved task t-1; that row is gone"),
        ("UPDATE approval SET state = 'rejected'", "and nobody acknowledged its cost"),
    ],
)
def test_an_edit_of_what_an_override_did_is_found(
    ledger: Ledger, book: OverrideBook, damage: str, says: str
) -> None:
    in_force(book, ledger.approvals, asked(**SINGLE))
    hold(ledger.budgets, overridden("t-1"))
    ledger.outcomes.log(outcome("t-1"), None, NOW)
    assert ledger.violations() == []
    ledger.broken_on_purpose = True
    ledger.rows(damage)
    assert any(says in each for each in ledger.violations() if each.startswith("I15: "))
