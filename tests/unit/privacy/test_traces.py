"""A span leaves as facts on a list; whatever else a library put on it stays here."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace.span import TraceState

from pointwork.privacy.traces import ALLOWED, AllowListExporter

CANARY = "the heron stands in the mill pond"
PARENT = SpanContext(1, 2, True, TraceFlags(1), TraceState([("vendor", "heron-pond")]))


def exported(name: str, attributes: dict[str, Any], *, fails: bool = False) -> ReadableSpan:
    """The span as it leaves, after everything a library could do to it."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "pointwork", "host.name": CANARY}))
    provider.add_span_processor(SimpleSpanProcessor(AllowListExporter(kept)))
    tracer = provider.get_tracer("a library")
    context = set_span_in_context(NonRecordingSpan(PARENT))
    links = [Link(PARENT, {"said": CANARY})]
    with (
        suppress(ValueError),
        tracer.start_as_current_span(name, context, attributes=attributes, links=links) as span,
    ):
        span.add_event(CANARY, {"said": CANARY})
        if fails:
            raise ValueError(CANARY)
    [left] = kept.get_finished_spans()
    return left


def test_an_exception_leaves_no_message_no_stack_and_no_event() -> None:
    left = exported("RunActivity:classify", {}, fails=True)
    assert not left.status.is_ok
    assert left.status.description is None
    assert (left.events, left.links) == ((), ())
    assert "heron" not in left.to_json()


def test_the_trace_state_and_the_machine_stay_here_and_the_ids_go() -> None:
    left = exported("RunActivity:classify", {})
    assert left.parent is not None
    assert (left.parent.trace_id, left.parent.span_id) == (1, 2)
    assert not left.parent.trace_state
    assert dict(left.resource.attributes) == {"service.name": "pointwork"}
    assert "heron" not in left.to_json()


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_no_attribute_takes_a_sentence(name: str) -> None:
    left = exported("span", {name: CANARY})
    assert not left.attributes
    assert not exported("span", {name: (CANARY,)}).attributes


def test_a_name_that_could_be_a_sentence_is_replaced() -> None:
    assert exported(f"HandleSignal:{CANARY}", {}).name == "span"
    assert exported("chat gpt-5.1-mini", {}).name == "chat gpt-5.1-mini"
    assert exported("StartWorkflow:RouteTask", {}).name == "StartWorkflow:RouteTask"


VALUES = st.one_of(st.text(max_size=50), st.integers(-(2**60), 2**60), st.floats(allow_nan=False))


@given(attributes=st.dictionaries(st.text(min_size=1, max_size=20), VALUES, max_size=5))
def test_nothing_leaves_that_is_not_listed(attributes: dict[str, Any]) -> None:
    assert set(exported("span", attributes).attributes or {}) <= ALLOWED


@given(told=st.fixed_dictionaries({"gen_ai.usage.input_tokens": st.integers(0, 2**60)}))
def test_a_listed_number_leaves_as_it_is(told: dict[str, Any]) -> None:
    assert dict(exported("span", told).attributes or {}) == told


def test_the_names_are_those_of_the_conventions_and_none_of_them_carries_content() -> None:
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    ours = {name for name in ALLOWED if name.startswith("gen_ai.")}
    assert ours <= known
    content = ("prompt", "completion", "messages", "instructions", "arguments", "text", "result")
    assert not {name for name in ALLOWED if name.rsplit(".", 1)[1:] and name.endswith(content)}
