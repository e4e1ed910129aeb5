"""One request over HTTP is one trace, from the gateway to the call of the model (DC-8)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx2
import pytest

from pointwork.contract.failures import ProviderFailureKind
from tests.fakes.scripted_provider import Fails, Says
from tests.integration.gateway.house import House
from tests.integration.tracing.conftest import Traced, trace_of
from workers.gateway import build_gateway, serve_gateway
from workers.settings import GatewaySettings

ASKED = "the egret waits below the weir at noon"
ANSWERED = "nine kites rise above the quiet harbour"


@asynccontextmanager
async def gateway(traced: Traced) -> AsyncIterator[House]:
    settings, stack = GatewaySettings(port=0), traced.stack
    built = build_gateway(stack.temporal, stack.parts, settings)
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stopped = asyncio.Event()
    serving = asyncio.create_task(serve_gateway(built, settings, stopped, listening.set_result))
    yield House(stack, built, await listening, datetime.now(UTC))
    stopped.set()
    await serving


@pytest.mark.req("DC-8")
async def test_a_request_is_one_trace_from_the_gateway_to_each_call_and_has_no_word_of_it(
    traced: Traced,
) -> None:
    async with (
        gateway(traced) as house,
        httpx2.AsyncClient(base_url=house.url, timeout=60) as client,
    ):
        account = house.account()
        down = Fails(ProviderFailureKind.OVERLOADED)
        key, task_id = house.scripted(account, down, Says(ANSWERED))
        body = {
            "model": "omega/high_stakes_logic",
            "messages": [{"role": "user", "content": ASKED}],
            "pointwork": {"sensitivity": "public"},
        }
        headers = account.headers(idempotency_key=key)
        answered = await client.post("/v1/chat/completions", json=body, headers=headers)
        answered.raise_for_status()
        assert answered.json()["choices"][0]["message"]["content"] == ANSWERED
        await house.stack.recorded(task_id)

    spans = traced.spans_of(task_id)
    assert len({trace_of(span) for span in spans}) == 1
    by_id = {span.context.span_id: span for span in spans if span.context}
    # The only span that nothing of the deployment began: the gateway starts the task with it.
    (first,) = (span for span in spans if span.parent is None)
    assert first.name == "StartUpdateWithStartWorkflow:RouteTask"
    assert all(span.parent is None or span.parent.span_id in by_id for span in spans)

    calls = [span for span in spans if "gen_ai.operation.name" in (span.attributes or {})]
    assert len(calls) == 2
    for call in calls:
        assert call.parent is not None
        assert by_id[call.parent.span_id].name == "RunActivity:invoke-model"
    assert {"RunWorkflow:RouteTask", "RunActivity:classify", "RunActivity:budget-reserve"} <= {
        span.name for span in spans
    }
    written = "\n".join(span.to_json() for span in spans)
    assert [text for text in (ASKED, ANSWERED) if text in written] == []
