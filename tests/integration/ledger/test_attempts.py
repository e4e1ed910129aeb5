"""An attempt row before each call, and the fate of calls nobody heard from again (design 5)."""

import subprocess
import sys
from pathlib import Path

import pytest

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import AttemptState, Settlement, TokenUsage
from pointwork.ledger.attempts import AttemptClosedError, BudgetRefusedError
from pointwork.ledger.sweeper import expire_parts
from pointwork.ledger.vault import ContentUnavailableError
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import (
    NOW,
    accept,
    answer,
    invoke,
    outcome,
    reserve,
    window,
)


def states(ledger: Ledger, task_id: str = "t-1") -> list[AttemptState]:
    return [attempt.state for attempt in ledger.outcomes.attempts(task_id)]


@pytest.fixture
def sent(ledger: Ledger) -> Ledger:
    """Task t-1, accepted and reserved, its first call sent."""
    accept(ledger.vault, "t-1")
    reserve(ledger.budgets, "t-1", windows=[window("day")])
    ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    return ledger


def test_a_reserved_call_is_planned_then_sent_then_done(ledger: Ledger) -> None:
    accept(ledger.vault, "t-1")
    reserve(ledger.budgets, "t-1", windows=[window("day")])
    assert states(ledger) == [AttemptState.PLANNED]
    start = ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    assert (start.attempt_id, start.stored) == ("t-1/1", None)
    assert states(ledger) == [AttemptState.SENT]
    done = ledger.attempts.finish("t-1/1", **answer(cost=60))
    assert states(ledger) == [AttemptState.DONE]
    assert (done.cost_nano_usd, done.settlement) == (60, Settlement.EXACT)
    assert done.usage == TokenUsage(input_tokens=10, output_tokens=20)
    assert done.provider_request_id == "req-1"


def test_a_retry_of_an_answered_call_gets_the_stored_answer_and_calls_nobody(sent: Ledger) -> None:
    done = sent.attempts.finish("t-1/1", **answer())
    start = sent.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    assert start.stored == done
    assert sent.budgets.read(["day"]) == {"day": (1000, 100)}


def test_finishing_twice_returns_what_the_first_stored(sent: Ledger) -> None:
    first = sent.attempts.finish("t-1/1", **answer(cost=60))
    assert sent.attempts.finish("t-1/1", **answer(cost=99, text=b"other")) == first
    assert len(sent.rows("SELECT * FROM vault_content")) == 2


def test_an_answer_without_usage_keeps_its_settlement(sent: Ledger) -> None:
    fields = answer(cost=100, usage=None, settlement=Settlement.AT_LEAST)
    done = sent.attempts.finish("t-1/1", **fields)
    assert done.usage == TokenUsage(input_tokens=0, output_tokens=0)
    (attempt,) = sent.outcomes.attempts("t-1")
    assert (attempt.usage, attempt.settlement) == (None, Settlement.AT_LEAST)


def test_a_call_lost_after_it_was_sent_is_unknown_and_the_next_one_is_paid_apart(
    sent: Ledger,
) -> None:
    start = sent.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    assert (start.attempt_id, start.stored) == ("t-1/1.2", None)
    assert states(sent) == [AttemptState.UNKNOWN, AttemptState.SENT]
    lost, _ = sent.outcomes.attempts("t-1")
    assert (lost.cost_nano_usd, lost.settlement) == (100, Settlement.AT_LEAST)
    assert sent.budgets.read(["day"]) == {"day": (1000, 200)}
    again = sent.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    assert again.attempt_id == "t-1/1.3"
    assert sent.budgets.read(["day"]) == {"day": (1000, 300)}


@pytest.mark.req("CX-90")
def test_a_lost_call_is_not_repeated_beyond_the_budget(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t-1", windows=[window("day", 150), window("week")])
    ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    for _ in range(2):
        with pytest.raises(BudgetRefusedError, match="raise that budget") as refused:
            ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
        assert refused.value.window == "day"
        assert states(ledger) == [AttemptState.UNKNOWN]
    assert ledger.budgets.read(["day", "week"]) == {"day": (150, 100), "week": (1000, 100)}


@pytest.mark.req("JG-27")
def test_a_lost_call_is_not_repeated_beyond_the_tasks_ceiling(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t-1", ceiling=199)
    ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    with pytest.raises(BudgetRefusedError) as refused:
        ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    assert refused.value.window == "task"


def test_a_refused_repeat_goes_out_once_the_budget_allows_it(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t-1", windows=[window("day", 150)])
    ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    with pytest.raises(BudgetRefusedError):
        ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    reserve(ledger.budgets, "t-2", amount=0, windows=[window("day", 200)])
    assert ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW).attempt_id == "t-1/1.2"


def test_a_call_given_up_that_answers_late_is_done_and_its_answer_is_used(sent: Ledger) -> None:
    """The zombie's bill is real, and its answer is as good as any while the task is open."""
    sent.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    late = sent.attempts.finish("t-1/1", **answer(cost=60))
    assert states(sent) == [AttemptState.DONE, AttemptState.SENT]
    assert sent.attempts.begin(invoke("t-1"), "t-1/1", NOW).stored == late
    logged = sent.outcomes.log(outcome("t-1"), None, NOW)
    assert (logged.cost_nano_usd, logged.settlement) == (160, Settlement.AT_LEAST)
    assert sent.budgets.read(["day"]) == {"day": (1000, 160)}


@pytest.mark.parametrize(
    ("cost", "spent", "is_overrun"), [(40, 100, False), (100, 100, False), (170, 170, True)]
)
def test_an_answer_after_the_outcome_corrects_money_upwards_and_nothing_else(
    sent: Ledger, cost: int, spent: int, is_overrun: bool
) -> None:
    logged = sent.outcomes.log(outcome("t-1"), None, NOW)
    assert (logged.cost_nano_usd, logged.settlement) == (100, Settlement.AT_LEAST)
    late = sent.attempts.finish("t-1/1", **answer(cost=cost))
    assert late.cost_nano_usd == cost
    assert sent.outcomes.find("t-1") == logged
    assert sent.budgets.read(["day"]) == {"day": (1000, spent)}
    overruns = sent.rows("SELECT held_nano_usd, cost_nano_usd, excess_nano_usd FROM overrun")
    expected = {"held_nano_usd": 100, "cost_nano_usd": cost, "excess_nano_usd": cost - 100}
    assert overruns == ([expected] if is_overrun else [])
    record = sent.chain.records(10)[-1]
    assert (record.kind, record.body["is_overrun"]) == ("late_settlement", is_overrun)
    sent.attempts.finish("t-1/1", **answer(cost=cost))
    assert sent.budgets.read(["day"]) == {"day": (1000, spent)}


def test_an_answer_that_comes_after_erasure_still_has_its_cost_recorded(sent: Ledger) -> None:
    sent.vault.destroy_key("t-1", NOW)
    for _ in range(2):
        with pytest.raises(ContentUnavailableError):
            sent.attempts.finish("t-1/1", **answer(cost=60))
    (attempt,) = sent.outcomes.attempts("t-1")
    assert (attempt.state, attempt.cost_nano_usd) == (AttemptState.DONE, 60)


@pytest.mark.parametrize(
    ("cost", "settlement"), [(0, Settlement.EXACT), (100, Settlement.AT_LEAST)]
)
def test_a_failed_call_posts_its_cost_and_frees_the_rest_at_once(
    sent: Ledger, cost: int, settlement: Settlement
) -> None:
    for _ in range(2):
        sent.attempts.fail("t-1/1", ProviderFailureKind.TIMEOUT, cost, settlement, 30, NOW)
    (attempt,) = sent.outcomes.attempts("t-1")
    assert attempt.failure is ProviderFailureKind.TIMEOUT
    assert (attempt.cost_nano_usd, attempt.duration_ms) == (cost, 30)
    assert sent.budgets.read(["day"]) == {"day": (1000, cost)}
    with pytest.raises(AttemptClosedError, match="failed already"):
        sent.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    with pytest.raises(AttemptClosedError, match="is failed"):
        sent.attempts.finish("t-1/1", **answer())


def test_a_failure_that_comes_after_the_outcome_posts_only_what_exceeds_it(sent: Ledger) -> None:
    logged = sent.outcomes.log(outcome("t-1"), None, NOW)
    kind = ProviderFailureKind.TRUNCATED
    sent.attempts.fail("t-1/1", kind, 130, Settlement.EXACT, 5, NOW)
    assert sent.budgets.read(["day"]) == {"day": (1000, 130)}
    assert sent.outcomes.find("t-1") == logged


def test_an_answered_call_cannot_fail_afterwards(sent: Ledger) -> None:
    sent.attempts.finish("t-1/1", **answer())
    kind = ProviderFailureKind.TIMEOUT
    with pytest.raises(AttemptClosedError, match="has an answer already"):
        sent.attempts.fail("t-1/1", kind, 0, Settlement.EXACT, 5, NOW)


def test_a_call_that_was_never_sent_can_neither_end_nor_fail(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t-1")
    with pytest.raises(AttemptClosedError, match="is planned"):
        ledger.attempts.finish("t-1/1", **answer())
    kind = ProviderFailureKind.TIMEOUT
    with pytest.raises(AttemptClosedError, match="is planned"):
        ledger.attempts.fail("t-1/1", kind, 0, Settlement.EXACT, 5, NOW)
    with pytest.raises(AttemptClosedError, match="is not known"):
        ledger.attempts.finish("nothing", **answer())


def test_nothing_is_sent_without_a_part_that_pays_for_it(ledger: Ledger) -> None:
    with pytest.raises(AttemptClosedError, match="is not reserved; reserve a new part"):
        ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)


def test_nothing_is_sent_for_a_task_that_has_ended(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t-1")
    ledger.outcomes.log(outcome("t-1"), None, NOW)
    with pytest.raises(AttemptClosedError, match="is voided"):
        ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)


def test_a_lost_call_is_not_repeated_after_its_task_has_ended(sent: Ledger) -> None:
    sent.outcomes.log(outcome("t-1"), None, NOW)
    with pytest.raises(AttemptClosedError, match="is posted"):
        sent.attempts.begin(invoke("t-1"), "t-1/1", NOW)


def test_a_part_reserved_for_one_model_pays_for_no_other(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t-1")
    with pytest.raises(AttemptClosedError, match="reserved for small-local, not big-cloud"):
        ledger.attempts.begin(invoke("t-1", model="big-cloud"), "t-1/1", NOW)


def test_a_part_reserved_without_a_plan_can_be_sent(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t-1", is_planned=False)
    assert ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW).attempt_id == "t-1/1"
    assert states(ledger) == [AttemptState.SENT]


@pytest.mark.parametrize("cost", [-1, True, 1.5, 2**53])
def test_a_cost_that_is_no_amount_is_refused_and_the_call_stays_sent(
    sent: Ledger, cost: int
) -> None:
    with pytest.raises(ValueError, match="cost_nano_usd"):
        sent.attempts.finish("t-1/1", **answer(cost=cost))
    assert states(sent) == [AttemptState.SENT]


DIE_AFTER_SENT = """
import os, signal, sys
from pointwork.ledger.attempts import AttemptLog
from pointwork.ledger.engine import open_engine
from pointwork.ledger.vault import Vault
from tests.integration.ledger.conftest import MASTER_KEYS
from tests.integration.ledger.records import NOW, invoke
engine = open_engine(sys.argv[1])
AttemptLog(engine, Vault(engine, MASTER_KEYS)).begin(invoke("t-1"), "t-1/1", NOW)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_worker_killed_after_sending_leaves_a_covered_unknown_and_the_task_completes(
    ledger: Ledger, repository: Path
) -> None:
    accept(ledger.vault, "t-1")
    reserve(ledger.budgets, "t-1", windows=[window("day")])
    killed = subprocess.run(
        [sys.executable, "-c", DIE_AFTER_SENT, ledger.url], cwd=repository, check=False, timeout=120
    )
    assert killed.returncode == -9
    assert states(ledger) == [AttemptState.SENT]
    start = ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    ledger.attempts.finish(start.attempt_id, **answer(cost=60))
    logged = ledger.outcomes.log(outcome("t-1"), None, NOW)
    assert [attempt.state for attempt in logged.attempts] == [
        AttemptState.UNKNOWN,
        AttemptState.DONE,
    ]
    assert (logged.cost_nano_usd, logged.settlement) == (160, Settlement.AT_LEAST)
    assert ledger.budgets.read(["day"]) == {"day": (1000, 160)}


def test_a_planned_call_whose_own_part_has_ended_is_not_sent_on_anothers(ledger: Ledger) -> None:
    accept(ledger.vault, "t-1")
    reserve(ledger.budgets, "t-1", 1, expires_in_seconds=0)
    reserve(ledger.budgets, "t-1", 2)
    expire_parts(ledger.engine, NOW, lambda _: True)
    with pytest.raises(AttemptClosedError, match="is expired"):
        ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    assert ledger.attempts.begin(invoke("t-1", 2), "t-1/2", NOW).attempt_id == "t-1/2"
