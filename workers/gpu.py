"""The worker of the one GPU queue: one host, one device lease, one model in memory at a time."""

import asyncio
import logging
import os
import platform
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client
from temporalio.worker import Worker

from pointwork.contract.local_lane import FailedLoad, LaneReport, LocalQueueSignal
from pointwork.contract.names import TaskQueue
from pointwork.ledger.signals import SignalStore
from pointwork.local.lane import LaneStatus, LocalLane
from pointwork.local.provider import LocalProvider
from pointwork.local.runtime import LocalRuntime
from pointwork.providers.port import Provider
from workers.electricity import electricity_meter
from workers.providers import DIALECTS
from workers.runtimes import recorded
from workers.wiring import SHUTDOWN_GRACE, Parts, invoke_activities

LOCAL_ENDPOINT = "local-gpu"
"""The catalogue's name for the models of this host."""
WINDOW = 200
"""How many tasks the lane sees at once; a waiting one costs a heartbeat every other second."""

_log = logging.getLogger(__name__)


class LaneReporter:
    """Tells the ledger how the lane stands, so that decisions and people can see it.

    At most once in ``EVERY_SECONDS``, and once more after the last change.
    """

    EVERY_SECONDS = 1.0

    def __init__(self, signals: SignalStore) -> None:
        self._signals = signals
        self._changed = asyncio.Event()

    def change(self) -> None:
        self._changed.set()

    async def run(self, status: Callable[[], LaneStatus]) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.report(status())
            await asyncio.sleep(self.EVERY_SECONDS)

    async def report(self, status: LaneStatus) -> None:
        now = datetime.now(UTC)
        report = lane_report(status, now)
        try:
            await asyncio.to_thread(
                self._signals.set_loaded_model, TaskQueue.GPU, status.loaded, now, report
            )
        except SQLAlchemyError:
            # The next change is told anew; no generation waits for it.
            _log.warning("the lane's state could not be written to the ledger", exc_info=True)


def lane_report(status: LaneStatus, now: datetime) -> LaneReport:
    return LaneReport(
        reported_at=now,
        worker=f"{os.getpid()}@{platform.node()}"[:200],
        loaded=status.loaded,
        loading=status.loading,
        build=status.build,
        in_flight=status.in_flight,
        in_flight_max=status.in_flight_max,
        queues=tuple(
            LocalQueueSignal(
                model=model, waiting=each.waiting, oldest_seconds=round(each.oldest_seconds, 3)
            )
            for model, each in status.queues.items()
        ),
        swaps=status.swaps,
        swap_seconds=round(status.swap_seconds, 3),
        served=status.served,
        past_bound=status.past_bound,
        longest_wait_seconds=round(status.longest_wait_seconds, 3),
        failed_loads=tuple(
            FailedLoad(model=model, reason=reason[:500])
            for model, reason in status.failed_loads.items()
        ),
    )


@asynccontextmanager
async def gpu_worker(
    client: Client, parts: Parts, runtime: LocalRuntime, aliases: Collection[str], api_key: str
) -> AsyncIterator[Worker]:
    """The worker of ``invoke-model`` on the card's queue, with its lane, until it is left.

    It takes more tasks than run: the lane chooses among what it sees, and Temporal's priority
    orders what waits behind that. When it is left, what waits is handed back to Temporal at
    once, and what runs has ``drain_seconds`` of the settings to end.
    """
    # Imported here: the workers of the other queues, started by the same program, load no SDK.
    from pointwork.providers.openai import OpenAIProvider

    def connect_local(base_url: str) -> Provider:
        dialect = DIALECTS[runtime.kind]
        return OpenAIProvider(LOCAL_ENDPOINT, base_url, api_key, dialect=dialect)

    host, runtime = parts.library.of_this_host.host, recorded(parts, runtime)
    reporter = LaneReporter(SignalStore(parts.engine))
    lane = LocalLane(runtime, in_flight_max=host.parallel_requests, on_change=reporter.change)
    meter = electricity_meter(parts.settings)
    provider = LocalProvider(lane, connect_local, aliases, host.wait_bounds, meter)
    reporter.change()
    reporting = asyncio.create_task(reporter.run(lane.status))
    try:
        async with Worker(
            client,
            task_queue=TaskQueue.GPU,
            activities=[invoke_activities(parts, {LOCAL_ENDPOINT: provider}).invoke_model],
            max_concurrent_activities=max(WINDOW, 2 * host.parallel_requests),
            graceful_shutdown_timeout=max(
                SHUTDOWN_GRACE, timedelta(seconds=parts.settings.drain_seconds)
            ),
        ) as worker:
            yield worker
    finally:
        reporting.cancel()
        try:
            await provider.aclose()
        finally:
            await runtime.aclose()
        await reporter.report(lane.status())
