"""Ends on the ledger what was ended from outside, where no workflow code runs.

A terminated workflow, or one the server timed out, settles no hold and writes no outcome. The
sweep does both, and frees holds that expired. A Temporal schedule runs it (reliability 2.1).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine
from temporalio.client import (
    Client,
    Schedule,
    ScheduleAction,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
    WorkflowExecutionStatus,
)
from temporalio.service import RPCError, RPCStatusCode

from pointwork.contract.decision import ClassSource
from pointwork.contract.failures import FailureType
from pointwork.contract.names import SWEEP_LEDGER, SWEEP_SCHEDULE, WORKFLOW_QUEUE
from pointwork.contract.outcome import TaskOutcome, TaskStatus
from pointwork.contract.sweep import SweepPlace, Swept
from pointwork.ledger.listeners import Listeners
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.overrides import OverrideBook
from pointwork.ledger.rate_leases import RateLeases
from pointwork.ledger.sweeper import (
    ROWS_PER_PAGE,
    ExpiredPart,
    UnrecordedTask,
    expire_parts,
    expired_parts,
    unrecorded_tasks,
)
from workers.audit_feed import AuditFeed
from workers.vault_upkeep import VaultUpkeep

SWEEP_EVERY = timedelta(seconds=60)
SWEEP_ENDS_WITHIN = timedelta(minutes=5)
"""A sweep that nobody works on is given up, so that it holds up no later one."""
UNRECORDED_FOR = timedelta(seconds=60)
"""A task younger than this is left alone: it may be on its way to its workflow."""
WALK_SECONDS_MAX = 20.0
QUESTIONS_AT_ONCE = 16

Reconcile = Callable[[], Awaitable[int]]
"""Looks calls of unknown fate up with their vendors; how many are known now."""
Project = Callable[[Engine, datetime], object]
"""Brings a projection of the ledger up to a moment."""

_log = logging.getLogger(__name__)


class LedgerSweep:
    """One bounded sweep at a time over the ledger, asking Temporal which tasks still run."""

    def __init__(
        self,
        client: Client,
        engine: Engine,
        reconcile: Reconcile | None = None,
        project: Project | None = None,
        walk_seconds_max: float = WALK_SECONDS_MAX,
        upkeep: VaultUpkeep | None = None,
        feed: AuditFeed | None = None,
    ) -> None:
        self._client = client
        self._engine = engine
        self._outcomes = OutcomeLog(engine)
        self._reconcile = reconcile
        self._project = project
        self._walk_seconds_max = walk_seconds_max
        self._upkeep = upkeep
        self._feed = feed

    async def sweep(
        self, last: Swept | None = None, accepted_before: datetime | None = None
    ) -> Swept:
        """Free expired holds, record tasks ended from outside, reconcile, project, hand the audit
        chain over, tend the vault.

        Args:
            last: what the sweep before did; each walk goes on where it stopped.
            accepted_before: later tasks are left alone; ``UNRECORDED_FOR`` ago if not given.
        """
        before = accepted_before or datetime.now(UTC) - UNRECORDED_FOR
        ended, expired_after = await self._free_expired(last.expired_after if last else None)
        recorded, unrecorded_after = await self._record_ended(
            before, last.unrecorded_after if last else None
        )
        await asyncio.to_thread(OverrideBook(self._engine).expire, datetime.now(UTC))
        await asyncio.to_thread(Listeners(self._engine).forget, datetime.now(UTC))
        await asyncio.to_thread(RateLeases(self._engine).forget, datetime.now(UTC))
        reconciled = await self._reconcile() if self._reconcile else 0
        if self._project:
            await asyncio.to_thread(self._project, self._engine, datetime.now(UTC))
        if self._feed:
            await asyncio.to_thread(self._feed.run)
        # Last: money is not kept waiting for a slow store.
        if self._upkeep:
            await self._upkeep.run(self._are_known)
        return Swept(
            outcomes_recorded=recorded,
            parts_ended=ended,
            calls_reconciled=reconciled,
            unrecorded_after=unrecorded_after,
            expired_after=expired_after,
        )

    async def _free_expired(self, after: SweepPlace | None) -> tuple[int, SweepPlace | None]:
        """How many parts ended, and where to go on; None where all were looked at."""
        ended, stops_at = 0, time.monotonic() + self._walk_seconds_max
        while page := await asyncio.to_thread(expired_parts, self._engine, after):
            ended += await self._free(page)
            if len(page) < ROWS_PER_PAGE:
                break
            after = SweepPlace(at=page[-1].expires_at, row_id=page[-1].part_id)
            if time.monotonic() > stops_at:
                return ended, after
        return ended, None

    async def _free(self, parts: list[ExpiredPart]) -> int:
        found = await self._statuses(each.task_id for each in parts if not each.was_never_sent)
        # Money is held by a workflow's own step, so one that is not there any more has ended.
        running = {task_id for task_id, status in found.items() if _is_running(status)}
        now = datetime.now(UTC)
        return await asyncio.to_thread(expire_parts, self._engine, now, running.__contains__, parts)

    async def _record_ended(
        self, accepted_before: datetime, after: SweepPlace | None
    ) -> tuple[int, SweepPlace | None]:
        """How many outcomes were recorded, and where to go on; None where all were looked at."""
        recorded, stops_at = 0, time.monotonic() + self._walk_seconds_max
        while page := await asyncio.to_thread(
            unrecorded_tasks, self._engine, accepted_before, after
        ):
            statuses = await self._statuses(each.task_id for each in page)
            for task in page:
                if _is_ended(task, statuses[task.task_id]):
                    await self._record(task, statuses[task.task_id])
                    recorded += 1
            if len(page) < ROWS_PER_PAGE:
                break
            after = SweepPlace(at=page[-1].created_at, row_id=page[-1].task_id)
            if time.monotonic() > stops_at:
                return recorded, after
        return recorded, None

    async def _record(self, task: UnrecordedTask, status: WorkflowExecutionStatus | None) -> None:
        how, now = status.name.lower() if status else "deleted", datetime.now(UTC)
        outcome = _ended_outside(task, how, now)
        await asyncio.to_thread(self._outcomes.log, outcome, None, now)
        _log.warning("task %s was ended from outside (%s): recorded", task.task_id, how)

    async def _statuses(self, task_ids: Iterable[str]) -> dict[str, WorkflowExecutionStatus | None]:
        """How each task's workflow stands; None where the server knows none."""
        slots = asyncio.Semaphore(QUESTIONS_AT_ONCE)

        async def ask(task_id: str) -> WorkflowExecutionStatus | None:
            async with slots:
                try:
                    return (await self._client.get_workflow_handle(task_id).describe()).status
                except RPCError as error:
                    if error.status is RPCStatusCode.NOT_FOUND:
                        return None
                    raise

        asked = list(dict.fromkeys(task_ids))
        return dict(zip(asked, await asyncio.gather(*map(ask, asked)), strict=True))

    async def _are_known(self, task_ids: Iterable[str]) -> dict[str, bool]:
        statuses = await self._statuses(task_ids)
        return {task_id: status is not None for task_id, status in statuses.items()}


async def schedule_sweep(client: Client) -> None:
    """Have Temporal start a sweep every minute. A pause that a person has set stays set."""
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(
            SWEEP_LEDGER,
            id=SWEEP_SCHEDULE,
            task_queue=WORKFLOW_QUEUE,
            execution_timeout=SWEEP_ENDS_WITHIN,
            static_summary="free what nobody will settle",
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=SWEEP_EVERY)]),
        # After an outage one sweep does what all the missed ones would have done.
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=SWEEP_EVERY),
        state=ScheduleState(note="ends on the ledger what was ended from outside"),
    )

    def update(found: ScheduleUpdateInput) -> ScheduleUpdate | None:
        # The server takes a pause a moment after it acknowledged it, and an update writes the whole
        # schedule: one that changes nothing could undo what it has not read yet.
        if _is_scheduled_so(found.description.schedule, schedule):
            return None
        schedule.state = found.description.schedule.state
        return ScheduleUpdate(schedule)

    try:
        await client.create_schedule(SWEEP_SCHEDULE, schedule)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(SWEEP_SCHEDULE).update(update)


def _is_scheduled_so(found: Schedule, wanted: Schedule) -> bool:
    """Whether ``found`` starts the same work as often, under the same rules."""
    actions = [_started(each.action) for each in (found, wanted)]
    return (
        actions[0] == actions[1]
        and [*found.spec.intervals] == [*wanted.spec.intervals]
        and found.policy == wanted.policy
    )


def _started(action: ScheduleAction) -> tuple[object, ...]:
    if not isinstance(action, ScheduleActionStartWorkflow):
        return (action,)
    return (action.workflow, action.id, action.task_queue, action.execution_timeout)


def _is_running(status: WorkflowExecutionStatus | None) -> bool:
    return status is WorkflowExecutionStatus.RUNNING


def _is_ended(task: UnrecordedTask, status: WorkflowExecutionStatus | None) -> bool:
    """A task without a workflow may still get one, unless its money was freed already."""
    return task.has_no_money_left if status is None else not _is_running(status)


def _ended_outside(task: UnrecordedTask, how: str, now: datetime) -> TaskOutcome:
    return TaskOutcome(
        task_id=task.task_id,
        status=TaskStatus.FAILED,
        failure=FailureType.INTERNAL,
        reason=f"The workflow was ended from outside ({how}), not by the policy.",
        caller=task.caller,
        task_class=None,
        class_source=ClassSource.UNKNOWN,
        started_at=task.created_at,
        finished_at=now,
    )
