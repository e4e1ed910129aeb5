"""Brings the ledger's schema up to date; every process calls it before it works."""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, func, select

from pointwork.ledger.engine import read, transact

_SCRIPTS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x506F696E75


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
    transact(engine, lambda connection: _run(connection, command.upgrade, revision))


def downgrade(engine: Engine, revision: str) -> None:
    """Step back to ``revision`` (``base`` empties the database), in one transaction."""
    transact(engine, lambda connection: _run(connection, command.downgrade, revision))


def is_current(engine: Engine) -> bool:
    """Whether the schema is the one this code was written for.

    Raises:
        LedgerTooNewError: it is a later one.
    """
    with read(engine) as connection:
        found = set(MigrationContext.configure(connection).get_current_heads())
    scripts = ScriptDirectory(str(_SCRIPTS))
    unknown = found - {script.revision for script in scripts.walk_revisions()}
    if unknown:
        msg = (
            f"the ledger's schema {', '.join(sorted(unknown))} is later than this Pointwork; "
            "install the version that wrote it"
        )
        raise LedgerTooNewError(msg)
    return found == set(scripts.get_heads())


def _run(connection: Connection, step: Callable[[Config, str], None], revision: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = connection
    step(config, revision)
