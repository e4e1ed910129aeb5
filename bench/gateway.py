"""What the gateway adds to a call, beside calling directly and beside LiteLLM's proxy, in one run.

One mock upstream answers at once. The same chat request goes to it directly, through Pointwork's
gateway (every task a durable workflow: vault, decision, hold, attempt, settlement, audit chain on
SQLite), and through LiteLLM's proxy without a database, which records nothing. Rounds alternate;
each has requests one at a time, then 32 in flight. LiteLLM is installed from PyPI into a folder
of its own; where it cannot be, its columns are missing and the run says so.

The last line is ``added_p50_ms=… rps_ratio_litellm=…``: the median that Pointwork adds to a direct
call, and its requests a second over LiteLLM's.
"""

import argparse
import asyncio
import json
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from bench.deployment import REPOSITORY, WORKER, Deployment
from bench.mock_upstream import mock_upstream
from pointwork.ledger.access_keys import AccessKeys
from pointwork.ledger.identities import Identities, service_of

LITELLM = "litellm[proxy]==1.106.2"
"""The version that the other measurements in bench/README.md were made with."""
ROUNDS = 5
SEQUENTIAL, CONCURRENT, IN_FLIGHT = 30, 160, 32
PACK, MODEL, CALLER = "open", "mock-1", "bench"
BODY = {"messages": [{"role": "user", "content": "hello " * 156}], "max_tokens": 1000}
READY_SECONDS = 120


@dataclass
class Subject:
    """One way to the upstream, and what it measured in each round."""

    name: str
    url: str
    token: str
    model: str
    one_ms: list[float] = field(default_factory=list)
    """Every request of the sequential part, of all rounds."""
    p50_ms: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)

    async def ask(self, http: httpx2.AsyncClient) -> float:
        began = time.perf_counter()
        answered = await http.post(
            f"{self.url}/chat/completions",
            json=BODY | {"model": self.model},
            headers={"authorization": f"Bearer {self.token}"},
        )
        answered.raise_for_status()
        content = answered.json()["choices"][0]["message"]["content"]
        if not content:
            raise ValueError(f"{self.name} answered without a text")
        return (time.perf_counter() - began) * 1000

    async def round(self) -> None:
        limits = httpx2.Limits(max_connections=IN_FLIGHT)
        async with httpx2.AsyncClient(timeout=120, limits=limits) as http:
            taken = [await self.ask(http) for _ in range(SEQUENTIAL)]
            self.one_ms += taken
            self.p50_ms.append(statistics.median(taken))
            places = asyncio.Semaphore(IN_FLIGHT)

            async def placed() -> None:
                async with places:
                    await self.ask(http)

            began = time.perf_counter()
            await asyncio.gather(*(placed() for _ in range(CONCURRENT)))
            self.per_second.append(CONCURRENT / (time.perf_counter() - began))

    def line(self, direct_p50_ms: float) -> str:
        p50, rate = statistics.median(self.p50_ms), statistics.median(self.per_second)
        p99 = statistics.quantiles(self.one_ms, n=100)[98]
        return (
            f"  {self.name:<10} p50 {p50:7.1f} ms  p99 {p99:7.1f} ms  "
            f"added p50 {p50 - direct_p50_ms:7.1f} ms  32 in flight {rate:7.1f}/s"
        )


@asynccontextmanager
async def pointwork(folder: Path, base_url: str) -> AsyncIterator[Subject]:
    deployment = Deployment(
        folder, base_url, {PACK: "100000.00"}, [MODEL], workers=(WORKER, "gateway")
    )
    await deployment.start()
    try:
        now = datetime.now(UTC)
        Identities(deployment.engine).add(service_of(CALLER, now), CALLER)
        token = AccessKeys(deployment.engine).create(CALLER, CALLER, now)
        yield Subject("pointwork", f"{deployment.gateway_url}/v1", token, f"{PACK}/{MODEL}")
    finally:
        await deployment.stop()


@asynccontextmanager
async def litellm(folder: Path, base_url: str, program: Path) -> AsyncIterator[Subject]:
    config: dict[str, Any] = {"model_name": "mock", "litellm_params": {}}
    config["litellm_params"] = {"model": "openai/mock", "api_base": base_url, "api_key": "sk-mock"}
    path, port = folder / "litellm.json", _free_port()
    token = f"sk-{secrets.token_hex(16)}"
    path.write_text(
        json.dumps(
            {
                "model_list": [config],
                "litellm_settings": {"telemetry": False},
                "general_settings": {"master_key": token},
            }
        )
    )
    with (folder / "litellm.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "--config", path, "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=log,
            # As the peers were measured: no list of prices is fetched, nothing is logged.
            env={
                "PATH": str(program.parent),
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "LITELLM_LOG": "ERROR",
            },
        )
    try:
        url = f"http://127.0.0.1:{port}/v1"
        await _serving(f"http://127.0.0.1:{port}/health/liveliness", process)
        yield Subject("litellm", url, token, "mock")
    finally:
        process.terminate()
        process.wait(30)


async def _serving(url: str, process: "subprocess.Popen[bytes]") -> None:
    async with asyncio.timeout(READY_SECONDS), httpx2.AsyncClient() as http:
        while process.poll() is None:
            try:
                if (await http.get(url)).status_code == 200:
                    return
            except httpx2.TransportError:
                await asyncio.sleep(0.5)
    raise RuntimeError(f"LiteLLM ended with {process.returncode}")


def installed(folder: Path) -> Path | None:
    """LiteLLM's program, fetched where it is missing; None where it cannot be had."""
    program = folder / "bin" / "litellm"
    if program.exists():
        return program
    print(f"installing {LITELLM} into {folder}", flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", LITELLM], check=True)
    except subprocess.CalledProcessError as error:
        print(f"LiteLLM cannot be installed here ({error}); it is left out", flush=True)
        return None
    return program


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


async def measure(subjects: list[Subject], rounds: int) -> None:
    for subject in subjects:
        async with httpx2.AsyncClient(timeout=120) as http:
            await asyncio.gather(*(subject.ask(http) for _ in range(8)))
    for number in range(rounds):
        for subject in subjects[number % len(subjects) :] + subjects[: number % len(subjects)]:
            await subject.round()
        print(f"round {number + 1} of {rounds}", flush=True)


async def run(rounds: int) -> None:
    program = installed(REPOSITORY / "build" / "litellm")
    with tempfile.TemporaryDirectory(prefix="pw-bench-") as name:
        folder = Path(name)
        async with mock_upstream() as upstream:
            upstream.latency_seconds = 0
            direct = Subject("direct", upstream.base_url, "sk-mock", "mock")
            async with pointwork(folder, upstream.base_url) as ours:
                if program is None:
                    subjects, theirs = [direct, ours], None
                    await measure(subjects, rounds)
                else:
                    async with litellm(folder, upstream.base_url, program) as theirs:
                        subjects = [direct, ours, theirs]
                        await measure(subjects, rounds)
    base = statistics.median(direct.p50_ms)
    for subject in subjects:
        print(subject.line(base))
    rate = statistics.median(ours.per_second)
    ratio = rate / statistics.median(theirs.per_second) if theirs else float("nan")
    added = statistics.median(ours.p50_ms) - base
    print(f"added_p50_ms={added:.1f} rps_ratio_litellm={ratio:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asyncio.run(run(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
