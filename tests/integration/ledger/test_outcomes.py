"""How tasks end: once, with the ledger's own figures (design 1 and 5; OM-75 to OM-79)."""

import json
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from pointwork.contract.canonical import canonical_json, sha256_hex
from pointwork.contract.decision import ClassSource, Effect, Obligation
from pointwork.contract.failures import FailureType, ProviderFailureKind
from pointwork.contract.outcome import AttemptState, Settlement, TaskStatus
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import Sensitivity
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


def run(ledger: Ledger, task_id: str, cost: int = 60, **reservation: Any) -> None:
    """Accept, reserve, send and answer the first call of a task."""
    accept(ledger.vault, task_id)
    reserve(ledger.budgets, task_id, windows=[window("day"), window("week")], **reservation)
    ledger.attempts.begin(invoke(task_id), f"{task_id}/1", NOW)
    ledger.attempts.finish(f"{task_id}/1", **answer(cost=cost))


@pytest.mark.req("OM-75", "OM-76")
def test_an_answered_task_posts_its_cost_and_frees_the_rest(ledger: Ledger) -> None:
    run(ledger, "t-1", cost=60)
    claimed = outcome("t-1", cost_nano_usd=5, settlement=Settlement.AT_LEAST, served_model="m")
    logged = ledger.outcomes.log(claimed, None, NOW)
    assert (logged.cost_nano_usd, logged.settlement) == (60, Settlement.EXACT)
    assert [(each.number, each.model, each.vendor) for each in logged.attempts] == [
        (1, "small-local", "acme")
    ]
    assert logged.audit_sequence == 1
    assert ledger.budgets.read(["day", "week"]) == {"day": (1000, 60), "week": (1000, 60)}


def test_logging_again_returns_the_first_record_whatever_the_second_says(ledger: Ledger) -> None:
    run(ledger, "t-1")
    first = ledger.outcomes.log(outcome("t-1"), None, NOW)
    for status in (TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED):
        assert ledger.outcomes.log(outcome("t-1", status), decision("t-1", 9), NOW) == first
    assert ledger.outcomes.find("t-1") == first
    assert len(ledger.rows("SELECT * FROM audit")) == 1
    assert len(ledger.outcomes.decisions("t-1")) == 1


@pytest.mark.req("OM-78")
@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (TaskStatus.DENIED, FailureType.POLICY_DENIED),
        (TaskStatus.FAILED, FailureType.PROVIDERS_EXHAUSTED),
        (TaskStatus.EXPIRED, FailureType.APPROVAL_EXPIRED),
        (TaskStatus.CANCELLED, None),
    ],
)
def test_every_way_to_end_without_an_answer_is_recorded_at_no_cost(
    ledger: Ledger, status: TaskStatus, failure: FailureType | None
) -> None:
    reserve(ledger.budgets, "t-1", windows=[window("day")])
    logged = ledger.outcomes.log(outcome("t-1", status, failure=failure, reason="why"), None, NOW)
    assert (logged.status, logged.failure, logged.cost_nano_usd) == (status, failure, 0)
    assert [attempt.state for attempt in logged.attempts] == [AttemptState.PLANNED]
    assert ledger.budgets.read(["day"]) == {"day": (1000, 0)}
    assert ledger.rows("SELECT state FROM hold_part") == [{"state": "voided"}]


@pytest.mark.req("OM-79", "JG-21")
def test_a_fallbacks_two_calls_are_both_listed_and_both_paid(ledger: Ledger) -> None:
    accept(ledger.vault, "t-1")
    for number in (1, 2):
        reserve(ledger.budgets, "t-1", number, windows=[window("day")])
        ledger.attempts.begin(invoke("t-1", number), f"t-1/{number}", NOW)
        if number == 1:
            kind = ProviderFailureKind.STREAM_INTERRUPTED
            ledger.attempts.fail("t-1/1", kind, 100, Settlement.AT_LEAST, 7, NOW)
    ledger.attempts.finish("t-1/2", **answer(cost=30))
    logged = ledger.outcomes.log(outcome("t-1"), None, NOW)
    assert [(each.number, each.state, each.cost_nano_usd) for each in logged.attempts] == [
        (1, AttemptState.FAILED, 100),
        (2, AttemptState.DONE, 30),
    ]
    assert (logged.cost_nano_usd, logged.settlement) == (130, Settlement.AT_LEAST)
    assert ledger.outcomes.attempts("t-1") == list(logged.attempts)


def test_a_call_still_out_when_the_task_ends_is_unknown_and_paid_in_full(ledger: Ledger) -> None:
    accept(ledger.vault, "t-1")
    reserve(ledger.budgets, "t-1", windows=[window("day")])
    ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    logged = ledger.outcomes.log(outcome("t-1", TaskStatus.CANCELLED), None, NOW)
    assert [each.state for each in logged.attempts] == [AttemptState.UNKNOWN]
    assert (logged.cost_nano_usd, logged.settlement) == (100, Settlement.AT_LEAST)


def test_a_part_without_a_planned_call_is_released(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t-1", windows=[window("day")], is_planned=False)
    logged = ledger.outcomes.log(outcome("t-1", TaskStatus.CANCELLED), None, NOW)
    assert (logged.attempts, logged.cost_nano_usd) == ((), 0)
    assert ledger.budgets.read(["day"]) == {"day": (1000, 0)}


@pytest.mark.req("OM-37", "OM-39")
@pytest.mark.parametrize("cost", [0, 99, 100, 101, 5000])
def test_a_cost_above_its_hold_is_posted_in_full_and_never_silently(
    ledger: Ledger, cost: int
) -> None:
    run(ledger, "t-1", cost=cost)
    logged = ledger.outcomes.log(outcome("t-1"), None, NOW)
    assert logged.cost_nano_usd == cost
    assert ledger.budgets.read(["day"]) == {"day": (1000, cost)}
    overruns = ledger.rows(
        "SELECT task_id, model, cost_nano_usd, excess_nano_usd, reason FROM overrun"
    )
    expected = {
        "task_id": "t-1",
        "model": "small-local",
        "cost_nano_usd": cost,
        "excess_nano_usd": cost - 100,
        "reason": "the call cost more than its worst-case estimate",
    }
    assert overruns == ([expected] if cost > 100 else [])


def test_a_window_overrun_admits_nothing_more(ledger: Ledger) -> None:
    run(ledger, "t-1", cost=5000)
    ledger.outcomes.log(outcome("t-1"), None, NOW)
    assert reserve(ledger.budgets, "t-2", amount=1, windows=[window("day")]).refused_by == "day"


@pytest.mark.req("SP-44")
def test_a_denied_task_keeps_the_decision_no_reservation_stored(ledger: Ledger) -> None:
    denial = decision("t-1", effect=Effect.DENY, reason=ReasonCode.NO_CANDIDATE)
    ledger.outcomes.log(outcome("t-1", TaskStatus.DENIED), denial, NOW)
    assert ledger.outcomes.decisions("t-1") == [denial]


@pytest.mark.req("SP-44")
def test_the_audit_record_covers_the_outcome_and_every_decision(ledger: Ledger) -> None:
    run(ledger, "t-1")
    logged = ledger.outcomes.log(outcome("t-1"), None, NOW)
    (record,) = ledger.chain.records(10)
    assert (record.sequence, record.kind, record.task_id) == (1, "outcome", "t-1")
    assert record.occurred_at == NOW
    whole = json.loads(canonical_json(logged.model_copy(update={"audit_sequence": None})))
    assert record.body["outcome"] == whole
    digest = sha256_hex(canonical_json(decision("t-1")))
    assert record.body["decisions_sha256"] == {"t-1#1": digest}


@pytest.mark.req("OM-86")
@pytest.mark.parametrize(
    ("status", "source", "is_incident"),
    [
        (TaskStatus.DENIED, ClassSource.UNKNOWN, True),
        (TaskStatus.DENIED, ClassSource.DECLARED, False),
        (TaskStatus.SUCCEEDED, ClassSource.UNKNOWN, False),
    ],
)
def test_a_denial_for_want_of_a_class_is_an_incident(
    ledger: Ledger, status: TaskStatus, source: ClassSource, is_incident: bool
) -> None:
    ledger.outcomes.log(outcome("t-1", status, class_source=source), None, NOW)
    codes = ledger.rows("SELECT task_id, code FROM incident")
    expected = {"task_id": "t-1", "code": "missing_classification"}
    assert codes == ([expected] if is_incident else [])


@pytest.mark.req("OM-47")
@pytest.mark.parametrize(
    ("sensitivity", "obligations", "is_restricted"),
    [
        (Sensitivity.RESTRICTED, (), True),
        (Sensitivity.INTERNAL, (Obligation.LOG_RESTRICTED,), True),
        (Sensitivity.SENSITIVE, (), False),
    ],
)
def test_restricted_tasks_are_flagged(
    ledger: Ledger,
    sensitivity: Sensitivity,
    obligations: tuple[Obligation, ...],
    is_restricted: bool,
) -> None:
    record = decision("t-1", sensitivity=sensitivity, obligations=obligations)
    ledger.outcomes.log(outcome("t-1"), record, NOW)
    (row,) = ledger.rows("SELECT is_restricted FROM outcome")
    assert bool(row["is_restricted"]) is is_restricted


def test_a_conversations_mark_rises_and_never_falls(ledger: Ledger) -> None:
    marks = []
    levels = [Sensitivity.INTERNAL, Sensitivity.RESTRICTED, Sensitivity.PUBLIC]
    for number, level in enumerate(levels):
        task_id = f"t-{number}"
        record = decision(task_id, sensitivity=level, conversation="chat-1")
        ledger.outcomes.log(outcome(task_id, sensitivity=level), record, NOW)
        marks.append(ledger.signals.conversation_sensitivity("chat-1"))
    assert marks == [Sensitivity.INTERNAL, Sensitivity.RESTRICTED, Sensitivity.RESTRICTED]
    assert ledger.signals.conversation_sensitivity("chat-2") is None


def test_what_the_outcome_found_raises_the_mark_above_what_was_decided(ledger: Ledger) -> None:
    record = decision("t-1", sensitivity=None, conversation="chat-1")
    ledger.outcomes.log(outcome("t-1", sensitivity=Sensitivity.SENSITIVE), record, NOW)
    assert ledger.signals.conversation_sensitivity("chat-1") is Sensitivity.SENSITIVE


def test_the_latest_outcomes_come_first_and_can_be_chosen_by_status(ledger: Ledger) -> None:
    for number in range(6):
        status = TaskStatus.DENIED if number % 3 == 0 else TaskStatus.SUCCEEDED
        ledger.outcomes.log(
            outcome(f"t-{number}", status, finished_at=NOW.replace(second=number)), None, NOW
        )
    assert [each.task_id for each in ledger.outcomes.recent(3)] == ["t-5", "t-4", "t-3"]
    denied = ledger.outcomes.recent(10, TaskStatus.DENIED)
    assert [each.task_id for each in denied] == ["t-3", "t-0"]
    assert ledger.outcomes.recent(10)[0].audit_sequence == 6


def test_a_task_that_is_not_known_has_nothing(ledger: Ledger) -> None:
    assert ledger.outcomes.find("nobody") is None
    assert ledger.outcomes.decisions("nobody") == []
    assert ledger.outcomes.attempts("nobody") == []


def test_a_figure_beyond_json_integers_is_recorded_exactly(ledger: Ledger) -> None:
    logged = ledger.outcomes.log(outcome("t-1", estimate_nano_usd=2**62), None, NOW)
    assert logged.estimate_nano_usd == 2**62
    assert ledger.chain.records(1)[0].body["outcome"]["estimate_nano_usd"] == str(2**62)


@pytest.mark.req("OM-86")
def test_a_task_whose_audit_record_cannot_be_written_has_no_outcome(ledger: Ledger) -> None:
    run(ledger, "t-1")
    if ledger.engine.dialect.name == "postgresql":
        ledger.rows("ALTER TABLE audit ADD CONSTRAINT disk_full CHECK (sequence > 5)")
    else:
        ledger.rows(
            "CREATE TRIGGER disk_full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    with pytest.raises(IntegrityError):
        ledger.outcomes.log(outcome("t-1"), None, NOW)
    assert ledger.outcomes.find("t-1") is None
    assert ledger.budgets.read(["day"]) == {"day": (1000, 100)}
