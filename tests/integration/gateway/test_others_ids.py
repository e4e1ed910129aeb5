"""Somebody else's id on every route that takes one, for every kind of account (case 72).

The routes are the application's own, so that one that is added without a row here fails.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx2
import pytest
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from pointwork.contract.identity import IdentityKind, Role
from pointwork.contract.prompt import Prompt
from pointwork.gateway.app import build_app
from pointwork.ledger.identities import Identities
from tests.integration.gateway.console.visitor import Visitor
from tests.integration.gateway.house import Account, House

PERSONS = {
    "submitter": Role.SUBMITTER,
    "approver": Role.APPROVER,
    "auditor": Role.AUDITOR,
    "owner": Role.OWNER,
}
READ_RECORD = {"approver": 200, "auditor": 200, "owner": 200}
API: dict[str, dict[str, int]] = {
    "GET /v1/tasks/{task_id}": READ_RECORD | {"owning service": 200},
    "GET /v1/tasks/{task_id}/answer": {"approver": 202, "owner": 202, "owning service": 202},
    "GET /v1/tasks/{task_id}/decision": READ_RECORD | {"owning service": 200},
    "POST /internal/streams/{task_id}": {},
    "POST /v1/tasks/{task_id}/cancel": {"owner": 202},
}
"""Whom each route lets at a task of another, and with which status; nobody else finds it."""
CONSOLE: dict[str, dict[str, int]] = {
    "GET /console/tasks/{task_id}": READ_RECORD,
    "POST /console/tasks/{task_id}/text": {"approver": 200, "owner": 200},
    "POST /console/tasks/{task_id}/replay": READ_RECORD,
    "GET /console/inbox/{task_id}": READ_RECORD,
    "POST /console/inbox/{task_id}": {},
    "POST /console/tasks/{task_id}/cancel": {"owner": 303},
}
"""The same. An empty form names no approval; ``console/test_rights.py`` sends the whole one."""
OF_NOBODY: dict[str, str] = {
    "GET /v1/models/{name}": "a model of the catalogue",
    "GET /console/static/{digest}/{name}": "a file of the console",
    "GET /console/policies/{pack}": "test_policies_are_read_with_the_record",
    "GET /console/policies/{pack}/diff": "test_policies_are_read_with_the_record",
    "GET /console/policies/{pack}/rollback": "test_policies_are_read_with_the_record",
    "POST /console/policies/{pack}/rollback": "test_policies_are_read_with_the_record",
    "POST /console/policies/{pack}/overlay": "test_policies_are_read_with_the_record",
    "GET /console/audit/{sequence}": "test_overrides_incidents_and_the_chain_are_read",
    "GET /console/incidents/{incident_id}": "test_overrides_incidents_and_the_chain_are_read",
    "POST /console/incidents/{incident_id}": "test_overrides_incidents_and_the_chain_are_read",
    "GET /console/overrides/{override_id}": "test_overrides_incidents_and_the_chain_are_read",
    "POST /console/overrides/{override_id}/acknowledge": "test_overrides_incidents_and_the_chain",
    "POST /console/overrides/{override_id}/revoke": "test_overrides_incidents_and_the_chain",
    "POST /console/overrides/{override_id}/strike": "test_overrides_incidents_and_the_chain",
}
"""Ids that are no caller's, and the tests of ``console/test_rights.py`` that have their rights."""


def routes_with_ids(house: House) -> set[str]:
    app = build_app(house.gateway)
    (mount,) = (each for each in app.routes if isinstance(each, Mount))
    found = set()
    for prefix, routes in (("", app.routes), (mount.path, mount.app._app.routes)):  # type: ignore[attr-defined]
        for each in iter_route_contexts(routes):
            if "{" in (path := each.path_format or ""):
                found |= {f"{method} {prefix}{path}" for method in each.methods or ()}
    return found


@pytest.fixture
async def foreign(house: House) -> AsyncIterator[str]:
    """A task of somebody else, which waits for a person."""
    caller = house.account().name
    task = house.stack.declare(task_class="high_stakes_logic", sensitivity=None, caller=caller)
    await house.stack.client.submit(Prompt.from_text("Is it exact?"), task)
    await house.stack.open_approval(task.task_id)
    yield task.task_id
    await house.stack.client.cancel(task.task_id)


def test_every_route_that_takes_an_id_has_a_row(house: House) -> None:
    assert routes_with_ids(house) == {*API, *CONSOLE, *OF_NOBODY}


def accounts(house: House) -> dict[str, Account]:
    """One of each kind; what may end the task comes last."""
    made = {name: house.person(role) for name, role in PERSONS.items() if role is not Role.OWNER}
    made["service"] = house.account()
    made["owning service"] = house.account(Role.OWNER)
    made["group"] = house.account(Role.OWNER, kind=IdentityKind.GROUP)
    made["disabled"] = house.person(Role.OWNER)
    Identities(house.stack.parts.engine).disable(made["disabled"].name, "owner", datetime.now(UTC))
    return made | {"owner": house.person(Role.OWNER)}


async def test_a_key_finds_no_task_of_another_but_by_its_role(house: House, foreign: str) -> None:
    found = dict[tuple[str, str], int]()
    wanted = dict[tuple[str, str], int]()
    made = accounts(house)
    async with httpx2.AsyncClient(base_url=house.url, timeout=60) as http:
        for route, let_in in API.items():
            method, path = route.replace("{task_id}", foreign).split(" ")
            for name, account in made.items():
                answered = await http.request(method, path, headers=account.headers())
                found[route, name] = answered.status_code
                is_open = route.startswith("POST /internal")
                refused = 401 if name == "disabled" and not is_open else 404
                wanted[route, name] = let_in.get(name, refused)
    assert found == wanted


async def test_the_console_shows_no_task_of_another_but_by_the_role_of_who_signed_in(
    house: House, foreign: str
) -> None:
    found = dict[tuple[str, str], int]()
    wanted = dict[tuple[str, str], int]()
    visitors = {name: Visitor(house.gateway) for name in (*PERSONS, "nobody")}
    for name, role in PERSONS.items():
        await visitors[name].sign_in(house.person(role))
    for route, let_in in CONSOLE.items():
        method, path = route.replace("{task_id}", foreign).split(" /console")
        for name, visitor in visitors.items():
            if method == "GET":
                answered = await visitor.get(path)
            elif name == "nobody":
                answered = await visitor.post(path, csrf="x")
            else:
                answered = await visitor.act(path)
            found[route, name] = answered.status_code
            wanted[route, name] = let_in.get(name, 303 if name == "nobody" else 404)
    assert found == wanted


@pytest.mark.parametrize("kind", [IdentityKind.SERVICE, IdentityKind.GROUP])
async def test_no_account_but_a_persons_signs_in(house: House, kind: IdentityKind) -> None:
    visitor = Visitor(house.gateway)
    await visitor.sign_in(house.account(Role.OWNER, kind=kind))
    assert (await visitor.get("/tasks")).status_code == 303
