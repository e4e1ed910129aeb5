"""Requests made to use up memory: refused within their limits, at no cost to anybody (case 79)."""

import contextlib
import gzip
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.types import Message, Receive, Scope, Send

from pointwork.contract.task import CONTENT_BYTES_MAX
from pointwork.gateway.limits import BodyLimit

LIMIT = 2 * CONTENT_BYTES_MAX
PIECE = b"x" * 65_536
GIBIBYTE = 2**30
GROWTH_KIB_MAX = 50 * 1024
Sends = Callable[[socket.socket], None]


@dataclass(frozen=True)
class Served:
    """A gateway's process."""

    pid: int
    address: tuple[str, int]
    token: str

    def peak_growth_kib(self, work: Callable[[], None]) -> int:
        """By how much the process was larger at any moment of ``work`` than before it."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        before = self._status_kib("VmRSS")
        work()
        return self._status_kib("VmHWM") - before

    def _status_kib(self, name: str) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        (found,) = (line for line in lines if line.startswith(f"{name}:"))
        return int(found.split()[1])

    def ask(self, sends: Sends, *headers: str, path: str = "/v1/chat/completions") -> str:
        """What the server says of a request that ``sends`` completes on the wire."""
        lines = [f"POST {path} HTTP/1.1", "host: gateway.test"]
        lines += [f"authorization: Bearer {self.token}", *headers]
        head = "".join(f"{line}\r\n" for line in lines)
        with socket.create_connection(self.address, timeout=60) as connection:
            connection.sendall(head.encode())
            # It may hang up; what it said before is read all the same.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                sends(connection)
            return _read(connection)

    def post(self, body: bytes, *headers: str, path: str = "/v1/chat/completions") -> str:
        length = f"content-length: {len(body)}"
        json_type = "content-type: application/json"
        return self.ask(lambda c: c.sendall(b"\r\n" + body), length, json_type, *headers, path=path)


def _read(connection: socket.socket) -> str:
    """The status line, headers and as much of the body as comes before the end."""
    said = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65_536):
            said += piece
            head, found, body = said.partition(b"\r\n\r\n")
            if found and len(body) >= _length(head):
                break
    return said.decode()


def _length(head: bytes) -> int:
    lines = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return int(lines[0].partition(b":")[2]) if lines else 0


def status(said: str) -> int:
    return int(said.split(" ", 2)[1])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("small")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.gateway.small_gateway", str(folder)],
        cwd=repository,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    url, token = json.loads(process.stdout.readline())
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    served = Served(process.pid, (parts.hostname, parts.port), token)
    # The slow hash of a key takes its memory once, and is no part of what is measured.
    assert status(served.post(b"{}")) == 400
    yield served
    process.communicate(timeout=60)


def chunked(total: int) -> Sends:
    def sends(connection: socket.socket) -> None:
        left = total
        connection.sendall(b"\r\n")
        while left > 0:
            piece = PIECE[:left]
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            left -= len(piece)
        connection.sendall(b"0\r\n\r\n")

    return sends


def plain(total: int) -> Sends:
    def sends(connection: socket.socket) -> None:
        connection.sendall(b"\r\n")
        for sent in range(0, total, len(PIECE)):
            connection.sendall(PIECE[: total - sent])

    return sends


TOO_LARGE: dict[str, tuple[Sends, str]] = {
    "one byte over": (plain(LIMIT + 1), f"content-length: {LIMIT + 1}"),
    "one byte over, chunked": (chunked(LIMIT + 1), "transfer-encoding: chunked"),
    "a stream of 1 GiB": (chunked(GIBIBYTE), "transfer-encoding: chunked"),
    "1 GiB declared": (plain(GIBIBYTE), f"content-length: {GIBIBYTE}"),
}


@pytest.mark.parametrize("case", TOO_LARGE)
def test_a_body_past_the_limit_costs_no_memory(served: Served, case: str) -> None:
    sends, header = TOO_LARGE[case]
    said = list[str]()
    grown = served.peak_growth_kib(lambda: said.append(served.ask(sends, header)))
    assert status(said[0]) == 413
    assert grown < GROWTH_KIB_MAX


def deep(depth: int, opened: str = "[", closed: str = "]", inner: str = "") -> str:
    return opened * depth + inner + closed * depth


MESSAGES = '"messages":[{"role":"user","content":"Tidy up."}]'
KEYS = ",".join(f'"k{number}":{number}' for number in range(100_000))
NOTHINGS = ",".join(["{}"] * 100_000)
BOMBS: dict[str, bytes] = {
    "100,000 keys": f'{{"model":"auto",{MESSAGES},{KEYS}}}'.encode(),
    "100,000 keys of pointwork": f'{{"model":"auto",{MESSAGES},"pointwork":{{{KEYS}}}}}'.encode(),
    "100,000 keys of metadata": f'{{"model":"auto",{MESSAGES},"metadata":{{{KEYS}}}}}'.encode(),
    "100,000 keys of a message": (
        f'{{"model":"auto","messages":[{{"role":"user","content":"Tidy up.",{KEYS}}}]}}'.encode()
    ),
    "5,000 deep": f'{{"model":"auto",{MESSAGES},"metadata":{deep(5_000)}}}'.encode(),
    "5,000 objects deep": deep(5_000, '{"a":', "}", "1").encode(),
    "1,000,000 deep": deep(1_000_000).encode(),
}


ELSEWHERE: dict[str, str] = {
    "/v1/tasks": f"{{{KEYS}}}",
    "/v1/tasks, of the task": f'{{"task":{{{KEYS}}},"prompt":{{}}}}',
    "/v1/tasks, of a turn": f'{{"task":{{}},"prompt":{{"turns":[{{{KEYS}}}]}}}}',
    "/v1/tasks, of no turn": f'{{"task":{{}},"prompt":{{"turns":[{NOTHINGS}]}}}}',
    "/v1/chat/completions, of no message": f'{{"model":"auto","messages":[{NOTHINGS}]}}',
    "/v1/chat/completions, of no part": (
        f'{{"model":"auto","messages":[{{"role":"user","content":[{NOTHINGS}]}}]}}'
    ),
    "/v1/tasks, of no part": (
        f'{{"task":{{}},"prompt":{{"turns":[{{"speaker":"user","parts":[{NOTHINGS}]}}]}}}}'
    ),
    "/v1/tasks, of no data class": f'{{"task":{{"data_classes":[{NOTHINGS}]}},"prompt":{{}}}}',
    "/v1/embeddings, of no text": f'{{"model":"auto","input":[{NOTHINGS}]}}',
    "/v1/responses, of no item": f'{{"model":"auto","input":[{NOTHINGS}]}}',
    "/v1/messages": f'{{"model":"auto","max_tokens":5,{MESSAGES},{KEYS}}}',
    "/v1/responses": f'{{"model":"auto","input":"Tidy up.",{KEYS}}}',
    "/v1/embeddings": f'{{"model":"auto","input":"Tidy up.",{KEYS}}}',
    "/api/routing/select": f"{{{KEYS}}}",
}
CASES = [("/v1/chat/completions", name, body) for name, body in BOMBS.items()]
CASES += [(path, "100,000 keys", body.encode()) for path, body in ELSEWHERE.items()]


@pytest.mark.parametrize(
    ("path", "name", "body"), CASES, ids=[f"{path}: {name}" for path, name, _ in CASES]
)
def test_a_body_of_too_many_keys_or_levels_is_refused(
    served: Served, path: str, name: str, body: bytes
) -> None:
    said = list[str]()
    grown = served.peak_growth_kib(
        lambda: said.append(served.post(body, path=path.partition(",")[0]))
    )
    assert status(said[0]) == 400
    assert grown < GROWTH_KIB_MAX


@cache
def packed_gibibyte() -> bytes:
    """As much of it as a body may hold."""
    return gzip.compress(b"[" * GIBIBYTE, 1)[: LIMIT - 1]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_a_compressed_body_is_not_unpacked(served: Served, encoding: str) -> None:
    said = list[str]()

    def work() -> None:
        said.append(served.post(packed_gibibyte(), f"content-encoding: {encoding}"))

    grown = served.peak_growth_kib(work)
    assert status(said[0]) in (400, 415)
    assert grown < GROWTH_KIB_MAX


def test_a_header_of_ten_megabytes_is_refused(served: Served) -> None:
    said = list[str]()

    def sends(connection: socket.socket) -> None:
        connection.sendall(b"x-long: " + b"a" * 10_000_000 + b"\r\n\r\n")

    grown = served.peak_growth_kib(lambda: said.append(served.ask(sends)))
    assert status(said[0]) in (400, 431)
    assert grown < GROWTH_KIB_MAX


async def test_the_answer_is_out_before_more_than_one_piece_past_the_limit_is_read() -> None:
    read, read_before_answer = 0, list[int]()

    async def receive() -> Message:
        nonlocal read
        read += len(PIECE)
        return {"type": "http.request", "body": PIECE, "more_body": True}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            read_before_answer.append(read)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] == "http.request":
            pass

    scope = {"type": "http", "method": "POST", "path": "/v1/tasks", "headers": []}
    await BodyLimit(app, LIMIT)(scope, receive, send)
    (before,) = read_before_answer
    assert LIMIT < before <= LIMIT + len(PIECE)
    assert read <= 10 * LIMIT
