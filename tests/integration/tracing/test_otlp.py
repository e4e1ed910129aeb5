"""Spans reach a collector of this house, and no other place."""

import json
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanKind

from workers.otlp import OtlpExporter
from workers.process import _tracing
from workers.settings import Settings
from workers.tracing import TaskTracing, tracer_provider


class Collector:
    """Takes what OTLP over HTTP brings, and answers as it is told."""

    def __init__(self, status: int) -> None:
        self.documents: list[dict[str, Any]] = []
        self.paths: list[str] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.documents.append(json.loads(body))
                collector.paths.append(self.path)
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                return None

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def collecting(status: int = 200) -> Iterator[Collector]:
    collector = Collector(status)
    thread = threading.Thread(target=collector.server.serve_forever)
    thread.start()
    yield collector
    collector.server.shutdown()
    thread.join()
    collector.server.server_close()


def test_a_span_arrives_in_the_protocols_own_form() -> None:
    with collecting() as collector:
        provider = tracer_provider(OtlpExporter(collector.url))
        with provider.get_tracer("t").start_as_current_span(
            "chat small", kind=SpanKind.CLIENT
        ) as parent:
            parent.set_attributes(
                {
                    "gen_ai.usage.input_tokens": 2**40,
                    "gen_ai.request.temperature": 0.5,
                    "gen_ai.response.finish_reasons": ("stop",),
                    "gen_ai.request.model": "small",
                    "gen_ai.prompt": "the heron",
                }
            )
        provider.shutdown()
    assert collector.paths == ["/v1/traces"]
    [resource] = collector.documents[0]["resourceSpans"]
    assert resource["resource"]["attributes"] == [
        {"key": "service.name", "value": {"stringValue": "pointwork"}}
    ]
    [span] = resource["scopeSpans"][0]["spans"]
    context = parent.get_span_context()
    assert span["traceId"] == f"{context.trace_id:032x}"
    assert span["spanId"] == f"{context.span_id:016x}"
    assert "parentSpanId" not in span
    assert (span["name"], span["kind"], span["status"]) == ("chat small", 3, {"code": 0})
    assert int(span["endTimeUnixNano"]) >= int(span["startTimeUnixNano"]) > 0
    assert {each["key"]: each["value"] for each in span["attributes"]} == {
        "gen_ai.usage.input_tokens": {"intValue": str(2**40)},
        "gen_ai.request.temperature": {"doubleValue": 0.5},
        "gen_ai.response.finish_reasons": {"arrayValue": {"values": [{"stringValue": "stop"}]}},
        "gen_ai.request.model": {"stringValue": "small"},
    }


@pytest.mark.parametrize("status", [400, 503])
def test_what_a_collector_refuses_is_lost_and_said_once(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with collecting(status) as collector:
        assert OtlpExporter(collector.url).export([]) is SpanExportResult.FAILURE
    assert [str(status) in record.getMessage() for record in caplog.records] == [True]


def test_a_collector_that_is_not_there_costs_spans_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with collecting() as collector:
        url = collector.url
    assert OtlpExporter(url).export([]) is SpanExportResult.FAILURE
    assert "ConnectError" in caplog.text


@pytest.mark.parametrize(
    "endpoint", ["http://collector.example:4318", "http://8.8.8.8:4318", "ftp://127.0.0.1", "x"]
)
async def test_an_endpoint_in_clear_text_outside_the_house_is_refused(endpoint: str) -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises(ValueError, match="POINTWORK_OTLP_ENDPOINT cannot be used: base_url"):
            await _tracing(Settings(otlp_endpoint=endpoint), stack)


async def test_a_worker_traces_only_where_a_collector_is_set() -> None:
    async with AsyncExitStack() as stack:
        assert await _tracing(Settings(otlp_endpoint=None), stack) == []
        [tracing] = await _tracing(Settings(otlp_endpoint="http://127.0.0.1:4318"), stack)
        assert isinstance(tracing, TaskTracing)
