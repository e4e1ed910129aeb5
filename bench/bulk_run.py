"""Thousands of items through one bulk run, its worker killed twice: does each end once?

A mock vendor answers at once. The worker process, which serves every queue, gets ``kill -9`` at a
quarter and at half of the items, and its supervisor starts it again. The items' ends are counted
from the audit chain, which a second outcome of a task would be a second record of.

The last line is ``items=… outcomes=… duplicates=… worker_mib_growth=… items_per_s=…``: growth is
the worker's resident memory at the end over that at 60 % of the items, after the second kill.
"""

import argparse
import asyncio
import hashlib
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from sqlalchemy import Engine, func, select

from bench.deployment import WORKER, Deployment
from bench.mock_upstream import Upstream, mock_upstream
from bench.spending import LOADS
from pointwork.client.bulk import BulkItem, BulkRuns
from pointwork.contract.bulk import IN_FLIGHT_MAX, ITEMS_MAX, item_task_id
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import Constraints, Sensitivity, TaskDeclaration
from pointwork.leaving import leave
from pointwork.ledger.bulk_runs import BulkBook, BulkDraft
from pointwork.ledger.engine import read
from pointwork.ledger.holds import ATTEMPT
from pointwork.ledger.invariants import check
from pointwork.ledger.tables import Audit, BulkItemRow, table_of

ITEMS = 10_000
IN_FLIGHT = 8
RUN, PACK, MODEL = "bench", "plenty", "mock-bulk"
KILLS_AT = (0.25, 0.5)
SAMPLES_AT = {"start": 0.1, "middle": 0.6, "end": 1.0}
POLL_SECONDS = 0.5
STALLED_SECONDS = 300.0
"""A run of which nothing ends for so long is given up."""
MIB = 2**20
_AUDIT, _ITEM = table_of(Audit), table_of(BulkItemRow)


@dataclass(frozen=True, slots=True)
class Counted:
    outcomes: int
    """Items with an end."""
    duplicates: int
    """Ends beyond an item's first."""
    called_again: int
    """Items whose call a killed worker had begun, so that it was made again."""


class Watch:
    """Kills the worker and weighs it as the run comes along."""

    def __init__(self, deployment: Deployment, items: int) -> None:
        self._deployment = deployment
        self._items = items
        self._kills = [each * items for each in KILLS_AT]
        self._samples = {name: share * items for name, share in SAMPLES_AT.items()}
        self.mib: dict[str, float] = {}

    def look(self, ended: int) -> None:
        while self._kills and ended >= self._kills[0]:
            self._kills.pop(0)
            print(f"  kill -9 of the worker with {ended} of {self._items} ended", flush=True)
            self._deployment.kill_worker()
        for name, at in list(self._samples.items()):
            if ended >= at:
                del self._samples[name]
                self.mib[name] = self._resident_mib()
                print(f"  worker at {name} ({ended} ended): {self.mib[name]:.0f} MiB", flush=True)

    def _resident_mib(self) -> float:
        worker = psutil.Process(self._deployment.pids[WORKER])
        parts = [worker, *worker.children(recursive=True)]
        return sum(each.memory_info().rss for each in parts) / MIB


def items_of(count: int) -> Iterator[BulkItem]:
    # As many bytes as the mock bills tokens, so that no bill is above its hold.
    prompt = Prompt.from_text(LOADS[0].text)
    for position in range(1, count + 1):
        item_id = f"i{position:06d}"
        declaration = TaskDeclaration(
            task_id=item_task_id(RUN, item_id),
            caller="bench",
            pack=PACK,
            task_class=MODEL,
            sensitivity=Sensitivity.PUBLIC,
            priority=5,
            constraints=Constraints(max_output_tokens=16),
        )
        yield BulkItem(position, item_id, declaration, prompt)


def draft(count: int, in_flight: int) -> BulkDraft:
    said = hashlib.sha256(str(count).encode()).hexdigest()
    return BulkDraft(
        run_id=RUN,
        caller="bench",
        pack=PACK,
        item_count=count,
        declared_sha256=said,
        in_flight_max=in_flight,
        priority=5,
    )


async def run(deployment: Deployment, watch: Watch, count: int, in_flight: int) -> float:
    """Seconds from the start of the run to its end, sealing left out."""
    runs = BulkRuns(deployment.client, BulkBook(deployment.engine))
    began = time.perf_counter()
    await runs.seal(draft(count, in_flight), items_of(count))
    print(f"  {count} items sealed in {time.perf_counter() - began:.0f} s", flush=True)
    began = last_moved = time.perf_counter()
    await runs.start(RUN)
    ended = 0
    while True:
        view = await runs.view(RUN)
        if view.counts.ended > ended:
            ended, last_moved = view.counts.ended, time.perf_counter()
            watch.look(ended)
        if view.run.state.has_ended:
            watch.look(count)
            return time.perf_counter() - began
        if view.paused or time.perf_counter() - last_moved > STALLED_SECONDS:
            raise RuntimeError(f"the run came to a halt: {view}")
        await asyncio.sleep(POLL_SECONDS)


def counted(engine: Engine) -> Counted:
    ends = (
        select(_AUDIT.c.task_id, func.count().label("ends"))
        .join(_ITEM, _ITEM.c.task_id == _AUDIT.c.task_id)
        .where(_AUDIT.c.kind == "outcome")
        .group_by(_AUDIT.c.task_id)
        .subquery()
    )
    again = select(ATTEMPT.c.task_id).where(ATTEMPT.c.send > 1).distinct().subquery()
    with read(engine) as connection:
        outcomes, total = connection.execute(
            select(func.count(), func.coalesce(func.sum(ends.c.ends), 0)).select_from(ends)
        ).one()
        called_again = connection.execute(select(func.count()).select_from(again)).scalar_one()
    return Counted(outcomes, total - outcomes, called_again)


async def main(count: int, in_flight: int) -> None:
    with tempfile.TemporaryDirectory(prefix="pointwork-bench-") as folder:
        async with mock_upstream() as upstream:
            upstream.latency_seconds = 0.0
            deployment = Deployment(Path(folder), upstream.base_url, {PACK: "1000000"}, [MODEL])
            await deployment.start()
            try:
                watch = Watch(deployment, count)
                seconds = await run(deployment, watch, count, in_flight)
                report(deployment.engine, upstream, watch, count, seconds)
            finally:
                await deployment.stop()


def report(engine: Engine, upstream: Upstream, watch: Watch, count: int, seconds: float) -> None:
    found, broken = counted(engine), check(engine)
    if broken:
        raise RuntimeError(f"the ledger broke {broken[0].invariant}: {broken[0].sentence}")
    counts = BulkBook(engine).counts(RUN)
    print(
        f"  answered {counts.done}, failed {counts.failed}, cancelled {counts.cancelled}; "
        f"called again after a kill {found.called_again}; billed {len(upstream.bills)} calls"
    )
    growth = watch.mib["end"] - watch.mib["middle"]
    print(
        f"items={count} outcomes={found.outcomes} duplicates={found.duplicates} "
        f"worker_mib_growth={growth:.1f} items_per_s={count / seconds:.1f}"
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT)
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse()
    if not 10 <= arguments.items <= ITEMS_MAX:
        sys.exit(f"--items {arguments.items} is not allowed; give 10 to {ITEMS_MAX}")
    if not 1 <= arguments.in_flight <= IN_FLIGHT_MAX:
        sys.exit(f"--in-flight {arguments.in_flight} is not allowed; give 1 to {IN_FLIGHT_MAX}")
    # A bench that is stopped early still stops its servers and removes its files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    asyncio.run(main(arguments.items, arguments.in_flight))
    leave(0)
