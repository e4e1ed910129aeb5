"""Fixtures every test may use: one real Temporal server a test process."""

import gc
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from temporalio.testing import WorkflowEnvironment

from pointwork.policy.bundle import PolicyLibrary
from pointwork.policy.documents.load import load_library
from tests.scale import Scale
from tests.temporal_server import dev_server

OBJECTS_WITHIN_A_TEST_MAX = 500_000
OBJECTS_BETWEEN_TESTS_MAX = 100_000

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


def pytest_configure(config: pytest.Config) -> None:
    """What tests start is to end at Ctrl-C, also where a shell has these tests ignore it."""
    # How long an example takes says more of the machine than of the code.
    settings.register_profile(
        "unhurried", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("unhurried")
    if config.getoption("--whole"):
        settings.register_profile("whole", settings.default, max_examples=300)
        settings.load_profile("whole")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _require_groups(session: pytest.Session) -> None:
    """Tests of a group share what takes long to start, so they have to meet in one process."""
    if session.config.getoption("loadgroup", default=False):
        for item in session.items:
            if item.get_closest_marker("xdist_group") and "@" not in item.nodeid:
                raise pytest.UsageError(
                    f"pytest-xdist does not see the group of {item.nodeid}; "
                    "install the pytest of requirements.lock"
                )


def pytest_collection_finish(session: pytest.Session) -> None:
    """Garbage is collected between tests, and what is loaded by now is not walked through again.

    A collection takes the thread it falls into, and a workflow's must not be held for 2 s: the SDK
    interrupts it. It closes what is left of ended workers' workflows besides, which the SDK keeps
    until then, and the thread of another's workflow is no place for that.
    """
    _require_groups(session)
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_WITHIN_A_TEST_MAX, 5, 5)


def pytest_runtest_logfinish() -> None:
    if gc.get_count()[0] > OBJECTS_BETWEEN_TESTS_MAX:
        gc.collect()


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
