"""Traps of the platform that were met before, each held shut by a test of its own."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pointwork.contract.failures import FailureType, TaskRefusedError
from pointwork.contract.outcome import AttemptState, Settlement, TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.ledger.invariants import check
from tests.fakes.scripted_provider import Hangs, Says
from tests.workflows.stack import Stack
from workers.sweep import LedgerSweep

TEMPORAL_PAYLOAD_BYTES_MAX = 512 * 1024


async def test_a_terminated_task_gets_its_outcome_and_its_hold_settled_by_the_sweeper(
    stack: Stack,
) -> None:
    declaration = stack.declare()
    stack.script.write(declaration.task_id, Hangs())
    await stack.client.submit(Prompt.from_text("tidy up"), declaration)
    await stack.script.called(declaration.task_id)
    await stack.temporal.get_workflow_handle(declaration.task_id).terminate("operator")
    swept = await LedgerSweep(stack.temporal, stack.parts.engine).sweep(None, datetime.now(UTC))
    assert swept.outcomes_recorded >= 1
    outcome = stack.outcomes.find(declaration.task_id)

    assert outcome is not None
    assert (outcome.status, outcome.failure) == (TaskStatus.FAILED, FailureType.INTERNAL)
    # The worker may learn of it before the sweep is here, and records the call that it cut.
    assert outcome.attempts[0].state in (AttemptState.UNKNOWN, AttemptState.FAILED)
    assert outcome.settlement is Settlement.AT_LEAST
    assert [v for v in check(stack.parts.engine) if declaration.task_id in str(v)] == []


async def test_a_prompt_past_temporals_payload_limit_runs_because_only_its_reference_travels(
    stack: Stack,
) -> None:
    declaration = stack.declare(task_class="summarisation_formatting", sensitivity="restricted")
    text = "word " * 20_000
    outcome = await stack.run(declaration, text)
    history = await stack.temporal.get_workflow_handle(declaration.task_id).fetch_history()

    assert outcome.status in (TaskStatus.SUCCEEDED, TaskStatus.DENIED)
    assert max(len(event.SerializeToString()) for event in history.events) < 64 * 1024


async def test_a_prompt_larger_than_a_task_may_carry_is_refused_at_the_edge(stack: Stack) -> None:
    declaration = stack.declare()
    with pytest.raises(TaskRefusedError, match="more than the 1500000"):
        await stack.client.submit(Prompt.from_text("x" * 1_600_000), declaration)


async def test_an_answer_of_a_megabyte_goes_to_the_vault_and_not_through_temporal(
    stack: Stack,
) -> None:
    declaration = stack.declare()
    answer = "lorem ipsum " * 90_000
    stack.script.write(declaration.task_id, Says(answer))
    outcome = await stack.run(declaration)
    history = await stack.temporal.get_workflow_handle(declaration.task_id).fetch_history()

    assert stack.client.answer_text(outcome) == answer
    assert max(len(event.SerializeToString()) for event in history.events) < 64 * 1024


@pytest.mark.parametrize(
    "declared",
    [
        {"marks": tuple(f"mark-{n}" for n in range(33))},
        {"description": "x" * 201},
        {"residency": tuple(f"R{n}" for n in range(17))},
    ],
)
def test_declarations_are_bounded_so_that_no_payload_can_hang_a_workflow(
    stack: Stack, declared: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="at most"):
        stack.declare(**declared)


async def test_a_second_cancel_while_the_outcome_is_written_changes_nothing(stack: Stack) -> None:
    declaration = stack.declare()
    stack.script.write(declaration.task_id, Hangs())
    await stack.client.submit(Prompt.from_text("tidy up"), declaration)
    await stack.script.called(declaration.task_id)
    handle = stack.temporal.get_workflow_handle(declaration.task_id)
    await handle.cancel()
    await handle.cancel()
    outcome = await stack.recorded(declaration.task_id)

    assert outcome.status is TaskStatus.CANCELLED
    assert outcome.audit_sequence is not None


async def test_a_task_goes_on_whose_caller_had_no_time_to_wait(stack: Stack) -> None:
    declaration = stack.declare()
    with pytest.raises(TimeoutError):
        await stack.client.run(Prompt.from_text("tidy up"), declaration, wait_seconds=0)
    assert (await stack.recorded(declaration.task_id)).status is TaskStatus.SUCCEEDED


async def test_a_caller_who_stops_waiting_is_let_go_and_the_task_goes_on(stack: Stack) -> None:
    declaration = stack.declare()
    stack.script.write(declaration.task_id, Hangs())
    prompt = Prompt.from_text("tidy up")
    await stack.client.submit(prompt, declaration)
    await stack.script.called(declaration.task_id)
    with pytest.raises(TimeoutError):
        await stack.client.run(prompt, declaration, wait_seconds=0.5)

    assert (await stack.client.status(declaration.task_id)).status is TaskStatus.INVOKING
    await stack.client.cancel(declaration.task_id)
    await stack.recorded(declaration.task_id)
