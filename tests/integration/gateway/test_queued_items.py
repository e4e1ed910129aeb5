"""Items that their bulk run has not begun: on the lists, and not as tasks that run."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import uuid4

import httpx2
import pytest

from pointwork.contract.bulk import item_task_id
from pointwork.contract.identity import Role
from pointwork.contract.task import TaskRequest
from pointwork.ledger.bulk_runs import BulkBook, BulkDraft
from pointwork.ledger.vault import TaskDraft
from tests.integration.gateway.console.visitor import Visitor, words
from tests.integration.gateway.house import Account, House


@pytest.fixture
def account(house: House) -> Account:
    return house.account()


@pytest.fixture
async def http(house: House, account: Account) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(
        base_url=f"{house.url}/v1", headers=account.headers(), timeout=60
    ) as client:
        yield client


@pytest.fixture
def items(house: House, account: Account) -> tuple[str, ...]:
    """The tasks of a run of two, of which the first was handed out; no workflow begins them."""
    parts, now, run_id = house.stack.parts, datetime.now(UTC), f"run-{uuid4().hex[:8]}"
    book = BulkBook(parts.engine)
    book.begin(
        BulkDraft(
            run_id=run_id,
            caller=account.name,
            pack="omega",
            item_count=2,
            declared_sha256="d" * 64,
            in_flight_max=1,
            priority=5,
        ),
        now,
    )
    requests = []
    for item_id in ("first", "second"):
        task_id = item_task_id(run_id, item_id)
        draft = TaskDraft(task_id=task_id, caller=account.name, pack="omega", declarations={})
        accepted = parts.vault.accept(draft, [("prompt", b"hello", "text/plain")], now)
        requests.append(
            TaskRequest(
                task_id=task_id,
                caller=account.name,
                content=accepted.refs["prompt"],
                priority=5,
                submitted_at=now,
            )
        )
    book.add(run_id, [(at, f"i{at}", each) for at, each in enumerate(requests, 1)])
    book.finish_sealing(run_id, now)
    book.hand_out(run_id, 0, 1)
    return tuple(each.task_id for each in requests)


async def test_lists_tell_what_waits_in_a_bulk_run_from_what_runs(
    http: httpx2.AsyncClient, items: tuple[str, ...]
) -> None:
    async def listed(status: str) -> list[str]:
        found = (await http.get("/tasks", params={"status": status})).json()["data"]
        assert {each["status"] for each in found} <= {status}
        return [each["task_id"] for each in found]

    assert await listed("running") == [items[0]]
    assert await listed("queued") == [items[1]]


@pytest.mark.parametrize("number", [0, 1], ids=["handed to its run", "not yet handed out"])
@pytest.mark.parametrize("wait_seconds", [0, 0.2])
async def test_a_task_that_was_not_begun_is_found_and_says_what_it_waits_for(
    http: httpx2.AsyncClient, items: tuple[str, ...], number: int, wait_seconds: float
) -> None:
    found = (
        await http.get(f"/tasks/{items[number]}", params={"wait_seconds": wait_seconds})
    ).json()
    assert (found["status"], found["waits_for"]) == ("queued", "to be begun")
    assert found["is_final"] is False


async def test_a_task_that_waits_in_its_run_has_no_answer_and_is_not_said_to_run(
    http: httpx2.AsyncClient, items: tuple[str, ...]
) -> None:
    found = await http.get(f"/tasks/{items[1]}/answer")
    assert (found.status_code, found.json()["status"]) == (202, "queued")
    assert found.json()["text"] is None


async def test_a_task_that_was_not_begun_is_not_stopped_alone(
    http: httpx2.AsyncClient, items: tuple[str, ...]
) -> None:
    refused = await http.post(f"/tasks/{items[1]}/cancel")
    told = refused.json()["error"]
    assert (refused.status_code, told["code"]) == (409, "task_not_begun")
    assert "pointwork bulk cancel" in told["message"]


async def test_the_page_of_a_task_that_was_not_begun_offers_no_stop(
    house: House, items: tuple[str, ...]
) -> None:
    visitor = Visitor(house.gateway)
    await visitor.sign_in(house.person(Role.AUDITOR, Role.OWNER))
    page = await visitor.get(f"/tasks/{items[1]}")
    assert "queued" in words(page)
    assert "Stop task" not in words(page)
    listed = words(await visitor.get("/tasks?status=queued"))
    assert items[1] in listed
    assert items[0] not in listed
