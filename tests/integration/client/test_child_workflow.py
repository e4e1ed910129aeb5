"""Tasks as children of another workflow, which is the one of ``examples/child_workflow.py``."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from sqlalchemy import select
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ChildWorkflowError, is_cancelled_exception
from temporalio.worker import Worker

from examples.child_workflow import QUEUE, Digest, DigestActivities, declared, digest
from pointwork.client.child import failure_of
from pointwork.contract.failures import FailureType
from pointwork.contract.names import SearchAttribute
from pointwork.contract.outcome import TaskOutcome, TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import Sensitivity, TaskRequest
from pointwork.ledger.engine import read
from pointwork.ledger.tables import HoldPart, table_of
from tests.fakes.scripted_provider import Hangs, Says
from tests.integration.gateway.house import House

TEXT, SAID = "the kingfisher are blue", "The kingfisher is blue."
HELD = table_of(HoldPart)


@pytest.fixture
async def parents(house: House) -> AsyncIterator[None]:
    """A worker of the parent workflow."""
    steps = DigestActivities(house.stack.client)
    async with Worker(
        house.stack.temporal,
        task_queue=QUEUE,
        workflows=[Digest],
        activities=[steps.seal_digest],
    ):
        yield


async def sealed(house: House, parent_id: str, *texts: str) -> list[TaskRequest]:
    return [
        await house.stack.client.seal(Prompt.from_text(text), declared(f"{parent_id}-{number}"))
        for number, text in enumerate(texts)
    ]


async def started(
    house: House, parent_id: str, requests: list[TaskRequest]
) -> WorkflowHandle[Digest, TaskOutcome]:
    return await house.stack.temporal.start_workflow(
        Digest.run,
        args=[requests, declared(f"{parent_id}-whole")],
        id=parent_id,
        task_queue=QUEUE,
    )


async def asking(house: House) -> tuple[WorkflowHandle[Digest, TaskOutcome], str]:
    """A parent whose child has called a model that never answers, and the child's id."""
    parent_id = f"parent-{uuid4().hex[:8]}"
    task_id = f"{parent_id}-0"
    house.stack.script.write(task_id, Hangs())
    handle = await started(house, parent_id, await sealed(house, parent_id, TEXT))
    await house.stack.script.called(task_id)
    assert hold_states(house, task_id) == ["reserved"]
    return handle, task_id


def hold_states(house: House, task_id: str) -> list[str]:
    with read(house.stack.parts.engine) as connection:
        rows = connection.execute(select(HELD.c.state).where(HELD.c.task_id == task_id))
        return list(rows.scalars())


@pytest.mark.usefixtures("parents")
async def test_a_workflow_runs_tasks_as_its_children_and_carries_no_text(house: House) -> None:
    outcome = await digest(house.stack.temporal, house.stack.client, [TEXT, "and the heron grey"])
    parent_id = outcome.task_id.removesuffix("-whole")
    assert house.stack.client.answer_text(outcome) == "A plain answer."
    asked = house.stack.script.calls[outcome.task_id][0].request.prompt.text
    assert asked.count("A plain answer.") == 2
    assert TEXT in house.stack.script.calls[f"{parent_id}-0"][0].request.prompt.text

    parent = house.stack.temporal.get_workflow_handle(parent_id)
    history = await parent.fetch_history()
    written = b"".join(each.SerializeToString() for each in history.events)
    assert parent_id.encode() in written
    assert not [each for each in (TEXT, "A plain answer.") if each.encode() in written]


@pytest.mark.usefixtures("parents")
async def test_a_child_has_the_id_queue_priority_and_facts_of_any_task(house: House) -> None:
    parent_id = f"parent-{uuid4().hex[:8]}"
    declaration = declared(f"{parent_id}-0").model_copy(update={"priority": 1})
    request = await house.stack.client.seal(Prompt.from_text(TEXT), declaration)
    await (await started(house, parent_id, [request])).result()
    child = await house.stack.temporal.get_workflow_handle(f"{parent_id}-0").describe()
    assert (child.parent_id, child.workflow_type) == (parent_id, "RouteTask")
    assert child.raw_description.workflow_execution_info.priority.priority_key == 1
    facts = child.typed_search_attributes
    assert facts[SearchAttributeKey.for_keyword(SearchAttribute.PACK)] == "omega"
    assert await child.static_summary() == "omega: summarisation_formatting"


@pytest.mark.usefixtures("parents")
async def test_a_cancelled_parent_cancels_its_task_and_settles_its_money(house: House) -> None:
    parent, task_id = await asking(house)
    await parent.cancel()
    with pytest.raises(WorkflowFailureError) as ended:
        await parent.result()
    assert is_cancelled_exception(ended.value.cause)
    # The parent waited for it: nothing is left to be waited for here.
    outcome = house.stack.outcomes.find(task_id)
    assert outcome is not None
    assert outcome.status is TaskStatus.CANCELLED
    assert hold_states(house, task_id) == ["posted"]


@pytest.mark.usefixtures("parents")
async def test_a_terminated_parent_has_its_task_cancelled_and_its_money_settled(
    house: House,
) -> None:
    parent, task_id = await asking(house)
    await parent.terminate("the operator ends it")
    assert (await house.stack.recorded(task_id)).status is TaskStatus.CANCELLED
    assert hold_states(house, task_id) == ["posted"]


@pytest.mark.usefixtures("parents")
async def test_a_parent_is_told_which_fact_ended_its_task(house: House) -> None:
    parent_id = f"parent-{uuid4().hex[:8]}"
    declaration = declared(f"{parent_id}-0").model_copy(
        update={"task_class": "high_stakes_logic", "sensitivity": Sensitivity.PROPRIETARY}
    )
    request = await house.stack.client.seal(Prompt.from_text(TEXT), declaration)
    with pytest.raises(WorkflowFailureError) as ended:
        await (await started(house, parent_id, [request])).result()
    assert isinstance(ended.value.cause, ChildWorkflowError)
    assert failure_of(ended.value.cause) is FailureType.POLICY_DENIED


@pytest.mark.usefixtures("parents")
async def test_a_task_that_ran_before_is_not_run_again_by_another_parent(house: House) -> None:
    first, second = (f"parent-{uuid4().hex[:8]}" for _ in range(2))
    requests = await sealed(house, first, TEXT)
    house.stack.script.write(f"{first}-0", Says(SAID), Says("Again."))
    await (await started(house, first, requests)).result()
    with pytest.raises(WorkflowFailureError) as refused:
        await (await started(house, second, requests)).result()
    assert "already started" in str(refused.value.cause)
    assert len(house.stack.script.calls[f"{first}-0"]) == 1
    outcome = await house.stack.client.result(f"{first}-0")
    assert house.stack.client.answer_text(outcome) == SAID
