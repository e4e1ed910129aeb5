"""Sends spans to an OpenTelemetry collector: OTLP over HTTP as JSON, through the one door out."""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, SpanKind
from opentelemetry.util.types import AttributeValue

from pointwork.providers.departure import clear_telemetry
from pointwork.providers.egress import http_client, single_exchange
from pointwork.providers.origin import Origin

_PATH = "/v1/traces"
_TIMEOUT_SECONDS = 10.0
_KINDS = {
    SpanKind.INTERNAL: 1,
    SpanKind.SERVER: 2,
    SpanKind.CLIENT: 3,
    SpanKind.PRODUCER: 4,
    SpanKind.CONSUMER: 5,
}

_log = logging.getLogger(__name__)


class OtlpExporter(SpanExporter):
    """One request a batch, never repeated: a lost span is no lost fact, the ledger has those."""

    def __init__(self, endpoint: str) -> None:
        """``endpoint`` is the collector's base URL, such as ``http://127.0.0.1:4318``.

        Raises:
            ValueError: it is not an origin that may be called.
        """
        Origin.of(endpoint)
        self._endpoint = endpoint

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch. Called on the batch processor's own thread, where no event loop runs."""
        try:
            status = asyncio.run(self._post(json.dumps(otlp_document(spans)).encode()))
        except (httpx2.HTTPError, TimeoutError) as error:
            return self._lost(len(spans), type(error).__name__)
        return SpanExportResult.SUCCESS if status < 300 else self._lost(len(spans), str(status))

    async def _post(self, body: bytes) -> int:
        async with (
            asyncio.timeout(_TIMEOUT_SECONDS),
            http_client(self._endpoint) as client,
            single_exchange(clear_telemetry(self._endpoint)),
        ):
            headers = {"content-type": "application/json"}
            url = self._endpoint.rstrip("/") + _PATH
            return (await client.post(url, content=body, headers=headers)).status_code

    def _lost(self, spans: int, why: str) -> SpanExportResult:
        _log.warning("%d spans were not taken by %s (%s)", spans, self._endpoint, why)
        return SpanExportResult.FAILURE


def otlp_document(spans: Sequence[ReadableSpan]) -> dict[str, Any]:
    """``ExportTraceServiceRequest`` in JSON; every span has the resource of the first."""
    resource = _attributes(spans[0].resource.attributes) if spans else []
    scope = {"scope": {"name": "pointwork"}, "spans": [_span(each) for each in spans]}
    return {"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [scope]}]}


def _span(span: ReadableSpan) -> dict[str, Any]:
    context, parent = span.context, span.parent
    if context is None:
        msg = f"span {span.name!r} was not made by a tracer; export only spans that ended"
        raise ValueError(msg)
    return {
        **_ids(context),
        **({"parentSpanId": f"{parent.span_id:016x}"} if parent else {}),
        "name": span.name,
        "kind": _KINDS[span.kind],
        # 64-bit numbers are strings in protobuf's JSON.
        "startTimeUnixNano": str(span.start_time or 0),
        "endTimeUnixNano": str(span.end_time or 0),
        "attributes": _attributes(span.attributes or {}),
        "status": {"code": span.status.status_code.value},
    }


def _ids(context: SpanContext) -> dict[str, str]:
    return {"traceId": f"{context.trace_id:032x}", "spanId": f"{context.span_id:016x}"}


def _attributes(attributes: Mapping[str, AttributeValue]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in attributes.items()]


def _value(value: AttributeValue) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case tuple() | list():
            return {"arrayValue": {"values": [_value(each) for each in value]}}
        case _:
            return {"stringValue": str(value)}
