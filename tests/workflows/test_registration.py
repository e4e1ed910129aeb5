"""Which activity is served where: every queue has its own, and the card's seven are all there."""

import importlib
import inspect
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
from temporalio import activity, workflow
from temporalio.client import Client

import workflows
from pointwork.contract.names import ActivityName, TaskQueue
from pointwork.temporal import pointwork_plugin
from tests.workflows.stack import Stack
from workers.wiring import activities_of, build_worker
from workflows.bulk_run import BulkRun
from workflows.route_task import RouteTask
from workflows.sweep_ledger import SweepLedger

OF_THE_CARD = {
    *("classify", "redact", "budget-reserve", "invoke-model", "parallel-verify"),
    *("human-approval", "log-outcome"),
}
WORKFLOWS = Path(workflows.__path__[0])
PERSONALISES = re.compile("person|train|tune|consent|opt-in|enrol")


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


@pytest.mark.req("SP-48")
async def test_three_workflows_are_registered_and_none_trains_or_asks_anybody_to_opt_in(
    stack: Stack,
) -> None:
    """All that is served is listed, so that one of personalisation would have to be added here."""
    # A client of its own: one client serves a queue once.
    address = stack.temporal.service_client.config.target_host
    client = await Client.connect(address, plugins=[pointwork_plugin(stack.parts.library)])
    workers = [
        build_worker(client, queue, stack.parts)
        for queue in TaskQueue
        if queue is not TaskQueue.GPU
    ]
    served_by = [worker.config() for worker in workers]
    registered = {each for config in served_by for each in config.get("workflows", ())}
    assert registered == {RouteTask, SweepLedger, BulkRun}
    assert registered == set(defined_workflows())

    done = {
        activity._Definition.must_from_callable(each).name
        for config in served_by
        for each in config.get("activities", ())
    }
    assert done == set(ActivityName)
    assert not {name for name in ActivityName if PERSONALISES.search(name)}


def defined_workflows() -> Iterator[type]:
    """Every workflow that a module of the deployment defines, registered or not."""
    for path in sorted(WORKFLOWS.glob("*.py")):
        module = importlib.import_module(f"workflows.{path.stem}")
        for _, each in inspect.getmembers(module, inspect.isclass):
            if each.__module__ == module.__name__ and workflow._Definition.from_class(each):
                yield each
