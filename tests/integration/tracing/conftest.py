"""A whole deployment whose spans are kept in memory as they would leave."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from temporalio.testing import WorkflowEnvironment

from pointwork.ledger.payload_keys import create_payload_keys
from pointwork.policy.bundle import PolicyLibrary
from tests.fakes.scripted_provider import Script
from tests.temporal_server import dev_server
from tests.workflows.stack import Stack, open_test_parts, running
from workers.tracing import TaskTracing, tracer_provider


@dataclass(frozen=True)
class Traced:
    stack: Stack
    all_spans: Callable[[], Sequence[ReadableSpan]]

    def spans_of(self, task_id: str) -> list[ReadableSpan]:
        """Every span of the traces in which the task occurs."""
        spans = self.all_spans()
        traces = {
            trace_of(span)
            for span in spans
            if (span.attributes or {}).get("temporalWorkflowID") == task_id
        }
        return [span for span in spans if trace_of(span) in traces]


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


@pytest.fixture(scope="package")
async def tracing_server() -> AsyncIterator[WorkflowEnvironment]:
    async with dev_server() as server:
        yield server


@pytest.fixture(scope="package")
async def traced(
    tracing_server: WorkflowEnvironment,
    library: PolicyLibrary,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Traced]:
    """With keys too: the ids of a trace pass the codec by."""
    folder, script = tmp_path_factory.mktemp("traced"), Script()
    create_payload_keys(folder / "payload.keys")
    parts = open_test_parts(folder, library, script)
    settings = parts.settings.model_copy(update={"payload_keys": folder / "payload.keys"})
    parts = replace(parts, settings=settings)
    exporter = InMemorySpanExporter()
    provider = tracer_provider(exporter)

    def all_spans() -> Sequence[ReadableSpan]:
        provider.force_flush()
        return exporter.get_finished_spans()

    async with running(
        tracing_server, parts, script, interceptors=[TaskTracing(provider)]
    ) as stack:
        yield Traced(stack, all_spans)
    provider.shutdown()
    parts.threads.shutdown()
    parts.engine.dispose()
