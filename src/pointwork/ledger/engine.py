"""Opens the ledger's database and holds the one way to write to it and the one way to read it."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

import pysqlite3.dbapi2
from sqlalchemy import ColumnElement, Connection, Engine, Insert, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from pointwork.ledger.group_commit import GroupCommit

BUSY_TIMEOUT_SECONDS = 30
_BUSY_RETRY_SECONDS = 0.02
RETRIES_MAX = 5
"""How often one write transaction is repeated after a deadlock or a serialization failure."""

_BUSY = pysqlite3.dbapi2.SQLITE_BUSY
_RETRYABLE = frozenset({"40001", "40P01"})
Excluded = ReadOnlyColumnCollection[str, ColumnElement[Any]]
"""The row an INSERT brought, as its ON CONFLICT clause sees it."""

_T = TypeVar("_T")
_READ_OPTION = "pointwork_read"
_GROUP_COMMIT_OPTION = "pointwork_group_commit"
_SAFE_SQLITE = (3, 51, 3)
_SAFE_PATCHES = {(3, 44): 6, (3, 50): 7}


class UnsafeSqliteError(RuntimeError):
    """The SQLite library can corrupt a database in WAL mode."""


class LedgerUrlError(ValueError):
    """The ledger's address cannot be used. The text names the remedy and never a password."""


def check_sqlite_version(version: Sequence[int]) -> None:
    """Refuse SQLite versions with the WAL-reset bug, which corrupts a file two connections write.

    Args:
        version: major, minor and patch of the library, such as ``(3, 53, 4)``.

    Raises:
        UnsafeSqliteError: the version is affected.
    """
    major, minor, patch = version[:3]
    safe_patch = _SAFE_PATCHES.get((major, minor))
    if (major, minor, patch) >= _SAFE_SQLITE or (safe_patch is not None and patch >= safe_patch):
        return
    text = f"{major}.{minor}.{patch}"
    msg = (
        f"SQLite {text} can corrupt a WAL database (the WAL-reset bug); install pysqlite3 0.6.1 or "
        "later, which carries SQLite 3.53.4, or use Postgres"
    )
    raise UnsafeSqliteError(msg)


def open_engine(url: str) -> Engine:
    """An engine on ``sqlite:///path`` or ``postgresql://...``; nothing is created in it yet.

    SQLite runs in WAL with synchronous=FULL, so that a commit survives a power cut, and every
    transaction begins IMMEDIATE unless it was opened by ``read``.

    Raises:
        LedgerUrlError: the address names another database, or a folder that does not exist.
        UnsafeSqliteError: the SQLite library is one that corrupts WAL databases.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        msg = "the ledger's address is not a URL; give sqlite:///path or postgresql://host/name"
        raise LedgerUrlError(msg) from None
    match parsed.drivername:
        case "sqlite":
            return _open_sqlite(parsed)
        case "postgresql" | "postgresql+psycopg":
            return create_engine(
                parsed.set(drivername="postgresql+psycopg"),
                hide_parameters=True,
                pool_size=16,
                max_overflow=16,
            )
        case other:
            msg = f"the ledger cannot use {other!r}; give sqlite:///path or postgresql://host/name"
            raise LedgerUrlError(msg)


def transact(engine: Engine, work: Callable[[Connection], _T]) -> _T:
    """Run ``work`` in one write transaction: all of it is committed, or nothing.

    ``work`` must have no effect outside the transaction. On Postgres it runs again after a
    deadlock (40P01) or a serialization failure (40001), at most ``RETRIES_MAX`` times, and this
    is the only place that retries; on SQLite it may share a commit with others (``GroupCommit``).
    """
    line: GroupCommit | None = engine.get_execution_options().get(_GROUP_COMMIT_OPTION)
    if line is not None:
        return line.run(engine, work)
    for retries_left in range(RETRIES_MAX, -1, -1):
        try:
            with engine.begin() as connection:
                return work(connection)
        except DBAPIError as error:
            if retries_left == 0 or getattr(error.orig, "sqlstate", None) not in _RETRYABLE:
                raise
    raise AssertionError


@contextmanager
def read(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads: one unchanging view, and no lock that a writer waits for."""
    with engine.connect() as connection:
        options: dict[str, Any] = {_READ_OPTION: True}
        if engine.dialect.name == "postgresql":
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        connection.execution_options(**options)
        with connection.begin():
            yield connection


def forget_old_pages(engine: Engine) -> bool:
    """Drop from SQLite's write-ahead log the earlier versions of pages, as far as readers allow.

    Returns:
        False where a reader that outlasted ``BUSY_TIMEOUT_SECONDS`` keeps some; the next call
        drops them.
    """
    if engine.dialect.name != "sqlite":
        return True
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        busy, _, _ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        cursor.close()
    finally:
        connection.close()
    return not busy


def insert_if_absent(table: Table, *key: str) -> Mapping[str, Insert]:
    """By dialect name, the INSERT that leaves a row alone whose ``key`` columns already exist.

    ``rowcount`` of the result is 1 where the row is new and 0 where it stood already.
    """
    # SQLAlchemy gives no rowcount for an INSERT unless it is told to keep it.
    options = {"preserve_rowcount": True}
    for_sqlite = sqlite.insert(table).on_conflict_do_nothing(index_elements=list(key))
    for_postgres = postgresql.insert(table).on_conflict_do_nothing(index_elements=list(key))
    return {
        "sqlite": for_sqlite.execution_options(**options),
        "postgresql": for_postgres.execution_options(**options),
    }


def insert_or_update(
    table: Table,
    *key: str,
    values: Callable[[Excluded], Mapping[str, Any]],
    where: Callable[[Excluded], ColumnElement[bool]] | None = None,
) -> Mapping[str, Insert]:
    """By dialect name, the INSERT that sets ``values`` in a row that exists already.

    Args:
        table: where the row stands.
        key: the columns that tell rows apart.
        values: new column values, given the row that was to be inserted.
        where: which existing rows are changed; all where it is not given.
    """
    for_sqlite, for_postgres = sqlite.insert(table), postgresql.insert(table)
    return {
        "sqlite": for_sqlite.on_conflict_do_update(
            index_elements=list(key),
            set_=values(for_sqlite.excluded),
            where=where and where(for_sqlite.excluded),
        ),
        "postgresql": for_postgres.on_conflict_do_update(
            index_elements=list(key),
            set_=values(for_postgres.excluded),
            where=where and where(for_postgres.excluded),
        ),
    }


def _open_sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        msg = "the ledger needs a file; give sqlite:///path"
        raise LedgerUrlError(msg)
    folder = Path(url.database).parent
    if not folder.is_dir():
        msg = f"the ledger's folder {folder} does not exist; create it or give another path"
        raise LedgerUrlError(msg)
    check_sqlite_version(pysqlite3.dbapi2.sqlite_version_info)
    engine = create_engine(
        url,
        module=pysqlite3.dbapi2,
        hide_parameters=True,
        pool_size=16,
        max_overflow=16,
        connect_args={
            "timeout": BUSY_TIMEOUT_SECONDS,
            "isolation_level": None,
            "check_same_thread": False,
            "factory": _SqliteConnection,
        },
        execution_options={_GROUP_COMMIT_OPTION: GroupCommit()},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    event.listen(engine, "checkin", _close_cursors)
    return engine


class _SqliteConnection(pysqlite3.dbapi2.Connection):  # type: ignore[misc]
    """Knows its open cursors, so that none survives the transaction it was opened in.

    A result of which not every row was read keeps the view of that moment, commit or rollback: what
    the connection reads later is old, and its next BEGIN IMMEDIATE fails BUSY without waiting.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._cursors: WeakSet[Any] = WeakSet()

    def cursor(self, *arguments: Any) -> Any:
        cursor = super().cursor(*arguments)
        self._cursors.add(cursor)
        return cursor

    def close_cursors(self) -> None:
        for cursor in list(self._cursors):
            cursor.close()


def _close_cursors(connection: Any, _record: object) -> None:
    if connection is not None:
        connection.close_cursors()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    _enter_wal(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    # Erasing a task's key must leave no copy of it in a free page.
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


def _enter_wal(cursor: Any) -> None:
    """A new database takes one connection's word for its mode; the others fail BUSY at once."""
    tries_end = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except pysqlite3.dbapi2.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != _BUSY or time.monotonic() > tries_end:
                raise
            time.sleep(_BUSY_RETRY_SECONDS)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    """A deferred transaction that turns to writing fails BUSY at once; IMMEDIATE waits its turn."""
    is_read = connection.get_execution_options().get(_READ_OPTION, False)
    connection.exec_driver_sql("BEGIN" if is_read else "BEGIN IMMEDIATE")
