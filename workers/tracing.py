"""Traces of tasks: one a task, over caller, workflow, steps and model calls; off unless asked for.

The trace of a task that nobody traced before is named by its run, so it is one trace all the same.
"""

import hashlib
from typing import Any

from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from temporalio import activity, workflow
from temporalio.contrib.opentelemetry import (
    TracingInterceptor,
    TracingWorkflowInboundInterceptor,
)
from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from pointwork.contract.names import ActivityName
from pointwork.contract.outcome import Invocation, InvocationFailure, Invoke
from pointwork.privacy.traces import AllowListExporter

_PROVIDERS = {"google": "gcp.gemini", "xai": "x_ai"}
"""Where the conventions have another word for an endpoint than our catalogue."""
_IDS_ONLY: TextMapPropagator = TraceContextTextMapPropagator()
"""The usual one would also write a caller's baggage, which is any text, into Temporal's history."""


def tracer_provider(exporter: SpanExporter) -> TracerProvider:
    """A provider whose spans reach ``exporter`` as the allow-list leaves them, in batches.

    Its resource is ours alone: the SDK's own would read the environment and this machine.
    """
    provider = TracerProvider(
        resource=Resource({"service.name": "pointwork"}),
        sampler=ALWAYS_ON,
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(AllowListExporter(exporter)))
    return provider


class TaskTracing(TracingInterceptor):
    """Temporal's own tracing for clients and workers, with a span for each call to a model."""

    def __init__(self, provider: TracerProvider) -> None:
        super().__init__(provider.get_tracer("pointwork"))
        self.text_map_propagator = _IDS_ONLY

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return super().intercept_activity(_ModelCalls(next, self.tracer))

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[TracingWorkflowInboundInterceptor]:
        super().workflow_interceptor_class(input)
        return _TaskInbound


class _TaskInbound(TracingWorkflowInboundInterceptor):
    def __init__(self, next: WorkflowInboundInterceptor) -> None:
        super().__init__(next)
        self.text_map_propagator = _IDS_ONLY

    def _load_workflow_context_carrier(self) -> Any:
        """The caller's trace. Without one every span would begin a trace of its own."""
        carrier = super()._load_workflow_context_carrier()
        return carrier or {"traceparent": traceparent_of(workflow.info().run_id)}


def traceparent_of(run_id: str) -> str:
    """The trace of a run that no caller traced; the same on every worker and in every replay."""
    digest = hashlib.sha256(f"pointwork trace {run_id}".encode()).hexdigest()
    return f"00-{digest[:32]}-{digest[32:48]}-01"


class _ModelCalls(ActivityInboundInterceptor):
    """Around ``invoke-model``: what was asked of which model, what it cost, and how it failed."""

    def __init__(self, next: ActivityInboundInterceptor, tracer: Tracer) -> None:
        super().__init__(next)
        self._tracer = tracer

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        call = input.args[0] if input.args else None
        is_call = activity.info().activity_type == ActivityName.INVOKE_MODEL
        if not is_call or not isinstance(call, Invoke):
            return await super().execute_activity(input)
        operation = "embeddings" if call.candidate.kind == "embedding" else "chat"
        with self._tracer.start_as_current_span(
            f"{operation} {call.candidate.served_as}",
            kind=SpanKind.CLIENT,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            _note_call(span, operation, call)
            try:
                made = await super().execute_activity(input)
            except BaseException as error:
                _note_failure(span, error)
                raise
            if isinstance(made, Invocation):
                _note_answer(span, made)
            return made


def _note_call(span: Span, operation: str, call: Invoke) -> None:
    candidate = call.candidate
    span.set_attributes(
        {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": _PROVIDERS.get(candidate.endpoint, candidate.endpoint),
            "gen_ai.request.model": candidate.served_as,
            "gen_ai.request.max_tokens": candidate.max_output_tokens,
            "gen_ai.request.temperature": float(call.temperature),
            "pointwork.model": candidate.model,
            "pointwork.attempt": call.number,
        }
    )


def _note_answer(span: Span, made: Invocation) -> None:
    span.set_attributes(
        {
            "gen_ai.response.model": made.served_model,
            "gen_ai.response.finish_reasons": (made.finish_reason.value,),
            "gen_ai.usage.input_tokens": made.usage.input_tokens,
            "gen_ai.usage.output_tokens": made.usage.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": made.usage.cached_input_tokens,
            "pointwork.cost_nano_usd": made.cost_nano_usd,
            "pointwork.settlement": made.settlement.value,
            "pointwork.call_ms": made.duration_ms,
        }
    )


def _note_failure(span: Span, error: BaseException) -> None:
    """The word for what failed, and what it cost all the same. Never the failure's text."""
    span.set_status(StatusCode.ERROR)
    if not isinstance(error, ApplicationError):
        span.set_attribute("error.type", type(error).__name__)
        return
    span.set_attribute("error.type", error.type or type(error).__name__)
    detail = error.details[0] if error.details else None
    if isinstance(detail, InvocationFailure):
        span.set_attribute("pointwork.cost_nano_usd", detail.cost_nano_usd)
        span.set_attribute("pointwork.settlement", detail.settlement.value)
