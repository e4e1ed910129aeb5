"""Who may do what in the console: every route that takes an id, for every role, own and other."""

from collections.abc import Awaitable, Callable

import pytest

from pointwork.contract.identity import Role
from pointwork.contract.prompt import Prompt
from tests.integration.gateway.console.visitor import Visitor
from tests.integration.gateway.house import House

Act = Callable[[Visitor, str], Awaitable[int]]
PEOPLE: dict[str, Role] = {
    "own": Role.SUBMITTER,
    "other": Role.SUBMITTER,
    "approver": Role.APPROVER,
    "auditor": Role.AUDITOR,
    "owner": Role.OWNER,
}


async def look(visitor: Visitor, task_id: str) -> int:
    return (await visitor.get(f"/tasks/{task_id}")).status_code


async def read_text(visitor: Visitor, task_id: str) -> int:
    return (await visitor.act(f"/tasks/{task_id}/text")).status_code


async def replay(visitor: Visitor, task_id: str) -> int:
    return (await visitor.act(f"/tasks/{task_id}/replay")).status_code


async def stop(visitor: Visitor, task_id: str) -> int:
    return (await visitor.act(f"/tasks/{task_id}/cancel")).status_code


async def look_at_approval(visitor: Visitor, task_id: str) -> int:
    return (await visitor.get(f"/inbox/{task_id}")).status_code


async def approve(visitor: Visitor, task_id: str) -> int:
    """With everything right but what the person may do."""
    request = visitor.gateway.approvals.open_of(task_id)
    assert request is not None
    fields = {
        "approval_id": request.approval_id,
        "request_sha256": request.request_sha256,
        "policy_sha256": request.policy_sha256,
        "ceiling_nano_usd": str(request.ceiling_nano_usd),
        "verdict": "approved",
        "reason": "Looked at it and agree.",
    }
    return (await visitor.act(f"/inbox/{task_id}", **fields)).status_code


TABLE: list[tuple[Act, dict[str, int]]] = [
    (look, {"own": 200, "other": 404, "approver": 200, "auditor": 200, "owner": 200}),
    (read_text, {"own": 200, "other": 404, "approver": 200, "auditor": 404, "owner": 200}),
    (replay, {"own": 200, "other": 404, "approver": 200, "auditor": 200, "owner": 200}),
    (stop, {"own": 303, "other": 404, "approver": 404, "auditor": 404, "owner": 303}),
    (look_at_approval, {"own": 200, "other": 404, "approver": 200, "auditor": 200, "owner": 200}),
    (approve, {"own": 403, "other": 404, "approver": 303, "auditor": 403, "owner": 303}),
]
CASES = [(act, who, status) for act, row in TABLE for who, status in row.items()]


@pytest.mark.parametrize(("act", "who", "status"), CASES)
async def test_each_route_is_open_to_whom_the_table_of_rights_says(
    house: House, act: Act, who: str, status: int
) -> None:
    person = house.person(PEOPLE[who])
    caller = person.name if who == "own" else house.account().name
    task = house.stack.declare(task_class="high_stakes_logic", sensitivity=None, caller=caller)
    visitor = Visitor(house.gateway)
    await visitor.sign_in(person)
    await house.stack.client.submit(Prompt.from_text("Is it exact?"), task)
    await house.stack.open_approval(task.task_id)
    assert await act(visitor, task.task_id) == status


async def test_the_lists_of_a_submitter_hold_their_own_tasks_alone(house: House) -> None:
    person, other = house.person(Role.SUBMITTER), house.account()
    tasks = [
        house.stack.declare(task_class="high_stakes_logic", sensitivity=None, caller=each.name)
        for each in (person, other)
    ]
    for task in tasks:
        await house.stack.client.submit(Prompt.from_text("Is it exact?"), task)
        await house.stack.open_approval(task.task_id)
    own, foreign = (task.task_id for task in tasks)
    visitor = Visitor(house.gateway)
    await visitor.sign_in(person)
    for path in ("/tasks", f"/tasks?caller={other.name}", "/inbox"):
        page = await visitor.get(path)
        assert foreign not in page.text
        assert own in page.text or "caller=" in path
    assert own in (await visitor.get(f"/tasks?status=pending_approval&q={own[:12]}")).text
    assert own not in (await visitor.get("/tasks?status=failed")).text


async def test_a_task_that_nobody_has_is_not_found_in_the_same_words(house: House) -> None:
    visitor = Visitor(house.gateway)
    await visitor.sign_in(house.person(Role.SUBMITTER))
    foreign = house.stack.declare(caller=house.account().name)
    await house.stack.run(foreign)
    pages = [await visitor.get(f"/tasks/{each}") for each in (foreign.task_id, "task-none")]
    said = [each.text.replace(foreign.task_id, "task-none") for each in pages]
    csrf = await visitor.csrf()
    assert {each.status_code for each in pages} == {404}
    assert said[0].replace(csrf, "") == said[1].replace(csrf, "")


OF_THE_RECORD = ("/budgets", "/budgets/one?pack=omega&period=day", "/performance", "/costs", "/gpu")
OF_OWNERS = ("/budgets/limit", "/budgets/resume", "/budgets/seen", "/costs/review")


@pytest.mark.parametrize("role", Role)
async def test_budgets_and_costs_are_read_with_the_record_and_changed_by_owners(
    house: House, role: Role
) -> None:
    """An owner is told what the empty form lacks; everybody else, that they may not."""
    visitor = Visitor(house.gateway)
    await visitor.sign_in(house.person(role))
    read = {path: (await visitor.get(path)).status_code for path in OF_THE_RECORD}
    sent = {path: (await visitor.act(path)).status_code for path in OF_OWNERS}
    assert {*read.values()} == {403 if role is Role.SUBMITTER else 200}
    assert {*sent.values()} == ({400, 404} if role is Role.OWNER else {403})


POLICY_PAGES = ("", "/omega", "/omega?version=1.0", "/omega/diff", "/omega/rollback?to=1.0")
POLICY_FORMS = {"/omega/rollback": 400, "/omega/overlay": 409}
"""What an owner is told of an empty form."""


@pytest.mark.parametrize("role", Role)
async def test_policies_are_read_with_the_record_and_changed_by_owners(
    house: House, role: Role
) -> None:
    visitor = Visitor(house.gateway)
    await visitor.sign_in(house.person(role))
    read = {path: (await visitor.get(f"/policies{path}")).status_code for path in POLICY_PAGES}
    sent = {path: (await visitor.act(f"/policies{path}")).status_code for path in POLICY_FORMS}
    assert {*read.values()} == {403 if role is Role.SUBMITTER else 200}
    assert sent == (POLICY_FORMS if role is Role.OWNER else dict.fromkeys(POLICY_FORMS, 403))


RECORD_PAGES = ("/overrides", "/incidents", "/audit", "/audit/1", "/audit/verify")
NO_SUCH_OVERRIDE, NO_SUCH_INCIDENT = "/overrides/override-0", "/incidents/none/task-0"
RECORD_FORMS = {
    f"{NO_SUCH_OVERRIDE}/acknowledge": {Role.APPROVER, Role.OWNER},
    f"{NO_SUCH_OVERRIDE}/revoke": {Role.OWNER},
    f"{NO_SUCH_OVERRIDE}/strike": {Role.OWNER},
    NO_SUCH_INCIDENT: {Role.OWNER},
}
"""Who gets past the right, and is told that there is nothing of this name."""


@pytest.mark.parametrize("role", Role)
async def test_overrides_incidents_and_the_chain_are_read_with_the_record(
    house: House, role: Role
) -> None:
    """An override is acknowledged by whoever approves; owners alone end one or take a step."""
    visitor = Visitor(house.gateway)
    await visitor.sign_in(house.person(role))
    read = {path: (await visitor.get(path)).status_code for path in RECORD_PAGES}
    sent = {path: (await visitor.act(path)).status_code for path in RECORD_FORMS}
    assert {*read.values()} == {403 if role is Role.SUBMITTER else 200}
    assert sent == {path: 404 if role in may else 403 for path, may in RECORD_FORMS.items()}
    assert (await visitor.get(NO_SUCH_OVERRIDE)).status_code == 404
    missing = (await visitor.get(NO_SUCH_INCIDENT)).status_code
    assert missing == (403 if role is Role.SUBMITTER else 404)
