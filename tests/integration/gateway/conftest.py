"""The gateway as a deployment runs it, on loopback, over a whole stack with scripted models."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from openai import AsyncOpenAI

from pointwork.policy.bundle import PolicyLibrary
from tests.fakes.scripted_provider import Script
from tests.integration.gateway.house import Account, Clients, House
from tests.temporal_server import dev_server
from tests.workflows.stack import open_test_parts, running
from workers.gateway import build_gateway, serve_gateway
from workers.settings import GatewaySettings


@pytest.fixture(scope="package")
async def house(
    library: PolicyLibrary, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """One gateway for the tests of a process; each makes accounts of its own."""
    script = Script()
    parts = open_test_parts(tmp_path_factory.mktemp("gateway"), library, script)
    async with dev_server() as server, running(server, parts, script) as stack:
        settings = GatewaySettings(port=0)
        gateway = build_gateway(stack.temporal, parts, settings)
        ready, stopped = asyncio.Event(), asyncio.Event()
        urls: list[str] = []

        def serving(url: str) -> None:
            urls.append(url)
            ready.set()

        serving_task = asyncio.create_task(serve_gateway(gateway, settings, stopped, serving))
        await ready.wait()
        yield House(stack, gateway, urls[0], datetime.now(UTC))
        stopped.set()
        await serving_task
    parts.threads.shutdown()
    parts.engine.dispose()


@pytest.fixture
async def client(house: House) -> AsyncIterator[Clients]:
    """Makes clients of an account, a new one where none is given."""
    async with AsyncExitStack() as opened:

        def made(account: Account | None = None, max_retries: int = 0) -> AsyncOpenAI:
            who = account or house.account()
            new = AsyncOpenAI(base_url=house.api, api_key=who.token, max_retries=max_retries)
            opened.push_async_callback(new.close)
            return new

        yield made
