"""The life of a task, on a real server with a real ledger: each test is one way it can go."""

import asyncio

import pytest
from temporalio.api.enums.v1 import EventType

from pointwork.contract.decision import Direction, Trigger
from pointwork.contract.failures import FailureType, ProviderFailureKind, TaskFailedError
from pointwork.contract.outcome import AttemptState, Settlement, TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import Sensitivity
from pointwork.ledger.task_record import TaskRecords
from tests.fakes.scripted_provider import Fails, Hangs, Says
from tests.workflows.stack import Stack

OVERLOADED = Fails(ProviderFailureKind.OVERLOADED)


async def scheduled(stack: Stack, task_id: str) -> list[tuple[str, str]]:
    """Every activity the workflow scheduled, as (name, task queue), in order."""
    history = await stack.temporal.get_workflow_handle(task_id).fetch_history()
    return [
        (
            event.activity_task_scheduled_event_attributes.activity_type.name,
            event.activity_task_scheduled_event_attributes.task_queue.name,
        )
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]


@pytest.mark.req("DC-18", "DC-20", "DC-22")
async def test_a_plain_task_takes_three_hops_to_its_answer_each_on_its_own_queue(
    stack: Stack,
) -> None:
    declaration = stack.declare()
    outcome = await stack.run(declaration)

    assert outcome.status is TaskStatus.SUCCEEDED
    assert await scheduled(stack, declaration.task_id) == [
        ("classify", "classify"),
        ("read-signals", "ledger"),
        ("budget-reserve", "ledger"),
        ("invoke-model", "gpu-5090"),
        ("log-outcome", "ledger"),
    ]


@pytest.mark.req("OM-77")
async def test_the_estimate_is_on_record_before_the_call_and_knows_how_hard_the_task_looks(
    stack: Stack,
) -> None:
    texts = {"low": "Tidy up this line.", "high": "Design, justify and verify a plan. Why? " * 150}
    for complexity, text in texts.items():
        declaration = stack.declare(sensitivity=Sensitivity.PUBLIC)
        await stack.run(declaration, text)
        [record] = stack.outcomes.decisions(declaration.task_id)
        found = TaskRecords(stack.parts.engine).find(declaration.task_id)
        assert found is not None
        first = record.plan.candidates[0]
        assert record.plan.complexity == complexity
        assert first.likely_nano_usd is not None
        assert first.likely_nano_usd <= first.estimate_nano_usd
        assert record.decided_at <= found.attempts[0].planned_at


async def test_a_waiting_caller_has_the_answer_and_the_record_follows(stack: Stack) -> None:
    declaration = stack.declare()
    stack.script.write(declaration.task_id, Says("Tidy."))
    answered = await stack.client.run(Prompt.from_text("tidy up"), declaration)
    recorded = await stack.recorded(declaration.task_id)

    assert stack.client.answer_text(answered) == "Tidy."
    assert recorded.audit_sequence is not None
    assert recorded.answer == answered.answer


async def test_submitting_the_same_task_again_returns_the_first_result(stack: Stack) -> None:
    declaration = stack.declare()
    first = await stack.client.run(Prompt.from_text("tidy up"), declaration)
    await stack.recorded(declaration.task_id)
    second = await stack.client.run(Prompt.from_text("tidy up"), declaration)

    assert second.answer == first.answer
    assert len(stack.script.calls[declaration.task_id]) == 1


async def test_an_undeclared_class_is_inferred_and_its_source_recorded(stack: Stack) -> None:
    outcome = await stack.run(stack.declare(task_class=None), "class:bulk_generation make rows")

    assert (outcome.task_class, outcome.class_source) == ("bulk_generation", "inferred")


@pytest.mark.req("OM-13")
async def test_a_task_of_unknown_class_calls_no_model_and_is_denied(stack: Stack) -> None:
    declaration = stack.declare(task_class=None)
    outcome = await stack.run(declaration, "hm")

    assert outcome.status is TaskStatus.DENIED
    assert outcome.failure is FailureType.POLICY_DENIED
    assert not stack.script.calls[declaration.task_id]


async def test_an_outage_falls_back_to_another_vendor_and_says_so(stack: Stack) -> None:
    declaration = stack.declare(task_class="high_stakes_logic")
    stack.script.write(declaration.task_id, OVERLOADED, Says("Decided."))
    outcome = await stack.run(declaration)

    assert outcome.status is TaskStatus.SUCCEEDED
    (fallback,) = outcome.fallbacks
    assert fallback.from_model == "gpt-5.1"
    assert fallback.trigger is Trigger.OUTAGE
    assert fallback.direction is Direction.SIDEWAYS
    assert fallback.cause == ProviderFailureKind.OVERLOADED
    assert outcome.attempts[0].vendor == "openai"
    assert outcome.attempts[1].vendor != "openai"


async def test_a_transient_failure_of_the_only_model_is_tried_again(stack: Stack) -> None:
    declaration = stack.declare(task_class="bulk_generation")
    stack.script.write(declaration.task_id, Fails(ProviderFailureKind.RATE_LIMITED, 1), Says())
    outcome = await stack.run(declaration)

    assert outcome.status is TaskStatus.SUCCEEDED
    assert [each.state for each in outcome.attempts] == [AttemptState.FAILED, AttemptState.DONE]
    assert not outcome.fallbacks


async def test_a_task_whose_every_model_failed_ends_exhausted_and_owes_nothing_uncharged(
    stack: Stack,
) -> None:
    declaration = stack.declare(task_class="bulk_generation")
    refused = Fails(ProviderFailureKind.INVALID_REQUEST)
    stack.script.write(declaration.task_id, refused)
    outcome = await stack.run(declaration)

    assert outcome.status is TaskStatus.FAILED
    assert outcome.failure is FailureType.PROVIDERS_EXHAUSTED
    assert outcome.cost_nano_usd == 0


async def test_a_call_that_may_have_been_charged_is_paid_in_full_and_never_refunded(
    stack: Stack,
) -> None:
    declaration = stack.declare(task_class="bulk_generation")
    cut = Fails(ProviderFailureKind.STREAM_INTERRUPTED)
    stack.script.write(declaration.task_id, cut, cut, cut)
    outcome = await stack.run(declaration)

    assert outcome.settlement is Settlement.AT_LEAST
    assert outcome.cost_nano_usd == outcome.estimate_nano_usd > 0


async def test_the_waiting_caller_of_a_denied_task_gets_the_reason_and_each_refusal(
    stack: Stack,
) -> None:
    declaration = stack.declare(task_class="no_such_class")
    with pytest.raises(TaskFailedError, match="not one of this pack's classes"):
        await stack.client.run(Prompt.from_text("anything"), declaration)


async def test_cancelling_during_a_call_settles_the_hold_and_leaves_one_outcome(
    stack: Stack,
) -> None:
    declaration = stack.declare()
    stack.script.write(declaration.task_id, Hangs())
    await stack.client.submit(Prompt.from_text("tidy up"), declaration)
    await stack.script.called(declaration.task_id)
    await stack.client.cancel(declaration.task_id)
    outcome = await stack.recorded(declaration.task_id)

    assert outcome.status is TaskStatus.CANCELLED
    (attempt,) = outcome.attempts
    assert attempt.state is AttemptState.FAILED
    assert outcome.settlement is Settlement.AT_LEAST


async def test_a_deadline_ends_the_task_with_its_own_word(stack: Stack) -> None:
    declaration = stack.declare(constraints={"deadline_seconds": 1})
    stack.script.write(declaration.task_id, Hangs())
    outcome = await stack.run(declaration)

    assert outcome.failure is FailureType.DEADLINE_EXCEEDED
    assert outcome.status is TaskStatus.FAILED


SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}


async def test_an_answer_that_satisfies_its_schema_passes_verification(stack: Stack) -> None:
    declaration = stack.declare()
    stack.script.write(declaration.task_id, Says('{"name": "Ada"}'))
    outcome = await stack.run(declaration, schema=SCHEMA)

    assert outcome.status is TaskStatus.SUCCEEDED
    assert ("parallel-verify", "verify") in await scheduled(stack, declaration.task_id)


@pytest.mark.req("OM-4")
async def test_an_answer_that_breaks_its_schema_moves_the_task_up_a_rung(stack: Stack) -> None:
    declaration = stack.declare()
    stack.script.write(declaration.task_id, Says("no json"), Says('{"name": "Ada"}'))
    outcome = await stack.run(declaration, schema=SCHEMA)

    assert outcome.status is TaskStatus.SUCCEEDED
    assert outcome.fallbacks[0].trigger is Trigger.CHEAPER_FAILED
    assert outcome.fallbacks[0].direction is Direction.UP


async def test_personal_data_that_nobody_declared_keeps_the_task_in_the_house(
    stack: Stack,
) -> None:
    declaration = stack.declare(task_class="creative_synthesis")
    text = "Write a kind letter to Ann at ann.lee@example.com, card 4111 1111 1111 1111."
    outcome = await stack.run(declaration, text)

    assert outcome.sensitivity is Sensitivity.SENSITIVE
    assert outcome.served_model == "smollm2-135m"
    assert {call.endpoint for call in stack.script.calls[declaration.task_id]} == {"local-gpu"}


async def test_fifty_tasks_at_once_leave_fifty_outcomes_and_a_whole_chain(stack: Stack) -> None:
    declarations = [stack.declare() for _ in range(50)]
    outcomes = await asyncio.gather(*(stack.run(each) for each in declarations))

    assert all(each.status is TaskStatus.SUCCEEDED for each in outcomes)
    assert len({each.audit_sequence for each in outcomes}) == 50
