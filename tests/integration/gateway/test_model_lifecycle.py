"""The life of a model is not ours: nothing over HTTP creates, promotes or retires one (SP-3).

The routes are the application's own, so that one that is added without a row here fails.
"""

from datetime import UTC, datetime

import httpx2
import pytest
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from pointwork.contract.identity import Role
from pointwork.gateway.app import build_app
from pointwork.rollback import Change, roll_back
from tests.integration.gateway.house import House
from tests.integration.gateway.test_policy_writes import PACK, TRIAGE, put

WRITES: dict[str, str] = {
    "POST /v1/chat/completions": "a task",
    "POST /v1/responses": "a task",
    "POST /v1/embeddings": "a task",
    "POST /v1/messages": "a task",
    "POST /v1/tasks": "a task",
    "POST /v1/tasks/{task_id}/cancel": "a task",
    "POST /api/routing/select": "nothing",
    "POST /api/routing/policies": "a routing policy over models that there are",
    "POST /console/codec/decode": "nothing",
    "POST /internal/streams/{task_id}": "an answer to who waits for it",
    "POST /console/budgets/limit": "a budget",
    "POST /console/budgets/resume": "a budget",
    "POST /console/budgets/seen": "an alert",
    "POST /console/costs/review": "a review of costs",
    "POST /console/inbox/{task_id}": "a verdict",
    "POST /console/incidents/{incident_id}": "an incident",
    "POST /console/overrides/{override_id}/acknowledge": "an override",
    "POST /console/overrides/{override_id}/revoke": "an override",
    "POST /console/overrides/{override_id}/strike": "an override",
    "POST /console/policies/{pack}/overlay": "the order of models within a pack",
    "POST /console/policies/{pack}/rollback": "which version of a pack decides",
    "POST /console/sign-in": "a session",
    "POST /console/sign-out": "a session",
    "POST /console/tasks/{task_id}/cancel": "a task",
    "POST /console/tasks/{task_id}/replay": "nothing",
    "POST /console/tasks/{task_id}/text": "that a text was read",
}
"""Every route that could change anything, and what it changes."""
READS = {"GET", "HEAD", "OPTIONS"}


def writing_routes(house: House) -> set[str]:
    app = build_app(house.gateway)
    (mount,) = (each for each in app.routes if isinstance(each, Mount))
    found = set()
    for prefix, routes in (("", app.routes), (mount.path, mount.app._app.routes)):  # type: ignore[attr-defined]
        for each in iter_route_contexts(routes):
            verbs = set(each.methods or ()) - READS
            found |= {f"{verb} {prefix}{each.path_format}" for verb in verbs}
    return found


def test_every_route_that_writes_has_a_row_and_none_writes_a_model(house: House) -> None:
    assert writing_routes(house) == WRITES.keys()


@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH", "DELETE"])
async def test_not_even_an_owner_may_write_where_models_are_read(house: House, verb: str) -> None:
    headers = house.person(Role.OWNER).headers()
    async with httpx2.AsyncClient(base_url=house.url, timeout=60) as http:
        listed = (await http.get("/v1/models", headers=headers)).json()["data"]
        for path in ("/v1/models", f"/v1/models/{listed[0]['id']}"):
            refused = await http.request(verb, path, json={}, headers=headers)
            assert refused.status_code == 405
        assert (await http.get("/v1/models", headers=headers)).json()["data"] == listed


async def test_a_policy_written_over_http_leaves_every_model_as_the_catalogue_has_it(
    house: House,
) -> None:
    policies, owner = house.gateway.policies, house.person(Role.OWNER)
    before = policies.now().active(PACK)
    async with httpx2.AsyncClient(base_url=house.url, timeout=60) as http:
        written = await put(http, owner, TRIAGE)
        assert written.status_code == 201, written.text
    after = policies.now().active(PACK)
    assert after.pack.version != before.pack.version
    assert after.models == before.models
    back = Change(
        pack=PACK,
        version=before.pack.version,
        by=owner.name,
        reason="the test is over",
        at=datetime.now(UTC),
    )
    roll_back(house.stack.parts.engine, policies, back)
