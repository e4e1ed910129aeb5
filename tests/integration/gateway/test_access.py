"""Who may ask what: every route that takes an id, for each role, over own and others' tasks."""

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from pointwork.contract.identity import IdentityKind, Role
from pointwork.gateway.access import Callers
from pointwork.gateway.declaring import task_id_of
from pointwork.gateway.limits import CallLimits, Limits
from pointwork.gateway.problems import ProblemError
from pointwork.ledger.access_keys import AccessKeys
from pointwork.ledger.identities import Identities
from tests.integration.gateway.house import Account, House

CHAT = {
    "model": "omega/summarisation_formatting",
    "messages": [{"role": "user", "content": "Tidy up this line."}],
    "pointwork": {"sensitivity": "public"},
}


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=house.url, timeout=60) as client:
        yield client


def submission(account: Account, **changed: Any) -> dict[str, Any]:
    """The body of ``POST /v1/tasks``."""
    task = {"task_id": uuid4().hex, "caller": account.name, "sensitivity": "public"}
    prompt = {"turns": [{"speaker": "user", "parts": [{"kind": "text", "text": "Tidy up."}]}]}
    stated = {"task_class": "summarisation_formatting"} | changed
    return {"task": task | stated, "prompt": prompt}


async def task_of(house: House, http: httpx2.AsyncClient, account: Account) -> str:
    answered = await http.post("/v1/chat/completions", json=CHAT, headers=account.headers())
    task_id = str(answered.headers["pointwork-task-id"])
    await house.stack.recorded(task_id)
    return task_id


@pytest.mark.parametrize(
    ("headers", "what"),
    [
        ({}, "is missing"),
        ({"authorization": "Basic b3duZXI6eA=="}, "is missing"),
        ({"authorization": "Bearer pwk_0123456789ab_secret"}, "is not one"),
        ({"x-api-key": "sk-something"}, "is not one"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/models", "/v1/tasks", "/v1/tasks/some-task"])
async def test_without_a_key_that_opens_something_nothing_is_said(
    http: httpx2.AsyncClient, path: str, headers: dict[str, str], what: str
) -> None:
    answered = await http.get(path, headers=headers)
    assert (answered.status_code, answered.headers["www-authenticate"]) == (401, "Bearer")
    assert what in answered.json()["error"]["message"]


async def test_no_task_is_submitted_without_a_key(house: House, http: httpx2.AsyncClient) -> None:
    account = house.account()
    refused = await http.post("/v1/tasks", json=submission(account))
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert (await http.get("/v1/tasks", headers=account.headers())).json()["data"] == []


async def test_no_route_reads_a_body_without_a_key(house: House, http: httpx2.AsyncClient) -> None:
    """What is sent is no JSON, which a route that reads it would say."""
    paths = (await http.get("/openapi.json")).json()["paths"]
    written = [
        (method, re.sub(r"{.*?}", "some-id", path))
        for path, operations in paths.items()
        for method, operation in operations.items()
        if "requestBody" in operation
    ]
    assert len(written) >= 6
    for method, path in written:
        headers = {"content-type": "application/json"}
        refused = await http.request(method, path, content=b"{", headers=headers)
        assert refused.status_code == 401, path
        headers |= house.account().headers()
        assert (await http.request(method, path, content=b"{", headers=headers)).status_code == 400


@pytest.mark.req("DC-23")
async def test_a_task_is_accepted_at_once_and_a_wait_for_it_returns_how_it_ended(
    house: House, http: httpx2.AsyncClient
) -> None:
    account = house.account()
    body = submission(account)
    taken = await http.post("/v1/tasks", json=body, headers=account.headers())
    task_id = task_id_of(account.name, body["task"]["task_id"])
    assert (taken.status_code, taken.json()["id"]) == (202, task_id)
    assert taken.headers["location"] == f"/v1/tasks/{task_id}"
    held = await http.get(f"{taken.headers['location']}?wait_seconds=60", headers=account.headers())
    assert (held.json()["is_final"], held.json()["status"]) == (True, "succeeded")
    again = await http.post("/v1/tasks", json=body, headers=account.headers())
    assert again.json() == taken.json()
    assert len(house.stack.script.calls[task_id]) == 1


async def test_what_a_task_leaves_out_has_the_gateways_defaults(
    house: House, http: httpx2.AsyncClient
) -> None:
    account = house.account()
    headers = account.headers(pointwork_class="summarisation_formatting")
    body = submission(account)
    del body["task"]["task_class"]
    taken = await http.post("/v1/tasks", json=body, headers=headers)
    await house.stack.recorded(taken.json()["id"])
    record = house.gateway.outcomes.latest_decision(taken.json()["id"])
    assert record is not None
    request, defaults = record.input.request, house.gateway.options.defaults
    assert (request.pack, request.task_class) == (defaults.pack, "summarisation_formatting")
    assert request.constraints.max_output_tokens == defaults.max_output_tokens


@pytest.mark.parametrize(
    ("headers", "changed", "code"),
    [
        ({"pointwork_class": "high_stakes_logic"}, {}, "said_twice"),
        ({"idempotency_key": "another"}, {}, "said_twice"),
        ({"pointwork_wait_seconds": "5"}, {}, "not_served"),
        ({"pointwork_sensitivity": "loud"}, {"sensitivity": "loud"}, "invalid_request"),
        ({"pointwork_worker": "no name!"}, {}, "invalid_declaration"),
        ({}, {"task_class": "no_such_class"}, "unknown_class"),
        ({}, {"pack": "no_such_pack"}, "unknown_pack"),
        ({}, {"requested_model": "no-such-model"}, "model_not_found"),
        ({}, {"temperature": 0.5}, "invalid_request"),
        ({}, {"description": "two\nlines"}, "invalid_request"),
    ],
)
async def test_a_task_that_contradicts_itself_or_the_packs_is_refused_and_not_recorded(
    house: House,
    http: httpx2.AsyncClient,
    headers: dict[str, str],
    changed: dict[str, Any],
    code: str,
) -> None:
    account = house.account()
    body = submission(account, **changed)
    refused = await http.post("/v1/tasks", json=body, headers=account.headers(**headers))
    assert (refused.status_code, refused.json()["error"]["code"]) == (
        404 if code == "model_not_found" else 400,
        code,
    )
    assert (await http.get("/v1/tasks", headers=account.headers())).json()["data"] == []


@pytest.mark.parametrize("where", ["Tidy up.", "T"], ids=["prompt", "answer_schema"])
async def test_half_of_a_surrogate_pair_is_refused_as_no_text(
    house: House, http: httpx2.AsyncClient, where: str
) -> None:
    account = house.account()
    body = json.dumps(submission(account) | {"answer_schema": {"title": "T"}})
    body = body.replace(f'"{where}"', r'"\ud800"')
    headers = account.headers(content_type="application/json")
    refused = await http.post("/v1/tasks", content=body, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "task_refused")
    assert "surrogate pair" in refused.json()["error"]["message"]


async def test_a_wait_ends_when_a_person_is_asked_unless_it_is_for_them(
    house: House, http: httpx2.AsyncClient
) -> None:
    account = house.account()
    body = submission(account, task_class="high_stakes_logic", sensitivity=None)
    taken = await http.post("/v1/tasks", json=body, headers=account.headers())
    url, headers = taken.headers["location"], account.headers()
    held = (await http.get(f"{url}?wait_seconds=600", headers=headers)).json()
    assert (held["is_final"], held["status"]) == (False, "pending_approval")
    assert held["approval"]["task_id"] == taken.json()["id"]
    for_person = f"{url}?wait_seconds=0.01&for_person=true"
    assert (await http.get(for_person, headers=headers)).json()["is_final"] is False
    too_long = await http.get(f"{url}?wait_seconds=3601", headers=headers)
    assert (too_long.status_code, too_long.json()["error"]["param"]) == (400, "query.wait_seconds")
    await http.post(f"{url}/cancel", headers=headers)
    ended = (await http.get(f"{url}?wait_seconds=60", headers=headers)).json()
    assert (ended["is_final"], ended["status"]) == (True, "cancelled")


@pytest.mark.parametrize(
    ("roles", "kind", "others", "answers"),
    [
        ((Role.SUBMITTER,), IdentityKind.SERVICE, 404, 404),
        ((Role.SUBMITTER,), IdentityKind.PERSON, 404, 404),
        ((Role.AUDITOR,), IdentityKind.PERSON, 200, 404),
        ((Role.APPROVER,), IdentityKind.PERSON, 200, 200),
        ((Role.OWNER,), IdentityKind.PERSON, 200, 200),
        ((Role.OWNER,), IdentityKind.SERVICE, 200, 200),
    ],
)
async def test_others_tasks_are_seen_by_role_and_are_not_found_otherwise(
    house: House,
    http: httpx2.AsyncClient,
    roles: tuple[Role, ...],
    kind: IdentityKind,
    others: int,
    answers: int,
) -> None:
    task_id = await task_of(house, http, house.account())
    headers = house.account(*roles, kind=kind).headers()
    assert (await http.get(f"/v1/tasks/{task_id}", headers=headers)).status_code == others
    seen = await http.get(f"/v1/tasks/{task_id}/answer", headers=headers)
    assert seen.status_code == answers
    decided = await http.get(f"/v1/tasks/{task_id}/decision", headers=headers)
    assert decided.status_code == others
    held = await http.get(f"/v1/tasks/{task_id}?wait_seconds=9", headers=headers)
    assert held.status_code == others
    listed = (await http.get("/v1/tasks", headers=headers)).json()["data"]
    assert (task_id in [each["task_id"] for each in listed]) is (others == 200)
    if others == 404:
        unknown = await http.get("/v1/tasks/no-such-task", headers=headers)
        seen = await http.get(f"/v1/tasks/{task_id}", headers=headers)
        assert unknown.text.replace("no-such-task", task_id) == seen.text


async def test_ones_own_tasks_are_seen_with_their_answers(
    house: House, http: httpx2.AsyncClient
) -> None:
    account = house.account()
    task_id = await task_of(house, http, account)
    seen = (await http.get(f"/v1/tasks/{task_id}", headers=account.headers())).json()
    assert (seen["caller"], seen["status"], seen["is_final"]) == (account.name, "succeeded", True)
    answer = (await http.get(f"/v1/tasks/{task_id}/answer", headers=account.headers())).json()
    assert answer["text"] == "A plain answer."


async def test_only_who_submitted_a_task_or_an_owner_ends_it(
    house: House, http: httpx2.AsyncClient
) -> None:
    account = house.account()
    asking = {**CHAT, "model": "omega/high_stakes_logic", "pointwork": {}}
    waiting = await http.post("/v1/chat/completions", json=asking, headers=account.headers())
    assert waiting.status_code == 202
    task_id = waiting.json()["pointwork"]["task_id"]
    cancel = f"/v1/tasks/{task_id}/cancel"
    approver = house.person(Role.APPROVER).headers()
    assert (await http.post(cancel, headers=approver)).status_code == 404
    assert (await http.post(cancel, headers=account.headers())).status_code == 202
    outcome = await house.stack.recorded(task_id)
    assert outcome.status == "cancelled"


@pytest.mark.parametrize("roles", [(Role.AUDITOR,), (Role.APPROVER,)])
async def test_who_only_reads_or_approves_submits_nothing(
    house: House, http: httpx2.AsyncClient, roles: tuple[Role, ...]
) -> None:
    account = house.person(*roles)
    for path, body in (("/v1/chat/completions", CHAT), ("/v1/tasks", submission(account))):
        answered = await http.post(path, json=body, headers=account.headers())
        assert (answered.status_code, answered.json()["error"]["code"]) == (403, "not_permitted")
    listed = (await http.get("/v1/tasks", headers=account.headers())).json()["data"]
    assert account.name not in [each["caller"] for each in listed]


async def test_a_key_opens_nothing_from_the_moment_it_is_revoked_or_its_holder_disabled(
    house: House, http: httpx2.AsyncClient
) -> None:
    engine, now = house.stack.parts.engine, datetime.now(UTC)
    revoked, disabled = house.account(), house.account()
    for account in (revoked, disabled):
        assert (await http.get("/v1/models", headers=account.headers())).status_code == 200
    AccessKeys(engine).revoke(revoked.token.split("_")[1], "owner", now)
    Identities(engine).disable(disabled.name, "owner", now)
    for account in (revoked, disabled):
        assert (await http.get("/v1/models", headers=account.headers())).status_code == 401


def test_a_known_key_is_not_hashed_anew_and_a_changed_secret_is(house: House) -> None:
    account, now = house.account(), datetime.now(UTC)
    callers = Callers(AccessKeys(house.stack.parts.engine))
    assert callers.holder(account.token, now) == account.identity
    assert callers.holder(account.token, now) == account.identity
    assert callers.holder(account.token + "x", now) is None
    assert callers.holder(account.token[:-1], now) is None


async def test_keys_that_begin_with_the_same_forty_characters_are_of_two_accounts(
    house: House, http: httpx2.AsyncClient
) -> None:
    """LiteLLM kept identities by a part of the token (CVE-2026-35030; case 75)."""
    engine, same = house.stack.parts.engine, "a" * 40
    accounts = [house.account(), house.account()]
    tokens = list[str]()
    for number, account in enumerate(accounts):
        _, key_id, secret = account.token.split("_", 2)
        renamed = f"UPDATE access_key SET key_id = '{same}{number}' WHERE key_id = '{key_id}'"
        with engine.begin() as connection:
            assert connection.exec_driver_sql(renamed).rowcount == 1
        tokens.append(f"pwk_{same}{number}_{secret}")
    assert tokens[0][:40] == tokens[1][:40]
    for token, account in 2 * [*zip(tokens, accounts, strict=True)]:
        headers = {"authorization": f"Bearer {token}"}
        answered = await http.post("/v1/chat/completions", json=CHAT, headers=headers)
        outcome = await house.stack.recorded(answered.headers["pointwork-task-id"])
        assert outcome.caller == account.name
    # Nor does the secret of one open what the other's id names, both being known by now.
    crossed = f"pwk_{same}0_{tokens[1].split('_', 2)[2]}"
    for token in (crossed, tokens[0][:-1], f"{tokens[0]}x", tokens[0].swapcase()):
        headers = {"authorization": f"Bearer {token}"}
        assert (await http.get("/v1/models", headers=headers)).status_code == 401


async def test_anothers_budget_is_spent_only_by_who_belongs_to_it(
    house: House, http: httpx2.AsyncClient
) -> None:
    group = house.account(kind=IdentityKind.GROUP)
    member, stranger = house.account(belongs_to=(group.name,)), house.account()
    body = {**CHAT, "pointwork": {"sensitivity": "public", "caller": group.name}}
    answered = await http.post("/v1/chat/completions", json=body, headers=member.headers())
    outcome = await house.stack.recorded(answered.headers["pointwork-task-id"])
    assert outcome.caller == group.name
    seen = await http.get(f"/v1/tasks/{outcome.task_id}", headers=member.headers())
    assert seen.status_code == 200
    refused = await http.post("/v1/chat/completions", json=body, headers=stranger.headers())
    assert (refused.status_code, refused.json()["error"]["param"]) == (403, "caller")


async def test_a_rate_is_kept_for_each_key_and_refills_with_time() -> None:
    now = [0.0]
    limits = CallLimits(Limits(requests_a_second=2, burst=2), lambda: now[0])

    async def ask(holder: str) -> None:
        async with limits.one(holder):
            pass

    await ask("ada")
    await ask("ada")
    with pytest.raises(ProblemError, match="more than 2 requests a second") as refused:
        await ask("ada")
    assert (refused.value.status, refused.value.headers["retry-after"]) == (429, "1")
    await ask("bob")
    now[0] = 0.5
    await ask("ada")
    with pytest.raises(ProblemError, match="slow down"):
        await ask("ada")


async def test_no_more_requests_are_in_flight_than_one_key_may_have() -> None:
    limits = CallLimits(Limits(in_flight_max=1))
    async with limits.one("ada"):
        with pytest.raises(ProblemError, match="1 requests in flight"):
            async with limits.one("ada"):
                raise AssertionError
        async with limits.one("bob"):
            pass
    async with limits.one("ada"):
        pass


@pytest.mark.parametrize("is_declared", [True, False])
async def test_a_body_past_the_limit_is_refused_before_it_is_read_whole(
    house: House, http: httpx2.AsyncClient, is_declared: bool
) -> None:
    size = house.gateway.options.limits.body_bytes_max + 1

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(0, size, 65_536):
            yield b"x" * 65_536

    content = b"x" * size if is_declared else pieces()
    answered = await http.post(
        "/v1/chat/completions", content=content, headers=house.account().headers()
    )
    assert (answered.status_code, answered.json()["error"]["code"]) == (413, "body_too_large")
