"""An equal request is served once: the second task is logged, and costs nothing."""

import pytest

from pointwork.contract.outcome import TaskStatus
from pointwork.contract.task import DataClass, Sensitivity
from tests.fakes.scripted_provider import Says
from tests.workflows.stack import Stack

JUGGERNAUT = {"pack": "juggernaut", "task_class": "normal"}


@pytest.mark.req("JG-56")
async def test_the_second_equal_request_makes_no_call_and_costs_nothing(stack: Stack) -> None:
    first = stack.declare(**JUGGERNAUT, sensitivity=Sensitivity.INTERNAL)
    second = stack.declare(**JUGGERNAUT, sensitivity=Sensitivity.INTERNAL)
    stack.script.write(first.task_id, Says("The one answer."))
    text = "Which of our pages loads slowest?"
    paid = await stack.run(first, text)
    served = await stack.run(second, text)

    assert paid.status is TaskStatus.SUCCEEDED, paid.reason
    assert served.status is TaskStatus.SUCCEEDED, served.reason
    assert paid.cost_nano_usd > 0
    assert not paid.is_cached
    assert served.is_cached
    assert served.cost_nano_usd == 0
    assert not served.attempts
    assert not stack.script.calls[second.task_id]
    assert served.answer is not None
    assert stack.parts.content.answer_text(second.task_id, served.answer) == "The one answer."


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({}, "Another question altogether."),
        ({"task_class": "ops"}, "What is slow here?"),
        ({"sensitivity": Sensitivity.PUBLIC, "privacy_tier": "approved_private"}, "x"),
    ],
    ids=["other text", "other policy", "other tier"],
)
async def test_another_request_is_never_served_by_it(
    stack: Stack, changed: dict[str, object], text: str
) -> None:
    first = stack.declare(**JUGGERNAUT)
    await stack.run(first, "What is slow here?")
    other = stack.declare(**(JUGGERNAUT | changed))
    outcome = await stack.run(other, text)

    assert not outcome.is_cached


@pytest.mark.parametrize(
    "careful",
    [{"sensitivity": Sensitivity.SENSITIVE}, {"data_classes": (DataClass.CUSTOMER,)}],
    ids=["sensitive", "customer data"],
)
async def test_sensitive_content_is_neither_kept_nor_served(
    stack: Stack, careful: dict[str, object]
) -> None:
    text = f"Summarise the account, please: {sorted(careful)}"
    tasks = [stack.declare(**(JUGGERNAUT | careful)) for _ in range(2)]
    outcomes = [await stack.run(each, text) for each in tasks]

    assert not any(each.is_cached for each in outcomes)
    assert all(len(stack.script.calls[each.task_id]) == 1 for each in tasks)


async def test_a_pack_without_a_cache_calls_its_model_every_time(stack: Stack) -> None:
    tasks = [stack.declare() for _ in range(2)]
    outcomes = [await stack.run(each, "The same line twice.") for each in tasks]

    assert not any(each.is_cached for each in outcomes)
    assert all(len(stack.script.calls[each.task_id]) == 1 for each in tasks)
