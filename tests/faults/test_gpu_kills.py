"""The worker of the local card and its model's server, killed in the middle of a batch."""

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest

from pointwork.contract.names import TaskQueue
from pointwork.contract.outcome import AttemptState, TaskStatus
from pointwork.ledger.signals import SignalStore
from pointwork.local.weights import pull
from tests.fakes.slow_model import slow_model
from tests.faults.conftest import REPOSITORY
from tests.faults.installation import Installation, installation
from tests.faults.processes import Worker, temporal, until
from tests.scale import Scale

MODEL = "smollm2-135m"
TASKS, TASKS_ALWAYS = 60, 10
ENDS_SECONDS_MAX = 900
CALLS_OF_A_TASK = 3


class Card:
    """The GPU worker on its one state directory, where the card's lease lies."""

    def __init__(self, installed: Installation, state_dir: Path) -> None:
        self._installed = installed
        self._state_dir = state_dir
        (state_dir / "models").parent.mkdir(parents=True)
        (state_dir / "models").symlink_to(REPOSITORY / ".pointwork" / "models")
        self.servers: set[psutil.Process] = set()
        """Every server of a model that was seen."""

    async def start(self) -> None:
        """A worker in the place of the one before, whose lease it has to wait for."""
        settings = {**self._installed.settings, "state_dir": self._state_dir}
        self.worker = Worker(settings, "gpu")
        self._installed.workers.append(self.worker)
        await self.worker.start()

    async def in_the_middle(self) -> psutil.Process:
        """The model's server, with a generation under way."""
        store = SignalStore(self._installed.engine)

        def generating() -> bool:
            report = store.lane_report(TaskQueue.GPU)
            return bool(report and report.in_flight and self._server())

        await until(generating)
        server = self._server()
        assert server is not None
        return server

    def _server(self) -> psutil.Process | None:
        children = psutil.Process(self.worker.pid).children(recursive=True)
        found = [each for each in children if "llama_server" in " ".join(_command(each))]
        self.servers.update(found)
        return found[0] if len(found) == 1 else None


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


async def has_ended(process: psutil.Process) -> None:
    await until(lambda: not process.is_running())


def cut_off(installed: Installation, task_id: str) -> int:
    """Calls of the task that ended with their server."""
    attempts = installed.outcomes.attempts(task_id)
    return sum(each.state is AttemptState.FAILED for each in attempts)


@pytest.mark.req("DC-1")
@pytest.mark.req("DC-21")
async def test_every_task_outlives_kills_of_the_gpu_worker_and_of_its_models_server(
    tmp_path: Path, scale: Scale
) -> None:
    pull(MODEL, REPOSITORY / ".pointwork" / "models", lambda _: None)
    count, kills = scale.of(TASKS, TASKS_ALWAYS), scale.of(20, 2)
    task_ids = [f"gpu-kill-{number}" for number in range(count)]
    async with (
        slow_model() as unused,
        temporal(tmp_path / "temporal", []) as server,
        installation(tmp_path / "one", server.address, REPOSITORY / "policies", unused) as on,
    ):
        card = Card(on, tmp_path / "card")
        await on.worker()
        await card.start()
        await asyncio.gather(*map(on.submit, task_ids))
        for number in range(kills):
            model_server = await card.in_the_middle()
            if number % 2:
                model_server.kill()
            else:
                os.kill(card.worker.pid, signal.SIGKILL)
                await card.worker.ended()
                await card.start()
            await has_ended(model_server)
        async with asyncio.timeout(ENDS_SECONDS_MAX):
            await asyncio.gather(*map(on.closed, task_ids), return_exceptions=True)
        found = {each: on.outcomes.find(each) for each in task_ids}
        assert None not in found.values()
        unanswered = [
            each
            for each, outcome in found.items()
            if outcome and outcome.status is not TaskStatus.SUCCEEDED
        ]
        # The pack calls three times; who was cut off each time has failed, and is told so.
        short = {each: found[each] for each in unanswered if cut_off(on, each) < CALLS_OF_A_TASK}
        assert short == {}
        assert len(unanswered) <= kills // (2 * CALLS_OF_A_TASK)
        assert on.count("SELECT count(*) FROM outcome") == count
        # What only waited in a lost worker was never sent, and nothing says so.
        unknown = on.count("SELECT count(*) FROM attempt WHERE state = 'unknown'")
        assert unknown <= kills - kills // 2
        assert on.faults() == []
        await card.worker.kill()
        for each in card.servers:
            await has_ended(each)
