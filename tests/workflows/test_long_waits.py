"""Silence for hours and weeks, with time skipped: reminder, escalation, denial, no default (59).

Each workflow has a clock of its own that is put forward; the ledger's clock is the real one.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle
from temporalio.testing import TimeSkipper, WorkflowEnvironment

from pointwork.client import PointworkClient
from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.failures import FailureType
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.policy.bundle import PolicyLibrary
from tests.fakes.scripted_provider import Script
from tests.temporal_server import dev_server
from tests.workflows.stack import PATIENT_PACK, Stack, open_test_parts, running

Handle = WorkflowHandle[Any, Any]
SECOND = timedelta(seconds=1)
SKIPPING = "frontend.WorkflowTimeSkippingEnabled=true"


@pytest.fixture(scope="module")
async def skipping_server() -> AsyncIterator[WorkflowEnvironment]:
    async with dev_server(SKIPPING) as server:
        yield server


@pytest.fixture(scope="module")
async def patient(
    skipping_server: WorkflowEnvironment,
    library: PolicyLibrary,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Stack]:
    script = Script()
    parts = open_test_parts(tmp_path_factory.mktemp("patient"), library, script)
    async with running(skipping_server, parts, script) as stack:
        yield stack
    parts.threads.shutdown()
    parts.engine.dispose()


async def submit_held(stack: Stack, pack: str) -> tuple[TimeSkipper, Handle]:
    skipper = TimeSkipper(stack.temporal)
    client = PointworkClient(skipper.client, stack.parts.vault, stack.outcomes)
    task = stack.declare(task_class="high_stakes_logic", sensitivity=None, pack=pack)
    # Else its clock would run ahead as soon as it waits.
    with skipper.with_time_skipping_disabled():
        await client.submit(Prompt.from_text("Decide this."), task)
    return skipper, skipper.client.get_workflow_handle(task.task_id)


async def waits(handle: Handle) -> list[datetime]:
    """The moments until which the workflow set itself to wait for a verdict, by its own clock: it
    stands still while a workflow task is worked on."""
    events = {event.event_id: event for event in (await handle.fetch_history()).events}
    found = []
    for event in events.values():
        timer = event.timer_started_event_attributes
        if b"a person's verdict" in event.user_metadata.summary.data and timer.timer_id:
            completed = events[timer.workflow_task_completed_event_id]
            begun = completed.workflow_task_completed_event_attributes.started_event_id
            now = events[begun].event_time.ToDatetime(UTC)
            found.append(now + timer.start_to_fire_timeout.ToTimedelta())
    return found


async def steps(handle: Handle) -> list[str]:
    """Every ``human-approval`` step, by its summary's first word."""
    found = []
    for event in (await handle.fetch_history()).events:
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            activity = event.activity_task_scheduled_event_attributes.activity_type.name
            if activity == "human-approval":
                summary = event.user_metadata.summary.data.decode().strip('"')
                found.append(summary.split()[0])
    return found


@pytest.mark.parametrize("pack", ["omega", PATIENT_PACK])
async def test_nobody_answers_so_it_reminds_escalates_and_denies_at_the_packs_times(
    patient: Stack, pack: str
) -> None:
    times = patient.parts.library.active(pack).pack.approvals
    skipper, handle = await submit_held(patient, pack)
    request = await patient.open_approval(handle.id)
    await skipper.fast_forward(handle)
    outcome = patient.outcomes.find(handle.id)
    assert outcome is not None
    assert (outcome.status, outcome.failure) == (TaskStatus.EXPIRED, FailureType.APPROVAL_EXPIRED)
    assert outcome.answer is None
    assert not patient.script.calls[handle.id]
    assert await steps(handle) == ["open", "remind", "escalate", "close"]
    due = (times.remind_after_seconds, times.escalate_after_seconds, times.expire_after_seconds)
    for until, seconds in zip(await waits(handle), due, strict=True):
        assert abs(until - request.opened_at - timedelta(seconds=seconds)) <= SECOND


async def test_weeks_later_one_approval_lets_the_task_go_on(patient: Stack) -> None:
    skipper, handle = await submit_held(patient, PATIENT_PACK)
    request = await patient.open_approval(handle.id)
    await skipper.fast_forward(handle, timedelta(days=30))
    assert await steps(handle) == ["open", "remind", "escalate"]
    then = request.opened_at + timedelta(days=30)
    late = {"decided_at": then, "expires_at": then + timedelta(hours=1)}
    await patient.client.submit_verdict(patient.signed(request, ApprovalVerdict.APPROVED, **late))
    outcome = await patient.recorded(handle.id)
    assert outcome.status is TaskStatus.SUCCEEDED
    assert outcome.approval_ids == (request.approval_id,)
