"""A whole task on the deployment's GPU worker when vLLM is stopped: llama.cpp answers (CX-69)."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from pointwork.contract.outcome import TaskOutcome, TaskStatus
from pointwork.contract.task import Constraints
from pointwork.ledger.audit import AuditChain
from pointwork.local.lease import DeviceLease
from pointwork.local.weights import pull
from pointwork.policy.documents.load import load_library
from tests.fakes.scripted_provider import Script
from tests.fakes.vllm_server import PROGRAM, Behaviour, Card
from tests.workflows.stack import Stack, open_test_parts, running
from workers.gpu import gpu_worker
from workers.runtimes import open_runtime, served_models
from workers.wiring import Parts

MODEL = "smollm2-135m"
PROFILE = """schema_version: pointwork/host/1
host: desk
local_models: [smollm2-135m]
gpu: {name: A card, vram_mb: 8192, driver: "1", cuda: "1"}
runtime: {kind: vllm, fallback: llama_cpp, gpu_memory_utilization: "0.9"}
"""
WEIGHTS = '    weights: {parameters_billion: "0.1", quantisation: Q4_1, vram_mb: 200}\n'


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return Card(tmp_path / "card")


@pytest.fixture
def parts(repository: Path, tmp_path: Path, card: Card) -> Iterator[Parts]:
    """Those of a host whose profile names vLLM, with llama.cpp as its fallback."""
    policies = shutil.copytree(repository / "policies", tmp_path / "policies")
    (policies / "hosts" / "desk.yaml").write_text(PROFILE)
    catalogue = policies / "models.yaml"
    served = f"    served_as: {MODEL}\n"
    text = catalogue.read_text()
    assert text.count(served) == 1
    catalogue.write_text(text.replace(served, served + WEIGHTS))
    state = tmp_path / "state"
    shutil.copytree(
        pull(MODEL, repository / ".pointwork" / "models", lambda _: None).parent,
        state / "models" / MODEL,
    )
    made = open_test_parts(state, load_library(policies, "desk"), Script())
    command = (sys.executable, str(PROGRAM), str(card.folder))
    settings = made.settings.model_copy(update={"vllm_command": command})
    yield replace(made, settings=settings)
    made.threads.shutdown()
    made.engine.dispose()


@asynccontextmanager
async def deployed(server: WorkflowEnvironment, parts: Parts) -> AsyncIterator[Stack]:
    lease = DeviceLease(parts.settings.state_dir / "gpu.lease", wait_seconds=0)
    runtime = await open_runtime(parts, lease, "key-of-this-run")
    names = served_models(parts.library.of_this_host)
    async with (
        running(server, parts, Script(), serves_gpu=False) as stack,
        gpu_worker(stack.temporal, parts, runtime, names, "key-of-this-run"),
    ):
        yield stack


async def answered(stack: Stack) -> tuple[TaskOutcome, str]:
    outcome = await stack.run(stack.declare(constraints=Constraints(max_output_tokens=16)))
    assert outcome.status is TaskStatus.SUCCEEDED, outcome.reason
    return outcome, stack.client.answer_text(outcome)


@pytest.mark.req("CX-69")
async def test_when_vllm_is_stopped_the_worker_serves_through_llama_cpp_with_an_audit_line(
    own_server: WorkflowEnvironment, parts: Parts, card: Card
) -> None:
    chain = AuditChain(parts.engine)
    async with deployed(own_server, parts) as stack:
        _, text = await answered(stack)
        assert text == "It is so."
        assert chain.latest(10, kind="runtime_fallback") == []

        card.misbehave(MODEL, Behaviour(ends=3))
        os.kill(int(card.last("started", MODEL)["pid"]), signal.SIGKILL)
        async with asyncio.timeout(60):
            while card.in_memory():
                await asyncio.sleep(0.02)

        outcome, text = await answered(stack)
        assert text not in {"", "It is so."}
        assert outcome.attempts[-1].served_model == MODEL
        assert outcome.attempts[-1].usage is not None
        (line,) = chain.latest(10, kind="runtime_fallback")
        cause = line.body.pop("cause")
        assert line.body == {"host": "desk", "model": MODEL, "from": "vllm", "to": "llama_cpp"}
        assert f"the vLLM server of {MODEL} ended with status 3" in cause
    assert chain.verify().holds
