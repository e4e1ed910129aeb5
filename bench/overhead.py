"""What Pointwork adds to Temporal: tasks against a stub model, beside a bare three-hop workflow.

Both run on one server, tuned as `pointwork up` tunes it, with their workers in one process of their
own and the callers in this one, in alternating rounds. A Pointwork task is everything a caller
pays for: content sealed into the vault, classify beside read-signals, decide, reserve, invoke with
its attempt rows, the sealed answer, and afterwards the outcome, the settlement and the audit chain.
The stub model answers at once; the ledger is SQLite with full synchronisation.

Latency is start to answer, one at a time. Throughput is 32 in flight until the last outcome row
is written. The last line is ``latency_ratio=… throughput_ratio=…`` (Pointwork / bare three hops).
"""

import argparse
import asyncio
import signal
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from sqlalchemy import Engine, func, select
from temporalio.client import Client
from temporalio.worker import Worker

from bench.bare import BARE_QUEUES, BARE_WORKFLOW_QUEUE, Bare, no_op
from pointwork.client import PointworkClient
from pointwork.contract.names import TaskQueue
from pointwork.contract.outcome import FinishReason, TokenUsage
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import Sensitivity, TaskDeclaration
from pointwork.embedded import Embedded
from pointwork.leaving import leave
from pointwork.ledger.engine import open_engine, read
from pointwork.ledger.holds import OUTCOME
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.vault import MasterKeys, Vault
from pointwork.providers.port import CompletionRequest, CompletionResponse, OnProgress
from workers.settings import Settings
from workers.wiring import POLLS, build_worker, connect, invoke_activities, open_parts

ROUNDS = 5
SEQUENTIAL_PER_ROUND = 20
CONCURRENT_PER_ROUND = 160
IN_FLIGHT = 32
HOPS = (1, 2, 3, 4, 5, 6)
TEXT = "Rewrite this line so that it reads well: the meeting are moved to tuesday at ten. " * 4


class StubModel:
    """A model of no latency, in place of the one on the GPU queue."""

    async def complete(
        self, request: CompletionRequest, on_progress: OnProgress | None = None
    ) -> CompletionResponse:
        return CompletionResponse(
            text="The meeting has moved to Tuesday at ten.",
            served_model=request.model,
            finish_reason=FinishReason.STOP,
            usage=TokenUsage(input_tokens=90, output_tokens=10),
        )

    async def aclose(self) -> None:
        return None


async def serve(state_dir: Path, address: str) -> None:
    """The worker process: every Pointwork queue, and the bare ones."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    settings = Settings(state_dir=state_dir)
    parts = open_parts(settings)
    client = await connect(settings, address, parts.library)
    queues = [queue for queue in TaskQueue if queue is not TaskQueue.GPU]
    workers = [build_worker(client, queue, parts) for queue in queues]
    workers.append(
        Worker(
            client,
            task_queue=TaskQueue.GPU,
            activities=[invoke_activities(parts, {"local-gpu": StubModel()}).invoke_model],
            max_concurrent_activity_task_polls=POLLS,
        )
    )
    workers.append(
        Worker(
            client,
            task_queue=BARE_WORKFLOW_QUEUE,
            workflows=[Bare],
            max_concurrent_workflow_task_polls=POLLS,
        )
    )
    workers += [
        Worker(
            client,
            task_queue=queue,
            activities=[no_op],
            max_concurrent_activity_task_polls=POLLS,
        )
        for queue in BARE_QUEUES
    ]
    async with AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(worker)
        (state_dir / "serving").write_text("yes")
        await stopped.wait()


@asynccontextmanager
async def worker_process(state_dir: Path, address: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.overhead", "--serve", str(state_dir), "--address", address
    )
    try:
        while not (state_dir / "serving").exists():
            if process.returncode is not None:
                raise RuntimeError(f"the worker process ended with {process.returncode}")
            await asyncio.sleep(0.1)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


class Callers:
    """One caller of each side, and how long it waits for an answer."""

    def __init__(self, temporal: Client, pointwork: PointworkClient, engine: Engine) -> None:
        self._temporal = temporal
        self._pointwork = pointwork
        self._engine = engine

    async def pointwork(self) -> str:
        declaration = TaskDeclaration(
            task_id=f"bench-{uuid.uuid4().hex}",
            caller="bench",
            task_class="summarisation_formatting",
            sensitivity=Sensitivity.INTERNAL,
        )
        outcome = await self._pointwork.run(Prompt.from_text(TEXT), declaration)
        return outcome.task_id

    async def bare(self, hops: int = 3) -> str:
        workflow_id = f"bare-{uuid.uuid4().hex}"
        await self._temporal.execute_workflow(
            Bare.run, hops, id=workflow_id, task_queue=BARE_WORKFLOW_QUEUE
        )
        return workflow_id

    async def recorded(self, task_ids: list[str]) -> None:
        """Return once every task's outcome row is written; a count, so that asking costs little."""
        while await asyncio.to_thread(self._count, task_ids) < len(task_ids):
            await asyncio.sleep(0.005)

    def _count(self, task_ids: list[str]) -> int:
        query = select(func.count()).where(OUTCOME.c.task_id.in_(task_ids))
        with read(self._engine) as connection:
            return connection.execute(query).scalar_one()


async def timed_ms(call: Awaitable[str]) -> tuple[float, str]:
    began = time.perf_counter()
    done = await call
    return (time.perf_counter() - began) * 1000, done


async def latencies(callers: Callers, times: int, found: dict[int, list[float]]) -> None:
    """One task and one bare workflow of each length in turn, each begun on an idle system.

    ``found`` maps hops to milliseconds; 0 stands for the Pointwork task.
    """
    for _ in range(times):
        elapsed_ms, task_id = await timed_ms(callers.pointwork())
        found[0].append(elapsed_ms)
        await callers.recorded([task_id])
        for hops in HOPS:
            elapsed_ms, _ = await timed_ms(callers.bare(hops))
            found[hops].append(elapsed_ms)


async def throughput(
    call: Callable[[], Awaitable[str]],
    settled: Callable[[list[str]], Awaitable[None]] | None,
) -> float:
    """Tasks a second with ``IN_FLIGHT`` callers, until the last is settled."""
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def one() -> str:
        async with gate:
            return await call()

    began = time.perf_counter()
    done = await asyncio.gather(*(one() for _ in range(CONCURRENT_PER_ROUND)))
    if settled is not None:
        await settled(list(done))
    return CONCURRENT_PER_ROUND / (time.perf_counter() - began)


async def measure(callers: Callers, rounds: int) -> None:
    await latencies(callers, 5, {hops: [] for hops in (0, *HOPS)})
    found: dict[int, list[float]] = {hops: [] for hops in (0, *HOPS)}
    task_rate: list[float] = []
    bare_rate: list[float] = []
    for number in range(1, rounds + 1):
        await latencies(callers, SEQUENTIAL_PER_ROUND, found)
        bare_rate.append(await throughput(callers.bare, None))
        task_rate.append(await throughput(callers.pointwork, callers.recorded))
        print(
            f"round {number}: pointwork {task_rate[-1]:.1f}/s, bare 3 hops {bare_rate[-1]:.1f}/s",
            flush=True,
        )
    report(found, task_rate, bare_rate)


def report(found: dict[int, list[float]], task_rate: list[float], bare_rate: list[float]) -> None:
    task = statistics.median(found[0])
    print(f"\nlatency, one at a time: pointwork median {task:.1f} ms, p90 {p90(found[0]):.1f} ms")
    for hops in HOPS:
        bare = statistics.median(found[hops])
        print(f"  bare {hops} hops: median {bare:6.1f} ms   pointwork / bare = {task / bare:.2f}")
    rates = [each / other for each, other in zip(task_rate, bare_rate, strict=True)]
    task_median, bare_median = statistics.median(task_rate), statistics.median(bare_rate)
    print(
        f"throughput, {IN_FLIGHT} in flight: pointwork median {task_median:.1f}/s, "
        f"bare 3 hops median {bare_median:.1f}/s"
    )
    ratio = task / statistics.median(found[3])
    print(f"latency_ratio={ratio:.2f} throughput_ratio={statistics.median(rates):.2f}")


def p90(values: list[float]) -> float:
    return statistics.quantiles(values, n=10)[-1]


async def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="pointwork-bench-") as folder:
        state_dir = Path(folder)
        async with AsyncExitStack() as stack:
            server = Embedded(state_dir, Path.cwd(), workers=())
            stack.push_async_callback(server.stop)
            address = (await server.start(lambda event: None)).temporal_address
            await stack.enter_async_context(worker_process(state_dir, address))
            engine = open_engine(Settings(state_dir=state_dir).ledger_address)
            vault = Vault(engine, MasterKeys.load_or_create(state_dir / "master.key"))
            pointwork = await PointworkClient.connect(address, vault, OutcomeLog(engine))
            temporal = await Client.connect(address)
            await measure(Callers(temporal, pointwork, engine), rounds)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--address", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse()
    if arguments.serve:
        asyncio.run(serve(arguments.serve, arguments.address))
    else:
        asyncio.run(main(arguments.rounds))
    leave(0)
