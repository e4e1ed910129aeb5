"""Many processes, threads and settlers at once (reliability cases 2, 3, 5, 8)."""

import json
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pointwork.contract.outcome import ReserveOutcome
from pointwork.ledger.sweeper import expire_parts
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, accept, answer, invoke, outcome, reserve, window

KEYS = ["caller", "day", "month", "pack", "vendor", "week"]
RACER = "tests.integration.ledger.racer"


@pytest.mark.req("CX-90", "SP-43")
def test_eight_processes_admit_exactly_what_the_budget_covers(
    ledger: Ledger, repository: Path
) -> None:
    def start(number: int) -> subprocess.Popen[str]:
        keys = random.Random(number).sample(KEYS, len(KEYS))
        return subprocess.Popen(
            [sys.executable, "-m", RACER, ledger.url, f"t-{number}", "25", "5000", *keys],
            cwd=repository,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    racers = [start(number) for number in range(8)]
    counts: Counter[str] = Counter()
    with ThreadPoolExecutor(len(racers)) as pool:
        for out, _ in pool.map(lambda racer: racer.communicate("go\n", timeout=240), racers):
            counts.update(json.loads(out))
    assert counts == {ReserveOutcome.RESERVED: 50, ReserveOutcome.EXCEEDS_LIMIT: 150}
    assert ledger.budgets.read(KEYS) == {key: (5000, 5000) for key in KEYS}


def together(*work: Callable[[], object]) -> list[object]:
    """The results of pieces of work that begin at the same moment, each in its own thread."""
    barrier = threading.Barrier(len(work))

    def begin(piece: Callable[[], object]) -> object:
        barrier.wait(60)
        return piece()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(begin, work))


def test_the_first_use_of_a_window_by_sixteen_threads_makes_one_row(ledger: Ledger) -> None:
    for turn in range(3):
        key = f"day/{turn}"

        def hold(number: int, key: str = key, turn: int = turn) -> ReserveOutcome:
            task_id = f"t-{turn}-{number}"
            return reserve(ledger.budgets, task_id, windows=[window(key, 1000)]).outcome

        outcomes = together(*[lambda number=number: hold(number) for number in range(16)])
        assert outcomes.count(ReserveOutcome.RESERVED) == 10
        assert ledger.budgets.read([key]) == {key: (1000, 1000)}


def test_racing_repeats_of_one_reserve_hold_it_once(ledger: Ledger) -> None:
    outcomes = together(
        *[lambda: reserve(ledger.budgets, "t-1", windows=[window("day")]).outcome] * 8
    )
    assert Counter(outcomes) == {ReserveOutcome.RESERVED: 1, ReserveOutcome.EXISTS: 7}
    assert ledger.budgets.read(["day"]) == {"day": (1000, 100)}


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
