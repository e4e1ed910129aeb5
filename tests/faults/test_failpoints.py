"""The process ends at a named moment, is started again, and nothing is lost or charged twice."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pointwork.contract.outcome import AttemptState, TaskStatus
from pointwork.failpoints import EXIT_STATUS, Failpoint
from tests.fakes.slow_model import ANSWER, slow_model
from tests.faults.conftest import deploy, write_policies
from tests.faults.installation import PROMPT, Installation, installation
from tests.faults.processes import temporal
from tests.postgres import new_database
from tests.scale import Scale

PROCESSES_MAX = 4
"""How many workers run at a time: starting one is what costs, and there are two for each case."""
ENDS_SECONDS_MAX = 240
FATE_UNKNOWN = {
    Failpoint.AFTER_SENT_COMMIT,
    Failpoint.AFTER_SOCKET_WRITE,
    Failpoint.AFTER_FIRST_BYTE,
    Failpoint.AFTER_BODY,
    Failpoint.BEFORE_FINISH_COMMIT,
}
"""Where the ledger knows that a call may have gone out and not how it ended."""


@dataclass(frozen=True)
class Aftermath:
    """What there is to see once the task's workflow has closed."""

    exit_status: int
    status: TaskStatus
    answer: str
    outcomes: int
    audit_outcomes: int
    attempts: tuple[AttemptState, ...]
    unexplained_calls: int
    faults: list[str]


def aftermath_of(point: Failpoint) -> Aftermath:
    """What there should be."""
    lost = (AttemptState.UNKNOWN,) if point in FATE_UNKNOWN else ()
    return Aftermath(
        exit_status=EXIT_STATUS,
        status=TaskStatus.SUCCEEDED,
        answer=ANSWER,
        outcomes=1,
        audit_outcomes=1,
        attempts=(*lost, AttemptState.DONE),
        unexplained_calls=0,
        faults=[],
    )


@pytest.fixture(params=["sqlite", "postgres"])
def ledger_urls(request: pytest.FixtureRequest) -> Iterator[dict[Failpoint, str | None]]:
    """An empty ledger for each point; None stands for a file of its own."""
    urls: dict[Failpoint, str | None] = dict.fromkeys(Failpoint)
    with ExitStack() as databases:
        if request.param == "postgres":
            server: str = request.getfixturevalue("postgres_server")
            template: str = request.getfixturevalue("postgres_template")
            for point in urls:
                urls[point] = databases.enter_context(new_database(server, template))
        yield urls


async def killed_at(
    point: Failpoint, task_id: str, installed: Installation, turns: asyncio.Semaphore
) -> Aftermath:
    armed: dict[str, Any] = {"failpoint": point, "failpoint_once": installed.folder / "reached"}
    async with turns:
        first = await installed.worker(**armed)
        await installed.submit(task_id)
        exit_status = await first.ended()
    async with turns:
        await installed.worker(**armed)
        async with asyncio.timeout(ENDS_SECONDS_MAX):
            outcome = await installed.closed(task_id)
    return Aftermath(
        exit_status=exit_status,
        status=outcome.status,
        answer=installed.client.answer_text(outcome),
        outcomes=installed.count("SELECT count(*) FROM outcome"),
        audit_outcomes=installed.count("SELECT count(*) FROM audit WHERE kind = 'outcome'"),
        attempts=tuple(each.state for each in outcome.attempts),
        unexplained_calls=installed.unexplained_calls(task_id),
        faults=installed.faults(),
    )


@pytest.mark.req("DC-1")
async def test_a_worker_that_dies_anywhere_leaves_one_outcome_and_no_unexplained_charge(
    ledger_urls: dict[Failpoint, str | None], tmp_path: Path, scale: Scale
) -> None:
    """Every point side by side: a lost step of the ledger is given up after a minute only.

    All of them on SQLite; on Postgres every third where not all that was promised is asked for.
    One server serves them all, each in a namespace of its own, so that no worker takes another
    one's work.
    """
    points = [*Failpoint][:: scale.of(1, 3) if any(ledger_urls.values()) else 1]
    names = {point: point.replace("_", "-") for point in points}
    turns = asyncio.Semaphore(PROCESSES_MAX)
    async with slow_model() as model, temporal(tmp_path / "temporal", [*names.values()]) as server:
        model.gate.set()
        policies = write_policies(tmp_path, model)

        async def run(point: Failpoint) -> Aftermath:
            name = names[point]
            async with installation(
                tmp_path / name,
                server.address,
                policies,
                model,
                namespace=name,
                ledger_url=ledger_urls[point],
            ) as installed:
                return await killed_at(point, name, installed, turns)

        async with asyncio.TaskGroup() as group:
            running = {point: group.create_task(run(point)) for point in points}
        aftermaths = {point: task.result() for point, task in running.items()}

    assert aftermaths == {point: aftermath_of(point) for point in points}


async def test_a_failpoint_of_the_environment_ends_a_worker_and_the_supervisor_starts_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = tmp_path / "reached"
    monkeypatch.setenv("POINTWORK_FAILPOINT", Failpoint.BEFORE_ACTIVITY_RETURN)
    monkeypatch.setenv("POINTWORK_FAILPOINT_ONCE", str(once))
    async with slow_model() as model:
        monkeypatch.setenv("POINTWORK_POLICIES_DIR", str(write_policies(tmp_path, model)))
        model.gate.set()
        async with deploy(tmp_path, model) as deployment:
            first = deployment.embedded.pids["all"]
            async with asyncio.timeout(ENDS_SECONDS_MAX):
                outcome = await deployment.client.run(PROMPT, deployment.declare())
            assert deployment.embedded.pids["all"] != first

    assert once.exists()
    assert outcome.status is TaskStatus.SUCCEEDED
    assert model.calls == 1
