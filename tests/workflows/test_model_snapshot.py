"""Which snapshot of a local model answered, on record: the real one, on llama.cpp's server."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from pointwork.contract.canonical import sha256_hex
from pointwork.contract.local_run import ModelBuild
from pointwork.contract.outcome import TaskOutcome, TaskStatus
from pointwork.contract.task import Constraints
from pointwork.ledger.audit import AuditChain
from pointwork.ledger.local_builds import CHANGED
from pointwork.local.lease import DeviceLease
from pointwork.local.llama_cpp import LlamaCppRuntime, LlamaModel
from pointwork.local.weights import CATALOGUE, pull
from pointwork.policy.bundle import PolicyLibrary
from pointwork.temporal import pointwork_plugin
from tests.fakes.scripted_provider import Script
from tests.workflows.stack import Stack, open_test_parts, running
from workers.gpu import gpu_worker
from workers.runtimes import served_models
from workers.wiring import Parts

MODEL = "smollm2-135m"
KEY = "key-of-this-run"
LONG = "It rained on the roofs of the town, and the river rose a little. " * 40 + "Go on."
"""Prompts of hundreds of tokens are read in batches, whose order shows in the last digits."""
WARM = 0.9
"""A temperature at which no two seeds say the same for long."""


@pytest.fixture
def parts(tmp_path: Path, library: PolicyLibrary) -> Iterator[Parts]:
    made = open_test_parts(tmp_path, library, Script())
    yield made
    made.threads.shutdown()
    made.engine.dispose()


@pytest.fixture
def weights(repository: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    pulled = pull(MODEL, repository / ".pointwork" / "models", lambda _: None)
    return Path(shutil.copy(pulled, tmp_path / pulled.name))


@asynccontextmanager
async def served(stack: Stack, weights: Path) -> AsyncIterator[None]:
    """A GPU worker with a client of its own: one client serves a queue once."""
    state_dir, library = stack.parts.settings.state_dir, stack.parts.library
    lease = DeviceLease(state_dir / "gpu.lease", wait_seconds=0)
    runtime = LlamaCppRuntime(
        {MODEL: LlamaModel(path=weights)}, state_dir / "logs", lease=lease, api_key=KEY
    )
    address = stack.temporal.service_client.config.target_host
    client = await Client.connect(address, plugins=[pointwork_plugin(library)])
    names = served_models(library.of_this_host)
    async with gpu_worker(client, stack.parts, runtime, names, KEY):
        yield


async def told(stack: Stack, seed: int | None) -> TaskOutcome:
    limits = Constraints(max_output_tokens=24, temperature=WARM, seed=seed)
    outcome = await stack.run(stack.declare(constraints=limits), LONG)
    assert outcome.status is TaskStatus.SUCCEEDED, outcome.reason
    return outcome


def build_of(outcome: TaskOutcome) -> ModelBuild:
    (attempt,) = outcome.attempts
    assert attempt.local_run is not None
    assert attempt.local_run.build is not None
    return attempt.local_run.build


@pytest.mark.req("CX-13")
async def test_the_same_seed_on_the_same_snapshot_gives_the_same_answer_and_both_are_on_record(
    own_server: WorkflowEnvironment, parts: Parts, weights: Path
) -> None:
    async with (
        running(own_server, parts, Script(), serves_gpu=False) as stack,
        served(stack, weights),
    ):
        first = await told(stack, 7)
        again = await told(stack, 7)
        between = await told(stack, 8)
        unseeded = await told(stack, None)
        said = [sha256_hex(stack.client.answer_text(each).encode()) for each in (first, again)]
        other = sha256_hex(stack.client.answer_text(between).encode())
    assert said == [said[0], said[0]]
    assert other != said[0]
    assert [each.attempts[0].seed for each in (first, again, between, unseeded)] == [7, 7, 8, None]
    assert build_of(first) == build_of(again)
    assert build_of(first).revision == f"sha256:{CATALOGUE[MODEL].sha256}"
    assert build_of(first).quantisation == "Q4_1"
    assert build_of(first).runtime_version.startswith("xllamacpp 20")
    assert AuditChain(parts.engine).latest(10, kind=CHANGED) == []


@pytest.mark.req("CX-13")
async def test_weights_that_changed_are_flagged_before_they_answer_anybody(
    own_server: WorkflowEnvironment, parts: Parts, weights: Path
) -> None:
    async with running(own_server, parts, Script(), serves_gpu=False) as stack:
        async with served(stack, weights):
            before = await told(stack, 7)
        with weights.open("ab") as file:
            file.write(b"\0" * 32)
        async with served(stack, weights):
            after = await told(stack, 7)
    assert build_of(after).revision != build_of(before).revision
    (line,) = AuditChain(parts.engine).latest(10, kind=CHANGED)
    assert line.body == {
        "host": "embedded",
        "model": MODEL,
        "from": build_of(before).model_dump(mode="json"),
        "to": build_of(after).model_dump(mode="json"),
    }
    assert after.audit_sequence is not None
    assert line.sequence < after.audit_sequence
