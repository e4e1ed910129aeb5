"""A body that is not what its API takes: refused with the place, never a server's error."""

import gzip
import json
from typing import Any

import httpx2
import pytest

from tests.integration.gateway.house import House

CANARY = "orris-canary"
USER: dict[str, Any] = {"role": "user", "content": CANARY}
CHAT: dict[str, Any] = {"model": "auto", "messages": [USER]}
RESPONSE: dict[str, Any] = {"model": "auto", "input": CANARY}
MESSAGE: dict[str, Any] = {"model": "auto", "max_tokens": 5, "messages": [USER]}
PUBLIC = {"sensitivity": "public"}
TOOL = {"type": "function", "function": {"name": "find", "parameters": {}}}


def chat(**changed: Any) -> tuple[str, dict[str, Any]]:
    return "/v1/chat/completions", CHAT | changed


def response(**changed: Any) -> tuple[str, dict[str, Any]]:
    return "/v1/responses", RESPONSE | changed


def message(**changed: Any) -> tuple[str, dict[str, Any]]:
    return "/v1/messages", MESSAGE | changed


def said(*content: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(content)}]


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        (chat(messages=[]), "messages"),
        (chat(messages=[USER | {"role": "nobody"}]), "messages.0.role"),
        (chat(messages=[USER, {"role": "tool", "content": CANARY}]), "messages.1.tool_call_id"),
        (chat(tools=[TOOL], tool_choice={"type": "function", "function": CANARY}), "tool_choice"),
        (chat(tools=[TOOL], tool_choice={"type": CANARY}), "tool_choice"),
        (chat(messages=said({"type": "image_url", "image_url": {}})), "messages.0.content.0"),
        (response(input=[]), "messages"),
        (response(input=[{"role": "nobody", "content": CANARY}]), "input.0.role"),
        (response(input=[{"role": "user", "content": 5}]), "input.0.content"),
        (response(input=[{"type": "function_call", "name": CANARY}]), "input.0.tool_calls.0.id"),
        (response(input=[{"type": "function_call_output", "output": CANARY}]), "tool_call_id"),
        (response(input=[{"type": "reasoning"}]), "input.0.type"),
        (response(instructions=5), "instructions"),
        (response(tool_choice={"name": 5}), "tool_choice"),
        (message(messages=said({"type": "tool_use", "input": {}})), "messages.0.tool_calls.0.id"),
        (message(messages=said({"type": "tool_result", "content": CANARY})), "tool_call_id"),
        (message(messages=said({"type": "image", "source": {}})), "messages.0.content.0.source"),
        (message(system=[{"type": "image"}]), "system"),
        (message(tool_choice={"type": CANARY}), "tool_choice"),
    ],
)
async def test_a_body_that_is_none_is_a_400_that_names_the_place_and_starts_nothing(
    house: House, asked: tuple[str, dict[str, Any]], place: str
) -> None:
    account = house.account()
    path, body = asked
    async with httpx2.AsyncClient(
        base_url=house.url, headers=account.headers(), timeout=60
    ) as http:
        refused = await http.post(path, json=body)
        listed = await http.get("/v1/tasks")
    assert refused.status_code == 400
    assert place in refused.json()["error"]["message"]
    assert CANARY not in refused.text
    assert listed.json()["data"] == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/chat/completions", "invalid_request_error"),
        ("/v1/messages", "request_too_large"),
        ("/router/select", "urn:pointwork:problem:body_too_large"),
    ],
)
async def test_a_body_past_the_limit_is_refused_in_the_form_of_its_surface(
    house: House, path: str, kind: str
) -> None:
    content = b"x" * (house.gateway.options.limits.body_bytes_max + 1)
    async with httpx2.AsyncClient(base_url=house.url, timeout=60) as http:
        refused = await http.post(path, content=content, headers=house.account().headers())
    body = refused.json()
    assert refused.status_code == 413
    assert (body.get("error") or body)["type"] == kind


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([("pointwork-sensitivty", "restricted")], "unknown_header"),
        ([("pointwork-sensitivity", each) for each in ("public", "restricted")], "said_twice"),
        ([("pointwork-class", each) for each in ("normal", "high_stakes_logic")], "said_twice"),
        ([("idempotency-key", each) for each in ("first", "second")], "said_twice"),
        ([("pointwork-justification", "Köln".encode("latin-1"))], "invalid_header"),
    ],
)
async def test_a_header_that_is_unknown_said_twice_or_no_text_starts_nothing(
    house: House, headers: list[tuple[str, str | bytes]], code: str
) -> None:
    """A misspelt sensitivity that is passed over would let text out."""
    account = house.account()
    sent = [*account.headers().items(), *headers]
    given = [(name.encode(), _bytes(value)) for name, value in sent]
    async with httpx2.AsyncClient(base_url=house.url, timeout=60) as http:
        refused = await http.post("/v1/chat/completions", json=CHAT, headers=given)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, code)
        assert refused.json()["error"]["param"] == headers[0][0]
        listed = (await http.get("/v1/tasks", headers=account.headers())).json()
    assert listed["data"] == []


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


async def test_a_header_may_say_what_no_ascii_can(house: House) -> None:
    account, said = house.account(), "Köln braucht es: grüße aus Köln"
    sent = [*account.headers().items(), ("pointwork-justification", said)]
    headers = [(name.encode(), _bytes(value)) for name, value in sent]
    asked = CHAT | {"model": "omega/summarisation_formatting", "pointwork": PUBLIC}
    async with httpx2.AsyncClient(base_url=house.url, timeout=60) as http:
        answered = await http.post("/v1/chat/completions", json=asked, headers=headers)
    task_id = answered.headers["pointwork-task-id"]
    await house.stack.recorded(task_id)
    record = house.gateway.outcomes.latest_decision(task_id)
    assert record is not None
    assert record.input.request.justification == said


JSON = "application/json"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/tasks", "/api/routing/select"])
@pytest.mark.parametrize(
    ("headers", "content", "status", "said"),
    [
        ({}, b'{"model": "auto"}', 415, "send `content-type: application/json`"),
        ({"content-type": "text/plain"}, b"{}", 415, "send `content-type: application/json`"),
        (
            {"content-type": "application/x-www-form-urlencoded"},
            b"{}",
            415,
            "send `content-type: application/json`",
        ),
        ({"content-type": JSON}, b'{"model": auto}', 400, "the body is no JSON at character 10"),
        ({"content-type": JSON}, b'{"model": "\xff"}', 400, "the body is no JSON in UTF-8"),
        ({"content-type": JSON}, b"", 400, "the body is missing; send a JSON object"),
        (
            {"content-type": JSON, "content-encoding": "gzip"},
            gzip.compress(json.dumps(CHAT).encode()),
            400,
            "compressed bodies are not unpacked",
        ),
    ],
)
async def test_a_body_that_is_no_json_is_told_what_to_send_instead(
    house: House, path: str, headers: dict[str, str], content: bytes, status: int, said: str
) -> None:
    sent = house.account().headers() | headers
    async with httpx2.AsyncClient(base_url=house.url, timeout=60) as http:
        refused = await http.post(path, content=content, headers=sent)
    body = refused.json()
    detail, param = (
        (body["error"]["message"], body["error"]["param"])
        if "error" in body
        else (body["detail"], body.get("param"))
    )
    assert (refused.status_code, said in detail) == (status, True), detail
    assert param in (None, "content-type", "content-encoding")
