"""The direct client for programs without an event loop, on a whole stack."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pointwork.client import SyncPointworkClient
from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.failures import (
    FailureType,
    ServiceUnavailableError,
    TaskFailedError,
    TaskIdReusedError,
    TaskNotFoundError,
)
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.prompt import Prompt
from tests.fakes.scripted_provider import Hangs, Says
from tests.integration.gateway.house import House

PROMPT = Prompt.from_text("Tidy up this line.")


@pytest.fixture
async def blocking(house: House) -> AsyncIterator[SyncPointworkClient]:
    stack = house.stack
    address = stack.temporal.service_client.config.target_host
    client = await asyncio.to_thread(
        SyncPointworkClient.connect, address, stack.parts.vault, stack.outcomes
    )
    yield client
    await asyncio.to_thread(client.close)


async def test_a_task_runs_without_an_event_loop(
    house: House, blocking: SyncPointworkClient
) -> None:
    declaration = house.stack.declare()
    house.stack.script.write(declaration.task_id, Says("It is tidy."))
    outcome = await asyncio.to_thread(blocking.run, PROMPT, declaration)
    assert blocking.answer_text(outcome) == blocking.answer(outcome).text == "It is tidy."
    recorded = await house.stack.recorded(declaration.task_id)
    assert await asyncio.to_thread(blocking.result, declaration.task_id) == recorded
    assert await asyncio.to_thread(blocking.outcome, declaration.task_id) == recorded
    assert await asyncio.to_thread(blocking.is_served)


async def test_many_threads_share_one_client(house: House, blocking: SyncPointworkClient) -> None:
    declarations = [house.stack.declare() for _ in range(8)]
    for number, each in enumerate(declarations):
        house.stack.script.write(each.task_id, Says(f"Answer {number}."))

    def ask() -> list[str]:
        with ThreadPoolExecutor(8) as threads:
            outcomes = threads.map(lambda each: blocking.run(PROMPT, each), declarations)
            return [blocking.answer_text(each) for each in outcomes]

    assert await asyncio.to_thread(ask) == [f"Answer {number}." for number in range(8)]


async def test_errors_are_those_of_the_asynchronous_client(
    house: House, blocking: SyncPointworkClient
) -> None:
    denied = house.stack.declare(task_class="high_stakes_logic", sensitivity="proprietary")
    with pytest.raises(TaskFailedError) as failed:
        await asyncio.to_thread(blocking.run, PROMPT, denied)
    assert failed.value.failure is FailureType.POLICY_DENIED
    with pytest.raises(TaskIdReusedError):
        await asyncio.to_thread(blocking.submit, Prompt.from_text("Something else."), denied)
    with pytest.raises(TaskNotFoundError):
        await asyncio.to_thread(blocking.status, "no-such-task")


async def test_a_wait_for_a_person_is_looked_at_and_answered(
    house: House, blocking: SyncPointworkClient
) -> None:
    declaration = house.stack.declare(task_class="high_stakes_logic", sensitivity=None)
    task_id = await asyncio.to_thread(blocking.submit, PROMPT, declaration)
    request = await house.stack.open_approval(task_id)
    view = await asyncio.to_thread(blocking.status, task_id)
    assert (view.status, view.approval_id) == (TaskStatus.PENDING_APPROVAL, request.approval_id)
    record = await asyncio.to_thread(blocking.decision, task_id)
    assert record is not None
    assert await asyncio.to_thread(blocking.plan, task_id) == record.plan
    with pytest.raises(TimeoutError):
        await asyncio.to_thread(blocking.run, PROMPT, declaration, wait_seconds=0.01)
    signed = house.stack.signed(request, ApprovalVerdict.APPROVED)
    await asyncio.to_thread(blocking.submit_verdict, signed)
    outcome = await asyncio.to_thread(blocking.result, task_id)
    assert outcome.approval_ids == (request.approval_id,)


async def test_what_is_sealed_is_the_task_that_is_then_run(
    house: House, blocking: SyncPointworkClient
) -> None:
    declaration = house.stack.declare()
    request = await asyncio.to_thread(blocking.seal, PROMPT, declaration)
    assert house.stack.outcomes.find(declaration.task_id) is None
    assert "Tidy" not in request.model_dump_json()
    await asyncio.to_thread(blocking.run, PROMPT, declaration)
    called = house.stack.script.calls[declaration.task_id]
    assert [each.request.prompt for each in called] == [PROMPT]


async def test_a_closed_client_lets_go_of_its_waits_and_takes_nothing_more(
    house: House,
) -> None:
    stack = house.stack
    address = stack.temporal.service_client.config.target_host
    client = await asyncio.to_thread(
        SyncPointworkClient.connect, address, stack.parts.vault, stack.outcomes
    )
    declaration = stack.declare()
    stack.script.write(declaration.task_id, Hangs())
    waiting = asyncio.create_task(asyncio.to_thread(client.run, PROMPT, declaration))
    await stack.script.called(declaration.task_id)
    await asyncio.to_thread(client.close)
    await asyncio.to_thread(client.close)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(RuntimeError, match="the client is closed"):
        client.submit(PROMPT, declaration)
    assert not (await stack.client.status(declaration.task_id)).status.is_terminal
    await stack.client.cancel(declaration.task_id)
    await stack.recorded(declaration.task_id)


async def test_it_works_inside_a_running_loop_and_blocks_that_loop_alone(
    house: House, blocking: SyncPointworkClient
) -> None:
    asyncio.get_running_loop()
    assert blocking.is_served()


async def test_a_server_that_is_gone_is_named_with_the_remedy(house: House) -> None:
    def connect() -> None:
        SyncPointworkClient.connect("127.0.0.1:1", house.stack.parts.vault, house.stack.outcomes)

    with pytest.raises(ServiceUnavailableError, match="`pointwork up`"):
        await asyncio.to_thread(connect)
