"""Hard budgets under concurrency: 1, 8 and 64 clients against caps that admit exactly 50 calls.

Every call holds $0.04 in six windows of $2.00. 64 clients are 8 processes of 8 threads. Beside it,
in the same database and the same run, the naive way: read the counters, compare, then add. Then how
fast 8 processes hold and settle, and do all a task writes, where all of them share the windows
(hot) and where each has its own (spread). SQLite with full synchronisation; Postgres as installed.

The last line is ``overspend_nanousd=… exact_runs=…``: what our runs spent beyond their caps in all,
and in how many of them exactly 50 were admitted.
"""

import argparse
import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine, insert, select

from bench.databases import DATABASES, ledger_on
from bench.ledger_rows import AMOUNT_NANO_USD, UNLIMITED, windows
from bench.racer import NAIVE
from pointwork.ledger.budgets import BudgetBook
from pointwork.ledger.engine import open_engine, read, transact
from pointwork.ledger.invariants import check

ADMITS = 50
LIMIT_NANO_USD = ADMITS * AMOUNT_NANO_USD
ROUNDS = 20
RATE_ROUNDS = 5
CLIENTS = {1: (1, 1, 60), 8: (8, 1, 25), 64: (8, 8, 4)}
"""By number of clients: processes, threads of each, calls of each thread."""
RATE_PROCESSES = 8
RATE_COUNT = 30

Done = list[tuple[bool, float]]


class Racers:
    """Client processes that begin each piece of work together."""

    def __init__(self, url: str, processes: int, threads: int) -> None:
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "bench.racer", url, str(number), str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(processes)
        ]

    def work(self, **order: object) -> tuple[Done, float]:
        """What all of them did, and the seconds until the last had done it."""
        began = time.perf_counter()
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
        done: Done = []
        for process in self._processes:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"client process {process.pid} ended; its error is above")
            done += [(bool(admitted), float(ms)) for admitted, ms in json.loads(line)]
        return done, time.perf_counter() - began

    def stop(self) -> None:
        for process in self._processes:
            process.communicate()


@contextmanager
def racers(url: str, processes: int, threads: int) -> Iterator[Racers]:
    started = Racers(url, processes, threads)
    try:
        yield started
    finally:
        started.stop()


@dataclass
class Exactness:
    """How many of the runs admitted exactly what the cap covers, and what the others spent."""

    runs: int = 0
    exact: int = 0
    over_nano_usd: int = 0
    admitted_max: int = 0

    def add(self, admitted: int, committed_nano_usd: list[int]) -> None:
        self.runs += 1
        self.exact += admitted == ADMITS and set(committed_nano_usd) == {LIMIT_NANO_USD}
        self.over_nano_usd += max(0, max(committed_nano_usd) - LIMIT_NANO_USD)
        self.admitted_max = max(self.admitted_max, admitted)

    def line(self) -> str:
        dollars = self.over_nano_usd / self.runs / 1e9
        return (
            f"exact {self.exact:2d} of {self.runs}, most admitted {self.admitted_max:3d}, "
            f"over cap ${dollars:.2f} a run"
        )


def exactness(database: str, url: str, rounds: int) -> list[Exactness]:
    """Ours at each number of clients; the naive way is printed beside it."""
    engine = open_engine(url)
    NAIVE.create(engine)
    found = []
    for clients, (processes, threads, count) in CLIENTS.items():
        ours, naive = Exactness(), Exactness()
        with racers(url, processes, threads) as started:
            for number in range(rounds):
                run = f"race-{clients}-{number}"
                order = {"run": run, "count": count, "limit": LIMIT_NANO_USD}
                done, _ = started.work(work="race", **order)
                ours.add(sum(each for each, _ in done), _committed(engine, run))
                _open_naive(engine, run)
                done, _ = started.work(work="naive", **order)
                naive.add(sum(each for each, _ in done), _naive_spent(engine, run))
        print(f"{database:8s} {clients:2d} clients  Pointwork: {ours.line()}", flush=True)
        print(f"{'':8s} {'':10s}  naive:     {naive.line()}", flush=True)
        found.append(ours)
    broken = check(engine)
    engine.dispose()
    if broken:
        raise RuntimeError(f"{database}: {broken[0].invariant}: {broken[0].sentence}")
    return found


def _committed(engine: Engine, run: str) -> list[int]:
    keys = [spec.key for spec in windows(run, LIMIT_NANO_USD)]
    return [committed for _, committed in BudgetBook(engine).read(keys).values()]


def _open_naive(engine: Engine, run: str) -> None:
    rows = [
        {"window_key": spec.key, "limit_nano_usd": spec.limit_nano_usd, "spent_nano_usd": 0}
        for spec in windows(run, LIMIT_NANO_USD)
    ]
    transact(engine, lambda connection: connection.execute(insert(NAIVE), rows).rowcount)


def _naive_spent(engine: Engine, run: str) -> list[int]:
    keys = [spec.key for spec in windows(run, LIMIT_NANO_USD)]
    with read(engine) as connection:
        query = select(NAIVE.c.spent_nano_usd).where(NAIVE.c.window_key.in_(keys))
        return list(connection.execute(query).scalars())


def rates(database: str, url: str, rounds: int) -> None:
    """Hot and spread rows in turn, so that what else the machine does hits both."""
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    with racers(url, RATE_PROCESSES, 1) as started:
        for number in range(rounds + 1):
            for work in ("pair", "task"):
                for rows in ("hot", "spread"):
                    run = f"{work}-{rows}-{number}"
                    done, seconds = started.work(
                        work=work,
                        run=run,
                        count=RATE_COUNT,
                        limit=UNLIMITED,
                        spread=rows == "spread",
                    )
                    took = statistics.quantiles((ms for _, ms in done), n=100)
                    figures = (len(done) / seconds, statistics.median(took), took[-1])
                    if number > 0:  # the first opens connections and compiles statements
                        found.setdefault((work, rows), []).append(figures)
    named = {"pair": "reserve + settle", "task": "all a task writes"}
    for (work, rows), each in found.items():
        rate, p50, p99 = (statistics.median(column) for column in zip(*each, strict=True))
        print(
            f"{database:8s} {named[work]:17s} {rows:6s} rows: {rate:6.1f}/s, "
            f"p50 {p50:6.1f} ms, p99 {p99:6.1f} ms",
            flush=True,
        )


def main(rounds: int, rate_rounds: int, names: tuple[str, ...]) -> None:
    found: list[Exactness] = []
    for database in names:
        with ledger_on(database) as url:
            found += exactness(database, url, rounds)
            if rate_rounds:
                rates(database, url, rate_rounds)
    over = sum(each.over_nano_usd for each in found)
    exact, runs = sum(each.exact for each in found), sum(each.runs for each in found)
    print(f"overspend_nanousd={over} exact_runs={exact}/{runs}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--rate-rounds", type=int, default=RATE_ROUNDS)
    parser.add_argument("--database", action="append", default=[], choices=DATABASES)
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse()
    # A bench that is stopped early still stops its servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main(arguments.rounds, arguments.rate_rounds, tuple(arguments.database) or DATABASES)
