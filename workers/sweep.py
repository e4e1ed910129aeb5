"""Ends on the ledger what was ended from outside, where no workflow code runs.

A terminated workflow, or one the server timed out, settles no hold and writes no outcome. The
sweeper does both, and frees holds that expired.
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from pointwork.contract.decision import ClassSource
from pointwork.contract.failures import FailureType
from pointwork.contract.outcome import TaskOutcome, TaskStatus
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.sweeper import UnrecordedTask, expire_parts, unrecorded_tasks
from workers.wiring import Parts

SWEEP_EVERY_SECONDS = 60
UNRECORDED_FOR_SECONDS = 60
"""A task younger than this is left alone: it may be on its way to its workflow."""

_log = logging.getLogger(__name__)


async def sweep_for_ever(client: Client, parts: Parts) -> None:
    """Sweep every ``SWEEP_EVERY_SECONDS``; a sweep that fails is logged and tried again."""
    while True:
        await asyncio.sleep(SWEEP_EVERY_SECONDS)
        try:
            since = datetime.now(UTC) - timedelta(seconds=UNRECORDED_FOR_SECONDS)
            await sweep(client, parts, accepted_before=since)
        except (RPCError, SQLAlchemyError) as error:
            _log.warning("sweep failed: %s", type(error).__name__)


async def sweep(client: Client, parts: Parts, *, accepted_before: datetime) -> int:
    """Record every task whose workflow was ended from outside, and free expired holds.

    Returns:
        How many outcomes were recorded.
    """
    outcomes = OutcomeLog(parts.engine)
    found = await asyncio.to_thread(unrecorded_tasks, parts.engine, accepted_before)
    recorded = 0
    open_tasks: set[str] = set()
    for task in found:
        status = await _status(client, task.task_id)
        if status is None or status is WorkflowExecutionStatus.RUNNING:
            open_tasks.add(task.task_id)
            continue
        now = datetime.now(UTC)
        await asyncio.to_thread(outcomes.log, _ended_outside(task, status, now), None, now)
        recorded += 1
        _log.warning("task %s was ended from outside (%s): recorded", task.task_id, status.name)
    await asyncio.to_thread(
        expire_parts, parts.engine, datetime.now(UTC), lambda task_id: task_id in open_tasks
    )
    return recorded


async def _status(client: Client, task_id: str) -> WorkflowExecutionStatus | None:
    """How the task's workflow stands; None where there is none, started or kept."""
    try:
        return (await client.get_workflow_handle(task_id).describe()).status
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise


def _ended_outside(
    task: UnrecordedTask, status: WorkflowExecutionStatus, now: datetime
) -> TaskOutcome:
    return TaskOutcome(
        task_id=task.task_id,
        status=TaskStatus.FAILED,
        failure=FailureType.INTERNAL,
        reason=f"The workflow was ended from outside ({status.name.lower()}), not by the policy.",
        caller=task.caller,
        task_class=None,
        class_source=ClassSource.UNKNOWN,
        started_at=task.created_at,
        finished_at=now,
    )
