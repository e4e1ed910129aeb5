"""A local server that speaks the chat-completions wire and answers when the test lets it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

ANSWER = "The meeting has moved to Tuesday."


@dataclass
class SlowModel:
    """``calls`` counts requests; while ``gate`` is shut they wait, their sockets open."""

    calls: int = 0
    answers: int = 0
    """Requests whose answer is on its way."""
    port: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    called: asyncio.Event = field(default_factory=asyncio.Event)
    attempt_ids: list[str] = field(default_factory=list)
    """What each request said about itself, ``TASK/NUMBER`` or ``TASK/NUMBER.SEND``."""
    on_call: Callable[[], None] = lambda: None
    """Run when a request is in and its answer is not."""

    def calls_for(self, task_id: str) -> int:
        return sum(each.partition("/")[0] == task_id for each in self.attempt_ids)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = (line.partition(": ") for line in head.decode().split("\r\n"))
            headers = {name.lower(): value for name, _, value in lines}
            body = json.loads(await reader.readexactly(int(headers["content-length"])))
            self.calls += 1
            self.attempt_ids.append(headers.get("x-client-request-id", ""))
            self.called.set()
            self.on_call()
            await self.gate.wait()
            writer.write(_reply(body["model"]))
            await writer.drain()
            self.answers += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def _reply(model: str) -> bytes:
    shared = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": model}
    text = {"index": 0, "delta": {"role": "assistant", "content": ANSWER}, "finish_reason": None}
    stop = {"index": 0, "delta": {}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 20, "completion_tokens": 8, "total_tokens": 28}
    chunks = [
        {**shared, "choices": [text]},
        {**shared, "choices": [stop]},
        {**shared, "choices": [], "usage": usage},
    ]
    events = "".join(f"data: {json.dumps(each)}\n\n" for each in chunks) + "data: [DONE]\n\n"
    head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    return (head + events).encode()


@asynccontextmanager
async def slow_model() -> AsyncIterator[SlowModel]:
    model = SlowModel()
    server = await asyncio.start_server(model.answer, "127.0.0.1", 0)
    model.port = server.sockets[0].getsockname()[1]
    try:
        yield model
    finally:
        model.gate.set()
        server.close()
        await server.wait_closed()
