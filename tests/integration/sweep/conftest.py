"""A Temporal server of these tests alone: on a shared one other workers would do the sweeping."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from temporalio.client import (
    Client,
    CreateScheduleInput,
    Interceptor,
    OutboundInterceptor,
    ScheduleActionExecution,
    ScheduleActionExecutionStartWorkflow,
    ScheduleHandle,
    ScheduleInfo,
    ScheduleIntervalSpec,
    ScheduleSpec,
    WorkflowHandle,
)
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.sweep import SweepActivities
from pointwork.contract.names import SWEEP_SCHEDULE, WORKFLOW_QUEUE
from pointwork.contract.sweep import Swept
from pointwork.temporal import pointwork_plugin
from tests.temporal_server import dev_server
from workers.sweep import LedgerSweep, Project, Reconcile, schedule_sweep
from workflows.sweep_ledger import SweepLedger


@pytest.fixture(scope="package")
async def sweep_server() -> AsyncIterator[WorkflowEnvironment]:
    async with dev_server() as server:
        yield server


@pytest.fixture
async def temporal(sweep_server: WorkflowEnvironment) -> AsyncIterator[Client]:
    """A client like a worker's, and the schedule it makes; but for how often that fires."""
    address = sweep_server.client.service_client.config.target_host
    client = await Client.connect(address, plugins=[pointwork_plugin()], interceptors=[Rarely()])
    async with scheduled(client):
        yield client


@asynccontextmanager
async def scheduled(client: Client) -> AsyncIterator[None]:
    """The schedule that a worker makes, until its tests are through."""
    await schedule_sweep(client)
    schedule = client.get_schedule_handle(SWEEP_SCHEDULE)
    yield
    # One that nobody works on would be done by the next test's worker, on that test's ledger.
    for action in (await schedule.describe()).info.running_actions:
        await client.get_workflow_handle(_workflow_id(action)).terminate()
    await schedule.delete()


class Rarely(Interceptor):
    """Schedules are made so that the tests alone say when they fire.

    Made rare afterwards, one may have fired already: its minute may end meanwhile.
    """

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        return _Rarely(next)


class _Rarely(OutboundInterceptor):
    async def create_schedule(self, input: CreateScheduleInput) -> ScheduleHandle:
        intervals = [ScheduleIntervalSpec(every=timedelta(days=3650))]
        rare = replace(input.schedule, spec=ScheduleSpec(intervals=intervals))
        return await super().create_schedule(replace(input, schedule=rare))


@asynccontextmanager
async def sweeping(
    client: Client,
    engine: Engine,
    reconcile: Reconcile | None = None,
    project: Project | None = None,
    walk_seconds_max: float = 20.0,
) -> AsyncIterator[ScheduleHandle]:
    """A worker of the sweep over ``engine``."""
    sweep = LedgerSweep(client, engine, reconcile, project, walk_seconds_max)
    async with Worker(
        client,
        task_queue=WORKFLOW_QUEUE,
        workflows=[SweepLedger],
        activities=[SweepActivities(sweep).sweep_ledger],
    ):
        yield client.get_schedule_handle(SWEEP_SCHEDULE)


async def fired(client: Client, schedule: ScheduleHandle) -> Swept:
    """What one firing of the schedule did."""
    swept: Swept = await (await started(client, schedule)).result()
    return swept


async def started(client: Client, schedule: ScheduleHandle) -> WorkflowHandle[Any, Swept]:
    """The sweep that one firing of the schedule has begun."""
    async with asyncio.timeout(60):
        before = await _idle(schedule)
        await schedule.trigger()
        # Each question is a round trip to the server.
        while (found := (await schedule.describe()).info).num_actions == before.num_actions:
            if found.num_actions_skipped_overlap > before.num_actions_skipped_overlap:
                before = await _idle(schedule)
                await schedule.trigger()
    return client.get_workflow_handle(workflow_id_of(found), result_type=Swept)


async def _idle(schedule: ScheduleHandle) -> ScheduleInfo:
    """How it stands once no sweep runs: beside one, the server skips a firing."""
    while (found := (await schedule.describe()).info).running_actions:
        pass
    return found


def workflow_id_of(info: ScheduleInfo) -> str:
    """The workflow of the last firing."""
    return _workflow_id(info.recent_actions[-1].action)


def _workflow_id(action: ScheduleActionExecution) -> str:
    assert isinstance(action, ScheduleActionExecutionStartWorkflow)
    return action.workflow_id
