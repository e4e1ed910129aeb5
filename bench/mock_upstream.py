"""A vendor that bills what it is asked for: OpenAI's wire, fixed tokens, a fixed latency.

The peers were measured with the same behaviour: 1000 tokens in and 1000 out a call, whatever the
prompt says, and a bill for every call that was begun, whether or not its caller still listens. One
difference: no answer is longer than the ``max_tokens`` it was asked with, as with real vendors.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

INPUT_TOKENS = 1000
OUTPUT_TOKENS = 1000
INPUT_NANO_USD = 10_000
OUTPUT_NANO_USD = 30_000
_TEXT = {"role": "assistant", "content": "mock answer " * 8}
CALL_NANO_USD = INPUT_TOKENS * INPUT_NANO_USD + OUTPUT_TOKENS * OUTPUT_NANO_USD


@dataclass
class Upstream:
    """The server and its own bill. While ``gate`` is shut no call ends."""

    latency_seconds: float = 0.3
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    in_flight: int = 0
    bills: dict[str, int] = field(default_factory=dict)
    """nano-USD by the caller's request id, of every call that was begun and answered."""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def billed_nano_usd(self) -> int:
        return sum(self.bills.values())

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A request without a body is a client that looks whether somebody is there.
        with suppress(asyncio.IncompleteReadError, ConnectionError, KeyError):
            headers, body = await read_request(reader)
            self.in_flight += 1
            try:
                await asyncio.sleep(self.latency_seconds)
                await self.gate.wait()
            finally:
                self.in_flight -= 1
            output_tokens = min(OUTPUT_TOKENS, int(body.get("max_tokens") or OUTPUT_TOKENS))
            request_id = headers.get("x-client-request-id", "unnamed")
            bill = INPUT_TOKENS * INPUT_NANO_USD + output_tokens * OUTPUT_NANO_USD
            self.bills[request_id] = self.bills.get(request_id, 0) + bill
            reply = _streamed if body.get("stream") else _whole
            writer.write(reply(body["model"], output_tokens))
            await writer.drain()
        writer.close()

    async def idle(self) -> None:
        """Return once every call that was begun is billed."""
        while self.in_flight:
            await asyncio.sleep(0.01)


async def read_request(reader: asyncio.StreamReader) -> tuple[dict[str, str], dict[str, Any]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    pairs = (line.split(":", 1) for line in head.split("\r\n")[1:] if ":" in line)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    return headers, json.loads(await reader.readexactly(int(headers["content-length"])))


def _usage(output_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": INPUT_TOKENS,
        "completion_tokens": output_tokens,
        "total_tokens": INPUT_TOKENS + output_tokens,
    }


def _whole(model: str, output_tokens: int) -> bytes:
    choice = {"index": 0, "message": _TEXT, "finish_reason": "stop"}
    shared = {"id": "x", "object": "chat.completion", "created": 1, "model": model}
    body = json.dumps({**shared, "choices": [choice], "usage": _usage(output_tokens)}).encode()
    head = (
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _streamed(model: str, output_tokens: int) -> bytes:
    shared = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": model}
    usage = _usage(output_tokens)
    chunks = [
        {**shared, "choices": [{"index": 0, "delta": _TEXT, "finish_reason": None}]},
        {**shared, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**shared, "choices": [], "usage": usage},
    ]
    events = "".join(f"data: {json.dumps(each)}\n\n" for each in chunks) + "data: [DONE]\n\n"
    head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    return (head + events).encode()


@asynccontextmanager
async def mock_upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    upstream.gate.set()
    server = await asyncio.start_server(upstream.answer, "127.0.0.1", 0, backlog=512)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        upstream.gate.set()
        server.close()
        await server.wait_closed()
