"""One local device, two real models, a mixed queue: our lane beside a plain queue and the optimum.

    python -m bench.gpu [--requests 200] [--simulated 100000]

Real llama.cpp servers are started and stopped for every swap. First the loads and the generations
of both models are measured. From those follow two traces of requests in three priority classes:
Poisson arrivals of either model, and arrivals that alternate A B A B. Each trace is served for real
by a plain queue with one consumer (FIFO) and by our lane, one generation at a time both. Simulated
with the measured times on the same traces: llama-swap's rule, which collates without a bound.
Searched: the fewest swaps of a schedule with knowledge of the whole trace (bench/lane_optimum.py).
Each begins with an empty card, and the first load is no swap (the search begins with a model of
its choice). Then a card with the published figures of an RTX 5090 is simulated.

The last line is ``swaps_vs_optimum=… makespan_vs_fifo=… waits_past_bound=…
interactive_p95_vs_fifo=…``: the larger of both traces' ratios, the alternating trace's, the sum
over both, and the larger again.
"""

import argparse
import asyncio
import random
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.lane_optimum import fewest_swaps, lower_limit
from bench.lane_simulation import Arrival, Card, Outcome, by_arbiter, collating, simulate
from bench.simulated_5090 import simulated_5090
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.prompt import Prompt
from pointwork.leaving import leave
from pointwork.local.lane import LocalLane
from pointwork.local.lease import DeviceLease
from pointwork.local.llama_cpp import LlamaCppRuntime, LlamaModel
from pointwork.local.provider import LocalProvider
from pointwork.local.weights import pull
from pointwork.policy.documents.host import WaitBounds
from pointwork.providers.dialects import LLAMA_CPP
from pointwork.providers.openai import OpenAIProvider
from pointwork.providers.port import (
    CompletionRequest,
    CompletionResponse,
    OnProgress,
    ProviderError,
)
from workers.settings import Settings

MODELS = ("smollm2-135m", "gemma3-270m")
OUTPUT_TOKENS = 12
MEASURED = 3
"""Loads and generations of each model before the traces are made; the median counts."""
LOAD = 0.7
"""Generations' share of the Poisson trace's time, at the measured pace."""
BOUNDS = WaitBounds()
"""Those of the shipped host profiles."""
PRIORITIES = {"interactive": 1, "standard": 3, "bulk": 5}
SHARES = (0.3, 0.4, 0.3)
CALL_TIMEOUT_SECONDS = 3600.0
CALLS_MAX = 3
FEW = 10
"""Up to so many waits past a bound, how late they were is printed."""


@dataclass
class Timed:
    """The adapter to a server, which notes when each request reaches it."""

    provider: OpenAIProvider
    starts: dict[str, float]

    async def complete(
        self, request: CompletionRequest, on_progress: OnProgress | None = None
    ) -> CompletionResponse:
        """Where the server's stream breaks off, as now and then it does, the call is made again."""
        self.starts.setdefault(request.request_id, time.monotonic())
        for _ in range(CALLS_MAX - 1):
            try:
                return await self.provider.complete(request, on_progress)
            except ProviderError as error:
                if error.kind is not ProviderFailureKind.STREAM_INTERRUPTED:
                    raise
        return await self.provider.complete(request, on_progress)

    async def aclose(self) -> None:
        await self.provider.aclose()


@dataclass
class Device:
    """The real card of this machine: llama.cpp on its processor, one model at a time."""

    runtime: LlamaCppRuntime
    api_key: str
    starts: dict[str, float] = field(default_factory=dict)

    def connect(self, base_url: str) -> Timed:
        provider = OpenAIProvider("local-gpu", base_url, self.api_key, dialect=LLAMA_CPP)
        return Timed(provider, self.starts)


@dataclass(frozen=True)
class Pace:
    """What was measured, in seconds."""

    run: dict[str, float]
    load: dict[str, float]

    def swap(self, _before: str | None, after: str) -> float:
        return self.load[after]


def request_of(arrival: Arrival) -> CompletionRequest:
    return CompletionRequest(
        model=arrival.model,
        prompt=Prompt.from_text(f"Question: Name {arrival.task_id} things.\nAnswer:"),
        max_output_tokens=OUTPUT_TOKENS,
        temperature=0.0,
        timeout_seconds=CALL_TIMEOUT_SECONDS,
        request_id=arrival.task_id,
        priority=PRIORITIES[arrival.priority],
        seed=1,
    )


async def measured(device: Device) -> Pace:
    """Loads and generations, alternating, so that every load is a swap."""
    loads: dict[str, list[float]] = {model: [] for model in MODELS}
    runs: dict[str, list[float]] = {model: [] for model in MODELS}
    for number in range(MEASURED + 1):
        for model in MODELS:
            began = time.monotonic()
            provider = device.connect(await device.runtime.ensure_loaded(model))
            loads[model].append(time.monotonic() - began)
            for turn in range(2):
                arrival = Arrival(f"{number}{turn}", model, 0.0, "bulk", 1.0, 1.0)
                began = time.monotonic()
                await provider.complete(request_of(arrival))
                runs[model].append(time.monotonic() - began)
            await provider.aclose()
    # The first load of each read its file from the disk.
    return Pace(
        {model: statistics.median(each) for model, each in runs.items()},
        {model: statistics.median(each[1:]) for model, each in loads.items()},
    )


def poisson(pace: Pace, count: int) -> list[Arrival]:
    rng = random.Random(8)
    gap = statistics.mean(pace.run.values()) / LOAD
    at, trace = 0.0, []
    for number in range(count):
        at += rng.expovariate(1 / gap)
        trace.append(_arrival(pace, number, rng.choice(MODELS), at, rng))
    return trace


def alternating(pace: Pace, count: int) -> list[Arrival]:
    rng = random.Random(8)
    gap = statistics.mean(pace.run.values()) / LOAD
    return [
        _arrival(pace, number, MODELS[number % 2], number * gap, rng) for number in range(count)
    ]


def _arrival(pace: Pace, number: int, model: str, at: float, rng: random.Random) -> Arrival:
    (priority,) = rng.choices(list(PRIORITIES), SHARES)
    bound = BOUNDS.of(PRIORITIES[priority])
    return Arrival(str(number), model, at, priority, bound, pace.run[model])


Serve = Callable[[CompletionRequest], Awaitable[object]]


async def replayed(device: Device, trace: Sequence[Arrival], serve: Serve) -> Outcome:
    """Send the requests at their times, and see when each is begun and done."""
    device.starts.clear()
    outcome, began = Outcome(), time.monotonic()

    async def one(arrival: Arrival) -> None:
        await asyncio.sleep(max(0.0, began + arrival.at - time.monotonic()))
        await serve(request_of(arrival))
        outcome.ends[arrival.task_id] = time.monotonic() - began

    await asyncio.gather(*(one(each) for each in trace))
    outcome.starts = {task: at - began for task, at in device.starts.items()}
    return outcome


async def by_first_come(device: Device, trace: Sequence[Arrival]) -> Outcome:
    """A queue with one consumer, as DC-21 reads at first sight."""
    turn, swaps = asyncio.Lock(), 0
    await device.runtime.unload()

    async def serve(request: CompletionRequest) -> object:
        nonlocal swaps
        async with turn:
            swaps += device.runtime.loaded() not in {None, request.model}
            provider = device.connect(await device.runtime.ensure_loaded(request.model))
            try:
                return await provider.complete(request)
            finally:
                await provider.aclose()

    outcome = await replayed(device, trace, serve)
    outcome.swaps = swaps
    return outcome


async def by_lane(device: Device, trace: Sequence[Arrival], pace: Pace) -> Outcome:
    """Our lane. Its first guess of a load is on the high side of those that were measured."""
    await device.runtime.unload()
    lane = LocalLane(device.runtime, swap_seconds_guess=1.5 * max(pace.load.values()))
    provider = LocalProvider(lane, device.connect, MODELS, BOUNDS)
    outcome = await replayed(device, trace, provider.complete)
    status = lane.status()
    outcome.swaps, outcome.swap_seconds = status.swaps, status.swap_seconds
    await provider.aclose()
    return outcome


@dataclass(frozen=True)
class Ratios:
    swaps: float
    makespan: float
    past_bound: int
    interactive_p95: float


async def side_by_side(device: Device, name: str, trace: list[Arrival], pace: Pace) -> Ratios:
    fifo = await by_first_come(device, trace)
    lane = await by_lane(device, trace, pace)
    collated = simulate(trace, Card(1, pace.swap), collating)
    ours = simulate(trace, Card(1, pace.swap), by_arbiter)
    best = fewest_swaps(trace, pace.swap) or lower_limit(trace, pace.swap)
    print(f"\n{name}: {len(trace)} requests in {trace[-1].at:.0f} s")
    print(
        "  rule                     swaps  makespan s  past bound  p95 wait s: inter.  std.  bulk"
    )
    _row("FIFO, one consumer", fifo, trace)
    _row("our lane", lane, trace)
    _row("llama-swap's, simulated", collated, trace)
    _row("our lane, simulated", ours, trace)
    print(
        f"  fewest swaps found       {best:5d}  (proved: not below {lower_limit(trace, pace.swap)})"
    )
    return Ratios(
        lane.swaps / best,
        lane.makespan / fifo.makespan,
        lane.past_bound(trace),
        p95(lane.waits(trace, "interactive")) / p95(fifo.waits(trace, "interactive")),
    )


def _row(name: str, outcome: Outcome, trace: Sequence[Arrival]) -> None:
    waits = (p95(outcome.waits(trace, priority)) for priority in PRIORITIES)
    interactive, standard, bulk = waits
    print(
        f"  {name:<24} {outcome.swaps:5d}  {outcome.makespan:10.1f}"
        f"  {outcome.past_bound(trace):10d}  {interactive:18.1f} {standard:5.1f} {bulk:5.1f}"
    )
    if 0 < outcome.past_bound(trace) <= FEW:
        lateness = (outcome.starts[e.task_id] - e.at - e.bound_seconds for e in trace)
        print(f"  {'':<24} past its bound by at most {max(lateness):.2f} s")


def p95(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=20, method="inclusive")[18]


async def run(count: int) -> tuple[Ratios, Ratios]:
    store = Settings().state_dir / "models"
    weights = {name: pull(name, store, lambda _progress: None) for name in MODELS}
    with tempfile.TemporaryDirectory(prefix="pw-bench-") as folder:
        api_key = secrets.token_urlsafe()
        runtime = LlamaCppRuntime(
            {name: LlamaModel(path=path, context_tokens=2048) for name, path in weights.items()},
            Path(folder),
            lease=DeviceLease(Path(folder) / "device.lock"),
            api_key=api_key,
        )
        device = Device(runtime, api_key)
        try:
            pace = await measured(device)
            for model in MODELS:
                print(f"{model}: load {pace.load[model]:.2f} s, generation {pace.run[model]:.2f} s")
            mixed = await side_by_side(device, "Poisson", poisson(pace, count), pace)
            turns = await side_by_side(device, "alternating", alternating(pace, count), pace)
        finally:
            await runtime.aclose()
    return mixed, turns


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.gpu", description=__doc__)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--simulated", type=int, default=100_000)
    given = parser.parse_args()
    mixed, turns = asyncio.run(run(given.requests))
    simulated_5090(given.simulated)
    print(
        f"swaps_vs_optimum={max(mixed.swaps, turns.swaps):.2f} "
        f"makespan_vs_fifo={turns.makespan:.2f} "
        f"waits_past_bound={mixed.past_bound + turns.past_bound} "
        f"interactive_p95_vs_fifo={max(mixed.interactive_p95, turns.interactive_p95):.2f}"
    )
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    leave(main())
