"""A Temporal server of these tests alone: on a shared one other workers would do the sweeping."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from sqlalchemy import Engine
from temporalio.client import (
    Client,
    ScheduleActionExecutionStartWorkflow,
    ScheduleHandle,
    ScheduleInfo,
    ScheduleIntervalSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
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
    client = await Client.connect(address, plugins=[pointwork_plugin()])
    await schedule_sweep(client)
    # The tests alone say when it fires.
    await client.get_schedule_handle(SWEEP_SCHEDULE).update(_rarely)
    yield client
    await client.get_schedule_handle(SWEEP_SCHEDULE).delete()


def _rarely(found: ScheduleUpdateInput) -> ScheduleUpdate:
    schedule = found.description.schedule
    schedule.spec.intervals = [ScheduleIntervalSpec(every=timedelta(days=3650))]
    return ScheduleUpdate(schedule)


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
    before = (await schedule.describe()).info.num_actions
    await schedule.trigger()
    while (found := (await schedule.describe()).info).num_actions == before:
        pass  # each question is a round trip to the server
    handle = client.get_workflow_handle(workflow_id_of(found), result_type=Swept)
    swept: Swept = await handle.result()
    return swept


def workflow_id_of(info: ScheduleInfo) -> str:
    """The workflow of the last firing."""
    action = info.recent_actions[-1].action
    assert isinstance(action, ScheduleActionExecutionStartWorkflow)
    return action.workflow_id
