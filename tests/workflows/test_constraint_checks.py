"""What a route is checked for before it runs, as the task's own history has it."""

from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from pointwork.contract.decision import DecisionRecord, Effect
from pointwork.contract.names import ActivityName
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import Snapshot
from pointwork.contract.steps import Reserve
from pointwork.policy.decide import decide
from tests.workflows.stack import Stack

MISSING: dict[str, dict[str, Any]] = {
    "budget": {"budgets": ()},
    "quota": {"quotas": None},
    "resources": {"resources": None},
    "latency": {"latencies": None},
    "provider_health": {"endpoints": ()},
}
"""The five groups, and a snapshot in which nobody could tell of one."""


async def events(stack: Stack, task_id: str) -> list[HistoryEvent]:
    history = await stack.temporal.get_workflow_handle(task_id).fetch_history()
    return list(history.events)


def scheduled(found: list[HistoryEvent], name: ActivityName) -> HistoryEvent:
    (event,) = (
        each
        for each in found
        if each.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
        and each.activity_task_scheduled_event_attributes.activity_type.name == name
    )
    return event


async def signals(stack: Stack, found: list[HistoryEvent]) -> tuple[int, Snapshot]:
    """Where in the history the signals stand, and what they are."""
    asked = scheduled(found, ActivityName.READ_SIGNALS).event_id
    (told,) = (
        each
        for each in found
        if each.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED
        and each.activity_task_completed_event_attributes.scheduled_event_id == asked
    )
    result = told.activity_task_completed_event_attributes.result.payloads
    (snapshot,) = await stack.temporal.data_converter.decode(result, [Snapshot])
    assert isinstance(snapshot, Snapshot)
    return told.event_id, snapshot


async def decided(stack: Stack, found: list[HistoryEvent]) -> tuple[int, DecisionRecord]:
    """Where in the history the decision stands, and all it read."""
    event = scheduled(found, ActivityName.BUDGET_RESERVE)
    given = event.activity_task_scheduled_event_attributes.input.payloads
    (step,) = await stack.temporal.data_converter.decode(given, [Reserve])
    assert isinstance(step, Reserve)
    return event.event_id, step.record


@pytest.mark.req("SP-40")
async def test_budget_quota_resources_latency_and_health_are_checked_in_history_before_the_call(
    stack: Stack,
) -> None:
    task = stack.declare(pack="socioprophet", task_class="triage")
    outcome = await stack.run(task)
    assert outcome.status is TaskStatus.SUCCEEDED, outcome.reason

    found = await events(stack, task.task_id)
    read_at, snapshot = await signals(stack, found)
    decided_at, record = await decided(stack, found)
    invoked_at = scheduled(found, ActivityName.INVOKE_MODEL).event_id
    assert read_at < decided_at < invoked_at
    assert record.input.snapshot == snapshot

    # The same decision without one of the five runs nothing: each of them was looked at.
    bundle = stack.parts.library.by_hash(record.plan.policy.bundle_sha256)
    assert decide(record.input, bundle) == record.plan
    assert record.plan.effect is Effect.RUN
    for name, gone in MISSING.items():
        without = record.input.model_copy(
            update={"snapshot": snapshot.model_copy(update=gone)},
        )
        plan = decide(without, bundle)
        assert (plan.effect, plan.reason) == (Effect.DENY, ReasonCode.SIGNAL_MISSING), name
        assert name in {each.detail for each in plan.rejected}
