"""Budgets that are exceeded while tasks run: hard stops, downgrades, plans made anew, probation."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.decision import GrantKind, Trigger
from pointwork.contract.outcome import ReserveOutcome, TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import Constraints, TaskDeclaration
from pointwork.ledger.budget_alerts import AlertBook
from pointwork.ledger.budget_stops import StopBook
from pointwork.ledger.budgets import BudgetBook
from pointwork.policy.engine.windows import windows_at
from tests.fakes.scripted_provider import Hangs
from tests.integration.ledger.records import decision
from tests.workflows.stack import LENIENT_PACK, STRICT_PACK, Stack

LIMIT = 10_000_000
CHEAPEST_HOSTED = 700_000
"""Above the dearest of the cheap models' worst cases, below that of every strong one."""


def spend(stack: Stack, pack: str, caller: str, amount_nano_usd: int) -> None:
    """Hold this much of a caller's budget today, and tomorrow should midnight come between."""
    for day in range(2):
        moment = datetime.now(UTC) + timedelta(days=day)
        name = f"spent-{uuid.uuid4().hex[:8]}"
        held = BudgetBook(stack.parts.engine).reserve(
            record=decision(name),
            part_id=f"{name}/1",
            task_id=name,
            invoke=None,
            amount_nano_usd=amount_nano_usd,
            task_ceiling_nano_usd=LIMIT,
            windows=windows_at(stack.parts.library.active(pack).pack, moment, caller=caller),
            price_version="test-1",
            expires_in_seconds=3600,
            now=moment,
        )
        assert held.outcome is ReserveOutcome.RESERVED


def logic(stack: Stack, pack: str, caller: str, **declared: object) -> TaskDeclaration:
    return stack.declare(pack=pack, caller=caller, task_class="high_stakes_logic", **declared)


async def submit(stack: Stack, declaration: TaskDeclaration) -> None:
    await stack.client.submit(Prompt.from_text("Decide this."), declaration)


async def until_on_probation(stack: Stack, task_id: str) -> None:
    """Once the task was told to wait for its model's first bill."""
    handle = stack.temporal.get_workflow_handle(task_id)
    async with asyncio.timeout(60):
        async for event in handle.fetch_history_events(wait_new_event=True):
            results = event.activity_task_completed_event_attributes.result.payloads
            if any(b'"on_probation"' in each.data for each in results):
                return


@pytest.mark.req("OM-32", "OM-33")
async def test_over_an_exceeded_budget_twenty_tasks_wait_and_one_runs_when_a_person_resumes_it(
    stack: Stack,
) -> None:
    spend(stack, STRICT_PACK, "stopped", LIMIT)
    tasks = [logic(stack, STRICT_PACK, "stopped") for _ in range(19)]
    tasks.append(stack.declare(pack=STRICT_PACK, caller="stopped"))
    await asyncio.gather(*(submit(stack, each) for each in tasks))
    requests = [await stack.open_approval(each.task_id) for each in tasks]

    assert {(each.asks_for, each.reason) for each in requests} == {
        (GrantKind.BUDGET, ReasonCode.HARD_STOP)
    }
    assert not any(stack.script.calls[each.task_id] for each in tasks)
    (window,) = requests[0].windows
    assert window in StopBook(stack.parts.engine).standing()
    told = [a for a in AlertBook(stack.parts.engine).alerts() if a.subject == window]
    assert [each.kind for each in told].count("stopped") == 1

    await stack.client.submit_verdict(stack.signed(requests[0], ApprovalVerdict.APPROVED))
    outcome = await stack.recorded(tasks[0].task_id)
    assert outcome.status is TaskStatus.SUCCEEDED
    assert outcome.approval_ids == (requests[0].approval_id,)
    assert not any(stack.script.calls[each.task_id] for each in tasks[1:])

    for each in tasks[1:]:
        await stack.client.cancel(each.task_id)
        await stack.recorded(each.task_id)


@pytest.mark.req("OM-32")
async def test_a_stop_holds_work_that_the_budget_would_still_pay_until_it_is_resumed(
    stack: Stack,
) -> None:
    spend(stack, STRICT_PACK, "resumed", LIMIT - 1)
    first = logic(stack, STRICT_PACK, "resumed")
    await submit(stack, first)
    (window,) = (await stack.open_approval(first.task_id)).windows
    await stack.client.cancel(first.task_id)
    await stack.recorded(first.task_id)
    with_room = stack.declare(pack=STRICT_PACK, caller="resumed")
    await submit(stack, with_room)
    held = await stack.open_approval(with_room.task_id)
    assert held.windows == (window,)
    await stack.client.cancel(with_room.task_id)
    await stack.recorded(with_room.task_id)

    assert StopBook(stack.parts.engine).resume(window, "owner", "a new week", datetime.now(UTC))
    assert window not in StopBook(stack.parts.engine).standing()


@pytest.mark.req("OM-32")
async def test_without_a_hard_stop_the_task_goes_down_to_a_model_that_the_rest_pays(
    stack: Stack,
) -> None:
    spend(stack, LENIENT_PACK, "frugal", LIMIT - CHEAPEST_HOSTED)
    declaration = logic(stack, LENIENT_PACK, "frugal")
    outcome = await stack.run(declaration)

    assert outcome.status is TaskStatus.SUCCEEDED
    assert outcome.moves[0].move.trigger == Trigger.BUDGET_LOW


@pytest.mark.req("SP-43")
@pytest.mark.parametrize("pack", [STRICT_PACK, LENIENT_PACK])
async def test_a_budget_spent_between_plan_and_hold_has_the_task_planned_anew(
    stack: Stack, pack: str
) -> None:
    caller = f"late-{pack}"
    declaration = logic(stack, pack, caller, sensitivity=None)
    await submit(stack, declaration)
    asked = await stack.open_approval(declaration.task_id)
    spend(stack, pack, caller, LIMIT - CHEAPEST_HOSTED)
    await stack.client.submit_verdict(stack.signed(asked, ApprovalVerdict.APPROVED))
    outcome = await stack.recorded(declaration.task_id)

    assert outcome.status is TaskStatus.SUCCEEDED
    planned = [each.plan for each in stack.outcomes.decisions(declaration.task_id)]
    assert planned[-1].candidates[0].trigger == Trigger.BUDGET_LOW
    assert planned[-2].candidates[0].model != outcome.served_model
    assert outcome.fallbacks[-1].cause.startswith("budget: ")
    assert outcome.estimate_nano_usd == planned[-1].candidates[0].estimate_nano_usd


async def test_where_nothing_is_left_between_plan_and_hold_the_hard_stop_asks_a_person(
    stack: Stack,
) -> None:
    declaration = logic(stack, STRICT_PACK, "too-late", sensitivity=None)
    await submit(stack, declaration)
    asked = await stack.open_approval(declaration.task_id)
    spend(stack, STRICT_PACK, "too-late", LIMIT)
    await stack.client.submit_verdict(stack.signed(asked, ApprovalVerdict.APPROVED))
    async with asyncio.timeout(60):
        while (held := await stack.open_approval(declaration.task_id)) == asked:
            await asyncio.sleep(0.02)
    assert (held.asks_for, held.reason) == (GrantKind.BUDGET, ReasonCode.HARD_STOP)
    await stack.client.submit_verdict(stack.signed(held, ApprovalVerdict.APPROVED))
    outcome = await stack.recorded(declaration.task_id)

    assert outcome.status is TaskStatus.SUCCEEDED
    assert outcome.approval_ids == (asked.approval_id, held.approval_id)


async def test_a_model_nobody_saw_a_bill_of_is_not_called_twice_at_once_near_the_limit(
    stack: Stack,
) -> None:
    with stack.parts.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM model_margin")
    short = Constraints(max_output_tokens=128)
    first = logic(stack, LENIENT_PACK, "first-ever", constraints=short)
    second = logic(stack, LENIENT_PACK, "first-ever", constraints=short)
    stack.script.write(first.task_id, Hangs())
    await submit(stack, first)
    await stack.script.called(first.task_id)
    await submit(stack, second)
    await until_on_probation(stack, second.task_id)
    assert not stack.script.calls[second.task_id]

    await stack.client.cancel(first.task_id)
    await stack.recorded(first.task_id)
    outcome = await stack.recorded(second.task_id)
    assert (outcome.status, outcome.served_model) == (TaskStatus.SUCCEEDED, "gpt-5.1")
