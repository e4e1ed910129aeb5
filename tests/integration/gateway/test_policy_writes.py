"""A routing policy written over HTTP: a revision that decides at once and can be gone back from."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from pointwork.contract.identity import IdentityKind, Role
from pointwork.ledger.activations import ActivationLog
from pointwork.ledger.policies import RevisionStore
from pointwork.policy.bundle import PolicyBundle
from pointwork.rollback import Change, roll_back
from tests.fakes.scripted_provider import Says
from tests.integration.gateway.console.visitor import Visitor, words
from tests.integration.gateway.house import Account, House

PACK = "juggernaut"
TRIAGE: dict[str, Any] = {
    "name": "triage",
    "description": "First look at an alert",
    "models": [
        {"provider": "anthropic", "model": "claude-3-haiku", "priority": 2},
        {"provider": "openai", "model": "gpt-4o-mini", "priority": 1},
    ],
    "max_cost_per_task": 0.02,
    "max_tokens": 800,
    "temperature": 0.1,
}
IMPACT = {
    "quality": "Rises.",
    "cost": "Falls.",
    "privacy": "Unchanged.",
    "reliability": "Unchanged.",
}
CHANGE = {
    "what": "A policy for alerts",
    "why": "Alerts need no research",
    "affects": "Tasks of the class triage",
    "expected_impact": IMPACT,
}


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    """The API; the pack decides by its deployed version again afterwards."""
    async with httpx2.AsyncClient(base_url=house.url, timeout=60) as client:
        yield client
    policies = house.gateway.policies
    deployed = policies.now().deployed(PACK)[-1]
    if policies.now().active(PACK).sha256 != deployed.sha256:
        owner = house.person(Role.OWNER)
        back = Change(
            pack=PACK,
            version=deployed.pack.version,
            by=owner.name,
            reason="the test is over",
            at=datetime.now(UTC),
        )
        roll_back(house.stack.parts.engine, policies, back)


async def put(
    http: httpx2.AsyncClient, account: Account, policy: dict[str, Any], pack: str = PACK
) -> httpx2.Response:
    body = {"policy": policy, **CHANGE}
    url = "/api/routing/policies"
    return await http.post(url, params={"pack": pack}, json=body, headers=account.headers())


async def listed(http: httpx2.AsyncClient, account: Account) -> dict[str, dict[str, Any]]:
    answered = await http.get("/api/routing/policies", headers=account.headers())
    return {each["name"]: each for each in answered.json()["policies"]}


@pytest.mark.req("JG-48")
async def test_a_new_name_creates_and_the_same_name_updates_and_each_write_is_a_revision(
    house: House, http: httpx2.AsyncClient
) -> None:
    owner = house.person(Role.OWNER)
    created = await put(http, owner, TRIAGE)
    assert created.status_code == 201, created.text
    first = await listed(http, owner)
    updated = await put(http, owner, TRIAGE | {"max_tokens": 900})
    assert updated.status_code == 200
    second = await listed(http, owner)

    assert (first["triage"]["max_tokens"], second["triage"]["max_tokens"]) == (800, 900)
    assert [each["model"] for each in second["triage"]["models"]] == [
        "gpt-4o-mini",
        "claude-3-haiku",
    ]
    assert second["triage"]["updated_at"] > first["triage"]["updated_at"]
    assert second["code"]["updated_at"] == first["code"]["updated_at"]
    store = RevisionStore(house.stack.parts.engine)
    for answer in (created.json(), updated.json()):
        text = store.find(answer["revision"])
        assert text is not None
        pack = PolicyBundle.model_validate_json(text).pack
        assert (pack.version, pack.supersedes) == (answer["version"], answer["supersedes"])
        assert pack.change.approver == owner.name
    assert updated.json()["supersedes"] == created.json()["version"]
    history = ActivationLog(house.stack.parts.engine).history(PACK)
    assert [each.policy.version for each in history[:2]] == [
        updated.json()["version"],
        created.json()["version"],
    ]


@pytest.mark.req("JG-48")
async def test_a_policy_decides_from_the_next_task_on(
    house: House, http: httpx2.AsyncClient
) -> None:
    written = (await put(http, house.person(Role.OWNER), TRIAGE)).json()
    account = house.account()
    key, task_id = house.scripted(account, Says("Looked at."))
    body = {
        "model": f"{PACK}/triage",
        "messages": [{"role": "user", "content": f"Look at {key}."}],
        "pointwork": {"sensitivity": "public"},
    }
    answered = await http.post(
        "/v1/chat/completions", json=body, headers=account.headers(idempotency_key=key)
    )
    assert answered.status_code == 200, answered.text
    outcome = await house.stack.recorded(task_id)
    assert outcome.served_model == "gpt-4o-mini"
    assert outcome.policy is not None
    assert outcome.policy.bundle_sha256 == written["revision"]


@pytest.mark.req("OM-84")
@pytest.mark.parametrize(
    "missing", ["what", "why", "affects", *(f"expected_impact.{each}" for each in IMPACT)]
)
async def test_a_change_that_leaves_out_one_of_seven_things_is_refused(
    house: House, http: httpx2.AsyncClient, missing: str
) -> None:
    body: dict[str, Any] = {"policy": TRIAGE, **CHANGE, "expected_impact": {**IMPACT}}
    where, _, field = missing.rpartition(".")
    del (body[where] if where else body)[field]
    before = house.gateway.policies.now().active(PACK).sha256
    refused = await http.post(
        "/api/routing/policies", json=body, headers=house.person(Role.OWNER).headers()
    )
    assert refused.status_code == 400
    assert missing in refused.json()["detail"]
    assert house.gateway.policies.now().active(PACK).sha256 == before


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"models": [{"provider": "openai", "model": "gpt-9", "priority": 1}]}, "gpt-9"),
        ({"models": [{"provider": "acme", "model": "gpt-4o", "priority": 1}]}, "made by"),
        ({"name": "no such/../name!"}, "classes"),
    ],
)
async def test_a_policy_that_cannot_be_one_of_the_pack_changes_nothing(
    house: House, http: httpx2.AsyncClient, change: dict[str, Any], what: str
) -> None:
    before = house.gateway.policies.now().active(PACK).sha256
    refused = await put(http, house.person(Role.OWNER), TRIAGE | change)
    assert refused.status_code == 400
    assert what in refused.json()["detail"]
    assert house.gateway.policies.now().active(PACK).sha256 == before


async def test_a_pack_with_a_change_control_of_its_own_takes_no_policy_over_http(
    house: House, http: httpx2.AsyncClient
) -> None:
    owner = house.person(Role.OWNER)
    for pack in ("omega", "codex", "socioprophet"):
        refused = await put(http, owner, TRIAGE, pack)
        assert refused.status_code == 409
        assert "changes by a new version of its document" in refused.json()["detail"]


async def test_no_program_and_no_person_but_an_owner_writes_a_policy(
    house: House, http: httpx2.AsyncClient
) -> None:
    others = [
        house.account(Role.OWNER, kind=IdentityKind.SERVICE),
        *(house.person(each) for each in Role if each is not Role.OWNER),
    ]
    for each in others:
        assert (await put(http, each, TRIAGE)).status_code == 403


async def test_the_deployed_version_decides_again_after_a_rollback(
    house: House, http: httpx2.AsyncClient
) -> None:
    owner = house.person(Role.OWNER)
    await put(http, owner, TRIAGE)
    policies = house.gateway.policies
    back = Change(
        pack=PACK, version="6.0.0", by=owner.name, reason="not needed", at=datetime.now(UTC)
    )
    roll_back(house.stack.parts.engine, policies, back)
    assert policies.now().active(PACK).pack.version == "6.0.0"
    assert "triage" not in await listed(http, owner)


async def test_the_console_shows_the_revision_that_decides(
    house: House, http: httpx2.AsyncClient
) -> None:
    owner = house.person(Role.OWNER)
    written = (await put(http, owner, TRIAGE)).json()
    visitor = Visitor(house.gateway)
    await visitor.sign_in(owner)
    for path in ("/policies", f"/policies/{PACK}", f"/policies/{PACK}/rollback?to=6.0.0"):
        page = await visitor.get(path)
        assert page.status_code == 200
        assert written["version"] in words(page)
    listed_packs = words(await visitor.get("/policies"))
    assert f"{written['version']} live revision of 6.0.0" in listed_packs
    assert "rolled back" not in listed_packs
