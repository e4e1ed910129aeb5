"""Clients of a gateway that is not there, or that is something else."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from pointwork.client import GatewayClient, SyncGatewayClient
from pointwork.client.gateway_steps import CONNECT_SECONDS, LAST_READ_SECONDS
from pointwork.contract.failures import ServiceUnavailableError
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import TaskDeclaration

PROMPT = Prompt.from_text("Tidy up this line.")
DECLARED = TaskDeclaration(task_id="away-1", caller="billing")


@pytest.fixture
def nobody() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"


@asynccontextmanager
async def answering(*replies: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that answers each connection's one request with the next reply, and what it saw.

    An empty reply hangs up without one.
    """
    seen: list[bytes] = []
    left = list(replies)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(left.pop(0))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen


class Silent(httpx2.AsyncBaseTransport, httpx2.BaseTransport):
    """Reaches a gateway that says nothing, and keeps how long it was given for what."""

    def __init__(self) -> None:
        self.given: list[dict[str, float]] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.given.append(request.extensions["timeout"])
        raise httpx2.ReadTimeout("nothing came", request=request)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return self.handle_request(request)


def http(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def test_a_gateway_that_is_gone_is_named_with_the_remedy(nobody: str) -> None:
    remedy = rf"does not answer at {nobody} \(ConnectError\); start it with `pointwork up`"
    async with GatewayClient(nobody, "key", retry_seconds=0) as client:
        with pytest.raises(ServiceUnavailableError, match=remedy):
            await client.run(PROMPT, DECLARED)
    with (
        SyncGatewayClient(nobody, "key", retry_seconds=0) as blocking,
        pytest.raises(ServiceUnavailableError, match=remedy),
    ):
        blocking.submit(PROMPT, DECLARED)


async def test_a_connection_that_breaks_off_is_made_again_by_both() -> None:
    accepted = http("202 Accepted", b'{"id": "t-1"}', "content-type: application/json")
    limited = http("503 Service Unavailable", b"{}", "retry-after: 0")
    async with (
        answering(b"", limited, accepted) as (url, seen),
        GatewayClient(url, "key") as client,
    ):
        assert await client.submit(PROMPT, DECLARED) == "t-1"
        assert len(seen) == 3
    async with answering(b"", limited, accepted) as (url, seen):
        with SyncGatewayClient(url, "key") as blocking:
            assert await asyncio.to_thread(blocking.submit, PROMPT, DECLARED) == "t-1"
        assert len(seen) == 3


async def test_a_wait_bounds_the_connecting_and_the_reading_of_both() -> None:
    silent = Silent()
    async with GatewayClient("http://gateway.test", "key", transport=silent) as client:
        with pytest.raises(TimeoutError, match="no answer within wait_seconds"):
            await client.run(PROMPT, DECLARED, wait_seconds=0)
        with pytest.raises(TimeoutError, match="no answer within wait_seconds"):
            await client.result("t-1", wait_seconds=0)
    with SyncGatewayClient("http://gateway.test", "key", transport=silent) as blocking:
        with pytest.raises(TimeoutError, match="no answer within wait_seconds"):
            blocking.run(PROMPT, DECLARED, wait_seconds=0)
        with pytest.raises(TimeoutError, match="no answer within wait_seconds"):
            blocking.result("t-1", wait_seconds=0)
    assert LAST_READ_SECONDS < CONNECT_SECONDS
    assert len(silent.given) == 4
    assert {each[of] for each in silent.given for of in ("connect", "read")} == {LAST_READ_SECONDS}


async def test_no_redirect_is_followed_and_no_proxy_of_the_environment_is_asked(
    nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, nobody)
    moved = http("307 Temporary Redirect", b"", f"location: {nobody}/v1/tasks/t-1")
    async with answering(moved, moved) as (url, seen):
        async with GatewayClient(url, "key") as client:
            with pytest.raises(ServiceUnavailableError, match="answered HTTP 307"):
                await client.status("t-1")
        with (
            SyncGatewayClient(url, "key") as blocking,
            pytest.raises(ServiceUnavailableError, match="answered HTTP 307"),
        ):
            await asyncio.to_thread(blocking.status, "t-1")
        assert len(seen) == 2
    assert all(each.startswith(b"GET /v1/tasks/t-1 ") for each in seen)
    assert all(b"authorization: bearer key" in each.lower() for each in seen)


async def test_a_wait_that_is_cancelled_lets_go_of_the_connection_at_once() -> None:
    reached, left = asyncio.Event(), asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        reached.set()
        await reader.read()
        left.set()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, GatewayClient(url, "key") as client:
        waiting = asyncio.create_task(client.result("t-1"))
        await reached.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await left.wait()
