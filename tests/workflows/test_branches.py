"""Several models answer side by side, on a real server: what is called, compared and recorded."""

import asyncio
from datetime import UTC, datetime

import pytest
from temporalio.api.enums.v1 import EventType

from pointwork.contract.decision import ParallelShortfall
from pointwork.contract.failures import FailureType, ProviderFailureKind
from pointwork.contract.outcome import AttemptState, BranchState, TaskOutcome, TaskStatus
from pointwork.contract.task import Risk
from pointwork.ledger.audit import AuditChain
from pointwork.ledger.comparisons import ComparisonLog
from pointwork.ledger.signals import SignalStore
from tests.fakes.scripted_provider import Fails, Hangs, Meets, Says
from tests.workflows.stack import SIDE_BY_SIDE_PACK, Stack
from tests.workflows.test_route_task import SCHEMA, scheduled

VENDORS = ("openai", "anthropic", "google")
FAILS = Fails(ProviderFailureKind.INVALID_REQUEST)


async def side_by_side(
    stack: Stack, *answers: Says | Fails | Meets | Hangs, **declared: object
) -> TaskOutcome:
    """Run a high-stakes task whose three vendors answer so, in the order of ``VENDORS``."""
    values = {"task_class": "high_stakes_logic", "pack": SIDE_BY_SIDE_PACK} | declared
    declaration = stack.declare(**values)
    for vendor, answer in zip(VENDORS, answers, strict=True):
        stack.script.write_at(declaration.task_id, vendor, answer)
    return await stack.run(declaration, "Decide this.")


def states(outcome: TaskOutcome) -> dict[str, BranchState]:
    return {each.vendor: each.state for each in outcome.branches}


async def invoke_times(stack: Stack, task_id: str) -> list[tuple[datetime, datetime]]:
    """When each invoke activity started and ended, as the history has it."""
    history = await stack.temporal.get_workflow_handle(task_id).fetch_history()
    started: dict[int, datetime] = {}
    scheduled_ids, times = [], []
    for event in history.events:
        at = event.event_time.ToDatetime(tzinfo=UTC)
        match event.event_type:
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                name = event.activity_task_scheduled_event_attributes.activity_type.name
                if name == "invoke-model":
                    scheduled_ids.append(event.event_id)
            case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                started[event.activity_task_started_event_attributes.scheduled_event_id] = at
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                of = event.activity_task_completed_event_attributes.scheduled_event_id
                if of in scheduled_ids:
                    times.append((started[of], at))
            case _:
                pass
    return times


@pytest.mark.req("OM-52", "OM-54")
async def test_a_class_that_asks_for_three_models_has_three_calls_under_way_at_once(
    stack: Stack,
) -> None:
    together = Meets(3, Says("Yes."))
    outcome = await side_by_side(stack, together, together, together, risk=Risk.HIGH)

    assert outcome.status is TaskStatus.SUCCEEDED
    times = await invoke_times(stack, outcome.task_id)
    assert len(times) == 3
    assert max(start for start, _ in times) < min(end for _, end in times)


@pytest.mark.req("OM-54")
async def test_without_configuration_even_a_critical_task_calls_one_model(stack: Stack) -> None:
    declaration = stack.declare(task_class="high_stakes_logic", risk=Risk.HIGH)
    outcome = await stack.run(declaration, "Decide this.")
    steps = [name for name, _ in await scheduled(stack, declaration.task_id)]

    assert outcome.status is TaskStatus.SUCCEEDED
    assert steps.count("invoke-model") == 1
    assert not outcome.branches
    assert outcome.comparison is None


@pytest.mark.req("OM-53")
async def test_the_models_are_of_different_vendors(stack: Stack) -> None:
    outcome = await side_by_side(stack, Says("Yes."), Says("Yes."), Says("Yes."))
    assert [each.vendor for each in outcome.attempts] == [*VENDORS]


@pytest.mark.req("OM-53")
async def test_with_one_vendor_at_hand_it_runs_and_the_record_says_so(stack: Stack) -> None:
    others = ("anthropic", "google", "deepseek", "moonshot", "xai")
    now = datetime.now(UTC)
    signals = SignalStore(stack.parts.engine)
    for endpoint in others:
        for _ in range(5):
            signals.record_endpoint(endpoint, False, ProviderFailureKind.OVERLOADED, None, now)
    declaration = stack.declare(task_class="high_stakes_logic", pack=SIDE_BY_SIDE_PACK)
    outcome = await stack.run(declaration, "Decide this.")

    (record,) = stack.outcomes.decisions(declaration.task_id)
    assert outcome.status is TaskStatus.SUCCEEDED
    assert {each.vendor for each in outcome.attempts} == {"openai"}
    assert record.plan.parallel_shortfall is ParallelShortfall.SINGLE_VENDOR


async def test_every_hold_stands_before_any_call_and_each_call_has_its_own(stack: Stack) -> None:
    outcome = await side_by_side(stack, Says("Yes."), Says("Yes."), Says("Yes."))
    steps = [name for name, _ in await scheduled(stack, outcome.task_id)]
    reserved = [at for at, name in enumerate(steps) if name == "budget-reserve"]
    invoked = [at for at, name in enumerate(steps) if name == "invoke-model"]

    assert len(reserved) == len(invoked) == 3
    assert max(reserved) < min(invoked)
    assert [each.number for each in outcome.attempts] == [1, 2, 3]
    assert outcome.cost_nano_usd == sum(each.cost_nano_usd for each in outcome.attempts)
    assert outcome.cost_nano_usd == sum(each.cost_nano_usd for each in outcome.branches)


@pytest.mark.req("OM-55")
async def test_answers_are_compared_and_the_comparison_recorded_without_anybody_asking(
    stack: Stack,
) -> None:
    outcome = await side_by_side(
        stack, Says('{"go": true, "n": 1}'), Says('{ "n": 1.0, "go": true }'), FAILS
    )
    (row,) = ComparisonLog(stack.parts.engine).of_task(outcome.task_id)

    assert outcome.status is TaskStatus.SUCCEEDED
    assert (row.kind, row.agree, row.letters) == ("json", True, ("A", "B"))
    assert outcome.comparison == row
    (record,) = [
        each
        for each in AuditChain(stack.parts.engine).records(100_000)
        if each.task_id == outcome.task_id and each.kind == "comparison"
    ]
    assert record.body["comparison_id"] == row.comparison_id
    assert record.body["decision_id"] == f"{outcome.task_id}/decision/1"


async def test_equal_answers_are_one_answer_and_nobody_is_bothered(stack: Stack) -> None:
    outcome = await side_by_side(stack, Says("Yes.\n"), Says("Yes."), Says("  Yes."))

    assert outcome.status is TaskStatus.SUCCEEDED
    assert outcome.served_model == "gpt-5.1"
    assert stack.client.answer_text(outcome) == "Yes.\n"
    assert not outcome.approval_ids
    assert outcome.selection is None


async def test_an_answer_that_is_alone_is_the_answer_and_the_record_says_why(
    stack: Stack,
) -> None:
    outcome = await side_by_side(stack, FAILS, Says("Yes."), FAILS)

    assert stack.client.answer_text(outcome) == "Yes."
    assert outcome.served_model == "claude-sonnet-5"
    assert outcome.reason.startswith("1 of 3 models answered, so nothing was compared.")
    assert "gpt-5.1: INVALID_REQUEST" in outcome.reason
    assert outcome.comparison is None
    failed, answered = BranchState.FAILED, BranchState.ANSWERED
    assert states(outcome) == {"openai": failed, "anthropic": answered, "google": failed}


async def test_where_no_model_answers_the_plan_is_made_anew_and_ends_exhausted(
    stack: Stack,
) -> None:
    outcome = await side_by_side(stack, FAILS, FAILS, FAILS)

    assert outcome.failure is FailureType.PROVIDERS_EXHAUSTED
    assert len(stack.outcomes.decisions(outcome.task_id)) == 2
    assert [each.state for each in outcome.branches] == [BranchState.FAILED] * 3
    assert [each.state for each in outcome.attempts] == [AttemptState.FAILED] * 3


async def test_what_is_left_answers_where_all_of_the_first_failed(stack: Stack) -> None:
    declaration = stack.declare(task_class="creative_synthesis", pack=SIDE_BY_SIDE_PACK)
    for vendor in ("anthropic", "openai"):
        stack.script.write_at(declaration.task_id, vendor, FAILS)
    stack.script.write_at(declaration.task_id, "google", Says("A poem."))
    outcome = await stack.run(declaration, "Write.")

    assert stack.client.answer_text(outcome) == "A poem."
    assert outcome.served_model == "gemini-3.1-pro"
    (fallback,) = outcome.fallbacks
    assert fallback.to_model == "gemini-3.1-pro"
    assert [each.number for each in outcome.attempts] == [1, 2, 3]


async def test_each_answer_must_satisfy_the_schema_before_it_is_compared(stack: Stack) -> None:
    declaration = stack.declare(task_class="high_stakes_logic", pack=SIDE_BY_SIDE_PACK)
    answers = (Says('{"name": "Ada"}'), Says('{"name":"Ada"}'), Says("no json"))
    for vendor, answer in zip(VENDORS, answers, strict=True):
        stack.script.write_at(declaration.task_id, vendor, answer)
    outcome = await stack.run(declaration, schema=SCHEMA)

    assert outcome.status is TaskStatus.SUCCEEDED
    assert states(outcome)["google"] is BranchState.FAILED
    assert outcome.comparison is not None
    assert len(outcome.comparison.letters) == 2
    assert outcome.branches[2].cause.startswith("json")


async def test_a_branch_whose_hold_is_refused_is_dropped_and_named(stack: Stack) -> None:
    """The task's own ceiling covers two of the three calls."""
    together = Meets(2, Says("Yes."))
    outcome = await side_by_side(
        stack, together, together, together, constraints={"max_output_tokens": 21_000}
    )

    assert outcome.status is TaskStatus.SUCCEEDED
    assert [each.state for each in outcome.branches].count(BranchState.DROPPED) == 1
    (dropped,) = [each for each in outcome.branches if each.state is BranchState.DROPPED]
    assert dropped.cause == "BUDGET_EXCEEDED by task"
    assert len(stack.script.calls[outcome.task_id]) == 2


async def test_the_text_is_redacted_once_before_it_leaves_to_several(stack: Stack) -> None:
    outcome = await side_by_side(stack, Says("Yes."), Says("Yes."), Says("Yes."))
    steps = [name for name, _ in await scheduled(stack, outcome.task_id)]

    assert steps.count("redact") == 1
    assert steps.index("redact") < steps.index("invoke-model")


async def test_cancelling_while_several_call_settles_every_hold(stack: Stack) -> None:
    declaration = stack.declare(task_class="high_stakes_logic", pack=SIDE_BY_SIDE_PACK)
    stack.script.write(declaration.task_id, Hangs(), Hangs(), Hangs())
    running = asyncio.create_task(stack.run(declaration, "Decide this."))
    await stack.script.met(declaration.task_id, 3)
    await stack.client.cancel(declaration.task_id)
    outcome = await running

    assert outcome.status is TaskStatus.CANCELLED
    assert [each.state for each in outcome.attempts] == [AttemptState.FAILED] * 3
