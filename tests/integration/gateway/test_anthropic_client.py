"""Anthropic's own Python client, unchanged, against the gateway."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic

from pointwork.contract.tools import ToolCall
from tests.fakes.scripted_provider import Says
from tests.integration.gateway.house import Account, House

CLASS, TOOLS_CLASS = "omega/summarisation_formatting", "omega/high_stakes_logic"
PUBLIC = {"pointwork": {"sensitivity": "public"}}
ASK: list[Any] = [{"role": "user", "content": "Tidy up this line."}]
Made = Callable[..., AsyncAnthropic]


@pytest.fixture
async def made(house: House) -> AsyncIterator[Made]:
    async with AsyncExitStack() as opened:

        def client(account: Account) -> AsyncAnthropic:
            new = AsyncAnthropic(base_url=house.url, api_key=account.token, max_retries=0)
            opened.push_async_callback(new.close)
            return new

        yield client


async def test_a_message_is_answered_with_its_tokens_and_the_model_that_served(
    house: House, made: Made
) -> None:
    account = house.account()
    key, task_id = house.scripted(account, Says("It is tidy."))
    answer = await made(account).messages.create(
        model=CLASS,
        max_tokens=100,
        system="Be brief.",
        messages=ASK,
        extra_body=PUBLIC,
        extra_headers={"idempotency-key": key},
    )
    assert [block.text for block in answer.content if block.type == "text"] == ["It is tidy."]
    assert (answer.stop_reason, answer.usage.output_tokens) == ("end_turn", 10)
    outcome = await house.stack.recorded(task_id)
    assert answer.model == outcome.served_model
    sent = house.stack.script.calls[task_id][0].request
    assert (sent.max_output_tokens, sent.prompt.turns[0].text) == (100, "Be brief.")


async def test_a_stream_gives_the_same_text(house: House, made: Made) -> None:
    asked: dict[str, Any] = {"model": CLASS, "max_tokens": 100, "messages": ASK}
    async with made(house.account()).messages.stream(**asked, extra_body=PUBLIC) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()
    assert text == "A plain answer."
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 10)


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_tool_is_called_and_its_result_answered(
    house: House, made: Made, is_streamed: bool
) -> None:
    account = house.account()
    call = ToolCall(call_id="call-1", name="weather", arguments='{"city": "Oslo"}')
    key, _ = house.scripted(account, Says("", tool_calls=(call,)))
    tool = {"name": "weather", "input_schema": {"type": "object", "properties": {}}}
    asked: dict[str, Any] = {"model": TOOLS_CLASS, "max_tokens": 100, "tools": [tool]}
    asked |= {"extra_body": PUBLIC}
    messages = made(account).messages
    headers = {"idempotency-key": key}
    if is_streamed:
        async with messages.stream(**asked, messages=ASK, extra_headers=headers) as stream:
            answer: Any = await stream.get_final_message()
    else:
        answer = await messages.create(**asked, messages=ASK, extra_headers=headers)
    assert answer.stop_reason == "tool_use"
    (used,) = [block for block in answer.content if block.type == "tool_use"]
    assert (used.name, used.input) == ("weather", {"city": "Oslo"})

    key, second = house.scripted(account, Says("It is, -4."))
    result = {"type": "tool_result", "tool_use_id": used.id, "content": "-4 degrees"}
    said = [*ASK, {"role": "assistant", "content": [used.model_dump(exclude_none=True)]}]
    said.append({"role": "user", "content": [result, {"type": "text", "text": "So?"}]})
    final = await messages.create(**asked, messages=said, extra_headers={"idempotency-key": key})
    assert [block.text for block in final.content if block.type == "text"] == ["It is, -4."]
    sent = house.stack.script.calls[second][0].request.prompt
    assert [each.text for turn in sent.turns for each in turn.results] == ["-4 degrees"]
    assert sent.turns[-1].text == "So?"


async def test_errors_have_the_form_that_the_client_reads(house: House, made: Made) -> None:
    account = house.account()
    asked: dict[str, Any] = {"max_tokens": 100, "messages": ASK}
    with pytest.raises(anthropic.NotFoundError, match="is not known"):
        await made(account).messages.create(model="nobody", **asked)
    with pytest.raises(anthropic.BadRequestError, match="stop_sequences is not served"):
        await made(account).messages.create(model=CLASS, **asked, stop_sequences=["x"])
    proprietary = {"pointwork": {"sensitivity": "proprietary"}}
    with pytest.raises(anthropic.PermissionDeniedError, match="No model of the catalogue"):
        await made(account).messages.create(model=TOOLS_CLASS, **asked, extra_body=proprietary)
    stranger = AsyncAnthropic(base_url=house.url, api_key="pwk_no_key", max_retries=0)
    async with stranger:
        with pytest.raises(anthropic.AuthenticationError, match="pointwork access create"):
            await stranger.messages.create(model=CLASS, **asked)
