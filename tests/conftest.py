"""Fixtures every test may use: one real Temporal server a test process."""

import gc
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from pointwork.policy.bundle import PolicyLibrary
from pointwork.policy.documents.load import load_library
from tests.scale import Scale
from tests.temporal_server import dev_server

pytest_plugins = ["tests.hangs", "tests.postgres"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--need-chromium",
        action="store_true",
        help="let the browser tests fail instead of being skipped where there is no chromium",
    )
    parser.addoption(
        "--postgres-url",
        default=None,
        help="a running Postgres for the ledger tests; without it they start their own",
    )
    parser.addoption(
        "--whole",
        action="store_true",
        help="every number of cases that was promised, where the default run makes do with fewer",
    )


def pytest_configure() -> None:
    """What tests start is to end at Ctrl-C, also where a shell has these tests ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """What is loaded now stays to the end: no later collection of garbage walks through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def scale(request: pytest.FixtureRequest) -> Scale:
    return Scale(is_whole=request.config.getoption("--whole"))


REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def library() -> PolicyLibrary:
    """The policy that ships with the repository, for the embedded host."""
    return load_library(REPOSITORY / "policies", "embedded")


@pytest.fixture(scope="session")
async def temporal_server() -> AsyncIterator[WorkflowEnvironment]:
    async with dev_server() as server:
        yield server
