"""Every step of a sensitive task, with its sockets watched: none leads out of this machine.

What Temporal's core opens is native and unseen here; ``tests/faults/test_offline.py`` asks the
kernel instead.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from temporalio.testing import WorkflowEnvironment

from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.decision import GrantKind
from pointwork.contract.failures import FailureType
from pointwork.contract.outcome import TaskOutcome, TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import PrivacyTier, Sensitivity
from pointwork.ledger.signals import SignalStore
from pointwork.policy.documents.load import load_library
from pointwork.providers.dialects import LLAMA_CPP
from pointwork.providers.openai import OpenAIProvider
from tests.fakes.connections import outside, watched
from tests.fakes.scripted_provider import Script
from tests.fakes.slow_model import SlowModel
from tests.fakes.vendor_reply import Act, LoopbackVendor, Reply
from tests.fakes.vendor_wire import OpenAIWire, answer
from tests.faults.conftest import write_policies
from tests.workflows.stack import Stack, open_test_parts, running
from workers.otlp import OtlpExporter
from workers.tracing import TaskTracing, tracer_provider

LOCAL_MODEL = "smollm2-135m"
DOWN = Reply(script=(Act.CUT,))
MAIL = "ada@example.org"


@dataclass
class House:
    stack: Stack
    model: LoopbackVendor
    collector: LoopbackVendor
    traces: TracerProvider

    def answers(self, text: str) -> None:
        whole = answer(OpenAIWire(), [text], LOCAL_MODEL)
        # A kept connection would be dialled in one test and only used in the next.
        self.model.reply = replace(whole, headers={**whole.headers, "connection": "close"})

    async def run(self, text: str, **declared: Any) -> TaskOutcome:
        return await self.stack.run(self.stack.declare(**declared), text)


@pytest.fixture(scope="module")
async def built(
    own_server: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """The deployment's own adapters for the local model and for traces; vendors are scripted."""
    folder, script = tmp_path_factory.mktemp("house"), Script()
    async with LoopbackVendor() as model, LoopbackVendor() as collector:
        port = int(model.base_url.rpartition(":")[2])
        policies = write_policies(folder, SlowModel(port=port))
        parts = open_test_parts(folder, load_library(policies, "embedded"), script)
        local = OpenAIProvider("local-gpu", f"{model.base_url}/v1", None, dialect=LLAMA_CPP)
        parts = replace(parts, providers={**parts.providers, "local-gpu": local})
        traces = tracer_provider(OtlpExporter(collector.base_url))
        collector.reply = Reply.of_json(200, {})
        async with running(own_server, parts, script, interceptors=[TaskTracing(traces)]) as stack:
            yield House(stack, model, collector, traces)
        await asyncio.to_thread(traces.shutdown)
        await local.aclose()
        parts.threads.shutdown()
        parts.engine.dispose()


@pytest.fixture
def house(built: House) -> House:
    """With the local model in good health, whatever it did in an earlier test."""
    signals = SignalStore(built.stack.parts.engine)
    signals.record_endpoint("local-gpu", True, None, None, datetime.now(UTC))
    return built


def assert_nothing_left(house: House, task_id: str, hosts: list[str]) -> None:
    assert "127.0.0.1" in hosts
    assert outside(hosts) == []
    assert not house.stack.script.calls[task_id]


@pytest.mark.parametrize(
    "declared",
    [
        {"sensitivity": Sensitivity.SENSITIVE},
        {"sensitivity": Sensitivity.RESTRICTED},
        {"task_class": "exploratory_reasoning", "sensitivity": Sensitivity.SENSITIVE},
        {"task_class": None, "sensitivity": Sensitivity.SENSITIVE},
        {"task_class": "high_stakes_logic"},
        {"pack": "codex", "task_class": "tutor", "privacy_tier": PrivacyTier.LOCAL_ONLY},
        {"pack": "socioprophet", "task_class": "triage", "sensitivity": Sensitivity.SENSITIVE},
    ],
)
async def test_classifying_calling_recording_and_tracing_stay_on_this_machine(
    house: House, declared: dict[str, Any]
) -> None:
    house.answers("Tidy.")
    with watched() as hosts:
        text = f"class:summarisation_formatting Tidy up: {MAIL} is late."
        outcome = await house.run(text, **declared)
        await asyncio.to_thread(house.traces.force_flush)
    assert outcome.status is TaskStatus.SUCCEEDED, outcome.reason
    assert_nothing_left(house, outcome.task_id, hosts)
    assert house.collector.received
    assert MAIL not in str(house.collector.received)


async def test_retries_fallbacks_escalation_and_the_question_to_a_person_stay_too(
    house: House,
) -> None:
    """The local model is down: the task is tried again, and then a person is asked (row 53)."""
    house.model.reply = DOWN
    before = len(house.model.received)
    task = house.stack.declare(task_class="creative_synthesis", sensitivity=Sensitivity.SENSITIVE)
    with watched() as hosts:
        await house.stack.client.submit(Prompt.from_text(f"Answer {MAIL}."), task)
        request = await house.stack.open_approval(task.task_id)
        assert request.asks_for is GrantKind.SENSITIVE_EGRESS
        await house.stack.client.submit_verdict(
            house.stack.signed(request, ApprovalVerdict.REJECTED)
        )
        outcome = await house.stack.recorded(task.task_id)
        await asyncio.to_thread(house.traces.force_flush)
    assert outcome.failure is FailureType.APPROVAL_REJECTED
    assert len(house.model.received) > before
    assert_nothing_left(house, task.task_id, hosts)


async def test_an_answer_that_a_check_refuses_sends_the_task_nowhere_else(house: House) -> None:
    house.answers("no JSON at all")
    task = house.stack.declare(sensitivity=Sensitivity.RESTRICTED)
    with watched() as hosts:
        outcome = await house.stack.run(task, f"List {MAIL}.", schema={"type": "object"})
    assert outcome.failure is FailureType.PROVIDERS_EXHAUSTED
    assert_nothing_left(house, task.task_id, hosts)


def test_the_watch_sees_a_connection_that_would_leave(tmp_path: Path) -> None:
    """Without this the others could pass for the wrong reason."""
    with watched() as hosts, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect(("192.0.2.1", 9))  # a datagram socket sends nothing when it connects
    assert outside(hosts) == ["192.0.2.1"]
