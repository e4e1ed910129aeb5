"""What local calls cost: the electricity that a meter counted, at the operator's tariff."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, timedelta

import pytest

from pointwork.contract.local_run import LocalRun
from pointwork.contract.outcome import FinishReason, TokenUsage
from pointwork.ledger.costs import CostReport, Days
from pointwork.ledger.electricity import electricity
from pointwork.local.energy import MILLIJOULES_PER_KWH, ElectricityMeter
from pointwork.local.lane import LocalLane
from pointwork.local.provider import LocalProvider
from pointwork.policy.documents.host import WaitBounds
from pointwork.providers.port import CompletionRequest, CompletionResponse, OnProgress
from tests.fakes.local_runtime import FakeRuntime
from tests.fakes.scripted_provider import Script
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, accept, answer, invoke, reserve
from tests.integration.ledger.steps import Steps

MODEL = "small-local"
TARIFF_NANO_USD = 320_000_000
JOBS = 1_000


@dataclass
class Counter:
    reading_millijoules: int = 0

    def millijoules(self) -> int:
        return self.reading_millijoules


@dataclass
class Server:
    """Answers, and uses something for it: more for every token."""

    counter: Counter

    async def complete(
        self, request: CompletionRequest, on_progress: OnProgress | None = None
    ) -> CompletionResponse:
        tokens = len(request.prompt.text) % 97 + 1
        self.counter.reading_millijoules += 100 + 7 * tokens
        return CompletionResponse(
            text="An answer.",
            served_model=request.model,
            finish_reason=FinishReason.STOP,
            usage=TokenUsage(input_tokens=40, output_tokens=tokens),
        )

    async def aclose(self) -> None:
        pass


async def job(steps: Steps, number: int) -> None:
    task_id = f"job-{number}"
    prompt = await steps.accept(task_id, "x" * (number % 89 + 1))
    await steps.reserve(task_id, prompt)
    await steps.call(task_id, prompt)
    await steps.log(task_id)


@pytest.mark.req("CX-12")
@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
async def test_a_thousand_local_jobs_cost_their_metered_energy_at_the_tariff_and_no_tokens(
    ledger: Ledger,
) -> None:
    counter = Counter()
    meter = ElectricityMeter(counter, TARIFF_NANO_USD)
    lane = LocalLane(FakeRuntime(), in_flight_max=8)
    provider = LocalProvider(lane, lambda _: Server(counter), [MODEL], WaitBounds(), meter)
    steps = Steps(ledger.engine, Script(), provider)
    for begin in range(0, JOBS, 8):
        await asyncio.gather(*(job(steps, begin + at) for at in range(min(8, JOBS - begin))))
    await provider.aclose()
    (used,) = electricity(ledger.engine)
    assert (used.model, used.calls) == (MODEL, JOBS)
    # Of what calls at a time cannot share evenly, a few millijoules wait for a next call.
    assert 0 <= counter.reading_millijoules - used.energy_millijoules < 8
    due_nano_usd = used.energy_millijoules * TARIFF_NANO_USD // MILLIJOULES_PER_KWH
    assert 0 < due_nano_usd == used.cost_nano_usd
    assert CostReport(ledger.engine).total().cost_nano_usd == due_nano_usd


def test_electricity_is_asked_for_by_day_and_calls_without_a_meter_are_not_counted(
    ledger: Ledger,
) -> None:
    metered = LocalRun(energy_millijoules=5_000, electricity_nano_usd=444)
    for task_id, run in {"metered": metered, "free": LocalRun(), "cloud": None}.items():
        accept(ledger.vault, task_id)
        reserve(ledger.budgets, task_id)
        ledger.attempts.begin(invoke(task_id), f"{task_id}/1", NOW)
        ledger.attempts.finish(f"{task_id}/1", **answer(local_run=run))
    today = NOW.astimezone(UTC).date()
    (used,) = electricity(ledger.engine, Days(since=today, until=today), "omega")
    assert (used.calls, used.energy_millijoules, used.cost_nano_usd) == (1, 5_000, 444)
    later = Days(since=today + timedelta(days=1))
    assert electricity(ledger.engine, later) == []
    assert electricity(ledger.engine, Days(until=date(2020, 1, 1))) == []
    assert electricity(ledger.engine, pack="codex") == []
    (attempt,) = ledger.outcomes.attempts("metered")
    assert attempt.local_run == metered
