"""Overrides on record: asked for, acknowledged by another person, read by tasks, ended."""

from typing import Any

import pytest
from pydantic import ValidationError

from pointwork.contract.override import OverrideDuration
from pointwork.contract.override_request import OverrideState
from pointwork.ledger.overrides import OverrideBook, OverrideConflictError
from pointwork.overriding import acknowledge
from pointwork.verdicts import VerdictRefusedError
from tests.fakes.policy_facts import shipped
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.overriding import (
    BY_REVIEWER,
    DAY,
    OF_SESSION,
    OF_TASK,
    REASON,
    SINGLE,
    Person,
    asked,
    hold,
    ids,
    in_force,
    overridden,
    read_overrides,
    state,
    told,
)
from tests.integration.ledger.records import NOW, outcome

OMEGA = shipped()


@pytest.fixture
def book(ledger: Ledger) -> OverrideBook:
    return OverrideBook(ledger.engine)


@pytest.mark.req("OM-68")
def test_what_was_asked_is_kept_verbatim_and_waits_for_a_person(
    ledger: Ledger, book: OverrideBook
) -> None:
    for _ in range(2):
        book.ask(asked(), NOW + DAY, NOW)
    entry = book.find("override-1", NOW)
    assert (entry.asked, entry.state, entry.approver) == (asked(), OverrideState.PENDING, None)
    (waiting,) = ledger.approvals.waiting()
    assert (waiting.approval_id, waiting.asks_for) == ("override/override-1", "override")
    assert waiting.ceiling_nano_usd == asked().cost_impact_nano_usd
    assert told(ledger) == ["override_created", "approval_opened"]
    assert ledger.chain.records(1)[0].body["reason"] == REASON


def test_an_id_stands_for_one_override(book: OverrideBook) -> None:
    book.ask(asked(), NOW + DAY, NOW)
    with pytest.raises(OverrideConflictError, match="ask under a new id"):
        book.ask(asked(model="another"), NOW + DAY, NOW)
    with pytest.raises(OverrideConflictError, match="pointwork override list"):
        book.find("override-2", NOW)


@pytest.mark.req("OM-69")
@pytest.mark.parametrize(
    "reason",
    ["quicker", "just because", "Faster for me.", "testing", "I prefer it, please", "too slow!!"],
)
def test_a_reason_of_convenience_is_no_override(reason: str) -> None:
    with pytest.raises(ValidationError) as refused:
        asked(reason=reason)
    assert len(reason) < 8 or "what the default route cannot do" in str(refused.value)


@pytest.mark.req("OM-70", "OM-71")
@pytest.mark.parametrize("field", ["scope", "duration"])
@pytest.mark.parametrize("value", [None, "forever"])
def test_without_a_known_scope_or_duration_there_is_no_override(
    field: str, value: str | None
) -> None:
    changed: dict[str, Any] = {field: value}
    with pytest.raises(ValidationError):
        asked(**changed)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"ends_at": None}, "ends_at is missing"),
        ({"ends_at": NOW}, "ends_at is not after"),
        ({"task_id": "t-1"}, "task_id is given and bounds nothing"),
        ({"conversation": "thread-9"}, "conversation is given and bounds nothing"),
        (OF_TASK | {"task_id": None}, "task_id is missing"),
        (OF_TASK | {"ends_at": NOW + DAY}, "ends_at is given and bounds nothing"),
        (OF_SESSION | {"conversation": None}, "conversation is missing"),
    ],
)
def test_a_bound_stands_where_it_is_read_and_nowhere_else(
    changed: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValidationError, match=named):
        asked(**changed)


@pytest.mark.req("OM-73")
def test_until_another_person_acknowledges_the_cost_no_task_reads_it(
    ledger: Ledger, book: OverrideBook
) -> None:
    request = asked(policy_sha256=OMEGA.sha256)
    book.ask(request, NOW + DAY, NOW)
    assert ids(ledger) == set()
    ada = Person(ledger.approvals, "ada")
    acknowledge(ledger.engine, ada.signed(book.approval("override-1", NOW)), OMEGA, NOW)
    entry = book.find("override-1", NOW)
    assert (entry.state, entry.approver, entry.acknowledged_at) == ("active", "ada", NOW)
    (read,) = read_overrides(ledger.signals, "t-1")
    assert (read.approver, read.acknowledged_at) == ("ada", NOW)
    assert (read.cost_impact_nano_usd, read.reason) == (5_000_000, REASON)
    assert told(ledger)[-1] == "approval_closed"


@pytest.mark.req("OM-73")
@pytest.mark.parametrize(
    ("spoilt", "why"),
    [
        ({"approver": "billing"}, "belongs to another person"),
        ({"request_sha256": "e" * 64}, "another version of the request"),
        ({"ceiling_nano_usd": 4_999_999}, "below what the task may cost"),
        ({"expires_at": NOW}, "has expired"),
        ({"verdict": "rejected"}, "struck by a reviewer"),
    ],
)
def test_a_verdict_on_anything_but_what_was_shown_leaves_it_pending(
    ledger: Ledger, book: OverrideBook, spoilt: dict[str, Any], why: str
) -> None:
    book.ask(asked(policy_sha256=OMEGA.sha256), NOW + DAY, NOW)
    signed = Person(ledger.approvals, "ada").signed(book.approval("override-1", NOW), **spoilt)
    with pytest.raises(VerdictRefusedError, match=why):
        acknowledge(ledger.engine, signed, OMEGA, NOW)
    assert state(book) is OverrideState.PENDING
    assert ids(ledger) == set()


@pytest.mark.req("OM-73")
def test_who_asked_for_it_cannot_acknowledge_its_cost(ledger: Ledger, book: OverrideBook) -> None:
    book.ask(asked(policy_sha256=OMEGA.sha256, requester="ada"), NOW + DAY, NOW)
    signed = Person(ledger.approvals, "ada").signed(book.approval("override-1", NOW))
    with pytest.raises(VerdictRefusedError, match="ask another person"):
        acknowledge(ledger.engine, signed, OMEGA, NOW)
    assert state(book) is OverrideState.PENDING


def test_a_policy_that_changed_meanwhile_refuses_the_verdict_and_says_so(
    ledger: Ledger, book: OverrideBook
) -> None:
    book.ask(asked(), NOW + DAY, NOW)
    signed = Person(ledger.approvals, "ada").signed(book.approval("override-1", NOW))
    with pytest.raises(VerdictRefusedError, match="the policy, its models or prices changed"):
        acknowledge(ledger.engine, signed, OMEGA, NOW)
    assert state(book) is OverrideState.PENDING


def test_nobody_acknowledges_it_after_its_time(ledger: Ledger, book: OverrideBook) -> None:
    book.ask(asked(), NOW + DAY, NOW)
    assert state(book, NOW + DAY) is OverrideState.EXPIRED
    with pytest.raises(OverrideConflictError, match="is expired, not pending"):
        book.approval("override-1", NOW + DAY)
    assert (book.expire(NOW), book.expire(NOW + DAY)) == (0, 1)
    assert ledger.approvals.waiting() == []
    assert state(book, NOW + DAY) is OverrideState.EXPIRED


@pytest.mark.req("OM-70")
def test_a_task_outside_the_scope_reads_nothing_of_it(ledger: Ledger, book: OverrideBook) -> None:
    in_force(book, ledger.approvals, asked("of-task", **OF_TASK))
    in_force(book, ledger.approvals, asked("of-session", **OF_SESSION))
    in_force(book, ledger.approvals, asked("of-period"))
    in_force(book, ledger.approvals, asked("elsewhere", pack="codex"))
    assert ids(ledger, "t-1", "thread-9") == {"of-task", "of-session", "of-period"}
    assert ids(ledger, "t-2", "thread-8") == {"of-period"}
    assert ids(ledger, "t-1", at=NOW + DAY) == {"of-task"}
    assert ids(ledger, "t-1", at=NOW - DAY) == set()
    assert ids(ledger, "t-1", "thread-9", pack="codex") == {"elsewhere"}


@pytest.mark.req("OM-71")
@pytest.mark.parametrize(
    "changed",
    [SINGLE, OF_SESSION, {"duration": OverrideDuration.TIME_LIMITED}, OF_TASK],
)
def test_scope_and_duration_stand_on_the_row(
    ledger: Ledger, book: OverrideBook, changed: dict[str, Any]
) -> None:
    book.ask(asked(**changed), NOW + DAY, NOW)
    (row,) = ledger.rows("SELECT scope, duration FROM route_override")
    assert row == {"scope": asked(**changed).scope, "duration": asked(**changed).duration}


def test_a_session_ends_for_every_override_of_it(ledger: Ledger, book: OverrideBook) -> None:
    in_force(book, ledger.approvals, asked(**OF_SESSION))
    in_force(book, ledger.approvals, asked("other", **OF_SESSION | {"conversation": "thread-8"}))
    assert book.end_session("thread-9", "ada", NOW) == ["override-1"]
    assert book.end_session("thread-9", "ada", NOW) == []
    assert state(book) is OverrideState.ENDED
    assert (ids(ledger, "t-1", "thread-9"), ids(ledger, "t-1", "thread-8")) == (set(), {"other"})
    assert told(ledger).count("override_session_ended") == 1


def test_an_indefinite_one_lasts_until_it_is_revoked(ledger: Ledger, book: OverrideBook) -> None:
    in_force(book, ledger.approvals, asked(**OF_TASK))
    years_later = NOW + 1000 * DAY
    assert (state(book, years_later), ids(ledger, at=years_later)) == ("active", {"override-1"})
    book.revoke("override-1", *BY_REVIEWER, years_later)
    assert (state(book, years_later), ids(ledger, at=years_later)) == ("revoked", set())


@pytest.mark.req("OM-69")
@pytest.mark.parametrize("is_acknowledged", [True, False])
def test_a_reviewer_strikes_a_reason_and_the_override_is_over(
    ledger: Ledger, book: OverrideBook, is_acknowledged: bool
) -> None:
    if is_acknowledged:
        in_force(book, ledger.approvals, asked())
    else:
        book.ask(asked(), NOW + DAY, NOW)
    book.strike("override-1", *BY_REVIEWER, NOW)
    entry = book.find("override-1", NOW)
    assert (entry.state, entry.ended_by, entry.ended_reason) == ("struck", *BY_REVIEWER)
    assert ids(ledger) == set()
    assert ledger.approvals.waiting() == []
    assert "override_struck" in told(ledger)
    with pytest.raises(OverrideConflictError, match="is struck already"):
        book.revoke("override-1", *BY_REVIEWER, NOW)
    with pytest.raises(OverrideConflictError, match="not pending"):
        book.approval("override-1", NOW)


def test_overrides_are_listed_latest_first_with_the_tasks_they_moved(
    ledger: Ledger, book: OverrideBook
) -> None:
    in_force(book, ledger.approvals, asked())
    book.ask(asked("override-2", starts_at=NOW + DAY / 2), NOW + DAY, NOW)
    book.ask(asked("override-3", pack="codex"), NOW + DAY, NOW)
    hold(ledger.budgets, overridden("t-1"))
    ledger.outcomes.log(outcome("t-1"), None, NOW)
    listed = book.entries(NOW, pack="omega")
    assert [(e.asked.override_id, len(e.uses)) for e in listed] == [
        ("override-2", 0),
        ("override-1", 1),
    ]
    assert len(book.entries(NOW)) == 3
    assert len(book.entries(NOW, limit=1)) == 1
