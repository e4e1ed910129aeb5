"""One trace a task, with what it asked of which model, and no content (DC-8; invariant 10)."""

from opentelemetry.sdk.trace import ReadableSpan

from pointwork.client import PointworkClient
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import TaskDeclaration
from pointwork.temporal import payload_codec
from tests.fakes.scripted_provider import Fails, Says
from tests.integration.tracing.conftest import Traced, trace_of
from workers.replay import replay_task
from workers.tracing import traceparent_of

ASKED = "the heron stands in the mill pond at dusk"
ANSWERED = "seven lanterns drift below the old bridge"
DESCRIBED = "why the heron must not be told"
CANARIES = (ASKED, ANSWERED, DESCRIBED, "scripted")


def model_calls(spans: list[ReadableSpan]) -> list[ReadableSpan]:
    return [span for span in spans if "gen_ai.operation.name" in (span.attributes or {})]


async def routed(traced: Traced, *steps: Says | Fails) -> list[ReadableSpan]:
    stack = traced.stack
    declaration = stack.declare(task_class="high_stakes_logic", description=DESCRIBED)
    stack.script.write(declaration.task_id, *steps)
    await stack.client.run(Prompt.from_text(ASKED), declaration)
    await stack.recorded(declaration.task_id)
    return traced.spans_of(declaration.task_id)


async def test_caller_workflow_steps_and_model_calls_share_one_trace(traced: Traced) -> None:
    spans = await routed(traced, Fails(ProviderFailureKind.OVERLOADED), Says(ANSWERED))
    assert len({trace_of(span) for span in spans}) == 1
    names = {span.name for span in spans}
    assert {
        "StartUpdateWithStartWorkflow:RouteTask",
        "RunWorkflow:RouteTask",
        "RunActivity:classify",
        "RunActivity:budget-reserve",
        "RunActivity:invoke-model",
        "RunActivity:log-outcome",
    } <= names
    calls = model_calls(spans)
    assert len(calls) == 2
    steps = {span.context.span_id for span in spans if span.name == "RunActivity:invoke-model"}
    assert all(each.parent and each.parent.span_id in steps for each in calls)


async def test_no_span_holds_a_word_of_the_task_or_of_a_failure(traced: Traced) -> None:
    spans = await routed(traced, Fails(ProviderFailureKind.OVERLOADED), Says(ANSWERED))
    found = "\n".join(span.to_json() for span in spans)
    assert "invoke-model" in found
    assert [canary for canary in CANARIES if canary in found] == []
    assert not any(span.events for span in spans)


async def test_a_model_call_tells_model_tokens_cost_and_how_it_failed(traced: Traced) -> None:
    failed, answered = model_calls(
        await routed(traced, Fails(ProviderFailureKind.OVERLOADED), Says(ANSWERED))
    )
    assert not failed.status.is_ok
    assert dict(failed.attributes or {}) | {"error.type": "OVERLOADED"} == failed.attributes
    told = dict(answered.attributes or {})
    assert answered.name == f"chat {told['gen_ai.request.model']}"
    assert told["gen_ai.response.model"] == told["gen_ai.request.model"]
    assert told["gen_ai.response.finish_reasons"] == ("stop",)
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (20, 10)
    assert told["pointwork.settlement"] == "exact"
    assert isinstance(told["pointwork.cost_nano_usd"], int)
    assert told["pointwork.cost_nano_usd"] > 0


async def test_a_task_that_nobody_traced_before_has_one_trace_named_by_its_run(
    traced: Traced,
) -> None:
    stack = traced.stack
    keys = stack.parts.settings.payload_keys
    assert keys is not None
    client = await PointworkClient.connect(
        stack.temporal.service_client.config.target_host,
        stack.parts.vault,
        stack.outcomes,
        codec=payload_codec(keys),
    )
    declaration: TaskDeclaration = stack.declare()
    await client.submit(Prompt.from_text(ASKED), declaration)
    await stack.recorded(declaration.task_id)
    spans = traced.spans_of(declaration.task_id)
    assert "RunActivity:invoke-model" in {span.name for span in spans}
    run_id = (await stack.temporal.get_workflow_handle(declaration.task_id).describe()).run_id
    assert {trace_of(span) for span in spans} == {traceparent_of(run_id).split("-")[1]}


async def test_a_traced_task_replays_where_nothing_is_traced(traced: Traced) -> None:
    stack = traced.stack
    declaration = stack.declare()
    await stack.client.run(Prompt.from_text(ASKED), declaration)
    await stack.recorded(declaration.task_id)
    report = await replay_task(declaration.task_id, stack.temporal, stack.parts)
    assert report.history.problems == []
