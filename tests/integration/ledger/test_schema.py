"""The migrated schema, on both databases (DC-7; reliability cases 23 and 44)."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pysqlite3.dbapi2
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, inspect
from sqlalchemy.exc import IntegrityError, StatementError

from pointwork.ledger.engine import open_engine, read, transact
from pointwork.ledger.migrate import LedgerTooNewError, downgrade, is_current, migrate, revisions
from pointwork.ledger.tables import METADATA
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, accept, outcome, reserve, window
from tests.postgres import new_database

MIGRATE = """
import sys
from pointwork.ledger.engine import open_engine
from pointwork.ledger.migrate import migrate
sys.stdin.readline()
migrate(open_engine(sys.argv[1]))
"""


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database with nothing in it."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'new.db'}"
    else:
        with new_database(request.getfixturevalue("postgres_server")) as url:
            yield url


@pytest.fixture
def empty(empty_url: str) -> Iterator[Engine]:
    engine = open_engine(empty_url)
    yield engine
    engine.dispose()


def constraints(engine: Engine) -> dict[str, Any]:
    """What autogenerate does not compare: checks, keys and their columns."""
    inspector = inspect(engine)
    return {
        table: (
            sorted(
                (each["name"], each["sqltext"]) for each in inspector.get_check_constraints(table)
            ),
            inspector.get_pk_constraint(table),
            sorted(str(each) for each in inspector.get_foreign_keys(table)),
            sorted(_index(each) for each in inspector.get_indexes(table)),
        )
        for table in METADATA.tables
    }


def _index(found: Any) -> str:
    """An index in words; the condition of a partial one is an object without any."""
    options = {name: str(value) for name, value in found.get("dialect_options", {}).items()}
    return str({**found, "dialect_options": options})


@pytest.mark.req("DC-7")
def test_the_migrated_schema_is_the_one_the_models_declare(empty: Engine) -> None:
    transact(empty, METADATA.create_all)
    declared = constraints(empty)
    transact(empty, METADATA.drop_all)
    migrate(empty)
    with read(empty) as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    assert constraints(empty) == declared


@pytest.mark.req("DC-7")
def test_down_and_up_again_end_at_the_same_schema(empty: Engine) -> None:
    migrate(empty)
    before = constraints(empty)
    downgrade(empty, "base")
    assert set(inspect(empty).get_table_names()) == {"alembic_version"}
    assert not is_current(empty)
    migrate(empty)
    assert constraints(empty) == before
    assert is_current(empty)


@pytest.mark.req("DC-7")
def test_migrating_again_keeps_every_row(ledger: Ledger) -> None:
    accept(ledger.vault, "t-1")
    reserve(ledger.budgets, "t-1", windows=[window("day")])
    migrate(ledger.engine)
    assert ledger.budgets.read(["day"]) == {"day": (1000, 100)}


def test_the_revisions_read_from_file_names_are_those_alembic_runs(repository: Path) -> None:
    scripts = ScriptDirectory(str(repository / "src/pointwork/ledger/migrations"))
    newest_first = [script.revision for script in scripts.walk_revisions()]
    assert revisions() == newest_first[::-1]
    assert scripts.get_heads() == [revisions()[-1]]


def test_a_ledger_of_a_later_version_is_left_alone_with_a_remedy(empty: Engine) -> None:
    migrate(empty)
    with empty.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LedgerTooNewError, match=r"9999 is later.*install the version"):
        migrate(empty)


@pytest.mark.req("DC-7")
def test_processes_that_start_together_migrate_once(empty_url: str) -> None:
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", MIGRATE, empty_url],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    errors = [starter.communicate("go\n", timeout=120)[1] for starter in starters]
    assert [starter.returncode for starter in starters] == [0] * 4, errors
    engine = open_engine(empty_url)
    assert is_current(engine)
    engine.dispose()


def test_a_time_comes_back_as_the_same_instant_in_utc(ledger: Ledger) -> None:
    west = datetime(2026, 1, 1, 1, 2, 3, 456789, tzinfo=timezone(timedelta(hours=-11)))
    ledger.signals.record_endpoint("acme-api", False, None, west, west)
    state = ledger.signals.endpoint_signals(["acme-api"])["acme-api"]
    assert state.last_failure_at == west
    assert state.last_failure_at.tzinfo is UTC
    assert state.rate_limited_until == west


def test_a_time_without_a_zone_is_refused(ledger: Ledger) -> None:
    with pytest.raises(StatementError, match="give the datetime a time zone"):
        ledger.signals.set_loaded_model("gpu", "m", NOW.replace(tzinfo=None))


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE budget_window SET spent_nano_usd = -1",
        "UPDATE budget_window SET reserved_nano_usd = -1",
        "UPDATE budget_window SET limit_nano_usd = limit_high_nano_usd + 1",
        "UPDATE hold_part SET amount_nano_usd = -1",
        "UPDATE hold_part SET state = 'posted'",
        "UPDATE hold_part SET state = 'lost', settled_at = created_at",
        "UPDATE attempt SET state = 'sent'",
        "UPDATE attempt SET state = 'maybe', sent_at = planned_at",
        "UPDATE attempt SET cost_nano_usd = -5",
        "UPDATE outcome SET cost_nano_usd = -5",
        "DELETE FROM budget_window",
        "DELETE FROM audit",
        "DELETE FROM task",
    ],
)
def test_the_database_itself_refuses_rows_that_make_no_sense(ledger: Ledger, damage: str) -> None:
    accept(ledger.vault, "t-1")
    reserve(ledger.budgets, "t-1", windows=[window("day")])
    ledger.outcomes.log(outcome("t-2"), None, NOW)
    with pytest.raises(IntegrityError):
        ledger.rows(damage)


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_sqlite_runs_in_wal_flushes_every_commit_and_waits_for_its_turn(ledger: Ledger) -> None:
    with read(ledger.engine) as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 30_000,
    }


def test_a_new_sqlite_ledger_is_waited_for_while_another_process_writes_its_first_page(
    tmp_path: Path,
) -> None:
    """Whoever puts it into WAL meanwhile is told BUSY at once, whatever timeout was set."""
    path = tmp_path / "new.db"
    other = pysqlite3.dbapi2.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    engine = open_engine(f"sqlite:///{path}")
    tries: list[str] = []

    def leave_after_a_refusal(statement: str) -> None:
        if statement == "PRAGMA journal_mode=WAL":
            tries.append(statement)
        if len(tries) == 2 and other.in_transaction:
            other.execute("ROLLBACK")

    @event.listens_for(engine, "connect", insert=True)
    def _watch(connection: Any, _record: object) -> None:
        connection.set_trace_callback(leave_after_a_refusal)

    with read(engine) as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
    assert len(tries) == 2
    engine.dispose()
    other.close()


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_a_read_waits_for_no_writer(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t-1", windows=[window("day")])
    with ledger.engine.begin() as writer:
        writer.exec_driver_sql("UPDATE budget_window SET scope = 'other'")
        assert ledger.budgets.read(["day"]) == {"day": (1000, 100)}
