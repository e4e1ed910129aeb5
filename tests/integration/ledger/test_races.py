"""Many processes, threads and settlers at once (reliability cases 2, 3, 5, 6, 8)."""

import json
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import ReserveOutcome, Settlement
from pointwork.ledger.attempts import AttemptLog
from pointwork.ledger.budgets import BudgetBook
from pointwork.ledger.engine import open_engine
from pointwork.ledger.sweeper import expire_parts
from tests.integration.ledger.conftest import Ledger, without_flushes
from tests.integration.ledger.racer import AMOUNT_NANO_USD
from tests.integration.ledger.records import NOW, accept, answer, invoke, outcome, reserve, window
from tests.scale import Scale

ONLY_POSTGRES = pytest.mark.parametrize("ledger_url", ["postgres"], indirect=True)
SCOPES = ["caller", "day", "month", "pack", "vendor", "week"]
BUDGET_NANO_USD = 50 * AMOUNT_NANO_USD
RACER = "tests.integration.ledger.racer"


@contextmanager
def racers(url: str, repository: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Eight processes of 25 reserves a race, each with its own order of the six windows."""
    started = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", RACER, url, f"t-{number}", "25", str(BUDGET_NANO_USD)),
                *random.Random(number).sample(SCOPES, len(SCOPES)),
            ],
            cwd=repository,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    try:
        yield started
    finally:
        for racer in started:
            racer.communicate(timeout=60)


def run_race(started: list[subprocess.Popen[str]], name: str) -> Counter[str]:
    for racer in started:
        assert racer.stdin is not None
        racer.stdin.write(f"{name}\n")
        racer.stdin.flush()
    counts: Counter[str] = Counter()
    for racer in started:
        assert racer.stdout is not None
        counts.update(json.loads(racer.stdout.readline()))
    return counts


@pytest.mark.req("CX-90", "SP-43")
def test_eight_processes_admit_exactly_what_the_budget_covers(
    ledger: Ledger, repository: Path, scale: Scale
) -> None:
    """In every race."""
    with racers(ledger.url, repository) as started:
        for number in range(scale.of(20, 2)):
            counts = run_race(started, f"{number}")
            assert counts == {ReserveOutcome.RESERVED: 50, ReserveOutcome.EXCEEDS_LIMIT: 150}
            keys = [f"{scope}/{number}" for scope in SCOPES]
            full = (BUDGET_NANO_USD, BUDGET_NANO_USD)
            assert ledger.budgets.read(keys) == dict.fromkeys(keys, full)


@pytest.mark.req("CX-90", "SP-43")
@ONLY_POSTGRES
def test_sixteen_connections_that_name_windows_in_any_order_never_deadlock(ledger: Ledger) -> None:
    deadlocks: list[str] = []

    def note(context: ExceptionContext) -> None:
        if getattr(context.original_exception, "sqlstate", None) == "40P01":
            deadlocks.append(str(context.statement))

    event.listen(ledger.engine, "handle_error", note)

    def hold(number: int) -> list[ReserveOutcome]:
        rng = random.Random(number)
        return [
            reserve(
                ledger.budgets,
                f"t-{number}-{turn}",
                amount=AMOUNT_NANO_USD,
                windows=[window(key, BUDGET_NANO_USD) for key in rng.sample(SCOPES, len(SCOPES))],
            ).outcome
            for turn in range(25)
        ]

    held = together(*[lambda number=number: hold(number) for number in range(16)])
    counts = Counter(each for outcomes in held for each in outcomes)
    assert counts == {ReserveOutcome.RESERVED: 50, ReserveOutcome.EXCEEDS_LIMIT: 350}
    assert deadlocks == []
    (row,) = ledger.rows(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    assert row == {"deadlocks": 0}


def together(*work: Callable[[], Any]) -> list[Any]:
    """The results of pieces of work that begin at the same moment, each in its own thread."""
    barrier = threading.Barrier(len(work))

    def begin(piece: Callable[[], Any]) -> Any:
        barrier.wait(60)
        return piece()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(begin, work))


@pytest.fixture
def engines(ledger: Ledger) -> Iterator[list[Engine]]:
    """Four ways into one ledger that know nothing of one another, as four processes have."""
    engines = [without_flushes(open_engine(ledger.url)) for _ in range(4)]
    yield engines
    for engine in engines:
        engine.dispose()


@pytest.fixture
def books(engines: list[Engine]) -> list[BudgetBook]:
    return [BudgetBook(engine) for engine in engines]


def test_the_first_use_of_a_window_by_sixteen_racers_makes_one_row(
    ledger: Ledger, books: list[BudgetBook]
) -> None:
    """In 50 races of 50."""
    for turn in range(50):
        key = f"day/{turn}"

        def hold(number: int, key: str = key, turn: int = turn) -> ReserveOutcome:
            task_id = f"t-{turn}-{number}"
            return reserve(books[number % 4], task_id, windows=[window(key, 1000)]).outcome

        outcomes = together(*[lambda number=number: hold(number) for number in range(16)])
        assert outcomes.count(ReserveOutcome.RESERVED) == 10
        assert outcomes.count(ReserveOutcome.EXCEEDS_LIMIT) == 6
        assert ledger.budgets.read([key]) == {key: (1000, 1000)}
        rows = ledger.rows(f"SELECT 1 FROM budget_window WHERE window_key = '{key}'")
        assert len(rows) == 1


def test_a_thousand_replays_of_a_reserve_hold_nothing_more(
    ledger: Ledger, books: list[BudgetBook]
) -> None:
    """The same amount gets the first result, another one is a conflict; counters never move."""
    tasks = [f"t-{number}" for number in range(20)]
    windows = [window("day", 2000), window("week", 2500)]
    first = {task_id: reserve(books[0], task_id, windows=windows) for task_id in tasks}
    assert {each.outcome for each in first.values()} == {ReserveOutcome.RESERVED}
    assert ledger.budgets.read(["day", "week"]) == {"day": (2000, 2000), "week": (2500, 2000)}
    results: Counter[ReserveOutcome] = Counter()

    def replay(book: BudgetBook) -> None:
        rng = random.Random(id(book))
        for number in range(250):
            task_id, amount = rng.choice(tasks), 100 if number % 2 else rng.choice((0, 99, 101))
            again = reserve(book, task_id, amount=amount, windows=windows)
            is_first = {"outcome": again.outcome}
            assert again == first[task_id].model_copy(update=is_first)
            assert (amount == 100) == (again.outcome is ReserveOutcome.EXISTS)
            results[again.outcome] += 1

    together(*[lambda book=book: replay(book) for book in books])
    assert results == {
        ReserveOutcome.EXISTS: 500,
        ReserveOutcome.EXISTS_WITH_DIFFERENT_AMOUNT: 500,
    }
    assert ledger.budgets.read(["day", "week"]) == {"day": (2000, 2000), "week": (2500, 2000)}


def test_racing_repeats_of_one_reserve_hold_it_once(
    ledger: Ledger, books: list[BudgetBook]
) -> None:
    def hold(book: BudgetBook) -> ReserveOutcome:
        return reserve(book, "t-1", windows=[window("day")]).outcome

    outcomes = together(*[lambda book=book: hold(book) for book in books * 2])
    assert Counter(outcomes) == {ReserveOutcome.RESERVED: 1, ReserveOutcome.EXISTS: 7}
    assert ledger.budgets.read(["day"]) == {"day": (1000, 100)}


def test_calls_that_fail_while_they_are_swept_are_settled_once_each(
    ledger: Ledger, engines: list[Engine], scale: Scale
) -> None:
    """Winners of both sides are counted, and the sums are exact to one nano-USD.

    A thousand calls where all that was promised is asked for.
    """
    held, limit, numbers = 1_000_003, 2**40, range(1, scale.of(1_000, 300) + 1)
    costs = {f"t-{number % 50}/{number}": 20_173 * number % 1_300_000 for number in numbers}

    def send(part_id: str, book: BudgetBook) -> None:
        task_id, _, number = part_id.partition("/")
        windows = [window("day", limit), window("week", limit)]
        call = invoke(task_id, int(number), amount=held)
        reserve(book, task_id, int(number), amount=held, windows=windows, expires_in_seconds=0)
        ledger.attempts.begin(call, part_id, NOW)

    def fail(attempts: AttemptLog, part_ids: list[str]) -> None:
        for part_id in part_ids:
            kind = ProviderFailureKind.TIMEOUT
            attempts.fail(part_id, kind, costs[part_id], Settlement.EXACT, 5, NOW)

    def sweep(engine: Engine) -> int:
        return expire_parts(engine, NOW, lambda _: False)

    books = [BudgetBook(engine) for engine in engines]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, costs, cycle(books)))
    parts, logs = list(costs), [AttemptLog(engine, ledger.vault) for engine in engines]
    half = len(parts) // 2
    halves = [parts[:half], parts[half:]]
    *_, swept, swept_again = together(
        lambda: fail(logs[0], halves[0] + halves[1]),
        lambda: fail(logs[1], halves[1] + halves[0]),
        lambda: sweep(engines[2]),
        lambda: sweep(engines[3]),
    )
    # A failure that came after its part was swept left a record; each of the others ended its part.
    late = {
        record.body["attempt_id"]
        for record in ledger.chain.records(10_000)
        if record.kind == "late_settlement"
    }
    assert swept + swept_again == len(late)
    spent = sum(max(held, cost) if part_id in late else cost for part_id, cost in costs.items())
    assert ledger.budgets.read(["day", "week"]) == {"day": (limit, spent), "week": (limit, spent)}
    assert ledger.rows("SELECT 1 FROM hold_part WHERE state <> 'posted'") == []
    excess = sum(cost - held for cost in costs.values() if cost > held)
    (overrun,) = ledger.rows("SELECT SUM(excess_nano_usd) AS nano_usd FROM overrun")
    assert overrun == {"nano_usd": excess}


@pytest.mark.req("JG-27")
def test_racing_parts_of_one_task_stay_under_its_ceiling(ledger: Ledger) -> None:
    def hold(number: int) -> ReserveOutcome:
        return reserve(ledger.budgets, "t-1", number, amount=30, ceiling=100).outcome

    outcomes = together(*[lambda number=number: hold(number) for number in range(1, 9)])
    assert outcomes.count(ReserveOutcome.RESERVED) == 3


def test_a_log_and_a_sweep_that_race_settle_every_part_once(ledger: Ledger) -> None:
    tasks = [f"t-{number}" for number in range(40)]
    for number, task_id in enumerate(tasks):
        accept(ledger.vault, task_id)
        reserve(ledger.budgets, task_id, windows=[window("day", 10**6)], expires_in_seconds=0)
        if number % 2:
            ledger.attempts.begin(invoke(task_id), f"{task_id}/1", NOW)
            ledger.attempts.finish(f"{task_id}/1", **answer(cost=60))

    def log(part: list[str]) -> None:
        for task_id in part:
            ledger.outcomes.log(outcome(task_id), None, NOW)

    together(
        lambda: log(tasks),
        lambda: log(tasks[::-1]),
        lambda: expire_parts(ledger.engine, NOW, lambda _: False),
        lambda: expire_parts(ledger.engine, NOW, lambda _: False),
    )
    assert ledger.budgets.read(["day"]) == {"day": (10**6, 20 * 60)}
    assert len(ledger.rows("SELECT * FROM outcome")) == 40


def test_two_workers_that_begin_one_attempt_never_share_a_send(ledger: Ledger) -> None:
    """The second worker gives the first one up; each call to a model has a part of its own."""
    reserve(ledger.budgets, "t-1", windows=[window("day")])
    starts = together(*[lambda: ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW).attempt_id] * 4)
    assert sorted(map(str, starts)) == ["t-1/1", "t-1/1.2", "t-1/1.3", "t-1/1.4"]
    assert ledger.budgets.read(["day"]) == {"day": (1000, 400)}


@pytest.mark.req("OM-75")
def test_eight_writers_leave_one_outcome_and_an_unbroken_chain(ledger: Ledger) -> None:
    def log(task_id: str) -> int | None:
        return ledger.outcomes.log(outcome(task_id), None, NOW).audit_sequence

    with ThreadPoolExecutor(8) as pool:
        sequences = list(pool.map(log, [f"t-{number % 40}" for number in range(120)]))
    assert sorted(set(sequences), key=str) == sorted(range(1, 41), key=str)
    report = ledger.chain.verify()
    assert (report.holds, report.count) == (True, 40)
