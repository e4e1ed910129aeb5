"""An exceeded budget is stopped once, resumed by a person by name, and passed only as allowed."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.decision import GrantKind
from pointwork.contract.outcome import ReserveOutcome
from pointwork.ledger.attempts import BudgetRefusedError
from pointwork.ledger.budget_tables import AlertKind
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW
from tests.integration.ledger.spending import (
    DAY,
    PACK_LIMIT,
    Office,
    approval,
    call,
    end,
    hold,
    pack_with,
    refused_by,
)

WEEK = "omega/pack/omega/week/2026-02-23"
TWO_PERIODS = pack_with(
    {"scope": "pack", "period": "day", "limit": PACK_LIMIT},
    {"scope": "pack", "period": "week", "limit": 1200},
)
APPROVED, REJECTED = ApprovalVerdict.APPROVED, ApprovalVerdict.REJECTED
LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def office(ledger: Ledger) -> Office:
    """A day's budget that is spent, and a week's of which 200 are left."""
    office = Office(ledger, pack=TWO_PERIODS)
    hold(ledger, "spender", office.decided(), PACK_LIMIT)
    return office


def kinds(office: Office) -> list[str]:
    return [record.kind for record in office.ledger.chain.records(100)]


def approve(office: Office, task_id: str, **changed: object) -> str:
    """A person's approval for the task, on record; its id."""
    request = approval(task_id, DAY, **changed)  # type: ignore[arg-type]
    office.ledger.approvals.open(request, NOW)
    token = f"token-{request.approval_id}"
    assert office.ledger.approvals.close(request.approval_id, APPROVED, "ada", token, NOW)
    return request.approval_id


def allowances(office: Office) -> dict[tuple[str, str], int]:
    """What each part holds above the limit, by part and window."""
    rows = office.ledger.rows("SELECT part_id, window_key, amount_nano_usd FROM budget_allowance")
    return {(row["part_id"], row["window_key"]): int(row["amount_nano_usd"]) for row in rows}


@pytest.mark.req("OM-32")
def test_asking_to_pass_a_budget_stops_it_tells_people_and_stands_in_the_chain(
    office: Office,
) -> None:
    for _ in range(2):
        office.ledger.approvals.open(approval("t-1", DAY, WEEK), LATER)
    assert office.stops.standing() == {DAY: LATER, WEEK: LATER}
    assert sorted(office.told(AlertKind.STOPPED)) == [
        (DAY, PACK_LIMIT, PACK_LIMIT),
        (WEEK, PACK_LIMIT, 1200),
    ]
    assert kinds(office) == ["budget_stopped", "budget_stopped", "approval_opened"]
    stopped = office.ledger.chain.records(3)[0]
    assert (stopped.body["window"], stopped.task_id) == (DAY, "t-1")


@pytest.mark.req("OM-32")
def test_twenty_tasks_that_ask_at_once_stop_a_budget_once(office: Office) -> None:
    def ask(number: int) -> None:
        office.ledger.approvals.open(approval(f"t-{number}", DAY), NOW)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(20)))
    assert Counter(kinds(office)) == {"budget_stopped": 1, "approval_opened": 20}
    assert len(office.told(AlertKind.STOPPED)) == 1


def test_an_approval_for_something_else_stops_nothing(office: Office) -> None:
    request = approval("t-1", asks_for=GrantKind.COST)
    office.ledger.approvals.open(request, NOW)
    assert office.stops.standing() == {}


def test_a_stop_is_read_with_the_budgets_until_it_is_lifted(office: Office) -> None:
    office.ledger.approvals.open(approval("t-1", DAY), NOW)
    read = office.ledger.signals.read(
        window_keys=[DAY, WEEK],
        endpoints=[],
        conversation=None,
        queue="ledger",
        now=NOW,
        overlay_of=None,
    )
    assert {key: each.is_stopped for key, each in read.budgets.items()} == {DAY: True, WEEK: False}


@pytest.mark.req("OM-33")
def test_a_person_resumes_a_budget_by_name_once_and_the_chain_says_who_and_why(
    office: Office,
) -> None:
    office.ledger.approvals.open(approval("t-1", DAY, WEEK), NOW)

    def resume(name: str) -> bool:
        return office.stops.resume(DAY, name, "the client has agreed", LATER)

    people = [f"person-{number}" for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(resume, people))
    assert done.count(True) == 1
    assert list(office.stops.standing()) == [WEEK]
    last = office.ledger.chain.records(1, 3)[0]
    assert (last.kind, last.body) == (
        "budget_resumed",
        {
            "window": DAY,
            "resumed_by": people[done.index(True)],
            "reason": "the client has agreed",
        },
    )
    assert not office.stops.resume("no/such/window", "ada", "there is none", LATER)


def test_a_budget_that_is_exceeded_again_after_a_resume_stops_again_and_people_are_told(
    office: Office,
) -> None:
    office.ledger.approvals.open(approval("t-1", DAY), NOW)
    assert office.stops.resume(DAY, "ada", "the client has agreed", NOW)
    office.ledger.approvals.open(approval("t-2", DAY), LATER)
    assert office.stops.standing() == {DAY: LATER}
    assert len(office.told(AlertKind.STOPPED)) == 2


@pytest.mark.req("OM-33")
def test_an_approved_call_is_held_over_the_limit_and_the_shortfall_is_on_record(
    office: Office,
) -> None:
    approval_id = approve(office, "t-1")
    held = hold(office.ledger, "t-1", office.decided(), 300, approval_id=approval_id)
    assert (held.outcome, held.amount_nano_usd) == (ReserveOutcome.RESERVED, 300)
    assert office.ledger.budgets.read([DAY, WEEK]) == {DAY: (1000, 1300), WEEK: (1200, 1300)}
    assert allowances(office) == {("t-1/1", DAY): 300, ("t-1/1", WEEK): 100}
    (row,) = office.ledger.rows("SELECT DISTINCT approval_id FROM budget_allowance")
    assert row == {"approval_id": approval_id}


@pytest.mark.req("OM-33")
def test_an_approval_ends_at_its_ceiling(office: Office) -> None:
    approval_id = approve(office, "t-1", ceiling=300)
    over = hold(office.ledger, "t-1", office.decided(), 301, approval_id=approval_id)
    assert (over.outcome, over.refused_by) == (ReserveOutcome.EXCEEDS_LIMIT, DAY)
    hold(office.ledger, "t-1", office.decided(), 200, number=2, approval_id=approval_id)
    more = hold(office.ledger, "t-1", office.decided(), 101, number=3, approval_id=approval_id)
    assert more.refused_by == DAY
    last = hold(office.ledger, "t-1", office.decided(), 100, number=4, approval_id=approval_id)
    assert (last.outcome, last.amount_nano_usd) == (ReserveOutcome.RESERVED, 300)
    assert allowances(office)[("t-1/4", DAY)] == 100


def test_an_approved_call_that_fits_needs_no_allowance(office: Office) -> None:
    office.set(2000)
    approval_id = approve(office, "t-1", ceiling=10)
    hold(office.ledger, "t-1", office.decided(), 150, approval_id=approval_id)
    assert allowances(office) == {}


@pytest.mark.req("OM-33")
@pytest.mark.parametrize("case", ["none", "unknown", "waiting", "rejected", "other-task", "cost"])
def test_without_an_approval_of_this_tasks_budget_nothing_passes_the_limit(
    office: Office, case: str
) -> None:
    approvals, approval_id = office.ledger.approvals, "t-1/approval"
    match case:
        case "waiting":
            approvals.open(approval("t-1", DAY), NOW)
        case "rejected":
            approvals.open(approval("t-1", DAY), NOW)
            assert approvals.close(approval_id, REJECTED, "ada", "token-1", NOW)
        case "other-task":
            approval_id = approve(office, "t-2")
        case "cost":
            approve(office, "t-1", asks_for=GrantKind.COST)
    named = None if case == "none" else approval_id
    refused = hold(office.ledger, "t-1", office.decided(), 1, approval_id=named)
    assert (refused.outcome, refused.refused_by) == (ReserveOutcome.EXCEEDS_LIMIT, DAY)
    assert refused.amount_nano_usd == 0
    assert allowances(office) == {}
    assert office.ledger.budgets.read([DAY]) == {DAY: (PACK_LIMIT, PACK_LIMIT)}
    # A decision that claims an approval nobody gave is found by the doctor besides.
    office.ledger.broken_on_purpose = True
    assert {each[:4] for each in office.ledger.violations()} <= {"I10:"}


@pytest.mark.req("OM-33")
def test_a_call_sent_again_under_an_approval_keeps_to_its_ceiling(office: Office) -> None:
    """The first send may have been billed, so both count."""
    approval_id, ledger = approve(office, "t-1", ceiling=250), office.ledger
    hold(ledger, "t-1", office.decided(), 100, approval_id=approval_id)
    ledger.attempts.begin(call("t-1", 100), "t-1/1", NOW)
    again = ledger.attempts.begin(call("t-1", 100), "t-1/1", NOW)
    assert again.attempt_id == "t-1/1.2"
    assert allowances(office) == {
        ("t-1/1", DAY): 100,
        ("t-1/1.2", DAY): 100,
    }
    with pytest.raises(BudgetRefusedError) as refused:
        ledger.attempts.begin(call("t-1", 100), "t-1/1", NOW)
    assert refused.value.window == DAY


def test_the_same_reserve_again_under_an_approval_holds_nothing_more(office: Office) -> None:
    approval_id = approve(office, "t-1")
    hold(office.ledger, "t-1", office.decided(), 300, approval_id=approval_id)
    again = hold(office.ledger, "t-1", office.decided(), 300, approval_id=approval_id)
    assert again.outcome is ReserveOutcome.EXISTS
    assert allowances(office)[("t-1/1", DAY)] == 300
    assert office.ledger.budgets.read([DAY]) == {DAY: (1000, 1300)}


@pytest.mark.req("OM-33")
def test_a_budget_passed_with_approval_admits_others_only_under_its_limit(office: Office) -> None:
    approval_id, ledger = approve(office, "t-1"), office.ledger
    hold(ledger, "t-1", office.decided(), 100, approval_id=approval_id)
    end(ledger, "t-1", 40)
    assert ledger.budgets.read([DAY]) == {DAY: (1000, 1040)}
    assert refused_by(ledger, "t-2", office.decided(), 1) == DAY
    end(ledger, "spender", 900, amount=PACK_LIMIT)
    assert ledger.budgets.read([DAY]) == {DAY: (1000, 940)}
    assert refused_by(ledger, "t-3", office.decided(), 61) == DAY
    assert refused_by(ledger, "t-4", office.decided(), 60) == ""


def test_approved_calls_and_others_that_end_at_once_leave_every_nano_usd_explained(
    office: Office,
) -> None:
    """A release between the refusal and the allowance leaves less to allow, never less than 0."""
    office.set(500)
    ledger = office.ledger
    granted = {f"granted-{n}": approve(office, f"granted-{n}") for n in range(8)}
    for number in range(8):
        task_id = f"filler-{number}"
        spender = approve(office, task_id)
        hold(ledger, task_id, office.decided(), 100, approval_id=spender)

    def work(number: int) -> None:
        if number % 2:
            end(ledger, f"filler-{number // 2}", 0)
        else:
            task_id = f"granted-{number // 2}"
            windows = office.decided()
            hold(ledger, task_id, windows, 100, approval_id=granted[task_id])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(16)))
    assert ledger.budgets.read([DAY]) == {DAY: (500, PACK_LIMIT + 800)}
    assert all(0 <= amount <= 100 for amount in allowances(office).values())
