"""What a client may not say of its own request: who it is, where it goes, what it may cost.

LiteLLM took the address and the user of a call from the request's body (its issue 26996). Each case
here is served as if nothing had been said, or refused; caller, egress, model, limits and
sensitivity are those of the key and the pack (case 73).
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.integration.gateway.house import Account, House
from tests.scale import Scale

ELSEWHERE = "https://attacker.example/v1"
OTHER = "other-account"
ASK = {"role": "user", "content": "Tidy up this line."}
CHAT: dict[str, Any] = {"model": "omega/summarisation_formatting", "messages": [ASK]}
CHAT_PATH = "/v1/chat/completions"
PATHS: dict[str, dict[str, Any]] = {
    CHAT_PATH: CHAT,
    "/v1/messages": CHAT | {"max_tokens": 1024},
    "/v1/responses": {"model": CHAT["model"], "input": ASK["content"]},
}

SAID: dict[str, Any] = {
    "user": OTHER,
    "tenant": OTHER,
    "caller": OTHER,
    "team_id": OTHER,
    "user_api_key_user_id": OTHER,
    "task_id": "task-of-another",
    "roles": ["owner"],
    "is_admin": True,
    "sensitivity": "public",
    "privacy_tier": "any",
    "api_base": ELSEWHERE,
    "base_url": ELSEWHERE,
    "endpoint": ELSEWHERE,
    "proxy": ELSEWHERE,
    "api_key": "sk-canary",
    "headers": {"authorization": "Bearer sk-canary"},
    "extra_headers": {"x-canary": "sk-canary"},
    "organization": "org-canary",
    "custom_llm_provider": "openai",
    "model_list": [{"model_name": "auto", "litellm_params": {"api_base": ELSEWHERE}}],
    "fallbacks": [{"auto": ["gpt-5"]}],
    "max_budget": 10**9,
    "budget_duration": "1s",
    "spend": 0,
    "mock_response": "An answer of nobody.",
}
NESTED = (
    *("metadata", "extra_body", "litellm_params", "litellm_metadata"),
    *("provider", "router_settings", "optional_params"),
)


def with_all(place: str) -> dict[str, Any]:
    return {place: SAID | {"extra_body": SAID, "metadata": SAID}}


def twice(first: dict[str, Any], then: dict[str, Any]) -> str:
    """A JSON object whose keys stand in it two times."""
    return f"{json.dumps(first)[:-1]}, {json.dumps(then)[1:]}"


CASES: list[tuple[str, str, dict[str, str]]] = [
    *(
        (path, json.dumps(body | {name: value}), {})
        for path, body in PATHS.items()
        for name, value in SAID.items()
    ),
    *(
        (path, json.dumps(body | with_all(place)), {})
        for path, body in PATHS.items()
        for place in NESTED
    ),
    *((path, twice(SAID, body), {}) for path, body in PATHS.items()),
    *((path, twice(body, SAID), {}) for path, body in PATHS.items()),
    (CHAT_PATH, json.dumps(CHAT | {"messages": [ASK | SAID]}), {}),
    ("/v1/messages", json.dumps(PATHS["/v1/messages"] | {"messages": [ASK | SAID]}), {}),
    ("/v1/responses", json.dumps(PATHS["/v1/responses"] | {"input": [ASK | SAID]}), {}),
    (CHAT_PATH, twice(CHAT | {"pointwork": {"caller": OTHER}}, {"pointwork": {}}), {}),
    *(
        (CHAT_PATH, json.dumps(CHAT), {name: value})
        for name, value in {
            "x-api-key": "sk-canary",
            "api-key": "sk-canary",
            "x-user": OTHER,
            "x-forwarded-user": OTHER,
            "x-litellm-api-base": ELSEWHERE,
            "openai-organization": "org-canary",
            "x-forwarded-host": "attacker.example",
            "x-http-method-override": "DELETE",
        }.items()
    ),
    ("/v1/chat/completions?caller=other-account&api_key=sk-canary", json.dumps(CHAT), {}),
]
REFUSED: list[tuple[dict[str, Any], dict[str, str], int]] = [
    *(
        ({"pointwork": {name: SAID[name]}}, {}, 400)
        for name in SAID
        if name not in ("caller", "sensitivity", "privacy_tier")
    ),
    ({"pointwork": {"caller": OTHER}}, {}, 403),
    ({"pointwork": {"constraints": {"max_output_tokens": 9}}}, {}, 400),
    ({"pointwork": {"requested_model": "gpt-5"}}, {}, 400),
    ({"pointwork": [{"caller": OTHER}]}, {}, 400),
    ({}, {"pointwork-caller": OTHER}, 403),
    ({"pointwork": {"sensitivity": "public"}}, {"pointwork-sensitivity": "internal"}, 400),
]


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=house.url, timeout=60) as client:
        yield client


async def ask(
    http: httpx2.AsyncClient, account: Account, path: str, content: str, **headers: str
) -> httpx2.Response:
    sent = account.headers(content_type="application/json") | headers
    return await http.post(path, content=content, headers=sent)


async def recorded(house: House, answered: httpx2.Response, account: Account) -> dict[str, Any]:
    """Everything about a task that a client's request could have moved."""
    assert answered.status_code == 200, answered.text
    outcome = await house.stack.recorded(answered.headers["pointwork-task-id"])
    decision = house.gateway.outcomes.latest_decision(outcome.task_id)
    assert decision is not None
    assert outcome.caller == decision.input.request.caller == account.name
    (call,) = house.stack.script.calls[outcome.task_id]
    sent = call.request
    # The id, the times and the prompt's digest are each task's own.
    its_own = {"task_id", "caller", "content", "submitted_at"}
    told = f"{outcome.model_dump_json()}{decision.model_dump_json()}{call!r}"
    assert not [word for word in ("attacker", "canary", OTHER) if word in told]
    return {
        "request": decision.input.request.model_dump(mode="json", exclude=its_own),
        "served": (outcome.served_model, outcome.served_as, outcome.sensitivity),
        "attempts": [(each.model, each.state) for each in outcome.attempts],
        "money": (outcome.estimate_nano_usd, outcome.cost_nano_usd),
        "call": (call.endpoint, sent.model, sent.max_output_tokens, sent.temperature, sent.prompt),
    }


async def test_a_client_moves_nothing_of_its_task_by_what_it_says_besides(
    house: House, http: httpx2.AsyncClient, scale: Scale
) -> None:
    """In forty ways and more; a whole run has them on every surface. The tasks are those served."""
    cases = [each for each in CASES if scale.is_whole or each[0].startswith(CHAT_PATH)]
    assert len(cases) >= scale.of(100, 40)
    account, usual = house.account(), dict[str, Any]()
    for path, body in PATHS.items():
        plain = await ask(http, account, path, json.dumps(body))
        usual[path] = await recorded(house, plain, account)
    served = 0
    for path, content, headers in cases:
        answered = await ask(http, account, path, content, **headers)
        if answered.status_code == 400:
            # It may not be said at all, which is as good; no header is told so.
            assert not headers
            assert "is not served by Pointwork" in answered.text
            assert "canary" not in answered.text
            continue
        found = await recorded(house, answered, account)
        assert found == usual[path.partition("?")[0]], content
        served += 1
    assert served >= 10


async def test_what_a_declaration_has_no_place_for_is_refused_and_starts_nothing(
    house: House, http: httpx2.AsyncClient
) -> None:
    account = house.account()
    for more, headers, status in REFUSED:
        refused = await ask(http, account, CHAT_PATH, json.dumps(CHAT | more), **headers)
        assert refused.status_code == status, more
        assert "sk-canary" not in refused.text
    listed = await http.get("/v1/tasks", headers=account.headers())
    assert listed.json()["data"] == []
