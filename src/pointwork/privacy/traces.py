"""What may leave this house in a trace: facts on a list, and never content (invariant 10).

Libraries put exceptions, stack traces and whatever else they hold on their spans. So what leaves is
made anew from a span: its times and ids, and of its attributes those listed here.
"""

import re
from collections.abc import Collection, Mapping, Sequence

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, Status
from opentelemetry.util.types import AttributeValue

ALLOWED = frozenset(
    {
        *("temporalWorkflowID", "temporalRunID", "temporalActivityID", "temporalUpdateID"),
        *("gen_ai.operation.name", "gen_ai.provider.name"),
        *("gen_ai.request.model", "gen_ai.request.max_tokens", "gen_ai.request.temperature"),
        *("gen_ai.response.model", "gen_ai.response.finish_reasons"),
        *("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"),
        "gen_ai.usage.cache_read.input_tokens",
        "error.type",
        *("pointwork.model", "pointwork.attempt", "pointwork.cost_nano_usd"),
        *("pointwork.settlement", "pointwork.call_ms"),
    }
)
"""Identifiers, names from the catalogue, words of ours, and numbers."""

_VALUE = re.compile(r"[\w.:/@+#-]{1,200}", re.ASCII)
"""No spaces: what a sentence could hide in does not pass, whatever attribute it is."""
_NAME = re.compile(r"[\w.:-]{1,100}( [\w.:/@+-]{1,100})?", re.ASCII)
_RESOURCE = ("service.name", "service.version", "service.instance.id")


class AllowListExporter(SpanExporter):
    """Hands on what may leave. Events, links' attributes and descriptions never do."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._inner.export([stripped(span) for span in spans])

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


def stripped(span: ReadableSpan) -> ReadableSpan:
    """A span that holds nothing of ``span`` but what is listed in this module."""
    return ReadableSpan(
        name=span.name if _NAME.fullmatch(span.name) else "span",
        context=_bare(span.context),
        parent=_bare(span.parent),
        resource=Resource(_listed(span.resource.attributes, _RESOURCE)),
        attributes=_listed(span.attributes or {}, ALLOWED),
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
    )


def _listed(
    attributes: Mapping[str, AttributeValue], names: Collection[str]
) -> dict[str, AttributeValue]:
    return {name: value for name, value in attributes.items() if name in names and _is_fact(value)}


def _is_fact(value: AttributeValue) -> bool:
    match value:
        case str():
            return _VALUE.fullmatch(value) is not None
        case bool() | int() | float():
            return True
        case tuple() | list():
            return all(isinstance(each, str) and _is_fact(each) for each in value)
        case _:
            return False


def _bare(context: SpanContext | None) -> SpanContext | None:
    """Without the trace state, which a caller of ours writes as it likes."""
    if context is None:
        return None
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags)
