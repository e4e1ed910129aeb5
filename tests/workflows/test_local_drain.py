"""A GPU worker that is told to stop: what runs may end, and what waits goes to the next one."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from pointwork.contract.names import TaskQueue
from pointwork.contract.outcome import AttemptState, AttemptSummary, TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.ledger.signals import SignalStore
from pointwork.policy.bundle import PolicyLibrary
from pointwork.temporal import pointwork_plugin
from tests.fakes.local_runtime import FakeRuntime
from tests.fakes.scripted_provider import Script
from tests.fakes.slow_model import SlowModel, slow_model
from tests.workflows.stack import Stack, open_test_parts, running
from workers.gpu import gpu_worker
from workers.runtimes import served_models
from workers.wiring import Parts

SHORT = Prompt.from_text("Tidy up this line.")


class RuntimeOf(FakeRuntime):
    """Every model is served by ``model``."""

    def __init__(self, model: SlowModel) -> None:
        super().__init__()
        self._model = model

    async def ensure_loaded(self, model: str) -> str:
        await super().ensure_loaded(model)
        return self._model.base_url


@pytest.fixture
def parts(tmp_path: Path, library: PolicyLibrary) -> Iterator[Parts]:
    made = open_test_parts(tmp_path, library, Script())
    settings = made.settings.model_copy(update={"drain_seconds": 60.0})
    yield replace(made, settings=settings)
    made.threads.shutdown()
    made.engine.dispose()


@asynccontextmanager
async def served(stack: Stack, model: SlowModel) -> AsyncIterator[None]:
    """A worker with a client of its own: one client serves a queue once."""
    address = stack.temporal.service_client.config.target_host
    client = await Client.connect(address, plugins=[pointwork_plugin(stack.parts.library)])
    names = served_models(stack.parts.library.of_this_host)
    async with gpu_worker(client, stack.parts, RuntimeOf(model), names, "a-key"):
        yield


async def submitted(stack: Stack) -> str:
    declared = stack.declare()
    await stack.client.submit(SHORT, declared)
    return declared.task_id


async def taken_up(stack: Stack) -> None:
    """Until the lane says that one task waits beside one that runs."""
    signals = SignalStore(stack.parts.engine)
    async with asyncio.timeout(60):
        while True:
            report = await asyncio.to_thread(signals.lane_report, TaskQueue.GPU)
            if report and report.in_flight and [each.waiting for each in report.queues] == [1]:
                return
            await asyncio.sleep(0.02)


def states(attempts: Sequence[AttemptSummary]) -> list[AttemptState]:
    return [each.state for each in attempts]


async def test_a_worker_told_to_stop_ends_its_generation_and_hands_on_what_was_never_sent(
    own_server: WorkflowEnvironment, parts: Parts
) -> None:
    async with (
        running(own_server, parts, Script(), serves_gpu=False) as stack,
        slow_model() as first,
        slow_model() as second,
        AsyncExitStack() as worker,
    ):
        second.gate.set()
        await worker.enter_async_context(served(stack, first))
        runs = await submitted(stack)
        async with asyncio.timeout(60):
            await first.called.wait()
        waits = await submitted(stack)
        await taken_up(stack)
        assert states(stack.outcomes.attempts(waits)) == [AttemptState.PLANNED]

        stopping = asyncio.create_task(worker.aclose())
        async with served(stack, second):
            after = await stack.recorded(waits)
            assert after.status is TaskStatus.SUCCEEDED
            assert not stopping.done()

            first.gate.set()
            ended = await stack.recorded(runs)
            await stopping
        for outcome in (ended, after):
            assert states(outcome.attempts) == [AttemptState.DONE]
        assert (first.calls, second.calls) == (1, 1)
