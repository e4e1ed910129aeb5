"""One place that writes: shared commits on SQLite, bounded retries on Postgres (cases 3 and 37)."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import pytest
from sqlalchemy import Connection, CursorResult, event
from sqlalchemy.exc import IntegrityError, OperationalError

from pointwork.contract.outcome import ReserveOutcome
from pointwork.ledger.engine import RETRIES_MAX, open_engine, transact
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, invoke, outcome, reserve, window

ONLY_SQLITE = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
ONLY_POSTGRES = pytest.mark.parametrize("ledger_url", ["postgres"], indirect=True)


def load(model: str) -> Callable[[Connection], None]:
    def write(connection: Connection) -> None:
        connection.exec_driver_sql(
            "INSERT INTO local_residency (queue, model, updated_at)"
            f" VALUES ('{model}', '{model}', '2026-01-01 00:00:00')"
        )

    return write


def queues(ledger: Ledger) -> set[str]:
    return {row["queue"] for row in ledger.rows("SELECT queue FROM local_residency")}


class HeldTurn:
    """Keeps the ledger's writer busy until enough others wait behind it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.is_held = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, connection: Connection) -> None:
        load("held")(connection)
        self.is_held.set()
        assert self.go_on.wait(60)


def queue_up(
    ledger: Ledger, work: list[Callable[[Connection], None]]
) -> list[BaseException | None]:
    """Run all pieces of work while the writer is held, so that they share what comes next."""
    held = HeldTurn(ledger)
    began = threading.Barrier(len(work) + 1)

    def submit(piece: Callable[[Connection], None]) -> BaseException | None:
        began.wait(60)
        try:
            transact(ledger.engine, piece)
        except (IntegrityError, OperationalError, KeyError) as error:
            return error
        return None

    with ThreadPoolExecutor(len(work) + 1) as pool:
        holder = pool.submit(transact, ledger.engine, held)
        assert held.is_held.wait(60)
        waiting = [pool.submit(submit, piece) for piece in work]
        began.wait(60)
        held.go_on.set()
        holder.result(60)
        return [each.result(60) for each in waiting]


@ONLY_SQLITE
def test_writers_that_wait_together_are_committed_together(ledger: Ledger) -> None:
    commits: list[object] = []
    event.listen(ledger.engine, "commit", commits.append)
    assert queue_up(ledger, [load(f"m{number}") for number in range(12)]) == [None] * 12
    assert queues(ledger) == {"held"} | {f"m{number}" for number in range(12)}
    assert len(commits) <= 13


def test_a_piece_of_work_that_fails_undoes_itself_and_nothing_else(ledger: Ledger) -> None:
    def fail(connection: Connection) -> None:
        load("undone")(connection)
        raise KeyError

    def break_rule(connection: Connection) -> None:
        load("undone")(connection)
        connection.exec_driver_sql("UPDATE hold_part SET amount_nano_usd = -1")

    reserve(ledger.budgets, "t-1")
    work = [load("a"), fail, load("b"), break_rule, load("c")]
    errors = queue_up(ledger, work)
    assert [type(error) for error in errors] == [
        type(None),
        KeyError,
        type(None),
        IntegrityError,
        type(None),
    ]
    assert queues(ledger) == {"held", "a", "b", "c"}


def log_many(ledger: Ledger) -> None:
    for number in range(1000):
        ledger.outcomes.log(outcome(f"t-{number}", reason="y" * 2000), None, NOW)


@ONLY_SQLITE
def test_a_full_disk_fails_every_writer_and_leaves_nothing_half_written(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t-1", windows=[window("day")])

    def fill(connection: Connection) -> None:
        (pages,) = connection.exec_driver_sql("PRAGMA page_count").one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 1}")
        load("x" * 100_000)(connection)

    errors = queue_up(ledger, [load("a"), fill, load("b")])
    assert any(isinstance(error, OperationalError) for error in errors)
    with pytest.raises(OperationalError):
        log_many(ledger)
    assert ledger.violations() == []
    for row in ledger.rows("SELECT queue FROM local_residency"):
        assert not row["queue"].startswith("x")
    with ledger.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        assert connection.exec_driver_sql("PRAGMA quick_check").scalar_one() == "ok"
    assert reserve(ledger.budgets, "t-9999").outcome is ReserveOutcome.RESERVED


@ONLY_SQLITE
def test_no_call_is_sent_when_its_row_cannot_be_written(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t-1", windows=[window("day")])
    ledger.rows(
        "CREATE TRIGGER disk_full BEFORE UPDATE ON attempt BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    with pytest.raises(IntegrityError):
        ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    assert ledger.outcomes.attempts("t-1")[0].state == "planned"


@pytest.mark.parametrize("fails", [True, False])
def test_a_result_that_nobody_reads_to_its_end_keeps_no_old_view(
    ledger: Ledger, fails: bool
) -> None:
    """On SQLite it would: later reads were old, and the next write failed as locked, at once."""
    transact(ledger.engine, load("one"))
    transact(ledger.engine, load("two"))
    kept: list[CursorResult[Any]] = []

    def leave(connection: Connection) -> None:
        kept.append(connection.exec_driver_sql("SELECT queue FROM local_residency"))
        kept[0].fetchone()
        if fails:
            raise KeyError

    with pytest.raises(KeyError) if fails else nullcontext():
        transact(ledger.engine, leave)
    elsewhere = open_engine(ledger.url)
    transact(elsewhere, load("from elsewhere"))
    elsewhere.dispose()
    assert "from elsewhere" in queues(ledger)
    transact(ledger.engine, load("last"))
    assert queues(ledger) == {"one", "two", "from elsewhere", "last"}


@ONLY_POSTGRES
def test_a_transaction_that_loses_a_deadlock_runs_again(ledger: Ledger) -> None:
    for key in ("a", "b"):
        reserve(ledger.budgets, f"t-{key}", windows=[window(key)])
    both_hold_one = threading.Barrier(2)
    runs: list[str] = []

    def spend(first: str, second: str) -> None:
        is_first_run = True

        def write(connection: Connection) -> None:
            nonlocal is_first_run
            runs.append(first)
            statement = "UPDATE budget_window SET period = 'x' WHERE window_key = '{}'"
            connection.exec_driver_sql(statement.format(first))
            if is_first_run:
                is_first_run = False
                both_hold_one.wait(60)
            connection.exec_driver_sql(statement.format(second))

        transact(ledger.engine, write)

    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(spend, "a", "b"), pool.submit(spend, "b", "a")]
        for each in done:
            each.result(60)
    # One of the two lost and ran again; on a busy machine it may meet the other once more.
    assert len(runs) > 2
    assert set(runs) == {"a", "b"}


@ONLY_POSTGRES
def test_retries_are_bounded(ledger: Ledger) -> None:
    runs: list[int] = []

    def lose(connection: Connection) -> None:
        runs.append(1)
        connection.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$")

    with pytest.raises(OperationalError):
        transact(ledger.engine, lose)
    assert len(runs) == 1 + RETRIES_MAX
