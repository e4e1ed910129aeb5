"""Every write may be done and reported as failed; repeated, it is still done once (case 30)."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from sqlalchemy.exc import OperationalError
from temporalio.exceptions import ApplicationError

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import AttemptState, Settlement, TaskStatus
from pointwork.contract.task import ContentRef
from pointwork.ledger.attempts import AttemptClosedError
from tests.fakes.lossy_engine import LossyEngine
from tests.fakes.scripted_provider import Fails, Says, Script
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.steps import DAY_LIMIT_NANO_USD, Steps

TASKS = 500
LOST_RATE = 0.05
IN_FLIGHT = 16
REPEATS_MAX = 20

T = TypeVar("T")


class LossyTasks:
    """Runs tasks over a ledger that loses answers, repeating each step until one comes through."""

    def __init__(self, ledger: Ledger, script: Script) -> None:
        self.lossy = LossyEngine(ledger.engine, LOST_RATE, seed=30)
        self.repeats = 0
        self._steps = Steps(self.lossy.as_engine(), script)

    async def run(self, task_id: str) -> None:
        prompt = await self._until_told(lambda: self._steps.accept(task_id))
        await self._until_told(lambda: self._steps.reserve(task_id, prompt))
        status = await self._call(task_id, prompt)
        await self._until_told(lambda: self._steps.log(task_id, status))

    async def _call(self, task_id: str, prompt: ContentRef) -> TaskStatus:
        try:
            await self._until_told(lambda: self._steps.call(task_id, prompt))
        except (ApplicationError, AttemptClosedError):
            # What the provider said, or that it had said it before: neither is tried again.
            return TaskStatus.FAILED
        return TaskStatus.SUCCEEDED

    async def _until_told(self, step: Callable[[], Awaitable[T]]) -> T:
        for _ in range(REPEATS_MAX):
            try:
                return await step()
            except OperationalError:
                self.repeats += 1
        raise AssertionError("no answer came through")


@pytest.mark.req("DC-1")
async def test_five_hundred_tasks_whose_writes_lose_their_answers_end_once_each(
    ledger: Ledger,
) -> None:
    script = Script()
    names = [f"t-{number}" for number in range(TASKS)]
    for number, task_id in enumerate(names):
        refused = Fails(ProviderFailureKind.INVALID_REQUEST)
        script.write(task_id, refused if number % 10 == 0 else Says("tidied"))
    tasks = LossyTasks(ledger, script)
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def one(task_id: str) -> None:
        async with slots:
            await tasks.run(task_id)

    await asyncio.gather(*map(one, names))

    # How many commits there are depends on how many steps the writer takes together.
    assert tasks.lossy.lost > tasks.lossy.commits * LOST_RATE / 2
    assert tasks.lossy.commits > TASKS
    assert tasks.repeats >= tasks.lossy.lost
    assert ledger.violations() == []
    statuses = Counter(each.status for each in ledger.outcomes.recent(2 * TASKS))
    assert statuses[TaskStatus.SUCCEEDED] + statuses[TaskStatus.FAILED] == TASKS
    (audited,) = ledger.rows("SELECT count(*) AS n FROM audit WHERE kind = 'outcome'")
    assert audited["n"] == TASKS
    attempts = ledger.rows("SELECT state, cost_nano_usd, settlement FROM attempt")
    unknown = [each for each in attempts if each["state"] == AttemptState.UNKNOWN]
    assert sum(map(len, script.calls.values())) <= TASKS + len(unknown)
    # A send whose fate is unknown is charged in full; answered and refused calls are free here.
    assert {each["settlement"] for each in unknown} == {Settlement.AT_LEAST}
    committed = ledger.budgets.read(["day"])
    assert committed == {"day": (DAY_LIMIT_NANO_USD, 100 * len(unknown))}
