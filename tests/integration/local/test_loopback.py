"""What is asked of model servers on loopback, and what is made of odd answers."""

import asyncio
import os
import sys
import threading
from asyncio.subprocess import PIPE
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pointwork.local.child_log import open_child_log
from pointwork.local.loopback import ask, free_port, is_our_listener
from pointwork.local.vllm_api import Health, SleepNotOfferedError, VllmApi

Serve = Callable[[dict[str, tuple[int, str]]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that says what it was told to, by path; its URL."""
    started: list[ThreadingHTTPServer] = []

    def start(answers: dict[str, tuple[int, str]]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:
                """Nothing is written."""

            def do_GET(self) -> None:
                status, text = answers.get(self.path, (404, ""))
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def do_POST(self) -> None:
                self.do_GET()

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        started.append(server)
        return f"http://127.0.0.1:{server.server_port}/v1"

    yield start
    for each in started:
        each.shutdown()
        each.server_close()


async def test_metrics_are_summed_over_the_engines_of_a_server(serve: Serve) -> None:
    text = (
        '# HELP vllm:num_requests_running Requests.\nvllm:num_requests_running{engine="0"} 1.0\n'
        'vllm:num_requests_running{engine="1"} 2.0\nvllm:num_requests_waiting{engine="0"} 4.0\n'
        'vllm:num_requests_waiting_by_reason{reason="x"} 9.0\nvllm:num_requests_waiting 3\n'
    )
    depth = await VllmApi(serve({"/metrics": (200, text)})).queue_depth()
    assert (depth.running, depth.waiting) == (3, 7)
    assert not depth.is_empty


@pytest.mark.parametrize(
    "text",
    ["", "vllm:num_requests_running NaN\n", "vllm:num_requests_running x\n", "<html>"],
)
async def test_metrics_without_the_numbers_are_no_metrics(serve: Serve, text: str) -> None:
    with pytest.raises(OSError, match="no number for vllm:num_requests_running"):
        await VllmApi(serve({"/metrics": (200, text)})).queue_depth()


@pytest.mark.parametrize(
    ("status", "text", "says"),
    [
        (200, "yes", "something else than JSON"),
        (200, '{"is_sleeping": 1}', "does not say yes or no"),
        (200, "[]", "does not say yes or no"),
        (500, "", "/is_sleeping of the local model's server answered 500"),
    ],
)
async def test_a_server_that_does_not_say_whether_it_sleeps_is_not_believed_awake(
    serve: Serve, status: int, text: str, says: str
) -> None:
    with pytest.raises(OSError, match=says):
        await VllmApi(serve({"/is_sleeping": (status, text)})).is_sleeping()


async def test_a_server_without_the_endpoints_has_no_sleep_mode(serve: Serve) -> None:
    api = VllmApi(serve({}))
    for call in (api.is_sleeping(), api.sleep(1, 1.0), api.wake(1, 1.0), api.wake(2, 1.0)):
        with pytest.raises(SleepNotOfferedError):
            await call


@pytest.mark.parametrize("text", ["[]", "{}", '{"data": [{}]}', '{"data": 3}'])
async def test_a_list_of_models_in_another_form_is_no_list(serve: Serve, text: str) -> None:
    with pytest.raises(OSError, match="lists no models"):
        await VllmApi(serve({"/v1/models": (200, text)})).served_models()


@pytest.mark.parametrize(
    ("answers", "health"),
    [({"/health": (200, "")}, Health.WELL), ({"/health": (503, "")}, Health.DEAD)],
)
async def test_health_is_what_the_server_says(
    serve: Serve, answers: dict[str, tuple[int, str]], health: Health
) -> None:
    assert await VllmApi(serve(answers)).health() is health


async def test_a_port_without_a_server_is_dead() -> None:
    assert await VllmApi(f"http://127.0.0.1:{free_port()}/v1").health() is Health.DEAD


def test_a_request_goes_to_loopback_whatever_host_its_url_names(serve: Serve) -> None:
    port = serve({"/health": (200, "here")}).rpartition(":")[2].removesuffix("/v1")
    assert ask(f"http://example.org:{port}", "/health").body == b"here"


LISTENER = """
import os, socket, sys
if len(sys.argv) > 1:
    os.setuid(int(sys.argv[1]))
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("is_stranger", [False, True])
async def test_a_port_that_another_user_took_is_told_from_our_own(is_stranger: bool) -> None:
    if is_stranger and os.getuid() != 0:
        pytest.skip("only root can start a process of another user")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", LISTENER, *(["65534"] if is_stranger else [])),
        stdin=PIPE,
        stdout=PIPE,
    )
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    assert is_our_listener(port) is not is_stranger
    await process.communicate(b"")


def test_a_long_log_is_put_aside_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.log"
    os.close(open_child_log(path))
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"x" * 5_000_001)
    os.close(open_child_log(path))
    assert path.read_bytes() == b""
    assert path.with_suffix(".log.1").stat().st_size == 5_000_001
