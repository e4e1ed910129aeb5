"""When the first token of a streamed answer comes, and what an open stream costs in memory.

One mock vendor writes its first token 300 ms after the request and a token every 20 ms from then
on. The same chat request streams from it directly and through Pointwork's gateway, where each is a
durable task whose text travels past the workflow. Rounds alternate. Then many streams are held
open by a vendor that does not end, and the processes are weighed.

The last line is ``ttft_ms=… ttft_ratio_direct=… gateway_mib_per_1000=… worker_mib_per_1000=…``.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import psutil

from bench.deployment import WORKER, Deployment
from pointwork.ledger.access_keys import AccessKeys
from pointwork.ledger.identities import Identities, service_of

FIRST_TOKEN_SECONDS, TOKEN_SECONDS, TOKENS = 0.3, 0.02, 40
ROUNDS, REQUESTS = 5, 12
OPEN_STREAMS = 100
"""Few enough that the first is still open when the last one is."""
PACK, MODEL, CALLER = "open", "mock-1", "bench"
BODY = {
    "messages": [{"role": "user", "content": "hello " * 156}],
    "max_tokens": 1000,
    "stream": True,
}
MIB = 2**20


@dataclass
class Vendor:
    """Streams; while ``gate`` is shut no answer ends."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    begun: int = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, KeyError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.partition("content-length:")[2].split("\r\n")[0])
            model = json.loads(await reader.readexactly(length))["model"]
            self.begun += 1
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
            writer.write(b"connection: close\r\n\r\n")
            await asyncio.sleep(FIRST_TOKEN_SECONDS)
            for _ in range(TOKENS):
                writer.write(_event(model, {"content": "token "}))
                await writer.drain()
                await asyncio.sleep(TOKEN_SECONDS)
            await self.gate.wait()
            writer.write(_event(model, {}, finish="stop"))
            usage = {"prompt_tokens": 1000, "completion_tokens": TOKENS, "total_tokens": 1040}
            writer.write(_event(model, None, usage=usage) + b"data: [DONE]\n\n")
            await writer.drain()
        writer.close()


def _event(
    model: str,
    delta: dict[str, str] | None,
    finish: str | None = None,
    usage: dict[str, int] | None = None,
) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    body: dict[str, Any] = {"id": "x", "object": "chat.completion.chunk", "created": 1}
    body |= {"model": model, "choices": choices} | ({"usage": usage} if usage else {})
    return f"data: {json.dumps(body)}\n\n".encode()


@asynccontextmanager
async def vendor() -> AsyncIterator[Vendor]:
    made = Vendor()
    made.gate.set()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0, backlog=512)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        made.gate.set()
        server.close()


@dataclass
class Subject:
    name: str
    url: str
    token: str
    model: str
    first_ms: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)

    async def ask(
        self, http: httpx2.AsyncClient, at_first: asyncio.Semaphore | None = None
    ) -> float:
        """Milliseconds to the first text; the answer is read to its end."""
        began, first_ms, last = time.perf_counter(), 0.0, ""
        async with http.stream(
            "POST",
            f"{self.url}/chat/completions",
            json=BODY | {"model": self.model},
            headers={"authorization": f"Bearer {self.token}"},
        ) as answered:
            answered.raise_for_status()
            async for line in answered.aiter_lines():
                last = line or last
                if not first_ms and _has_text(line):
                    first_ms = (time.perf_counter() - began) * 1000
                    if at_first is not None:
                        at_first.release()
        if not first_ms:
            raise ValueError(f"{self.name} streamed no text and ended with {last}")
        return first_ms

    async def round(self) -> None:
        async with httpx2.AsyncClient(timeout=120) as http:
            taken = [await self.ask(http) for _ in range(REQUESTS)]
        self.first_ms += taken
        self.p50_ms.append(statistics.median(taken))


def _has_text(line: str) -> bool:
    if not line.startswith("data: {"):
        return False
    choices = json.loads(line.removeprefix("data: ")).get("choices") or [{}]
    return bool(choices[0].get("delta", {}).get("content"))


async def weigh(ours: Subject, made: Vendor, deployment: Deployment) -> dict[str, float]:
    """MiB that a thousand open streams add to each process, from ``OPEN_STREAMS`` of them."""
    processes = {name: psutil.Process(pid) for name, pid in deployment.pids.items()}
    before = {name: each.memory_info().rss for name, each in processes.items()}
    made.gate.clear()
    shown = asyncio.Semaphore(0)
    limits = httpx2.Limits(max_connections=OPEN_STREAMS)
    async with httpx2.AsyncClient(timeout=300, limits=limits) as http:
        asking = [asyncio.create_task(ours.ask(http, shown)) for _ in range(OPEN_STREAMS)]
        for number in range(OPEN_STREAMS):
            await _next(shown, asking)
            if number % 30 == 29:
                print(f"{number + 1} streams open", flush=True)
        open_now = {name: each.memory_info().rss for name, each in processes.items()}
        made.gate.set()
        await asyncio.gather(*asking)
    return {name: (open_now[name] - before[name]) / MIB * 1000 / OPEN_STREAMS for name in processes}


async def _next(shown: asyncio.Semaphore, asking: list["asyncio.Task[float]"]) -> None:
    """Wait for one stream more; one that ends before is a failure."""
    opened = asyncio.create_task(shown.acquire())
    await asyncio.wait({opened, *asking}, return_when=asyncio.FIRST_COMPLETED)
    for each in asking:
        if each.done():
            each.result()
    await opened


async def run(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="pw-bench-") as name:
        async with vendor() as made:
            deployment = Deployment(
                Path(name),
                made.base_url,
                {PACK: "100000.00"},
                [MODEL],
                workers=(WORKER, "gateway"),
                row={"tokens_stream": True},
            )
            await deployment.start()
            try:
                now = datetime.now(UTC)
                Identities(deployment.engine).add(service_of(CALLER, now), CALLER)
                token = AccessKeys(deployment.engine).create(CALLER, CALLER, now)
                direct = Subject("direct", made.base_url, "sk-mock", "mock")
                ours = Subject(
                    "pointwork", f"{deployment.gateway_url}/v1", token, f"{PACK}/{MODEL}"
                )
                async with httpx2.AsyncClient(timeout=120) as http:
                    await asyncio.gather(*(ours.ask(http) for _ in range(16)))
                for number in range(rounds):
                    for subject in (direct, ours) if number % 2 else (ours, direct):
                        await subject.round()
                    print(f"round {number + 1} of {rounds}", flush=True)
                added = await weigh(ours, made, deployment)
            finally:
                await deployment.stop()
    _report(direct, ours, added)


def _report(direct: Subject, ours: Subject, added: dict[str, float]) -> None:
    for subject in (direct, ours):
        p99 = statistics.quantiles(subject.first_ms, n=100)[98]
        p50 = statistics.median(subject.p50_ms)
        print(f"  {subject.name:<10} first token p50 {p50:7.1f} ms  p99 {p99:7.1f} ms")
    print(f"  {OPEN_STREAMS} streams open: MiB a thousand, by process: ", end="")
    print(", ".join(f"{name} {mib:.0f}" for name, mib in sorted(added.items())))
    first, base = statistics.median(ours.p50_ms), statistics.median(direct.p50_ms)
    print(
        f"ttft_ms={first:.1f} ttft_ratio_direct={first / base:.2f} "
        f"gateway_mib_per_1000={added['gateway']:.0f} worker_mib_per_1000={added[WORKER]:.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asyncio.run(run(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
