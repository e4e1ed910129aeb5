"""Fields beside those that are served: refused by name where they would change the answer."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.integration.gateway.house import House

CLASS = "omega/summarisation_formatting"
CANARY = "orris-canary"
TURNS = [{"role": "user", "content": "Tidy up this line."}]
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"model": CLASS, "messages": TURNS},
    RESPONSES: {"model": CLASS, "input": "Tidy up this line."},
    MESSAGES: {"model": CLASS, "messages": TURNS, "max_tokens": 100},
}
SCHEMA = {"type": "json_schema", "schema": {"type": "object", "properties": {}}}
FUNCTION = {"name": "find", "parameters": {"type": "object", "properties": {}}}
CHAT_TOOLS = [{"type": "function", "function": FUNCTION}]
OWN_TOOL = {"name": "find", "input_schema": {"type": "object", "properties": {}}}
SERVER_TOOL = {"type": "web_search_20250305", "name": "web_search"}

UNSERVED: list[tuple[str, dict[str, Any], str]] = [
    *(
        (CHAT, {name: value}, name)
        for name, value in {
            "top_k": 5,
            "min_p": 0.1,
            "repetition_penalty": 1.1,
            "best_of": 2,
            "suffix": CANARY,
            "echo": True,
            "guided_json": {CANARY: 1},
            "guided_regex": CANARY,
            "thinking": {"type": "enabled"},
            "reasoning": {"effort": CANARY},
            "reasoning_effort": CANARY,
            "verbosity": "high",
            "service_tier": "flex",
            "store": True,
            "n": 2,
            "nobody_knows_it": CANARY,
        }.items()
    ),
    *(
        (RESPONSES, {name: value}, name)
        for name, value in {
            "top_p": 0.5,
            "stop": [CANARY],
            "n": 2,
            "logprobs": True,
            "top_logprobs": 3,
            "presence_penalty": 1,
            "frequency_penalty": 1,
            "max_tool_calls": 1,
            "reasoning": {"effort": CANARY},
            "previous_response_id": CANARY,
            "truncation": "auto",
        }.items()
    ),
    *(
        (MESSAGES, {name: value}, name)
        for name, value in {
            "n": 2,
            "presence_penalty": 1,
            "logprobs": True,
            "response_format": SCHEMA,
            "output_format": SCHEMA,
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "inference_geo": CANARY,
        }.items()
    ),
    (MESSAGES, {"output_config": {"format": SCHEMA}}, "output_config.format"),
    (MESSAGES, {"tools": [OWN_TOOL, SERVER_TOOL]}, "tools.1.type"),
    (
        MESSAGES,
        {"tools": [OWN_TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        "tool_choice.disable_parallel_tool_use",
    ),
    (RESPONSES, {"text": {"verbosity": "low"}}, "text.verbosity"),
    (CHAT, {"tools": CHAT_TOOLS, "parallel_tool_calls": False}, "parallel_tool_calls"),
    (CHAT, {"é" * 500: CANARY}, "é" * 64),
]

CHANGES_NOTHING: list[tuple[str, dict[str, Any]]] = [
    (
        CHAT,
        {
            "n": 1,
            "top_p": 1.0,
            "presence_penalty": 0,
            "frequency_penalty": 0.0,
            "logprobs": False,
            "stop": None,
            "logit_bias": None,
            "user": "somebody",
            "metadata": {"run": "1"},
            "store": False,
            "seed": 7,
            "safety_identifier": "somebody",
            "prompt_cache_key": "1",
            "service_tier": "auto",
            "parallel_tool_calls": True,
            "stream_options": {"include_usage": True, "include_obfuscation": False},
            "nobody_knows_it": None,
        },
    ),
    (CHAT, {"service_tier": "default", "modalities": ["text"], "tool_choice": None}),
    (
        RESPONSES,
        {
            "store": False,
            "include": [],
            "truncation": "disabled",
            "background": False,
            "reasoning": {},
            "text": {"format": {"type": "text"}, "verbosity": "medium"},
            "metadata": {},
            "parallel_tool_calls": True,
            "top_p": 1,
        },
    ),
    (
        MESSAGES,
        {
            "metadata": {"user_id": "somebody"},
            "service_tier": "auto",
            "stop_sequences": [],
            "top_p": None,
            "cache_control": {"type": "ephemeral"},
            "output_config": {},
        },
    ),
]


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=house.url, timeout=60) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "more", "named"), UNSERVED, ids=[f"{path} {name}" for path, _, name in UNSERVED]
)
async def test_a_field_that_would_change_the_answer_is_refused_by_its_name_and_starts_nothing(
    house: House, http: httpx2.AsyncClient, path: str, more: dict[str, Any], named: str
) -> None:
    account = house.account()
    refused = await http.post(path, json=BODIES[path] | more, headers=account.headers())
    error = refused.json()["error"]
    assert refused.status_code == 400
    assert error["message"].startswith(named)
    assert "is not served by Pointwork" in error["message"]
    if path != MESSAGES:
        assert error["param"].startswith(named)
    assert CANARY not in refused.text
    listed = await http.get("/v1/tasks", headers=account.headers())
    assert listed.json()["data"] == []


@pytest.mark.parametrize(("path", "more"), CHANGES_NOTHING)
async def test_a_field_that_says_what_holds_anyway_is_passed_over(
    house: House, http: httpx2.AsyncClient, path: str, more: dict[str, Any]
) -> None:
    said = house.account().headers(pointwork_sensitivity="public")
    answered = await http.post(path, json=BODIES[path] | more, headers=said)
    assert answered.status_code == 200, answered.text


@pytest.mark.parametrize(
    "choice", ["none", {"type": "function", "function": {"name": "find"}}], ids=["none", "named"]
)
async def test_one_call_at_a_time_may_be_asked_where_no_second_one_can_come(
    house: House, http: httpx2.AsyncClient, choice: Any
) -> None:
    """As LangChain asks for structured output of a function."""
    said = house.account().headers(pointwork_sensitivity="public")
    more = {"tools": CHAT_TOOLS, "tool_choice": choice, "parallel_tool_calls": False}
    asked = BODIES[CHAT] | more | {"model": "omega/high_stakes_logic"}
    assert (await http.post(CHAT, json=asked, headers=said)).status_code == 200
