"""What a pretended vendor answers, and the two ways to answer it: in process and on a socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, Protocol, Self

import httpx2

DRIP_SECONDS = 0.02


class Act(Enum):
    """What happens at a point of an answer instead of the next bytes."""

    CUT = "the connection breaks"
    HANG = "nothing more comes until the client goes away"


@dataclass(frozen=True)
class Drip:
    """The same bytes every DRIP_SECONDS until the client goes away."""

    data: bytes


Step = bytes | Act | Drip


@dataclass(frozen=True, kw_only=True)
class Reply:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "text/event-stream; charset=utf-8"
    script: tuple[Step, ...] = ()
    is_silent: bool = False
    """Takes the request and never answers, not even with a status."""

    @classmethod
    def of_json(cls, status: int, body: object, **headers: str) -> "Reply":
        return cls(
            status=status,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            content_type="application/json",
            script=(json.dumps(body).encode(),),
        )

    @property
    def all_headers(self) -> dict[str, str]:
        return {"content-type": self.content_type, **self.headers}


@dataclass(frozen=True, kw_only=True)
class Received:
    method: str
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


SHOW_PATH = "/api/show"
"""Where Ollama's server tells of a model."""
SHOWN = Reply.of_json(
    200,
    {
        "license": "",
        "modelfile": "FROM ./model.gguf",
        "details": {"format": "gguf", "family": "llama", "quantization_level": "Q4_K_M"},
        "model_info": {"general.architecture": "llama"},
        "capabilities": ["completion"],
    },
)
"""What it tells of a model on its own disk."""


class FakeVendor(Protocol):
    """Answers every request with ``reply`` and remembers what came.

    Questions about a model, as Ollama's API has them, are answered and remembered apart.
    """

    reply: Reply
    shown: Reply
    received: list[Received]
    asked: list[Received]
    client_left: asyncio.Event
    """Set when a client goes away before the end of an answer."""

    @property
    def base_url(self) -> str: ...

    @property
    def transport(self) -> httpx2.AsyncBaseTransport | None: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def _taken(vendor: FakeVendor, received: Received) -> Reply:
    if received.path == SHOW_PATH:
        vendor.asked.append(received)
        return vendor.shown
    vendor.received.append(received)
    return vendor.reply


class InProcessVendor:
    """Answers through an in-process transport of the real HTTP client."""

    def __init__(self, origin: str = "https://vendor.example") -> None:
        self.reply = Reply()
        self.shown = SHOWN
        self.received: list[Received] = []
        self.asked: list[Received] = []
        self.client_left = asyncio.Event()
        self.base_url = origin
        self.transport: httpx2.AsyncBaseTransport = _Transport(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


class _Transport(httpx2.AsyncBaseTransport):
    def __init__(self, vendor: InProcessVendor) -> None:
        self._vendor = vendor

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        reply = _taken(
            self._vendor,
            Received(
                method=request.method,
                path=request.url.raw_path.decode(),
                headers=dict(request.headers),
                body=json.loads(body or b"{}"),
            ),
        )
        return httpx2.Response(
            reply.status, headers=reply.all_headers, stream=_ScriptedStream(reply, self._vendor)
        )


class _ScriptedStream(httpx2.AsyncByteStream):
    def __init__(self, reply: Reply, vendor: InProcessVendor) -> None:
        self._reply = reply
        self._vendor = vendor
        self._is_whole = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for step in self._reply.script:
            match step:
                case bytes():
                    yield step
                case Act.CUT:
                    raise httpx2.ReadError("the connection broke")
                case Act.HANG:
                    await asyncio.Event().wait()
                case Drip(data):
                    while True:
                        await asyncio.sleep(DRIP_SECONDS)
                        yield data
        self._is_whole = True

    async def aclose(self) -> None:
        if not self._is_whole:
            self._vendor.client_left.set()


class LoopbackVendor:
    """Answers on a real socket of this machine, with HTTP/1.1 written by hand."""

    def __init__(self) -> None:
        self.reply = Reply()
        self.shown = SHOWN
        self.received: list[Received] = []
        self.asked: list[Received] = []
        self.client_left = asyncio.Event()
        self.connections = 0
        self.base_url = ""
        self.transport: httpx2.AsyncBaseTransport | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            self.client_left.set()
        except asyncio.CancelledError:
            # Only __aexit__ cancels; asyncio would report a cancelled connection as an error.
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        request_line, *lines = head.decode().rstrip().split("\r\n")
        method, path, _ = request_line.split(" ")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        reply = _taken(
            self,
            Received(method=method, path=path, headers=headers, body=json.loads(body or b"{}")),
        )
        if reply.is_silent:
            await self._wait_for_end(reader)
            return False
        headers_out = {**reply.all_headers, "transfer-encoding": "chunked"}
        writer.write(f"HTTP/1.1 {reply.status} Whatever\r\n".encode())
        writer.writelines(f"{name}: {value}\r\n".encode() for name, value in headers_out.items())
        writer.write(b"\r\n")
        for step in reply.script:
            match step:
                case bytes():
                    _write_chunk(writer, step)
                case Act.CUT:
                    await writer.drain()
                    writer.transport.abort()
                    return False
                case Act.HANG:
                    await writer.drain()
                    await self._wait_for_end(reader)
                    return False
                case Drip(data):
                    while not reader.at_eof():
                        _write_chunk(writer, data)
                        await writer.drain()
                        await asyncio.sleep(DRIP_SECONDS)
                    self.client_left.set()
                    return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async def _wait_for_end(self, reader: asyncio.StreamReader) -> None:
        await reader.read()
        self.client_left.set()


def _write_chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
