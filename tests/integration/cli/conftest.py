"""State directories with a real ledger in them, and ways to call the command on them."""

import asyncio
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Engine, func, select
from temporalio.testing import WorkflowEnvironment

from pointwork.cli.main import main
from pointwork.cli.owner import ensure_owner
from pointwork.embedded import Endpoints, StateDirectory
from pointwork.ledger.engine import open_engine, read
from pointwork.ledger.master_keys import MasterKeys
from pointwork.ledger.migrate import migrate
from pointwork.ledger.tables import METADATA
from pointwork.policy.bundle import PolicyLibrary
from tests.fakes.scripted_provider import Script
from tests.temporal_server import dev_server
from tests.workflows.stack import Stack, open_test_parts, running

if TYPE_CHECKING:
    from tests.integration.cli.upping import Up


@dataclass(frozen=True)
class Called:
    """What one call of the command left behind."""

    code: int
    out: str
    err: str

    @property
    def error_lines(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("error:")]


Call = Callable[..., Called]
CallAside = Callable[..., Awaitable[Called]]


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    """The command looks for the deployment from the current folder upwards.

    Its width is set, so that no sentence is folded where a test looks for it.
    """
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(repository)
    monkeypatch.delenv("POINTWORK_STATE_DIR", raising=False)
    monkeypatch.delenv("POINTWORK_POLICIES_DIR", raising=False)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls the command inside this process."""

    def call_main(*arguments: object) -> Called:
        capsys.readouterr()
        code = main([str(each) for each in arguments])
        captured = capsys.readouterr()
        return Called(code, captured.out, captured.err)

    return call_main


def command(*arguments: object) -> list[str]:
    """The command line that runs the installed entry point in a process of its own."""
    start = "from pointwork.cli.main import run; run()"
    return [sys.executable, "-c", start, *map(str, arguments)]


def call_process(*arguments: object, stdin: bytes = b"") -> Called:
    done = subprocess.run(
        command(*arguments), input=stdin, capture_output=True, timeout=120, check=False
    )
    return Called(done.returncode, done.stdout.decode(), done.stderr.decode())


async def call_process_async(*arguments: object) -> Called:
    """The same where this process's event loop must go on, because it runs the workers."""
    return await asyncio.to_thread(call_process, *arguments)


def prepare_state(path: Path) -> Path:
    """As `pointwork up` leaves it before it starts anything; the ledger is empty."""
    directory = StateDirectory(path)
    directory.create()
    MasterKeys.load_or_create(directory.path / "master.key")
    engine = open_engine(f"sqlite:///{directory.ledger_db}")
    migrate(engine)
    ensure_owner(engine, directory.path)
    engine.dispose()
    return directory.path


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return prepare_state(tmp_path / "state")


@pytest.fixture
def ledger(state_dir: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{state_dir / 'ledger.db'}")
    yield engine
    engine.dispose()


def row_counts(engine: Engine) -> dict[str, int]:
    with read(engine) as connection:
        return {
            name: connection.execute(select(func.count()).select_from(each)).scalar_one()
            for name, each in METADATA.tables.items()
        }


@pytest.fixture(scope="package")
async def cli_server() -> AsyncIterator[WorkflowEnvironment]:
    """A server for these tests alone: workers of others on a shared one would take its tasks."""
    async with dev_server() as server:
        yield server


@pytest.fixture(scope="package")
async def served_dir(
    cli_server: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Path]:
    """A state directory that the command finds a Temporal server through."""
    directory = StateDirectory(prepare_state(tmp_path_factory.mktemp("served")))
    await directory.lock()
    nowhere = "http://127.0.0.1:1"
    directory.write_endpoints(
        Endpoints(
            temporal_address=cli_server.client.service_client.config.target_host,
            ui_url=nowhere,
            http_url=nowhere,
            metrics_url=nowhere,
            ledger_url=f"sqlite:///{directory.ledger_db}",
        )
    )
    yield directory.path
    directory.unlock()


@pytest.fixture
def pointwork(call: Call, served_dir: Path, monkeypatch: pytest.MonkeyPatch) -> CallAside:
    """The command on the running system, in a thread: the test's own loop serves the workers."""
    monkeypatch.setenv("POINTWORK_STATE_DIR", str(served_dir))

    async def aside(*arguments: object) -> Called:
        return await asyncio.to_thread(call, *arguments)

    return aside


@pytest.fixture(scope="package")
async def stack(
    cli_server: WorkflowEnvironment, served_dir: Path, library: PolicyLibrary
) -> AsyncIterator[Stack]:
    """Every worker over the ledger of ``served_dir``; the models say what a test scripts."""
    script = Script()
    parts = open_test_parts(served_dir, library, script)
    async with running(cli_server, parts, script) as started:
        yield started
    parts.threads.shutdown()
    parts.engine.dispose()


@pytest.fixture(scope="package")
def up(repository: Path) -> Iterator["Up"]:
    """A deployment for the tests of the group ``cli-live``. One vendor is usable, none is called:

    a task that may go there waits for a person first.
    """
    from tests.integration.cli.upping import Up, lend_weights

    # A short path: sockets and llama.cpp's own files lie below it.
    with tempfile.TemporaryDirectory(prefix="pw-up-") as folder:
        state_dir = Path(folder) / "state"
        lend_weights(repository, state_dir)
        with pytest.MonkeyPatch.context() as shell:
            shell.setenv("OPENAI_API_KEY", "sk-nobody")
            started = Up(state_dir, Path(folder) / "up.log")
        yield started
        started.stop(signal.SIGTERM)
