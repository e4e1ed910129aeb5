"""A ledger of a million finished tasks beside an empty one: does it still reserve, and tell costs?

The full ledger holds a million tasks of a year, of 4 models and 20 callers, each with decision,
hold, attempt, outcome and audit record (``bench/bulk.py``). Holds are taken in both ledgers in
turn, one by one, each with its decision and planned attempt in the windows of today. Then every
question of ``pointwork costs`` is asked of the full one.

The last line is ``reserve_p99_ratio=… costs_seconds=…``: the 99th percentile of a hold in the full
ledger over that in the empty one (each the median of its rounds), and the slowest question.
"""

import argparse
import signal
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import Engine

from bench.bulk import day_windows, fill
from bench.databases import DATABASES, ledger_on
from bench.ledger_rows import decision, invoke, reserve
from pointwork.contract.outcome import ReserveOutcome
from pointwork.ledger.budgets import BudgetBook
from pointwork.ledger.costs import CostBy, CostReport, Days
from pointwork.ledger.engine import open_engine
from pointwork.ledger.invariants import check

TASKS = 1_000_000
DAYS = 365
SAMPLE_TASKS, SAMPLE_DAYS = 400, 5
ROUNDS = 5
HOLDS_A_ROUND = 400
WARM_UP = 50


def main(database: str, tasks: int, rounds: int) -> None:
    check_sample(database)
    with ExitStack() as stack:
        empty = open_engine(stack.enter_context(ledger_on(database)))
        stack.callback(empty.dispose)
        url = stack.enter_context(ledger_on(database))
        full = open_engine(url)
        stack.callback(full.dispose)
        began = time.perf_counter()
        held = fill(full, url, tasks, DAYS)
        print(
            f"{database}: {held} tasks written in {time.perf_counter() - began:.0f} s", flush=True
        )
        ratio = compare(empty, full, rounds)
        slowest = ask(full)
    print(f"reserve_p99_ratio={ratio:.2f} costs_seconds={slowest:.3f}")


def check_sample(database: str) -> None:
    """A small ledger filled the same way keeps every invariant of a real one."""
    with ledger_on(database) as url:
        engine = open_engine(url)
        held = fill(engine, url, SAMPLE_TASKS, SAMPLE_DAYS)
        broken = check(engine)
        engine.dispose()
    if broken:
        raise RuntimeError(f"the fill broke {broken[0].invariant}: {broken[0].sentence}")
    print(f"{database}: a sample of {held} tasks keeps every invariant", flush=True)


def compare(empty: Engine, full: Engine, rounds: int) -> float:
    """Holds in turn; the ratio of the rounds' median 99th percentiles, full over empty."""
    books = {"empty": BudgetBook(empty), "full": BudgetBook(full)}
    for number in range(WARM_UP):
        for book in books.values():
            hold(book, f"warm-{number:06d}")
    p50: dict[str, list[float]] = {name: [] for name in books}
    p99: dict[str, list[float]] = {name: [] for name in books}
    for turn in range(rounds):
        took: dict[str, list[float]] = {name: [] for name in books}
        for number in range(HOLDS_A_ROUND):
            names = list(books) if number % 2 else list(reversed(books))
            for name in names:
                work = partial(hold, books[name], f"now-{turn}-{number:06d}")
                took[name].append(timed_ms(work))
        for name, each in took.items():
            p50[name].append(statistics.median(each))
            p99[name].append(statistics.quantiles(each, n=100)[-1])
    for name in books:
        middle, tail = statistics.median(p50[name]), statistics.median(p99[name])
        print(f"  reserve, {name:5s} ledger: p50 {middle:6.2f} ms, p99 {tail:6.2f} ms", flush=True)
    return statistics.median(p99["full"]) / statistics.median(p99["empty"])


def hold(book: BudgetBook, task_id: str) -> None:
    at = datetime.now(UTC)
    outcome = reserve(book, decision(task_id, at), day_windows(at), invoke(task_id))
    if outcome is not ReserveOutcome.RESERVED:
        raise RuntimeError(f"the hold of {task_id} came to {outcome}")


def ask(full: Engine) -> float:
    """The slowest question's seconds, each asked once before it is timed."""
    report, today = CostReport(full), datetime.now(UTC).date()
    month = Days(since=today - timedelta(days=30), until=today)
    questions: dict[str, Callable[[], object]] = {
        f"totals by {by}": partial(report.totals, by) for by in CostBy if by != CostBy.TASK
    }
    questions |= {
        "total": report.total,
        "the last month by model": partial(report.totals, CostBy.MODEL, month),
        "dearest tasks of the last month": partial(report.dearest_tasks, month),
        "dearest tasks ever": report.dearest_tasks,
        "tasks that ended": report.tasks_ended,
        "overruns": report.overruns,
    }
    seconds = {}
    for name, question in questions.items():
        question()
        seconds[name] = timed_ms(question) / 1000
        print(f"  costs, {name}: {seconds[name]:.3f} s")
    return max(seconds.values())


def timed_ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", default="sqlite", choices=DATABASES)
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse()
    # A bench that is stopped early still stops its servers and removes its files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main(arguments.database, arguments.tasks, arguments.rounds)
