"""The loads and the crash that other gateways were measured with, on Pointwork.

A budget of $2.00, a mock upstream that answers in 300 ms and bills $0.04 a call, and 400 calls
from 1, 8 and 64 clients (80 from one): through ``PointworkClient``, Temporal's dev server, the
SQLite ledger and a worker process. What counts is the upstream's own bill. Then 50 calls are in
flight when the worker, or every process, is killed with ``kill -9``; all 50 callers ask again, and
what is left of the budget is spent until it refuses. ``bench/README.md`` has the peers' figures.

The last line is ``overspend_ratio=… answered=… unrecorded=…``: the worst share of any budget that
was spent beyond it, the callers who got their answer after a crash their budget covers, and calls
that the upstream billed and the ledger does not know.
"""

import argparse
import asyncio
import signal
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from bench import crash
from bench.crash import CRASHES, CrashReport
from bench.deployment import Deployment
from bench.mock_upstream import Upstream, mock_upstream
from bench.spending import BUDGETS_USD, LOADS, Load, Run, Spender, unrecorded_calls
from pointwork.contract.money import NANO_PER_USD
from pointwork.leaving import leave

ROUNDS = 3
CLIENTS = (1, 8, 64)
CALLS = 400
CALLS_OF_ONE = 80
PACK = "two-dollars"
WARM_UP = "warm-up"


@dataclass
class Case:
    """One load from so many clients, over the rounds."""

    load: Load
    clients: int
    runs: list[Run] = field(default_factory=list)

    def line(self) -> str:
        billed = [run.billed_nano_usd / NANO_PER_USD for run in self.runs]
        over = max(run.overspend for run in self.runs)
        admitted = sorted({run.admitted for run in self.runs})
        latency = statistics.median(statistics.median(run.answered_ms) for run in self.runs)
        wall = statistics.median(run.wall_seconds for run in self.runs)
        least, middle, most = min(billed), statistics.median(billed), max(billed)
        return (
            f"  {self.clients:3d} clients  billed $ {least:.2f}/{middle:.2f}/{most:.2f}  "
            f"over {over:+.1%}  admitted {', '.join(map(str, admitted))}  "
            f"overruns {max(run.overruns for run in self.runs)}  answer {latency:.0f} ms  "
            f"{wall:.1f} s"
        )


async def budgets(
    deployment: Deployment, upstream: Upstream, rounds: int, loads: tuple[Load, ...]
) -> list[Case]:
    """Every load from 1, 8 and 64 clients, each run with a budget and a model of its own."""
    cases: list[Case] = []
    for load in loads:
        print(f"\n{load.name}: {load.meaning}", flush=True)
        for clients in CLIENTS:
            case = Case(load, clients)
            for number in range(1, rounds + 1):
                spender = Spender(deployment, upstream, PACK, caller_of(load, clients, number))
                calls = CALLS if clients > 1 else CALLS_OF_ONE
                case.runs.append(await spender.spend(load, calls, clients))
            cases.append(case)
            print(case.line(), flush=True)
    return cases


async def warm_up(deployment: Deployment, upstream: Upstream) -> None:
    await Spender(deployment, upstream, PACK, WARM_UP).spend(LOADS[0], 20, 8)


def caller_of(load: Load, clients: int, number: int) -> str:
    return f"{load.name}-{clients}-{number}"


def models_of(rounds: int) -> list[str]:
    """A model for each run: one that no run before it has taught anything about its bills."""
    numbers = range(1, rounds + 1)
    runs = [caller_of(load, clients, n) for load in LOADS for clients in CLIENTS for n in numbers]
    return [WARM_UP, *runs, *(crash.caller_of(kind, n) for kind in CRASHES for n in numbers)]


async def measure(rounds: int, names: set[str]) -> None:
    loads = tuple(load for load in LOADS if not names or load.name in names)
    with tempfile.TemporaryDirectory(prefix="pointwork-bench-") as folder:
        async with mock_upstream() as upstream:
            deployment = Deployment(Path(folder), upstream.base_url, BUDGETS_USD, models_of(rounds))
            await deployment.start()
            try:
                await warm_up(deployment, upstream)
                cases = await budgets(deployment, upstream, rounds, loads)
                print("\nkill -9 with 50 calls in flight, and a new start")
                crashes = [
                    await crash.crash(deployment, upstream, kind, number)
                    for number in range(1, rounds + 1)
                    for kind in CRASHES
                ]
                unrecorded = unrecorded_calls(deployment.engine, upstream)
            finally:
                await deployment.stop()
    report(cases, crashes, unrecorded)


def report(cases: list[Case], crashes: list[CrashReport], unrecorded: int) -> None:
    over = max([run.overspend for case in cases for run in case.runs], default=0.0)
    over = max([over, *(each.overspend for each in crashes)])
    covered = [each for each in crashes if each.kind.is_covered]
    answered = min((each.answered for each in covered), default=0)
    print(f"overspend_ratio={over:.4f} answered={answered} unrecorded={unrecorded}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--load", action="append", default=[], choices=[x.name for x in LOADS])
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse()
    # A bench that is stopped early still removes its files; its processes end with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    asyncio.run(measure(arguments.rounds, set(arguments.load)))
    leave(0)
