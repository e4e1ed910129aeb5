"""The programs in ``examples/`` against ``pointwork up`` with its real local model."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import httpx2
import pytest

from pointwork.client import SyncGatewayClient
from pointwork.contract.outcome import TaskStatus
from pointwork.embedded import read_endpoints
from pointwork.gateway.declaring import task_id_of
from pointwork.ledger.approvals import ApprovalBook
from pointwork.ledger.engine import open_engine
from tests.integration.cli.conftest import call_process
from tests.integration.cli.upping import MODEL, Up
from tests.integration.embedded.processes import until

pytestmark = pytest.mark.xdist_group("cli-live")

SAY = "Say in one sentence that the train is late."


def example(name: str, *arguments: object) -> list[str]:
    return [sys.executable, f"examples/{name}.py", *map(str, arguments)]


def ended(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


@pytest.fixture
def client(up: Up) -> Iterator[SyncGatewayClient]:
    url = read_endpoints(up.state_dir).gateway_url
    assert url is not None
    with SyncGatewayClient(url, (up.state_dir / "keys" / "api.key").read_text()) as made:
        yield made


@pytest.mark.parametrize("way", [[], ["--direct"]], ids=["gateway", "direct"])
def test_the_script_prints_an_answer_and_the_same_one_for_the_same_id(
    up: Up, way: list[str]
) -> None:
    key = f"script-{uuid4().hex[:8]}"
    options = ["--state-dir", up.state_dir, "--id", key, "--sensitivity", "internal"]
    first, again = (ended(*example("script", SAY, *options, *way)) for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert first.stdout.strip()
    assert (again.stdout, again.stderr) == (first.stdout, first.stderr)
    task_id = key if way else task_id_of("local-service", key)
    assert re.match(rf"{task_id}: {MODEL}, \$0\.\d+$", first.stderr.strip())


@pytest.mark.parametrize("way", [[], ["--direct"]], ids=["gateway", "direct"])
def test_the_script_says_in_one_line_why_there_is_no_answer(up: Up, way: list[str]) -> None:
    options = ["--state-dir", up.state_dir, "--sensitivity", "proprietary"]
    failed = ended(*example("script", SAY, *options, "--class", "high_stakes_logic", *way))
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("error: ")
    assert "privacy (proprietary)" in failed.stderr
    assert failed.stderr.count("\n") == 1


async def test_ctrl_c_lets_go_of_the_wait_and_the_task_goes_on(
    up: Up, client: SyncGatewayClient
) -> None:
    """A task that waits for a person, so that the wait is still on when it is interrupted."""
    key = f"script-{uuid4().hex[:8]}"
    options = ["--state-dir", up.state_dir, "--id", key, "--class", "high_stakes_logic"]
    waiting = subprocess.Popen(
        example("script", SAY, *options, "--direct"),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        engine = open_engine(read_endpoints(up.state_dir).ledger_url)
        approvals = ApprovalBook(engine)
        await until(lambda: approvals.open_of(key) is not None or waiting.poll() is not None)
        engine.dispose()
        os.kill(waiting.pid, signal.SIGINT)
        _, said = waiting.communicate(timeout=60)
    finally:
        waiting.kill()
    assert (waiting.returncode, said) == (
        130,
        f"the task goes on; wait for it again with --id {key}\n",
    )
    assert client.status(key).status is TaskStatus.PENDING_APPROVAL
    reason = ("--reason", "nobody may pay for this")
    assert call_process("deny", key, "--state-dir", up.state_dir, *reason).code == 0


def test_a_workflow_of_ones_own_has_its_tasks_answered(up: Up) -> None:
    done = ended(
        *example(
            "child_workflow",
            "The meeting moved to Friday.",
            "The train is late.",
            "--state-dir",
            up.state_dir,
        )
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert re.search(rf"^digest-\w+-whole: {MODEL}$", done.stderr, re.MULTILINE)


@pytest.fixture
async def service(up: Up) -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = read_endpoints(up.state_dir).gateway_url
    key_file = up.state_dir / "keys" / "api.key"
    command = example("service", "--url", str(url), "--key-file", key_file, "--port", str(port))
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    async for line in process.stderr:
        if b"Uvicorn running" in line:
            break
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    async with asyncio.timeout(60):
        await process.communicate()


async def test_the_service_answers_a_note_once_and_tells_what_it_cost(service: str) -> None:
    note, note_id = {"text": "the meeting are on tuesday"}, uuid4().hex[:8]
    async with httpx2.AsyncClient(base_url=service, timeout=180) as http:
        first = await http.post(f"/notes/{note_id}", json=note)
        again = await http.post(f"/notes/{note_id}", json=note)
        other = await http.post(f"/notes/{note_id}", json={"text": "another note"})
    assert first.status_code == 200, first.text
    assert first.json()["text"].strip()
    assert first.json()["model"] == MODEL
    assert again.json() == first.json()
    assert other.status_code == 409
