"""A tutor's task on a real local model while this process reaches nothing beyond loopback."""

import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from temporalio.testing import WorkflowEnvironment

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.task import Constraints
from pointwork.local.lease import DeviceLease
from pointwork.local.weights import pull
from pointwork.policy.bundle import PolicyLibrary
from tests.fakes.connections import cut
from tests.fakes.scripted_provider import Script
from tests.workflows.stack import Stack, open_test_parts, running
from workers.gpu import gpu_worker
from workers.runtimes import open_runtime, served_models
from workers.settings import Credentials
from workers.wiring import Parts, cloud_providers

MODEL = "smollm2-135m"
SHORT = Constraints(max_output_tokens=16)
KEYS = Credentials.model_construct(
    openai_api_key=SecretStr("sk-none"), anthropic_api_key=SecretStr("sk-none")
)


@pytest.fixture
def parts(repository: Path, tmp_path: Path, library: PolicyLibrary) -> Iterator[Parts]:
    """The deployment's own connections to vendors, with keys, and the weights on this disk."""
    weights = pull(MODEL, repository / ".pointwork" / "models", lambda _: None)
    shutil.copytree(weights.parent, tmp_path / "models" / MODEL)
    made = open_test_parts(tmp_path, library, Script())
    yield replace(made, providers=cloud_providers(made.library, KEYS))
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


@pytest.mark.req("CX-11")
async def test_with_the_network_cut_a_tutor_still_answers_and_tries_to_reach_nobody(
    own_server: WorkflowEnvironment, parts: Parts
) -> None:
    with cut() as refused:
        async with deployed(own_server, parts) as stack:
            tutor = stack.declare(pack="codex", task_class="tutor", constraints=SHORT)
            outcome = await stack.run(tutor, "Explain the borrow checker.")
            assert outcome.status is TaskStatus.SUCCEEDED, outcome.reason
            (attempt,) = outcome.attempts
            assert (attempt.model, attempt.served_model) == (MODEL, MODEL)
            assert stack.client.answer_text(outcome)
            assert refused == []

            # The same deployment does reach out for a planner: only the cut keeps it back.
            planner = stack.declare(pack="codex", task_class="architect")
            failed = await stack.run(planner, "Plan the split.")
            assert failed.status is TaskStatus.FAILED
            assert {each.failure for each in failed.attempts} == {
                ProviderFailureKind.CONNECTION_FAILED
            }
            assert {"api.anthropic.com", "api.openai.com"} <= set(refused)


def test_a_cut_refuses_names_and_addresses_beyond_loopback_and_is_mended_afterwards() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with cut() as refused:
            with pytest.raises(OSError, match="the network is cut"):
                socket.getaddrinfo("api.openai.com", 443)
            with pytest.raises(OSError, match="the network is cut"):
                socket.create_connection(("192.0.2.1", 443))
            socket.create_connection(listener.getsockname()).close()
        assert refused == ["api.openai.com", "192.0.2.1"]
        with cut() as other:
            socket.create_connection(("localhost", listener.getsockname()[1])).close()
        assert (len(refused), other) == (2, [])
