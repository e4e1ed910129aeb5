"""Workers and Temporal's server killed at drawn moments of the work, and a worker that was only
asleep: every task ends once, and no request to a model is unaccounted for."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import pysqlite3.dbapi2
import pytest

from pointwork.contract.failures import ServiceUnavailableError
from pointwork.contract.names import TaskQueue
from pointwork.contract.outcome import AttemptState, TaskStatus
from tests.fakes.slow_model import SlowModel, slow_model
from tests.faults.conftest import write_policies
from tests.faults.installation import Installation, installation
from tests.faults.processes import Server, temporal, until
from tests.scale import Scale

ENDS_SECONDS_MAX = 400
SUBMITTERS = 8


@dataclass
class Scene:
    server: Server
    model: SlowModel
    installed: Installation


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    async with slow_model() as model, temporal(folder / "temporal") as server:
        policies = write_policies(folder, model)
        async with installation(folder, server.address, policies, model) as installed:
            yield Scene(server, model, installed)


async def submit_all(
    installed: Installation, task_ids: list[str], acknowledged: Callable[[str], None]
) -> None:
    """Several callers at once; one that got no acknowledgement asks again, as callers do."""
    left = list(reversed(task_ids))

    async def caller() -> None:
        while left:
            task_id = left.pop()
            while True:
                try:
                    acknowledged(await installed.submit(task_id))
                    break
                except ServiceUnavailableError:
                    continue

    await asyncio.gather(*(caller() for _ in range(SUBMITTERS)))


async def closed(installed: Installation, task_ids: list[str]) -> list[TaskStatus]:
    async with asyncio.timeout(ENDS_SECONDS_MAX):
        outcomes = await asyncio.gather(*map(installed.closed, task_ids))
    return [each.status for each in outcomes]


def assert_sound(installed: Installation, task_ids: list[str]) -> None:
    assert installed.count("SELECT count(*) FROM outcome") == len(task_ids)
    assert installed.count("SELECT count(*) FROM audit WHERE kind = 'outcome'") == len(task_ids)
    assert [each for each in task_ids if installed.unexplained_calls(each)] == []
    assert installed.faults() == []


def integrity(database: Path) -> str:
    with closing(pysqlite3.dbapi2.connect(database)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


@pytest.mark.req("DC-1")
async def test_every_task_outlives_workers_killed_at_random(tmp_path: Path, scale: Scale) -> None:
    count, kills_planned = scale.of(300, 40), scale.of(16, 2)
    task_ids = [f"worker-kill-{number}" for number in range(count)]
    drawn = random.Random(25)
    moments = drawn.sample(range(1, count - 20), kills_planned)
    async with scene(tmp_path) as on:
        installed = on.installed
        kills: list[int] = []
        killed = asyncio.Semaphore(0)

        def kill_one() -> None:
            """With a request at the model whose answer is not even written."""
            serving = [each for each in installed.workers if each.is_serving]
            if serving and len(kills) < sum(each <= on.model.calls for each in moments):
                victim = drawn.choice(serving)
                victim.send(signal.SIGKILL)
                kills.append(victim.pid)
                killed.release()

        async def replace_the_dead() -> None:
            for _ in moments:
                await killed.acquire()
                await installed.worker()

        on.model.on_call = kill_one
        on.model.gate.set()
        for _ in range(2):
            await installed.worker()
        async with asyncio.TaskGroup() as group:
            group.create_task(replace_the_dead())
            group.create_task(submit_all(installed, task_ids, lambda _: None))
        statuses = await closed(installed, task_ids)

        assert len(kills) == kills_planned
        assert statuses == [TaskStatus.SUCCEEDED] * count
        assert_sound(installed, task_ids)


@pytest.mark.req("DC-1")
async def test_every_acknowledged_task_outlives_kills_of_the_server(
    tmp_path: Path, scale: Scale
) -> None:
    count = scale.of(200, 40)
    task_ids = [f"server-kill-{number}" for number in range(count)]
    moments = sorted(random.Random(26).sample(range(1, 2 * count - 20), scale.of(10, 2)))
    acknowledged: list[str] = []
    async with scene(tmp_path) as on:
        installed = on.installed
        on.model.gate.set()
        await installed.worker()

        async def come_to(moment: int) -> None:
            await until(lambda: len(acknowledged) + on.model.calls >= moment)

        async def kill_the_server() -> None:
            for moment in moments:
                await come_to(moment)
                await on.server.kill()
                await on.server.start()

        async with asyncio.TaskGroup() as group:
            group.create_task(kill_the_server())
            group.create_task(submit_all(installed, task_ids, acknowledged.append))
        statuses = await closed(installed, task_ids)

        assert sorted(acknowledged) == sorted(task_ids)
        assert statuses == [TaskStatus.SUCCEEDED] * count
        assert_sound(installed, task_ids)
        await on.server.kill()
        assert integrity(on.server.database) == "ok"
        assert integrity(tmp_path / "ledger.db") == "ok"


@pytest.mark.req("DC-1")
async def test_a_worker_that_comes_back_late_adds_no_outcome_and_posts_nothing_twice(
    tmp_path: Path,
) -> None:
    task_ids = [f"zombie-{number}" for number in range(8)]
    async with scene(tmp_path) as on:
        installed, asleep = on.installed, on.model.gate
        for queue in (TaskQueue.CLASSIFY, TaskQueue.LEDGER):
            await installed.worker(queue)
        # As many calls as it has room for: with none free it asks the server for no more work.
        zombie = await installed.worker(TaskQueue.INVOKE, calls_in_flight_max=len(task_ids))
        await submit_all(installed, task_ids, lambda _: None)
        await until(lambda: on.model.calls == len(task_ids))
        zombie.send(signal.SIGSTOP)
        on.model.gate = asyncio.Event()
        on.model.gate.set()
        await installed.worker(TaskQueue.INVOKE)
        statuses = await closed(installed, task_ids)
        recorded = [installed.outcomes.find(each) for each in task_ids]
        spent = installed.count("SELECT sum(spent_nano_usd) FROM budget_window")

        asleep.set()
        await until(lambda: on.model.answers == 2 * len(task_ids))
        zombie.send(signal.SIGCONT)
        await until(
            lambda: (
                installed.count(
                    "SELECT count(*) FROM attempt WHERE state = :state",
                    state=AttemptState.UNKNOWN,
                )
                == 0
            )
        )

        assert statuses == [TaskStatus.SUCCEEDED] * len(task_ids)
        assert [installed.outcomes.find(each) for each in task_ids] == recorded
        for outcome in recorded:
            assert outcome is not None
            seen = [each.state for each in outcome.attempts]
            assert seen == [AttemptState.UNKNOWN, AttemptState.DONE]
            # Late, it is either answered or cut off by the server's word that it was given up.
            late, done = installed.outcomes.attempts(outcome.task_id)
            assert late.state in (AttemptState.DONE, AttemptState.FAILED)
            assert done.state is AttemptState.DONE
            assert late.cost_nano_usd > 0
            assert on.model.calls_for(outcome.task_id) == 2
        assert installed.count("SELECT sum(spent_nano_usd) FROM budget_window") == spent
        late_records = "SELECT count(*) FROM audit WHERE kind = 'late_settlement'"
        assert installed.count(late_records) == len(task_ids)
        assert installed.count("SELECT count(*) FROM outcome") == len(task_ids)
        assert installed.faults() == []
