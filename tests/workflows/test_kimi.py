"""Kimi through the adapter for OpenAI's interface: past predicate, hold, retries and record."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment

from pointwork.contract.failures import FailureType, ProviderFailureKind
from pointwork.contract.names import ActivityName
from pointwork.contract.outcome import AttemptState, Invoke, TaskStatus
from pointwork.ledger.attempts import AttemptClosedError
from pointwork.policy.bundle import PolicyLibrary
from tests.fakes import vendor_wire as wires
from tests.fakes.vendor_reply import InProcessVendor, Received, Reply
from tests.workflows.outside import Outside, outside
from tests.workflows.stack import Stack
from workers.wiring import invoke_activities

MODEL, SERVED_AS = "kimi-k2-thinking", "kimi-k2-thinking"
WIRE = wires.OpenAIWire()
ASKED = "Gather what the notes say about the harbour."


class Busy(list[Received]):
    """What came, with a vendor that answers 429 to the first request and the second in full."""

    def __init__(self, vendor: InProcessVendor) -> None:
        super().__init__()
        self._vendor = vendor

    def append(self, received: Received) -> None:
        super().append(received)
        status, body = WIRE.refusals("slow down")["rate limited"]
        busy = Reply.of_json(status, body, retry_after="1")
        self._vendor.reply = busy if len(self) == 1 else said()


def said() -> Reply:
    return wires.answer(WIRE, ["The crane ", "lifts."], SERVED_AS)


async def call_made(stack: Stack, task_id: str) -> Invoke:
    """What the workflow asked of ``invoke-model``, out of the task's history."""
    history = await stack.temporal.get_workflow_handle(task_id).fetch_history()
    (asked,) = (
        event.activity_task_scheduled_event_attributes
        for event in history.events
        if event.activity_task_scheduled_event_attributes.activity_type.name
        == ActivityName.INVOKE_MODEL
    )
    (call,) = await stack.temporal.data_converter.decode(asked.input.payloads, [Invoke])
    assert isinstance(call, Invoke)
    return call


@pytest.fixture
async def house(
    own_server: WorkflowEnvironment, library: PolicyLibrary, tmp_path: Path
) -> AsyncIterator[Outside]:
    async with outside(own_server, library, tmp_path) as made:
        made.vendors["moonshot"].reply = said()
        yield made


@pytest.mark.req("CX-63")
async def test_an_escalation_reaches_kimi_in_openais_form_a_429_is_retried_and_both_are_on_record(
    house: Outside,
) -> None:
    stack, kimi = house.stack, house.vendors["moonshot"]
    kimi.received = Busy(kimi)
    task = stack.declare(
        pack="codex", task_class="librarian", marks=("tool_heavy",), requested_model=MODEL
    )
    outcome = await stack.run(task, ASKED)
    assert outcome.status is TaskStatus.SUCCEEDED, outcome.reason
    assert stack.client.answer_text(outcome) == "The crane lifts."
    assert house.called.keys() == {"moonshot"}

    assert len(kimi.received) == 2
    for request in kimi.received:
        assert (request.method, request.path) == ("POST", "/v1/chat/completions")
        assert request.headers["authorization"].startswith("Bearer ")
        sent = WIRE.sent(request)
        assert (sent.model, request.body["messages"][-1]["role"]) == (SERVED_AS, "user")
        assert ASKED in str(request.body["messages"][-1]["content"])

    rows = stack.outcomes.attempts(task.task_id)
    assert [(each.model, each.state, each.failure) for each in rows] == [
        (MODEL, AttemptState.FAILED, ProviderFailureKind.RATE_LIMITED),
        (MODEL, AttemptState.DONE, None),
    ]
    assert outcome.cost_nano_usd == rows[1].cost_nano_usd > 0


@pytest.mark.req("CX-63")
async def test_without_a_predicate_kimi_is_not_called_even_by_name(house: Outside) -> None:
    stack = house.stack
    routine = stack.declare(pack="codex", task_class="librarian")
    outcome = await stack.run(routine, ASKED)
    assert (outcome.status, outcome.served_model) == (TaskStatus.SUCCEEDED, "smollm2-135m")

    named = stack.declare(pack="codex", task_class="librarian", requested_model=MODEL)
    refused = await stack.run(named, ASKED)
    assert (refused.status, refused.failure) == (TaskStatus.DENIED, FailureType.POLICY_DENIED)
    assert f"{MODEL}: escalation_only" in refused.reason
    assert house.called == {}


@pytest.mark.req("CX-63")
async def test_a_call_that_no_hold_pays_for_is_not_sent_to_kimi(house: Outside) -> None:
    stack, kimi = house.stack, house.vendors["moonshot"]
    task = stack.declare(pack="codex", task_class="librarian", marks=("tool_heavy",))
    await stack.run(task, ASKED)
    assert len(kimi.received) == 1
    made = await call_made(stack, task.task_id)
    # All as it was, under a number for which nothing was reserved.
    call = made.model_copy(update={"number": made.number + 1})
    invoke = invoke_activities(stack.parts, stack.parts.providers).invoke_model
    with pytest.raises(AttemptClosedError, match=f"{task.task_id}/2 is not reserved"):
        await ActivityEnvironment().run(invoke, call)
    assert len(kimi.received) == 1
    assert len(stack.outcomes.attempts(task.task_id)) == 1
