from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from temporalio.testing import WorkflowEnvironment

from pointwork.ledger.signals import SignalStore
from pointwork.policy.bundle import PolicyLibrary
from tests.fakes.scripted_provider import Script
from tests.temporal_server import dev_server
from tests.workflows.stack import Stack, open_test_parts, running


@pytest.fixture(scope="package")
async def started_stack(
    temporal_server: WorkflowEnvironment,
    library: PolicyLibrary,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Stack]:
    """One running system for all workflow tests of a test process; tests differ by task id."""
    script = Script()
    parts = open_test_parts(tmp_path_factory.mktemp("stack"), library, script)
    async with running(temporal_server, parts, script) as started:
        yield started
    parts.threads.shutdown()
    parts.engine.dispose()


@pytest.fixture(scope="package")
async def own_server() -> AsyncIterator[WorkflowEnvironment]:
    """For tests that run a stack of their own: on the shared one they would serve each other."""
    async with dev_server() as server:
        yield server


@pytest.fixture
def stack(started_stack: Stack) -> Stack:
    """The running system with every endpoint in good health, whatever an earlier test scripted."""
    signals, now = SignalStore(started_stack.parts.engine), datetime.now(UTC)
    for endpoint in started_stack.parts.usable_endpoints:
        signals.record_endpoint(endpoint, True, None, None, now)
    return started_stack
