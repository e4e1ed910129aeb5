"""A network whose name service leads a name where the test says, on the real HTTP client."""

import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any

import httpcore2
import httpx2


class Network(httpx2.AsyncBaseTransport):
    """Connections go to ``port`` of this machine and say that they lead to ``peer``."""

    def __init__(self, port: int, peer: str) -> None:
        self.closed = 0
        backend = _Backend(self, port, peer)
        self._pool = httpcore2.AsyncConnectionPool(network_backend=backend)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self._pool.handle_async_request(
            httpcore2.Request(
                method=request.method,
                url=httpcore2.URL(str(request.url)),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        assert isinstance(answer.stream, AsyncIterable)
        return httpx2.Response(answer.status, headers=answer.headers, stream=_Stream(answer.stream))

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Stream(httpx2.AsyncByteStream):
    def __init__(self, inner: AsyncIterable[bytes]) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            yield chunk


class _Connection(httpcore2.AsyncNetworkStream):
    def __init__(self, inner: httpcore2.AsyncNetworkStream, network: Network, peer: str) -> None:
        self._inner = inner
        self._network = network
        self._peer = peer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        self._network.closed += 1
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        raise AssertionError("the pretended network speaks plain HTTP")

    def get_extra_info(self, info: str) -> Any:
        return (self._peer, 80) if info == "server_addr" else self._inner.get_extra_info(info)


class _Backend(httpcore2.AnyIOBackend):
    def __init__(self, network: Network, port: int, peer: str) -> None:
        self._network = network
        self._port = port
        self._peer = peer

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        inner = await super().connect_tcp("127.0.0.1", self._port, timeout)
        return _Connection(inner, self._network, self._peer)
