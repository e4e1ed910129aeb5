"""A vendor that fails in one way for each of its models: OpenAI's wire, on a real socket.

The peers were measured with the same faults, 100 ms after the request. What it bills is what the
peers' vendor billed: an answer that was made, be it unreadable or cut on its way.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum

from bench.mock_upstream import read_request

LATENCY_SECONDS = 0.1
CHUNK_SECONDS, CHUNKS_BEFORE_CUT = 0.04, 5
RETRY_AFTER_SECONDS = 1

_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
_UNREADABLE = b'{"id":"x","choices":[{"index":0,"mess'


class Fault(StrEnum):
    """By the model that has it."""

    ERROR_500 = "error-500"
    ERROR_429 = "error-429"
    ERROR_429_WAIT = "error-429-wait"
    """With retry-after."""
    HANG = "hang"
    MALFORMED = "malformed"
    CUT_BEFORE = "cut-before"
    """After the headers, before a first chunk."""
    CUT_MIDDLE = "cut-middle"
    REFUSED = "refused"
    """Nobody listens: this vendor never sees it."""


BILLED = frozenset({Fault.MALFORMED, Fault.CUT_BEFORE, Fault.CUT_MIDDLE})


@dataclass
class FaultyVendor:
    port: int = 0
    asked: Counter[Fault] = field(default_factory=Counter)
    """Requests by model."""
    billed: Counter[Fault] = field(default_factory=Counter)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, KeyError):
            _, body = await read_request(reader)
            model = Fault(body["model"])
            self.asked[model] += 1
            if model in BILLED:
                self.billed[model] += 1
            await asyncio.sleep(LATENCY_SECONDS)
            await _fail(model, reader, writer)
        writer.close()


async def _fail(model: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    match model:
        case Fault.ERROR_500:
            writer.write(_whole("500 Internal Server Error", _error(500)))
        case Fault.ERROR_429:
            writer.write(_whole("429 Too Many Requests", _error(429)))
        case Fault.ERROR_429_WAIT:
            wait = [f"retry-after: {RETRY_AFTER_SECONDS}"]
            writer.write(_whole("429 Too Many Requests", _error(429), wait))
        case Fault.HANG:
            # Until the caller hangs up.
            await reader.read()
        case Fault.MALFORMED:
            writer.write(_whole("200 OK", _UNREADABLE))
        case Fault.CUT_BEFORE:
            writer.write(_STREAM)
            await writer.drain()
            writer.transport.abort()
        case Fault.CUT_MIDDLE:
            writer.write(_STREAM)
            for number in range(CHUNKS_BEFORE_CUT):
                writer.write(_chunk(_event(model, f"w{number} ")))
                await writer.drain()
                await asyncio.sleep(CHUNK_SECONDS)
            writer.transport.abort()
        case _:
            raise ValueError(f"{model} is no fault of a vendor that listens")
    if not writer.is_closing():
        await writer.drain()


def _error(status: int) -> bytes:
    error = {"message": f"mock {status}", "type": "mock_error", "code": str(status)}
    return json.dumps({"error": error}).encode()


def _whole(status: str, body: bytes, headers: Iterable[str] = ()) -> bytes:
    lines = [f"HTTP/1.1 {status}", "content-type: application/json", "connection: close"]
    lines += [f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _event(model: str, text: str) -> bytes:
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    body = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": model}
    return f"data: {json.dumps({**body, 'choices': [choice]})}\n\n".encode()


@asynccontextmanager
async def faulty_vendor() -> AsyncIterator[FaultyVendor]:
    made = FaultyVendor()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
