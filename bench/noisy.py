"""What a caller who floods the gateway does to one who sends one request at a time.

Two service accounts with a key each ask the same class of one mock vendor, which answers after
300 ms. First the quiet one is alone. Then the other, in a process of its own, sends ten times its
share: half of the requests a second that the deployment was just measured to answer, tenfold,
whether or not earlier ones are answered; what is refused is not sent again. Rounds repeat both.

The last line is ``noisy_p95_ratio=… quiet_p95_ms=…``: the quiet caller's 95th percentile beside the
flood over that alone, each over all rounds, and the one alone.
"""

import argparse
import asyncio
import multiprocessing
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

import httpx2
import psutil

from bench.deployment import WORKER, Deployment
from bench.mock_upstream import mock_upstream
from pointwork.ledger.access_keys import AccessKeys
from pointwork.ledger.identities import Identities, service_of

LATENCY_SECONDS = 0.3
ROUNDS, REQUESTS = 2, 30
FLOOD_FACTOR, CALLERS = 10, 2
CAPACITY_REQUESTS, CAPACITY_IN_FLIGHT = 96, 32
BESIDE_SECONDS_MAX = 30
"""The quiet caller's requests beside the flood end here, however few they are."""
FILLING_SECONDS = 4
DRAINED_SECONDS_MAX = 90
PACK, MODEL = "open", "mock-1"
QUIET, NOISY = "quiet", "noisy"
BODY = {
    "model": f"{PACK}/{MODEL}",
    "messages": [{"role": "user", "content": "hello " * 156}],
    "max_tokens": 1000,
}


@dataclass(frozen=True)
class Account:
    """A service account as its client has it."""

    url: str
    token: str

    @asynccontextmanager
    async def http(self) -> AsyncIterator[httpx2.AsyncClient]:
        headers = {"authorization": f"Bearer {self.token}"}
        limits = httpx2.Limits(max_connections=None)
        async with httpx2.AsyncClient(timeout=300, headers=headers, limits=limits) as made:
            yield made

    async def ask(self, http: httpx2.AsyncClient) -> int:
        """The status of one request."""
        return (await http.post(f"{self.url}/chat/completions", json=BODY)).status_code


@dataclass
class Found:
    per_second: float = 0
    alone_ms: list[float] = field(default_factory=list)
    beside_ms: list[float] = field(default_factory=list)
    flood: Counter[int] = field(default_factory=Counter)
    """Answers of the flood by status."""
    flooded_seconds: float = 0
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    """Of the processor during the flood, by process."""


async def capacity(account: Account) -> float:
    """Requests a second that the deployment answers."""
    places = asyncio.Semaphore(CAPACITY_IN_FLIGHT)
    async with account.http() as http:

        async def placed() -> None:
            async with places:
                await account.ask(http)

        await asyncio.gather(*(placed() for _ in range(16)))
        began = time.perf_counter()
        await asyncio.gather(*(placed() for _ in range(CAPACITY_REQUESTS)))
    return CAPACITY_REQUESTS / (time.perf_counter() - began)


def flood(
    account: Account, per_second: float, stopped: Event, answers: "Queue[dict[int, int]]"
) -> None:
    """Send at this rate until stopped, then wait for what is in flight. Runs as a process."""

    async def run() -> None:
        statuses, asking, number = Counter[int](), set[asyncio.Task[int]](), 0
        began = time.perf_counter()
        async with account.http() as http:
            while not stopped.is_set():
                task = asyncio.create_task(account.ask(http))
                asking.add(task)
                task.add_done_callback(asking.discard)
                task.add_done_callback(lambda done: statuses.update([done.result()]))
                number += 1
                await asyncio.sleep(max(0.0, began + number / per_second - time.perf_counter()))
            await asyncio.gather(*asking)
        answers.put(dict(statuses))

    asyncio.run(run())


async def quiet_ms(account: Account, seconds_max: float) -> list[float]:
    """One request at a time."""
    taken: list[float] = []
    ends = time.perf_counter() + seconds_max
    async with account.http() as http:
        while len(taken) < REQUESTS and time.perf_counter() < ends:
            began = time.perf_counter()
            if (status := await account.ask(http)) != 200:
                raise ValueError(f"the quiet caller got {status}")
            taken.append((time.perf_counter() - began) * 1000)
    return taken


async def round_of(
    found: Found, quiet: Account, noisy: Account, processes: Mapping[str, psutil.Process]
) -> None:
    found.alone_ms += await quiet_ms(quiet, BESIDE_SECONDS_MAX)
    spawning = multiprocessing.get_context("spawn")
    stopped, answers = spawning.Event(), spawning.Queue()
    rate = FLOOD_FACTOR * found.per_second / CALLERS
    process = spawning.Process(target=flood, args=(noisy, rate, stopped, answers), daemon=True)
    process.start()
    before, began = _cpu_seconds(processes), time.perf_counter()
    try:
        await asyncio.sleep(FILLING_SECONDS)
        found.beside_ms += await quiet_ms(quiet, BESIDE_SECONDS_MAX)
    finally:
        stopped.set()
    found.flooded_seconds += time.perf_counter() - began
    after = _cpu_seconds(processes)
    for name in processes:
        spent = after[name] - before[name]
        found.cpu_seconds[name] = found.cpu_seconds.get(name, 0.0) + spent
    found.flood.update(await asyncio.to_thread(answers.get, timeout=DRAINED_SECONDS_MAX))
    await asyncio.to_thread(process.join)


async def run(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="pw-bench-") as name:
        async with mock_upstream() as upstream:
            upstream.latency_seconds = LATENCY_SECONDS
            deployment = Deployment(
                Path(name),
                upstream.base_url,
                {PACK: "100000.00"},
                [MODEL],
                workers=(WORKER, "gateway"),
            )
            await deployment.start()
            try:
                quiet, noisy = (_account(deployment, each) for each in (QUIET, NOISY))
                found = Found(per_second=await capacity(noisy))
                processes = {each: psutil.Process(pid) for each, pid in deployment.pids.items()}
                for number in range(rounds):
                    await round_of(found, quiet, noisy, processes)
                    print(f"round {number + 1} of {rounds}", flush=True)
            finally:
                await deployment.stop()
    _report(found)


def _cpu_seconds(processes: Mapping[str, psutil.Process]) -> dict[str, float]:
    return {name: sum(each.cpu_times()[:2]) for name, each in processes.items()}


def _account(deployment: Deployment, name: str) -> Account:
    now = datetime.now(UTC)
    Identities(deployment.engine).add(service_of(name, now), name)
    token = AccessKeys(deployment.engine).create(name, name, now)
    return Account(f"{deployment.gateway_url}/v1", token)


def _report(found: Found) -> None:
    alone, beside = _p95(found.alone_ms), _p95(found.beside_ms)
    sent = found.flood.total() / found.flooded_seconds
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(found.flood.items()))
    print(f"  answered {found.per_second:.1f}/s at {CAPACITY_IN_FLIGHT} in flight; the flood sent")
    print(f"  {sent:.0f}/s for {found.flooded_seconds:.0f} s, answers by status {statuses}")
    shares = (
        f"{name} {cpu / found.flooded_seconds:.2f}" for name, cpu in found.cpu_seconds.items()
    )
    print(f"  processors in use beside the flood: {', '.join(shares)}")
    for name, ms, p95 in (("alone", found.alone_ms, alone), ("beside", found.beside_ms, beside)):
        p50 = statistics.median(ms)
        print(f"  quiet {name:<7} p50 {p50:7.0f} ms  p95 {p95:7.0f} ms  requests {len(ms)}")
    print(f"noisy_p95_ratio={beside / alone:.2f} quiet_p95_ms={alone:.0f}")


def _p95(ms: list[float]) -> float:
    return statistics.quantiles(ms, n=20, method="inclusive")[18]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asyncio.run(run(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
