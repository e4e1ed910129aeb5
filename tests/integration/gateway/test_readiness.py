"""What a load balancer asks, and how soon it is told."""

import asyncio
import socket

import httpx2
import pytest
from temporalio.client import Client

from pointwork.gateway.app import build_app
from tests.integration.gateway.house import House
from workers.gateway import build_gateway
from workers.settings import GatewaySettings


async def test_a_temporal_that_says_nothing_makes_a_replica_unready_within_seconds(
    house: House,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        temporal = await Client.connect(f"127.0.0.1:{port}", lazy=True)
        app = build_app(build_gateway(temporal, house.stack.parts, GatewaySettings(port=0)))
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url=house.url) as http:
            async with asyncio.timeout(6):
                answered = await http.get("/readyz")
    assert answered.status_code == 503
    assert answered.json() == {"ledger": True, "temporal": False}


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_probe_may_ask_for_the_head_alone(house: House, path: str) -> None:
    async with httpx2.AsyncClient(base_url=house.url, timeout=60) as http:
        whole, head = await http.get(path), await http.head(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]
