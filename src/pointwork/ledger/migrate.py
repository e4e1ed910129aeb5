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


def migrate(engine: Engine, revision: str = "head") -> None:
    """Upgrade to ``revision`` in one transaction; two processes at once take turns.

    A process killed half-way leaves the schema as it was.
    """
    if revision == "head" and is_current(engine):
        return
    transact(engine, lambda connection: _run(connection, command.upgrade, revision))


def downgrade(engine: Engine, revision: str) -> None:
    """Step back to ``revision`` (``base`` empties the database), in one transaction."""
    transact(engine, lambda connection: _run(connection, command.downgrade, revision))


def is_current(engine: Engine) -> bool:
    """Whether the schema is the one this code was written for."""
    with read(engine) as connection:
        found = MigrationContext.configure(connection).get_current_heads()
    return set(found) == set(ScriptDirectory(str(_SCRIPTS)).get_heads())


def _run(connection: Connection, step: Callable[[Config, str], None], revision: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = connection
    step(config, revision)
