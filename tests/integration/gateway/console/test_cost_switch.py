"""A switch to a cheaper model because of cost is told to people while the task runs (OM-35)."""

import asyncio
from contextlib import aclosing

import pytest

from pointwork.contract.decision import Obligation, Trigger
from pointwork.contract.identity import Role
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import Constraints
from pointwork.gateway.console.live import Feed, Row
from pointwork.policy.reading.cost_switch import CostSwitch
from tests.fakes.scripted_provider import Hangs
from tests.integration.gateway.console.visitor import Visitor, words
from tests.integration.gateway.house import House

CLASS, DEAR, FAMILY = "high_stakes_logic", "gpt-5.1", "gpt_class"


def near_the_ceiling(house: House) -> Constraints:
    """So many output tokens that a call of the dear model costs nine tenths of its ceiling."""
    bundle = house.gateway.library.active("omega")
    ceiling = bundle.pack.ceilings[CLASS][FAMILY]
    model = bundle.index.by_name[DEAR]
    token = model.estimate(100, 2_000) - model.estimate(100, 1_000)
    return Constraints(max_output_tokens=int(ceiling * 9 / 10 / (token / 1_000)))


@pytest.mark.req("OM-35")
async def test_a_switch_near_the_ceiling_is_in_the_feed_on_the_pages_and_in_the_query(
    house: House,
) -> None:
    stack, visitor = house.stack, Visitor(house.gateway)
    await visitor.sign_in(house.person(Role.AUDITOR))
    task = stack.declare(task_class=CLASS, constraints=near_the_ceiling(house))
    stack.script.write(task.task_id, Hangs())
    await stack.client.submit(Prompt.from_text("Is it exact?"), task)
    await stack.script.called(task.task_id)

    record = await stack.client.decision(task.task_id)
    assert record is not None
    plan = record.plan
    first = plan.candidates[0]
    assert (record.task_id, first.trigger) == (task.task_id, Trigger.CEILING_NEAR)
    assert first.move is not None
    assert first.model != DEAR
    assert [each.model for each in plan.rejected if each.reason == "ceiling_near"] == [DEAR]
    assert Obligation.WARN_DOWNGRADE in plan.obligations

    async with (
        asyncio.timeout(30),
        aclosing(Feed(house.gateway, look_seconds=0.01).changes("ada", task.task_id)) as changes,
    ):
        async for row in changes:
            if isinstance(row, Row) and row.entry.task_id == task.task_id:
                break
    assert isinstance(row, Row)
    assert row.switch == CostSwitch((DEAR,), first.model, "ceiling_near")
    warning = f"{DEAR} → {first.model}"
    assert warning in words(await visitor.get(f"/tasks?q={task.task_id}"))
    page = words(await visitor.get(f"/tasks/{task.task_id}"))
    assert f"A cheaper model for cost: {warning} (ceiling near)." in page
    await stack.client.cancel(task.task_id)
    await stack.recorded(task.task_id)
    assert warning in words(await visitor.get(f"/tasks?q={task.task_id}"))


async def test_a_task_that_no_money_rule_moved_carries_no_warning(house: House) -> None:
    visitor = Visitor(house.gateway)
    await visitor.sign_in(house.person(Role.AUDITOR))
    outcome = await house.stack.run(house.stack.declare(task_class=CLASS))
    assert outcome.served_model == DEAR
    assert " → " not in words(await visitor.get(f"/tasks?q={outcome.task_id}"))
    assert "A cheaper model" not in words(await visitor.get(f"/tasks/{outcome.task_id}"))
