"""The schedule frees what dead workflows held, and nothing of a live one (reliability case 18)."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine
from temporalio.client import (
    Client,
    Schedule,
    ScheduleHandle,
    ScheduleIntervalSpec,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
    WorkflowExecutionStatus,
)

from pointwork.contract.names import ROUTE_TASK, SWEEP_LEDGER, SWEEP_SCHEDULE
from pointwork.contract.outcome import TaskStatus
from pointwork.ledger import sweeper
from pointwork.ledger.rate_leases import RateLeases
from tests.integration.ledger.conftest import Ledger, ledger, ledger_url, sqlite_template
from tests.integration.ledger.records import NOW, accept, answer, invoke, reserve, window
from tests.integration.sweep.conftest import fired, sweeping, workflow_id_of
from workers.sweep import LedgerSweep, schedule_sweep

__all__ = ["ledger", "ledger_url", "sqlite_template"]
EXPIRED, LASTING = 0, 3600


async def start(client: Client, *task_ids: str) -> None:
    """Workflows of tasks, on a queue that nobody serves: they run until they are ended."""
    await asyncio.gather(
        *(client.start_workflow(ROUTE_TASK, id=each, task_queue="nobody") for each in task_ids)
    )


async def terminate(client: Client, *task_ids: str) -> None:
    await asyncio.gather(*(client.get_workflow_handle(each).terminate() for each in task_ids))


def hold(ledger: Ledger, task_id: str, *, seconds: int, is_sent: bool) -> None:
    accept(ledger.vault, task_id)
    reserve(ledger.budgets, task_id, windows=[window("day", 10**9)], expires_in_seconds=seconds)
    if is_sent:
        ledger.attempts.begin(invoke(task_id), f"{task_id}/1", NOW)


def states(ledger: Ledger) -> dict[str, str]:
    rows = ledger.rows("SELECT task_id, state FROM hold_part")
    return {row["task_id"]: row["state"] for row in rows}


@pytest.mark.req("DC-1")
async def test_two_hundred_holds_of_dead_workflows_are_freed_and_fifty_of_live_ones_kept(
    temporal: Client, ledger: Ledger
) -> None:
    """Dead: terminated with a hold that lasts, and gone from the server with one that expired."""
    run = uuid.uuid4().hex
    ended = [f"{run}-ended-{number}" for number in range(100)]
    gone = [f"{run}-gone-{number}" for number in range(100)]
    calling = [f"{run}-calling-{number}" for number in range(25)]
    waiting = [f"{run}-waiting-{number}" for number in range(25)]
    for number, task_id in enumerate(ended):
        hold(ledger, task_id, seconds=LASTING, is_sent=number % 2 == 0)
    for number, task_id in enumerate(gone):
        hold(ledger, task_id, seconds=EXPIRED, is_sent=number % 2 == 0)
    for task_id in calling:
        hold(ledger, task_id, seconds=EXPIRED, is_sent=True)
    for task_id in waiting:
        hold(ledger, task_id, seconds=LASTING, is_sent=False)
    await start(temporal, *ended, *calling, *waiting)
    await terminate(temporal, *ended)

    async with sweeping(temporal, ledger.engine) as schedule:
        swept = await fired(temporal, schedule)
        again = await fired(temporal, schedule)

    assert (swept.parts_ended, swept.outcomes_recorded) == (100, 200)
    assert (again.parts_ended, again.outcomes_recorded) == (0, 0)
    found = states(ledger)
    assert {found[each] for each in calling + waiting} == {"reserved"}
    assert {found[each] for each in ended[::2] + gone[::2]} == {"posted"}
    assert {found[each] for each in ended[1::2]} == {"voided"}
    assert {found[each] for each in gone[1::2]} == {"expired"}
    # Fifty live holds, and a hundred calls whose fate nobody knows, charged in full.
    assert ledger.budgets.read(["day"]) == {"day": (10**9, 150 * 100)}
    assert {each.status for each in ledger.outcomes.recent(1000)} == {TaskStatus.FAILED}
    await terminate(temporal, *calling, *waiting)


async def test_a_task_that_never_got_a_workflow_is_left_to_its_caller(
    temporal: Client, ledger: Ledger
) -> None:
    accept(ledger.vault, "t-1")
    async with sweeping(temporal, ledger.engine) as schedule:
        assert (await fired(temporal, schedule)).outcomes_recorded == 0
    assert ledger.outcomes.find("t-1") is None


async def test_an_answered_call_of_a_deleted_workflow_posts_what_it_cost(
    temporal: Client, ledger: Ledger
) -> None:
    hold(ledger, "t-1", seconds=EXPIRED, is_sent=True)
    ledger.attempts.finish("t-1/1", **answer(cost=60))
    async with sweeping(temporal, ledger.engine) as schedule:
        await fired(temporal, schedule)
    outcome = ledger.outcomes.find("t-1")
    assert outcome is not None
    assert outcome.cost_nano_usd == 60
    assert "deleted" in outcome.reason


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
async def test_a_sweep_that_runs_out_of_time_leaves_the_rest_to_the_next_firing(
    temporal: Client, ledger: Ledger
) -> None:
    """A page at a time, where the walk has no time at all: every row has its turn."""
    tasks = [f"t-{number}" for number in range(sweeper.ROWS_PER_PAGE + 10)]
    for task_id in tasks[:-1]:
        accept(ledger.vault, task_id)
    hold(ledger, tasks[-1], seconds=EXPIRED, is_sent=True)
    ledger.rows(
        "UPDATE task SET created_at = '2026-03-02 00:00:00.000000' WHERE task_id = :t", t=tasks[-1]
    )
    async with sweeping(temporal, ledger.engine, walk_seconds_max=0.0) as schedule:
        first = await fired(temporal, schedule)
        second = await fired(temporal, schedule)
    assert (first.outcomes_recorded, second.outcomes_recorded) == (0, 1)
    assert first.unrecorded_after is not None
    assert second.unrecorded_after is None


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
async def test_a_sweep_reconciles_and_projects_where_it_is_given_the_means(
    temporal: Client, ledger: Ledger
) -> None:
    projected: list[tuple[Engine, datetime]] = []

    async def reconcile() -> int:
        return 3

    def project(engine: Engine, now: datetime) -> None:
        projected.append((engine, now))

    async with sweeping(temporal, ledger.engine, reconcile, project) as schedule:
        assert (await fired(temporal, schedule)).calls_reconciled == 3
    ((engine, now),) = projected
    assert engine is ledger.engine
    assert now.tzinfo is UTC


async def test_a_worker_that_starts_sets_the_schedule_up_and_leaves_a_persons_pause(
    temporal: Client,
) -> None:
    handle = temporal.get_schedule_handle(SWEEP_SCHEDULE)
    await schedule_sweep(temporal)
    await every_minute(handle)
    await handle.pause()
    await schedule_sweep(temporal)
    found = await once(handle, paused=True)
    assert [each.every for each in found.spec.intervals] == [timedelta(seconds=60)]
    await handle.unpause()
    await schedule_sweep(temporal)
    await once(handle, paused=False)


async def test_a_worker_of_another_version_sets_its_own_interval_and_leaves_a_persons_pause(
    temporal: Client,
) -> None:
    handle = temporal.get_schedule_handle(SWEEP_SCHEDULE)
    await schedule_sweep(temporal)

    def older(found: ScheduleUpdateInput) -> ScheduleUpdate:
        schedule = found.description.schedule
        schedule.spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(hours=1))])
        schedule.state.paused = True
        return ScheduleUpdate(schedule)

    await handle.update(older)
    await once(handle, paused=True)
    await schedule_sweep(temporal)
    await every_minute(handle)
    await once(handle, paused=True)
    await handle.unpause()
    await once(handle, paused=False)


async def every_minute(handle: ScheduleHandle) -> None:
    """Until the server has taken the interval: whoever reads before that writes it once more."""
    async with asyncio.timeout(60):
        while (await handle.describe()).schedule.spec.intervals[0].every != timedelta(seconds=60):
            pass


async def once(handle: ScheduleHandle, *, paused: bool) -> Schedule:
    """The schedule, when the server has taken a pause or its end: it does after it said so."""
    async with asyncio.timeout(60):
        while (found := (await handle.describe()).schedule).state.paused is not paused:
            pass
    return found


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
async def test_a_firing_leaves_a_small_history(temporal: Client, ledger: Ledger) -> None:
    async with sweeping(temporal, ledger.engine) as schedule:
        await fired(temporal, schedule)
        workflow_id = workflow_id_of((await schedule.describe()).info)
    handle = temporal.get_workflow_handle(workflow_id)
    history = await handle.fetch_history()
    described = await handle.describe()
    assert described.workflow_type == SWEEP_LEDGER
    assert described.status is WorkflowExecutionStatus.COMPLETED
    assert len(history.events) <= 11
    assert sum(len(event.SerializeToString()) for event in history.events) < 4096


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
async def test_a_sweep_asks_about_young_tasks_only_when_told_to(
    temporal: Client, ledger: Ledger
) -> None:
    run = uuid.uuid4().hex
    accept(ledger.vault, run)
    now = datetime.now(UTC).strftime("%F %T.%f")
    ledger.rows("UPDATE task SET created_at = :now", now=now)
    await start(temporal, run)
    await terminate(temporal, run)
    sweep = LedgerSweep(temporal, ledger.engine)
    assert (await sweep.sweep()).outcomes_recorded == 0
    assert (await sweep.sweep(None, datetime.now(UTC))).outcomes_recorded == 1


async def test_a_sweep_drops_what_replicas_took_of_seconds_that_are_over(
    temporal: Client, ledger: Ledger
) -> None:
    leases, now = RateLeases(ledger.engine), int(datetime.now(UTC).timestamp())
    for second in (now - 600, now + 600):
        leases.lease("ada", second, 1, 10)
    await LedgerSweep(temporal, ledger.engine).sweep()
    assert ledger.rows("SELECT second FROM rate_lease") == [{"second": now + 600}]
