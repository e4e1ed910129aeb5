"""Which activity is served where: every queue has its own, and the card's seven are all there."""

from itertools import combinations

import pytest
from temporalio import activity

from pointwork.contract.names import TaskQueue
from tests.workflows.stack import Stack
from workers.wiring import activities_of

OF_THE_CARD = {
    *("classify", "redact", "budget-reserve", "invoke-model", "parallel-verify"),
    *("human-approval", "log-outcome"),
}


def served(stack: Stack, queue: TaskQueue) -> set[str]:
    found = [
        activity._Definition.must_from_callable(each) for each in activities_of(queue, stack.parts)
    ]
    return {each.name for each in found if each.name is not None}


@pytest.mark.req("DC-19")
def test_the_seven_activities_of_the_design_card_are_registered_by_their_names(
    stack: Stack,
) -> None:
    assert set().union(*(served(stack, queue) for queue in TaskQueue)) >= OF_THE_CARD


@pytest.mark.req("DC-11")
def test_no_activity_is_served_on_two_queues(stack: Stack) -> None:
    """The stack runs a worker of each against a server; only the GPU's is scripted."""
    of_queue = {queue: served(stack, queue) for queue in TaskQueue}
    for one, other in combinations(TaskQueue, 2):
        assert not of_queue[one] & of_queue[other], (one, other)
