"""A real ledger for every test, on SQLite and on Postgres, checked for soundness at its end."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Dialect, Engine, event

from pointwork.ledger import invariants
from pointwork.ledger.approvals import ApprovalBook
from pointwork.ledger.attempts import AttemptLog
from pointwork.ledger.audit import AuditChain
from pointwork.ledger.budgets import BudgetBook
from pointwork.ledger.engine import open_engine
from pointwork.ledger.master_keys import MasterKeys
from pointwork.ledger.migrate import migrate
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.sealed_bytes import InTable, SealedBytes
from pointwork.ledger.signals import SignalStore
from pointwork.ledger.vault import Vault
from tests.integration.ledger.stores import S3Server, running_s3
from tests.postgres import new_database

MASTER_KEYS = MasterKeys(active="test", keys={"test": bytes(range(32))})


@dataclass
class Ledger:
    """A migrated ledger and everything that works on it."""

    url: str
    engine: Engine
    broken_on_purpose: bool = False
    """Set by a test that damages the ledger to see it noticed."""
    store: SealedBytes = field(default_factory=InTable)
    vault: Vault = field(init=False)
    attempts: AttemptLog = field(init=False)

    def __post_init__(self) -> None:
        self.keep_in(self.store)
        self.budgets = BudgetBook(self.engine)
        self.outcomes = OutcomeLog(self.engine)
        self.chain = AuditChain(self.engine)
        self.signals = SignalStore(self.engine)
        self.approvals = ApprovalBook(self.engine)

    def keep_in(self, store: SealedBytes) -> None:
        """Seal what is sealed from now on into ``store``."""
        self.store = store
        self.vault = self.another_vault()
        self.attempts = AttemptLog(self.engine, self.vault)

    def another_vault(self, keys: MasterKeys = MASTER_KEYS, **options: Any) -> Vault:
        """The vault of another process on this ledger and its store."""
        return Vault(self.engine, keys, store=self.store, **options)

    def rows(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """What a statement finds, as an auditor with a database client would see it."""
        with self.engine.begin() as connection:
            found = connection.exec_driver_sql(statement, values or None)
            return [dict(row) for row in found.mappings()] if found.returns_rows else []

    def violations(self) -> list[str]:
        return [f"{each.invariant}: {each.sentence}" for each in invariants.check(self.engine)]


def without_flushes(engine: Engine) -> Engine:
    """``engine`` whose commits do not wait for the disk: nobody pulls the plug of a test's file."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
    return engine


@dataclass
class WriteGuard:
    """Follows every statement on SQLite's wire and keeps the writes outside BEGIN IMMEDIATE."""

    deferred_writes: list[str] = field(default_factory=list)

    def watch(self, connection: Any, _record: object) -> None:
        mode = "autocommit"

        def trace(statement: str) -> None:
            nonlocal mode
            words = statement.split(None, 2)
            match [word.upper() for word in words[:2]]:
                case ["BEGIN", *kind]:
                    mode = "immediate" if kind == ["IMMEDIATE"] else "deferred"
                case ["COMMIT" | "ROLLBACK"]:
                    mode = "autocommit"
                case ["INSERT" | "UPDATE" | "DELETE" | "CREATE" | "DROP" | "ALTER", *_]:
                    if mode != "immediate":
                        self.deferred_writes.append(f"{mode}: {statement[:120]}")

        connection.set_trace_callback(trace)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty migrated file, copied for each test."""
    path = tmp_path_factory.mktemp("ledger") / "template.db"
    engine = open_engine(f"sqlite:///{path}")
    migrate(engine)
    engine.dispose()
    return path


@pytest.fixture(params=["sqlite", "postgres"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty migrated ledger."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        shutil.copy(template, tmp_path / "ledger.db")
        yield f"sqlite:///{tmp_path / 'ledger.db'}"
    else:
        server: str = request.getfixturevalue("postgres_server")
        with new_database(server, request.getfixturevalue("postgres_template")) as url:
            yield url


_DIALECTS: dict[str, Dialect] = {}
_COMPILED: dict[str, dict[Any, Any]] = {}


def sharing_statements(engine: Engine) -> Engine:
    """``engine`` with the compiled statements of all engines before it.

    Each test has a database and so an engine of its own; to compile every statement of the ledger
    anew for each was a quarter of what these tests took. The key holds the dialect, as an object.
    """
    name = engine.dialect.name
    engine.dialect = _DIALECTS.setdefault(name, engine.dialect)
    engine.update_execution_options(compiled_cache=_COMPILED.setdefault(name, {}))
    return engine


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """An empty ledger; at the end it must be sound and no write may have begun deferred."""
    engine = sharing_statements(open_engine(ledger_url))
    guard = WriteGuard()
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", guard.watch)
    ledger = Ledger(ledger_url, engine)
    yield ledger
    violations = ledger.violations()
    engine.dispose()
    assert guard.deferred_writes == []
    if not ledger.broken_on_purpose:
        assert violations == []


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 server of this test process, with one bucket."""
    with running_s3() as server:
        yield server
