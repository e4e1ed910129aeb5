"""Tasks through the gateway by its own clients, asynchronous and not."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from pointwork.client import AccessRefusedError, ApprovalPendingError, GatewayClient
from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.decision import Effect, GrantKind
from pointwork.contract.failures import (
    FailureType,
    ProviderFailureKind,
    TaskFailedError,
    TaskIdReusedError,
    TaskNotFoundError,
    TaskRefusedError,
)
from pointwork.contract.identity import IdentityKind, Role
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import Constraints, Sensitivity, TaskDeclaration
from pointwork.contract.tools import ToolCall, ToolDefinition
from pointwork.gateway.app import build_app
from tests.fakes.scripted_provider import Fails, Hangs, Says, Step
from tests.integration.client.conftest import Asks
from tests.integration.gateway.house import Account, House
from workers.gateway import build_gateway
from workers.settings import GatewaySettings

PROMPT = Prompt.from_text("Tidy up this line.")
HIGH_STAKES = {"task_class": "high_stakes_logic", "sensitivity": None}


def declared(account: Account, key: str | None = None, **changed: Any) -> TaskDeclaration:
    values: dict[str, Any] = {
        "task_id": key or uuid4().hex,
        "caller": account.name,
        "task_class": "summarisation_formatting",
        "sensitivity": Sensitivity.PUBLIC,
    }
    return TaskDeclaration(**(values | changed))


def scripted(house: House, *steps: Step) -> tuple[Account, TaskDeclaration, str]:
    """An account, what it declares, and the id of its task, which meets ``steps``."""
    account = house.account()
    key, task_id = house.scripted(account, *steps)
    return account, declared(account, key), task_id


@pytest.mark.req("DC-23")
async def test_a_task_is_submitted_at_once_and_waited_for_later(house: House, asks: Asks) -> None:
    account, declaration, task_id = scripted(house, Says("It is tidy."))
    client = asks(account)
    assert await client.submit(PROMPT, declaration) == task_id
    outcome = await client.result(task_id)
    assert outcome == await house.stack.recorded(task_id)
    assert await client.answer_text(outcome) == "It is tidy."


@pytest.mark.req("DC-23")
async def test_a_task_is_run_to_its_outcome_with_model_cost_and_place_in_the_audit_chain(
    house: House, asks: Asks
) -> None:
    account, declaration, task_id = scripted(house, Says("It is tidy."))
    client = asks(account)
    outcome = await client.run(PROMPT, declaration)
    assert (outcome.task_id, outcome.status) == (task_id, TaskStatus.SUCCEEDED)
    assert (outcome.caller, outcome.served_model) == (account.name, "smollm2-135m")
    assert outcome.audit_sequence is not None
    assert await client.outcome(task_id) == outcome
    standing = await client.status(task_id)
    assert (standing.status, standing.approval) == (TaskStatus.SUCCEEDED, None)


async def test_every_fact_that_a_task_declares_reaches_its_decision(
    house: House, asks: Asks
) -> None:
    group = house.account(kind=IdentityKind.GROUP)
    account = house.account(belongs_to=(group.name,))
    declaration = declared(
        account,
        caller=group.name,
        pack="codex",
        task_class="implementer",
        marks=("first_pass",),
        measures={"diff_lines": 40},
        sensitivity=Sensitivity.INTERNAL,
        priority=2,
        worker="engine-7",
        description="first pass of change 12",
        constraints=Constraints(max_output_tokens=77, temperature=0.0, seed=3),
    )
    client = asks(account)
    task_id = await client.submit(PROMPT, declaration)
    await house.stack.recorded(task_id)
    record = await client.decision(task_id)
    assert record is not None
    assert record == house.gateway.outcomes.latest_decision(task_id)
    decided = TaskDeclaration(
        **record.input.request.model_dump(include=set(TaskDeclaration.model_fields))
    )
    assert decided == declaration.model_copy(update={"task_id": task_id})


async def test_a_denied_task_raises_what_the_direct_client_raises(house: House, asks: Asks) -> None:
    account = house.account()
    declaration = declared(account, task_class="high_stakes_logic", sensitivity="proprietary")
    with pytest.raises(TaskFailedError) as denied:
        await asks(account).run(PROMPT, declaration)
    with pytest.raises(TaskFailedError) as direct:
        await house.stack.client.result(denied.value.task_id)
    assert denied.value.failure is FailureType.POLICY_DENIED
    assert "privacy (proprietary)" in denied.value.reason
    assert vars(denied.value) == vars(direct.value)
    record = await asks(account).decision(denied.value.task_id)
    assert record is not None
    assert record.plan.effect is Effect.DENY


async def test_a_task_whose_every_model_fails_says_so_and_calls_none_again(
    house: House, asks: Asks
) -> None:
    fails = [Fails(ProviderFailureKind.INVALID_REQUEST)] * 12
    account, declaration, task_id = scripted(house, *fails)
    client = asks(account)
    for _ in range(2):
        with pytest.raises(TaskFailedError) as failed:
            await client.run(PROMPT, declaration)
        assert failed.value.failure is FailureType.PROVIDERS_EXHAUSTED
    recorded = await house.stack.recorded(task_id)
    assert len(house.stack.script.calls[task_id]) == len(recorded.attempts)
    with pytest.raises(ValueError, match="has no answer"):
        await client.answer(recorded)


async def test_a_task_that_waits_for_a_person_says_what_they_are_asked(
    house: House, asks: Asks
) -> None:
    account = house.account()
    client, declaration = asks(account), declared(account, **HIGH_STAKES)
    with pytest.raises(ApprovalPendingError, match="fetch it by its id") as waits:
        await client.run(PROMPT, declaration)
    asked = await house.stack.open_approval(waits.value.task_id)
    pending = waits.value.approval
    assert (pending.approval_id, pending.requester) == (asked.approval_id, account.name)
    assert pending.asks_for is GrantKind.DATA_CLASSIFICATION
    standing = await client.status(waits.value.task_id)
    assert (standing.status, standing.approval) == (TaskStatus.PENDING_APPROVAL, pending)

    waiting = asyncio.create_task(client.run(PROMPT, declaration, for_person=True))
    fetching = asyncio.create_task(client.result(waits.value.task_id))
    signed = house.stack.signed(asked, ApprovalVerdict.APPROVED)
    await house.stack.client.submit_verdict(signed)
    outcome = await waiting
    assert outcome.approval_ids == (asked.approval_id,)
    assert await fetching == outcome


async def test_a_wait_that_is_given_up_leaves_the_task_running(house: House, asks: Asks) -> None:
    account = house.account()
    client, declaration = asks(account), declared(account, **HIGH_STAKES)
    task_id = await client.submit(PROMPT, declaration)
    with pytest.raises(TimeoutError, match="goes on"):
        await client.run(PROMPT, declaration, wait_seconds=0.0, for_person=True)
    assert not (await client.status(task_id)).status.is_terminal
    assert await client.outcome(task_id) is None
    await client.cancel(task_id)
    with pytest.raises(TaskFailedError, match="cancelled"):
        await client.result(task_id)


async def test_a_cancelled_task_is_recorded_and_a_second_cancel_changes_nothing(
    house: House, asks: Asks
) -> None:
    account, declaration, task_id = scripted(house, Hangs())
    client = asks(account)
    await client.submit(PROMPT, declaration)
    await house.stack.script.called(task_id)
    await client.cancel(task_id)
    recorded = await house.stack.recorded(task_id)
    assert recorded.status is TaskStatus.CANCELLED
    await client.cancel(task_id)
    assert await client.outcome(task_id) == recorded


async def test_a_task_that_has_its_answer_is_not_cancelled_any_more(
    house: House, asks: Asks
) -> None:
    account, declaration, task_id = scripted(house, Says("Done."))
    client = asks(account)
    await client.run(PROMPT, declaration)
    await house.stack.recorded(task_id)
    with pytest.raises(TaskRefusedError, match="succeeded"):
        await client.cancel(task_id)


async def test_the_same_id_twice_is_one_task_one_answer_and_one_bill(
    house: House, asks: Asks
) -> None:
    account, declaration, task_id = scripted(house, Says("Once."), Says("Twice."))
    client = asks(account)
    first = await client.run(PROMPT, declaration)
    assert await client.run(PROMPT, declaration) == first
    assert await client.answer_text(first) == "Once."
    assert len(house.stack.script.calls[task_id]) == 1


async def test_the_same_id_with_another_text_or_other_facts_is_refused(
    house: House, asks: Asks
) -> None:
    account, declaration, task_id = scripted(house, Says())
    client = asks(account)
    await client.run(PROMPT, declaration)
    with pytest.raises(TaskIdReusedError):
        await client.run(Prompt.from_text("Something else."), declaration)
    with pytest.raises(TaskIdReusedError):
        await client.submit(PROMPT, declaration.model_copy(update={"priority": 1}))
    assert len(house.stack.script.calls[task_id]) == 1


async def test_one_id_of_two_accounts_is_two_tasks(house: House, asks: Asks) -> None:
    key = uuid4().hex
    accounts = house.account(), house.account()
    ids = [await asks(each).submit(PROMPT, declared(each, key)) for each in accounts]
    assert len(set(ids)) == 2


async def test_tools_and_their_calls_pass_through(house: House, asks: Asks) -> None:
    called = ToolCall(call_id="c1", name="weather", arguments='{"city":"Bern"}')
    account, declaration, task_id = scripted(house, Says("", tool_calls=(called,)))
    tool = ToolDefinition(name="weather", parameters={"type": "object"})
    prompt = PROMPT.model_copy(update={"tools": (tool,)})
    client = asks(account)
    outcome = await client.run(
        prompt, declaration.model_copy(update={"task_class": "high_stakes_logic"})
    )
    answer = await client.answer(outcome)
    assert (answer.text, answer.tool_calls) == ("", (called,))
    assert house.stack.script.calls[task_id][0].request.prompt.tools == (tool,)


async def test_an_answer_is_held_to_the_schema_that_is_sent(house: House, asks: Asks) -> None:
    account, declaration, task_id = scripted(house, Says("no JSON"), Says('{"day": "Friday"}'))
    schema = {"type": "object", "required": ["day"]}
    client = asks(account)
    outcome = await client.run(PROMPT, declaration, schema)
    assert await client.answer_text(outcome) == '{"day": "Friday"}'
    assert len(house.stack.script.calls[task_id]) == 2


async def test_what_cannot_be_a_task_is_refused_by_name_and_nothing_is_started(
    house: House, asks: Asks
) -> None:
    account = house.account()
    client = asks(account)
    for declaration, named in (
        (declared(account, task_class="no_such_class"), "no_such_class"),
        (declared(account, pack="no_such_pack"), "no_such_pack"),
        (declared(account, requested_model="no-such-model"), "no-such-model"),
    ):
        with pytest.raises(TaskRefusedError, match=named):
            await client.submit(PROMPT, declaration)
    with pytest.raises(TaskRefusedError, match="the prompt is empty"):
        await client.submit(Prompt.from_text(" "), declared(account))
    with pytest.raises(TaskRefusedError, match="answer_schema is no JSON Schema"):
        await client.submit(PROMPT, declared(account), {"type": 7})
    with pytest.raises(TaskRefusedError, match="surrogate pair"):
        await client.submit(Prompt.from_text("\ud800"), declared(account))
    with pytest.raises(AccessRefusedError, match="may not spend the budget of 'somebody'"):
        await client.submit(PROMPT, declared(account, caller="somebody"))


async def test_a_key_that_opens_nothing_or_may_not_submit_is_refused_with_the_remedy(
    house: House, asks: Asks
) -> None:
    account = house.account()
    stranger = asks(key="pwk_0123456789ab_secret")
    with pytest.raises(AccessRefusedError, match="pointwork access create"):
        await stranger.submit(PROMPT, declared(account))
    auditor = house.person(Role.AUDITOR)
    with pytest.raises(AccessRefusedError, match="may not submit"):
        await asks(auditor).submit(PROMPT, declared(auditor))


async def test_anothers_task_is_not_found_whatever_is_asked_of_it(house: House, asks: Asks) -> None:
    account, declaration, _ = scripted(house, Says())
    outcome = await asks(account).run(PROMPT, declaration)
    other = asks(house.account())
    for asking in (
        other.status(outcome.task_id),
        other.outcome(outcome.task_id),
        other.result(outcome.task_id),
        other.decision(outcome.task_id),
        other.answer(outcome),
        other.cancel(outcome.task_id),
        other.status("../models"),
    ):
        with pytest.raises(TaskNotFoundError):
            await asking


async def test_an_erased_answer_is_named_as_gone(house: House, asks: Asks) -> None:
    account, declaration, task_id = scripted(house, Says())
    client = asks(account)
    outcome = await client.run(PROMPT, declaration)
    await house.stack.recorded(task_id)
    house.stack.parts.vault.destroy_key(task_id, datetime.now(UTC))
    with pytest.raises(TaskFailedError) as gone:
        await client.answer(outcome)
    assert gone.value.failure is FailureType.CONTENT_UNAVAILABLE


async def test_more_waits_than_one_key_may_have_open_are_all_answered(house: House) -> None:
    stack, account = house.stack, house.account()
    crowded = build_gateway(stack.temporal, stack.parts, GatewaySettings(in_flight_max=1))
    transport = httpx2.ASGITransport(app=build_app(crowded))
    declaration = declared(account, **HIGH_STAKES)
    async with GatewayClient("http://gateway", account.token, transport=transport) as client:
        task_id = await client.submit(PROMPT, declaration)
        request = await stack.open_approval(task_id)
        waiting = [asyncio.create_task(client.result(task_id)) for _ in range(5)]
        await stack.client.submit_verdict(stack.signed(request, ApprovalVerdict.APPROVED))
        outcomes = await asyncio.gather(*waiting)
    assert {each.approval_ids for each in outcomes} == {(request.approval_id,)}
