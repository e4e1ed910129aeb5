"""The page of one task, and the lists that stay up to date by themselves."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.identity import Role
from pointwork.gateway.console.live import Feed
from pointwork.gateway.problems import ProblemError
from pointwork.ledger.audit import AuditChain
from pointwork.ledger.task_list import TaskEntry
from tests.fakes.scripted_provider import Fails, Says
from tests.integration.gateway.console.visitor import Visitor, words
from tests.integration.gateway.house import House


async def visiting(house: House, *roles: Role) -> Visitor:
    visitor = Visitor(house.gateway)
    await visitor.sign_in(house.person(*roles))
    return visitor


async def test_every_model_that_was_not_chosen_stands_with_its_code_and_its_sentence(
    house: House,
) -> None:
    visitor = await visiting(house, Role.AUDITOR)
    outcome = await house.stack.run(house.stack.declare())
    (record,) = house.stack.outcomes.decisions(outcome.task_id)
    page = words(await visitor.get(f"/tasks/{outcome.task_id}"))
    assert f"{record.plan.candidates[0].model} chosen" in page
    assert record.plan.rejected
    for each in record.plan.rejected:
        assert f"{each.model} refused {each.reason} {each.reason.sentence[:-1]}" in page


async def test_attempts_money_moves_and_the_chain_stand_on_the_page(house: House) -> None:
    visitor = await visiting(house, Role.AUDITOR)
    task = house.stack.declare(task_class="high_stakes_logic")
    house.stack.script.write(task.task_id, Fails(ProviderFailureKind.INVALID_REQUEST), Says("Yes."))
    outcome = await house.stack.run(task)
    page = words(await visitor.get(f"/tasks/{task.task_id}"))
    for each in outcome.attempts:
        assert f"attempt {each.number} planned" in page
    assert "attempt 1 failed" in page
    assert "invalid request" in page
    assert "hold reserved" in page
    assert "hold extended" in page
    assert f"number {outcome.audit_sequence}" in page
    assert "fallback sideways, outage" in page


async def test_a_replay_in_the_console_makes_the_same_bytes(house: House) -> None:
    visitor = await visiting(house, Role.AUDITOR)
    outcome = await house.stack.run(house.stack.declare())
    page = words(await visitor.act(f"/tasks/{outcome.task_id}/replay"))
    assert "Remade 1 of 1 decisions from their stored inputs: the same bytes." in page


async def test_text_is_shown_on_demand_and_whose_it_is_not_leaves_a_record(house: House) -> None:
    visitor, caller = await visiting(house, Role.APPROVER), house.person(Role.SUBMITTER)
    own = Visitor(house.gateway)
    await own.sign_in(caller)
    task = house.stack.declare(caller=caller.name)
    house.stack.script.write(task.task_id, Says("A tidy line."))
    await house.stack.run(task, "An untidy line.")
    assert "untidy" not in (await visitor.get(f"/tasks/{task.task_id}")).text
    for reader in (own, visitor):
        page = words(await reader.act(f"/tasks/{task.task_id}/text"))
        assert "An untidy line." in page
        assert "A tidy line." in page
    chain = AuditChain(house.gateway.engine)
    shown = [
        each
        for each in chain.records(100_000)
        if each.kind == "content_shown" and each.task_id == task.task_id
    ]
    assert len(shown) == 1
    assert "tidy" not in json.dumps(shown[0].body)
    assert chain.verify().holds


async def test_a_page_of_the_list_ends_where_the_next_begins(house: House) -> None:
    visitor, caller = await visiting(house, Role.AUDITOR), house.account()
    tasks = [house.stack.declare(caller=caller.name) for _ in range(3)]
    for task in tasks:
        await house.stack.run(task)
    page = await visitor.get(f"/tasks?caller={caller.name}")
    assert [task.task_id in page.text for task in tasks] == [True] * 3
    assert page.text.index(tasks[2].task_id) < page.text.index(tasks[0].task_id)
    wrong = await visitor.get("/tasks?cursor=nonsense")
    assert (wrong.status_code, "cursor is none" in words(wrong)) == (400, True)


async def test_an_empty_list_says_how_to_send_a_task(house: House) -> None:
    visitor = await visiting(house, Role.SUBMITTER)
    page = words(await visitor.get("/tasks"))
    assert "curl http://console.test/v1/chat/completions" in page
    assert "Nothing waits for a person" in words(await visitor.get("/inbox"))


async def events(response: httpx2.Response) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


async def test_a_row_comes_by_itself_as_its_task_goes_on_and_only_to_who_may_see_it(
    house: House,
) -> None:
    caller, stranger = house.person(Role.SUBMITTER), house.person(Role.SUBMITTER)
    task, foreign = (house.stack.declare(caller=each.name) for each in (caller, stranger))
    visitor = Visitor(house.gateway)
    await visitor.sign_in(caller)
    cookies = dict(visitor.http.cookies)
    seen: list[str] = []
    async with (
        asyncio.timeout(60),
        httpx2.AsyncClient(base_url=house.url, cookies=cookies, timeout=60) as http,
        http.stream("GET", "/console/live?status=succeeded") as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        await house.stack.run(foreign)
        await house.stack.run(task)
        async for name, told in events(response):
            assert name == "row"
            seen.append(told["id"])
            if "succeeded" in told["html"]:
                assert told["matches"]
                break
    assert set(seen) == {task.task_id}


async def test_many_viewers_are_told_from_one_look_at_the_ledger(house: House) -> None:
    looks: list[int] = []

    class Counted(Feed):
        def _entries(self) -> list[TaskEntry]:
            looks.append(1)
            return super()._entries()

    feed = Counted(house.gateway, look_seconds=0.01)
    await house.stack.run(house.stack.declare())
    viewers = [feed.changes(f"viewer-{number}", "") for number in range(30)]
    async with asyncio.timeout(30):
        rows = await asyncio.gather(*(anext(each) for each in viewers))
    assert all(row is not None for row in rows)
    assert len(looks) < len(viewers)
    for each in viewers:
        await each.aclose()


async def test_one_person_holds_only_so_many_live_pages(house: House) -> None:
    feed = Feed(house.gateway, look_seconds=0.01)
    await house.stack.run(house.stack.declare())
    held = [feed.changes("ada", "") for _ in range(20)]
    for each in held:
        await anext(each)
    with pytest.raises(ProblemError, match="20 live pages"):
        feed.changes("ada", "")
    for each in held:
        await each.aclose()
