"""The deployment's workers serve the executors, each on a queue and on threads of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pointwork.contract.decision import Site
from pointwork.contract.names import ActivityName, TaskQueue
from pointwork.policy.bundle import PolicyLibrary
from tests.fakes.policy_facts import changed
from tests.fakes.scripted_provider import Script
from tests.workflows.stack import open_test_parts
from workers.wiring import EXECUTOR_QUEUES, Parts, activities_of, endpoints_of


@pytest.fixture
def parts(tmp_path: Path, library: PolicyLibrary) -> Iterator[Parts]:
    parts = open_test_parts(tmp_path, library, Script())
    yield parts
    parts.threads.shutdown()
    parts.engine.dispose()


@pytest.mark.parametrize(
    ("queue", "name"),
    [
        (TaskQueue.RETRIEVE, ActivityName.STAGE0_RETRIEVE),
        (TaskQueue.EMBED, ActivityName.EMBED),
        (TaskQueue.VISION, ActivityName.DETECT_OBJECTS),
    ],
)
def test_each_executor_is_served_on_its_own_queue_alone(
    parts: Parts, queue: TaskQueue, name: ActivityName
) -> None:
    assert queue in EXECUTOR_QUEUES
    for each in TaskQueue:
        served = [vars(a)["__temporal_activity_definition"].name for a in _functions(each, parts)]
        assert (name in served) is (each is queue)


def test_an_endpoint_is_as_the_active_bundle_has_it_whatever_older_ones_say(
    library: PolicyLibrary,
) -> None:
    """Also where the ledger remembers the active bundle before one that was active once."""
    active = library.active("omega")
    older = changed(active, models={name: {"site": Site.PRIVATE} for name in active.models})
    found = endpoints_of(PolicyLibrary([active], retired=[active, older]))
    assert Site.PRIVATE not in {each.site for each in found.values()}


def _functions(queue: TaskQueue, parts: Parts) -> list[object]:
    return [getattr(activity, "__func__") for activity in activities_of(queue, parts)]  # noqa: B009
