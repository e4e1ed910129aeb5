"""The gateway's house, and both clients of it with one way to be asked."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import httpx2
import pytest

from pointwork.client import GatewayClient, SyncGatewayClient
from pointwork.gateway.app import build_app
from tests.integration.client.asked import Asked, Blocking
from tests.integration.gateway.conftest import house as house
from tests.integration.gateway.house import Account, House

Asks = Callable[..., Asked]
"""Makes a client of an account, a new one where none is given."""


@pytest.fixture(params=["async", "sync"])
async def asks(request: pytest.FixtureRequest, house: House) -> AsyncIterator[Asks]:
    """The asynchronous client on the application itself, the other over a socket of loopback."""
    async with AsyncExitStack() as opened:
        app = build_app(house.gateway)

        def made(account: Account | None = None, *, key: str = "") -> Asked:
            token = key or (account or house.account()).token
            if request.param == "sync":
                blocking = SyncGatewayClient(house.url, token)
                opened.callback(blocking.close)
                return Blocking(blocking)
            transport = httpx2.ASGITransport(app=app)
            client = GatewayClient("http://gateway", token, transport=transport)
            opened.push_async_callback(client.aclose)
            return client

        yield made
