"""How models did, rolled up from calls the ledger recorded (JG-30 to JG-34)."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from pointwork.contract.decision import Direction, Trigger
from pointwork.contract.failures import FailureType, ProviderFailureKind, TaskNotFoundError
from pointwork.contract.outcome import (
    Fallback,
    FinishReason,
    Settlement,
    TaskStatus,
    TokenUsage,
)
from pointwork.contract.overlay import CallFault, ErrorCount, ModelWindow
from pointwork.ledger.feedback import rate
from pointwork.ledger.model_windows import ClosedCall, ModelWindows, roll_up
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, accept, answer, invoke, outcome, reserve

STARTS_AT, ENDS_AT = NOW, NOW + timedelta(hours=1)
TIMEOUT = ProviderFailureKind.TIMEOUT
OVERLOADED = ProviderFailureKind.OVERLOADED


def windows(ledger: Ledger, pack: str | None = None) -> dict[str, ModelWindow]:
    found = ModelWindows(ledger.engine).read(STARTS_AT, ENDS_AT, pack=pack)
    return {each.model: each for each in found}


def send(ledger: Ledger, task_id: str) -> str:
    """Accept the task, hold its money and commit that the call is sent."""
    accept(ledger.vault, task_id)
    reserve(ledger.budgets, task_id)
    return ledger.attempts.begin(invoke(task_id), f"{task_id}/1", NOW).attempt_id


def answered(ledger: Ledger, task_id: str, **fields: Any) -> None:
    ledger.attempts.finish(send(ledger, task_id), **answer(**fields))
    done = outcome(task_id, served_model="small-local", finish_reason=FinishReason.STOP)
    ledger.outcomes.log(done, None, NOW)


def failed(ledger: Ledger, task_id: str, kind: ProviderFailureKind, cost: int = 0) -> None:
    attempt_id = send(ledger, task_id)
    ledger.attempts.fail(attempt_id, kind, cost, Settlement.EXACT, 9, NOW)
    ended = outcome(task_id, TaskStatus.FAILED, failure=FailureType.PROVIDERS_EXHAUSTED)
    ledger.outcomes.log(ended, None, NOW)


@pytest.mark.req("JG-30", "JG-31", "JG-32", "JG-33")
def test_the_roll_up_equals_the_fixture(ledger: Ledger) -> None:
    tokens = ((10, 20), (100, 301), (7, 2))
    for number, (sent, received) in enumerate(tokens):
        usage = TokenUsage(input_tokens=sent, output_tokens=received)
        duration = (100, 201, 300)[number]
        answered(ledger, f"good-{number}", cost=7, usage=usage, duration_ms=duration)
    failed(ledger, "slow-1", TIMEOUT)
    failed(ledger, "slow-2", TIMEOUT)
    failed(ledger, "full-1", OVERLOADED, cost=3)
    assert windows(ledger) == {
        "small-local": ModelWindow(
            model="small-local",
            starts_at=STARTS_AT,
            ends_at=ENDS_AT,
            requests=6,
            succeeded=3,
            failed=3,
            errors_by_kind=(
                ErrorCount(kind=OVERLOADED, count=1),
                ErrorCount(kind=TIMEOUT, count=2),
            ),
            average_ms=200,
            average_tokens=147,
            succeeded_per_1k_tokens=Decimal("6.8182"),
            cost_nano_usd=24,
            rating_average=None,
        )
    }


def test_a_ledger_without_calls_has_no_windows(ledger: Ledger) -> None:
    assert windows(ledger) == {}


def test_a_call_still_running_is_in_no_window(ledger: Ledger) -> None:
    send(ledger, "t-1")
    assert windows(ledger) == {}


def test_a_call_whose_fate_is_unknown_counts_as_failed(ledger: Ledger) -> None:
    send(ledger, "t-1")
    ledger.outcomes.log(outcome("t-1", TaskStatus.FAILED), None, NOW)
    (window,) = windows(ledger).values()
    assert window.errors_by_kind == (ErrorCount(kind=CallFault.FATE_UNKNOWN, count=1),)
    assert (window.average_ms, window.average_tokens) == (None, None)
    assert window.succeeded_per_1k_tokens is None


@pytest.mark.parametrize(("minutes", "counts"), [(0, True), (59, True), (60, False), (-1, False)])
def test_a_call_belongs_to_the_window_it_was_sent_in(
    ledger: Ledger, minutes: int, counts: bool
) -> None:
    """``minutes`` after the window began."""
    answered(ledger, "t-1")
    begin = NOW - timedelta(minutes=minutes)
    found = ModelWindows(ledger.engine).read(begin, begin + timedelta(hours=1))
    assert bool(found) is counts


@pytest.mark.req("JG-33")
def test_an_answer_a_check_refused_counts_against_its_model(ledger: Ledger) -> None:
    ledger.attempts.finish(send(ledger, "t-1"), **answer())
    move = Fallback(
        from_model="small-local",
        to_model="other",
        trigger=Trigger.CHEAPER_FAILED,
        direction=Direction.UP,
        cause="schema: $.items",
        attempt=2,
    )
    ended = outcome("t-1", TaskStatus.SUCCEEDED, served_model="other", fallbacks=(move,))
    ledger.outcomes.log(ended, None, NOW)
    (window,) = windows(ledger).values()
    assert window.errors_by_kind == (ErrorCount(kind=CallFault.ANSWER_REFUSED, count=1),)


@pytest.mark.parametrize(
    ("failure", "refused"),
    [
        (FailureType.PROVIDERS_EXHAUSTED, True),
        (FailureType.BUDGET_EXCEEDED, True),
        (FailureType.DEADLINE_EXCEEDED, False),
        (FailureType.INTERNAL, False),
    ],
)
def test_the_last_answer_of_a_task_without_one_was_refused_unless_time_ran_out(
    ledger: Ledger, failure: FailureType, refused: bool
) -> None:
    ledger.attempts.finish(send(ledger, "t-1"), **answer())
    ended = outcome("t-1", TaskStatus.FAILED, failure=failure)
    ledger.outcomes.log(ended, None, NOW)
    (window,) = windows(ledger).values()
    assert (window.succeeded, window.failed) == ((0, 1) if refused else (1, 0))


@pytest.mark.req("JG-34")
def test_ratings_are_averaged_over_the_tasks_the_model_answered(ledger: Ledger) -> None:
    for number, ratings in enumerate([(5,), (4, 2), ()]):
        answered(ledger, f"t-{number}")
        for person, rating in enumerate(ratings):
            rate(ledger.engine, f"t-{number}", rating, by=f"person-{person}", now=NOW)
    assert windows(ledger)["small-local"].rating_average == Decimal("3.6667")


@pytest.mark.req("JG-34")
def test_a_rating_counts_for_the_model_that_answered_and_the_window_it_was_called_in(
    ledger: Ledger,
) -> None:
    """Another model's answer, and another hour's, are rated apart."""
    for task_id, model, hours, rating in [
        ("t-1", "small-local", 0, 4),
        ("t-2", "small-local", 2, 1),
        ("t-3", "other", 0, 2),
        ("t-4", "other", 2, 5),
    ]:
        accept(ledger.vault, task_id)
        reserve(ledger.budgets, task_id, is_planned=False)
        at = NOW + timedelta(hours=hours)
        ledger.attempts.begin(invoke(task_id, model=model), f"{task_id}/1", at)
        ledger.attempts.finish(f"{task_id}/1", **answer())
        ledger.outcomes.log(outcome(task_id, served_model=model), None, NOW)
        rate(ledger.engine, task_id, rating, by="someone", now=NOW)
    assert {name: each.rating_average for name, each in windows(ledger).items()} == {
        "small-local": Decimal(4),
        "other": Decimal(2),
    }


@pytest.mark.req("JG-34")
def test_a_call_whose_answer_was_not_served_gets_no_rating(ledger: Ledger) -> None:
    """The task was answered by a model that was not called in this window."""
    answered(ledger, "t-1")
    attempt_id = send(ledger, "t-2")
    ledger.attempts.finish(attempt_id, **answer())
    ledger.outcomes.log(outcome("t-2", served_model="other"), None, NOW)
    reserve(ledger.budgets, "t-3", is_planned=False)
    ledger.attempts.begin(invoke("t-3", model="other"), "t-3/1", NOW)
    ledger.attempts.fail("t-3/1", TIMEOUT, 0, Settlement.EXACT, 9, NOW)
    rate(ledger.engine, "t-2", 1, by="someone", now=NOW)
    averages = {name: each.rating_average for name, each in windows(ledger).items()}
    assert averages == {"small-local": None, "other": None}


@pytest.mark.req("JG-34")
def test_without_a_rating_there_is_no_average_rather_than_a_zero(ledger: Ledger) -> None:
    answered(ledger, "t-1")
    assert windows(ledger)["small-local"].rating_average is None


def test_a_persons_later_rating_replaces_the_earlier_and_both_are_on_record(
    ledger: Ledger,
) -> None:
    answered(ledger, "t-1")
    for rating in (1, 5):
        rate(ledger.engine, "t-1", rating, by="someone", now=NOW)
    assert windows(ledger)["small-local"].rating_average == Decimal(5)
    given = [each.body for each in ledger.chain.records(10) if each.kind == "feedback"]
    assert given == [{"by": "someone", "rating": 1}, {"by": "someone", "rating": 5}]


@pytest.mark.parametrize("rating", [0, 6, -1, True, 4.5, "5"])
def test_a_rating_outside_one_to_five_is_refused(ledger: Ledger, rating: Any) -> None:
    answered(ledger, "t-1")
    with pytest.raises(ValueError, match="whole number from 1 to 5"):
        rate(ledger.engine, "t-1", rating, by="someone", now=NOW)


def test_a_task_nobody_submitted_cannot_be_rated(ledger: Ledger) -> None:
    with pytest.raises(TaskNotFoundError, match="gone is not known"):
        rate(ledger.engine, "gone", 5, by="someone", now=NOW)


def test_a_window_may_be_one_packs_alone(ledger: Ledger) -> None:
    answered(ledger, "t-1")
    rate(ledger.engine, "t-1", 4, by="someone", now=NOW)
    window = windows(ledger, "omega")["small-local"]
    assert (window.requests, window.rating_average) == (1, Decimal(4))
    assert windows(ledger, "juggernaut") == {}


def test_the_roll_up_is_pure_and_in_the_order_of_names() -> None:
    def call(model: str) -> ClosedCall:
        return ClosedCall(model=model, fault=None, duration_ms=1, tokens=None, cost_nano_usd=2**60)

    found = roll_up([call("b"), call("a"), call("b")], {"b": [1, 2]}, STARTS_AT, ENDS_AT)
    assert [each.model for each in found] == ["a", "b"]
    assert [each.cost_nano_usd for each in found] == [2**60, 2**61]
    assert [each.rating_average for each in found] == [None, Decimal("1.5000")]
