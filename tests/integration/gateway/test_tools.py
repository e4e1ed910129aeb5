"""Tools of a caller's own, offered and called through the gateway by OpenAI's client."""

import json
from typing import Any

import openai
import pytest

from pointwork.contract.tools import ToolCall
from tests.fakes.scripted_provider import Says
from tests.integration.gateway.house import Clients, House

PUBLIC = {"pointwork": {"sensitivity": "public"}}
WEATHER: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather of a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]
TOOLS_CLASS = "omega/high_stakes_logic"


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_tool_is_offered_called_and_its_result_answered(
    house: House, client: Clients, is_streamed: bool
) -> None:
    account = house.account()
    call = ToolCall(call_id="call-1", name="weather", arguments='{"city": "Oslo"}')
    key, task_id = house.scripted(account, Says("", tool_calls=(call,)))
    asked: dict[str, Any] = {"model": TOOLS_CLASS, "tools": WEATHER, "extra_body": PUBLIC}
    chat = client(account).chat.completions
    said: list[Any] = [{"role": "user", "content": "Is it cold in Oslo?"}]
    headers = {"idempotency-key": key}
    if is_streamed:
        stream = await chat.create(**asked, messages=said, stream=True, extra_headers=headers)
        chunks = [chunk async for chunk in stream]
        (made,) = [c for c in chunks if c.choices and c.choices[0].delta.tool_calls]
        assert chunks[-1].choices[0].finish_reason == "tool_calls"
        called = (made.choices[0].delta.tool_calls or [])[0]
    else:
        answer = await chat.create(**asked, messages=said, extra_headers=headers)
        assert (answer.choices[0].finish_reason, answer.choices[0].message.content) == (
            "tool_calls",
            None,
        )
        called = (answer.choices[0].message.tool_calls or [])[0]
    assert called.function.name == "weather"
    assert json.loads(called.function.arguments) == {"city": "Oslo"}
    assert [each.name for each in house.stack.script.calls[task_id][0].request.prompt.tools] == [
        "weather"
    ]

    key, second = house.scripted(account, Says("It is, -4."))
    said += [
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": called.id,
                    "type": "function",
                    "function": {"name": "weather", "arguments": called.function.arguments},
                }
            ],
        },
        {"role": "tool", "tool_call_id": called.id, "content": "-4 degrees"},
    ]
    final = await chat.create(**asked, messages=said, extra_headers={"idempotency-key": key})
    assert final.choices[0].message.content == "It is, -4."
    sent = house.stack.script.calls[second][0].request.prompt
    assert [result.text for turn in sent.turns for result in turn.results] == ["-4 degrees"]


async def test_a_result_without_its_call_is_refused_and_names_the_place(
    house: House, client: Clients
) -> None:
    said: list[Any] = [{"role": "tool", "tool_call_id": "call-9", "content": "4"}]
    with pytest.raises(openai.BadRequestError, match="answers no tool_call"):
        await client().chat.completions.create(model=TOOLS_CLASS, messages=said, tools=WEATHER)
