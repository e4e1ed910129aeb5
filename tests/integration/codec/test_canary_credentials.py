"""Credentials in a prompt, a header, a vendor's error and the environment: nowhere else (76)."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from temporalio.testing import WorkflowEnvironment

from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.failures import FailureType, ProviderFailureKind, TaskFailedError
from pointwork.contract.outcome import TaskOutcome
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import DataClass
from pointwork.policy.bundle import PolicyLibrary
from tests.fakes.scripted_provider import Fails
from tests.integration.codec.conftest import raw
from tests.integration.codec.test_task_history import decrypted, history_of, texts
from tests.providers.conftest import KEY
from tests.unit.privacy.canaries import CREDENTIALS
from tests.workflows.outside import Outside, outside
from workers.tracing import TaskTracing, tracer_provider

CANARIES = tuple(canary.value for canary in CREDENTIALS if len(canary.value) >= 8)
"""A PIN of four digits stands in many a number."""
TEXT = "\n\n".join(canary.text for canary in CREDENTIALS)
IN_ENVIRONMENT = "sk-env-canary-7c0d9a41b2"


async def refused_task(house: Outside) -> tuple[TaskOutcome, str]:
    """A task that a person lets out to vendors that all refuse it, and what its caller is told."""
    stack = house.stack
    task = stack.declare(
        task_class="creative_synthesis", sensitivity=None, data_classes=(DataClass.CREDENTIAL,)
    )
    stack.script.write(task.task_id, Fails(ProviderFailureKind.INVALID_REQUEST))
    await stack.client.submit(Prompt.from_text(TEXT), task)
    request = await stack.open_approval(task.task_id)
    await stack.client.submit_verdict(stack.signed(request, ApprovalVerdict.APPROVED))
    outcome = await stack.recorded(task.task_id)
    with pytest.raises(TaskFailedError) as told:
        await stack.client.result(task.task_id)
    return outcome, repr(told.value) + str(told.value)


def files_of(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.name, path.read_bytes().decode("latin-1")


async def test_no_credential_is_in_history_database_logs_spans_or_errors(
    codec_server: WorkflowEnvironment,
    library: PolicyLibrary,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The vendors quote the request's key and text back in their error and in a header."""
    monkeypatch.setenv("OPENAI_API_KEY", IN_ENVIRONMENT)
    caplog.set_level(logging.DEBUG)
    exporter = InMemorySpanExporter()
    traces = tracer_provider(exporter)
    async with outside(
        codec_server,
        library,
        tmp_path,
        refuses_with=f"{KEY} may not ask {TEXT}",
        is_keyed=True,
        interceptors=[TaskTracing(traces)],
    ) as house:
        outcome, told = await refused_task(house)
        history = await history_of(house.stack, outcome.task_id)
        traces.force_flush()
        places = {
            "history": "\n".join(texts(raw(history))),
            "history, opened": await decrypted(house.stack, history),
            "spans": "\n".join(span.to_json() for span in exporter.get_finished_spans()),
            "logs": caplog.text + "\n".join(str(each.__dict__) for each in caplog.records),
            "the caller's error": told,
            "the outcome": outcome.model_dump_json(),
            **dict(files_of(tmp_path)),
        }
        received = "".join(house.called.values())
    assert outcome.failure is FailureType.PROVIDERS_EXHAUSTED
    assert KEY in received
    assert {"ledger.db", "ledger.db-wal"} <= places.keys()
    assert all(places[each] for each in ("history, opened", "spans", "logs", "the caller's error"))
    found = {
        place
        for place, text in places.items()
        for canary in (KEY, IN_ENVIRONMENT, *CANARIES)
        if canary in text
    }
    assert found == set()
