"""Brings the ledger's schema up to date; every process calls it before it works."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, column, func, inspect, select, table

from pointwork.ledger.engine import read, transact

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.config import Config

_SCRIPTS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x506F696E75
_VERSIONS = table("alembic_version", column("version_num"))


class LedgerTooNewError(RuntimeError):
    """The ledger's schema is one this code does not know."""


def migrate(engine: Engine, revision: str = "head") -> None:
    """Upgrade to ``revision`` in one transaction; two processes at once take turns.

    A process killed half-way leaves the schema as it was.

    Raises:
        LedgerTooNewError: a later Pointwork has migrated this ledger already.
    """
    if revision == "head" and is_current(engine):
        return
    from alembic import command

    transact(engine, lambda connection: _run(connection, command.upgrade, revision))


def downgrade(engine: Engine, revision: str) -> None:
    """Step back to ``revision`` (``base`` empties the database), in one transaction."""
    from alembic import command

    transact(engine, lambda connection: _run(connection, command.downgrade, revision))


def is_current(engine: Engine) -> bool:
    """Whether the schema is the one this code was written for.

    Every command asks, so it is read without Alembic, whose loading takes longer than most of
    them: a migration's file is named after its revision, and the last one is the head.

    Raises:
        LedgerTooNewError: it is a later one.
    """
    with read(engine) as connection:
        is_made = inspect(connection).has_table(_VERSIONS.name)
        found = set(connection.scalars(select(_VERSIONS.c.version_num))) if is_made else set()
    known = revisions()
    if unknown := found - {*known}:
        msg = (
            f"the ledger's schema {', '.join(sorted(unknown))} is later than this Pointwork; "
            "install the version that wrote it"
        )
        raise LedgerTooNewError(msg)
    return found == {known[-1]}


def revisions() -> list[str]:
    """Those this code knows, oldest first."""
    return sorted(path.name.split("_")[0] for path in (_SCRIPTS / "versions").glob("*_*.py"))


def _run(connection: Connection, step: "Callable[[Config, str], None]", revision: str) -> None:
    from alembic.config import Config

    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = connection
    step(config, revision)
