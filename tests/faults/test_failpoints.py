"""The process ends at a named moment, is started again, and nothing is lost or charged twice."""

import asyncio
from collections.abc import AsyncIterator, Iterator
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

pytestmark = pytest.mark.xdist_group("failpoints")

PROCESSES_MAX = 4
"""How many workers run at a time: starting one is what costs, and there are two for each case."""
ENDS_SECONDS_MAX = 240
DATABASES = ("sqlite", "postgres")
CASES = [(point, database) for database in DATABASES for point in Failpoint]
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
    """What there was to see once the task's workflow had closed."""

    exit_status: int
    status: TaskStatus
    answer: str
    outcomes: int
    audit_outcomes: int
    calls: int
    states: tuple[AttemptState, ...]
    unexplained_calls: int
    faults: list[str]


def selected(request: pytest.FixtureRequest) -> list[tuple[Failpoint, str]]:
    """The cases this run asks for; a single one need not wait for the others."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    chosen = {
        (each.params["point"], each.params["database"])
        for each in calls
        if each is not None and {"point", "database"} <= set(each.params)
    }
    return [case for case in CASES if case in chosen]


@pytest.fixture(scope="module")
def ledger_urls(
    request: pytest.FixtureRequest,
) -> Iterator[dict[tuple[Failpoint, str], str | None]]:
    """An address for each case on Postgres; None where the ledger is a file of its own."""
    with ExitStack() as databases:
        urls: dict[tuple[Failpoint, str], str | None] = dict.fromkeys(selected(request))
        for case in urls:
            if case[1] == "postgres":
                server: str = request.getfixturevalue("postgres_server")
                template: str = request.getfixturevalue("postgres_template")
                urls[case] = databases.enter_context(new_database(server, template))
        yield urls


@pytest.fixture(scope="module")
async def aftermaths(
    ledger_urls: dict[tuple[Failpoint, str], str | None],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[dict[tuple[Failpoint, str], asyncio.Task[Aftermath]]]:
    """Every case side by side: a lost step of the ledger is given up after a minute only.

    One server serves them all, each in a namespace of its own, so that no worker takes another
    case's work.
    """
    folder = tmp_path_factory.mktemp("failpoints")
    names = {case: f"{case[0].replace('_', '-')}-{case[1]}" for case in ledger_urls}
    turns = asyncio.Semaphore(PROCESSES_MAX)
    async with slow_model() as model, temporal(folder / "temporal", [*names.values()]) as server:
        model.gate.set()
        policies = write_policies(folder, model)

        async def run(case: tuple[Failpoint, str]) -> Aftermath:
            async with installation(
                folder / names[case],
                server.address,
                policies,
                model,
                namespace=names[case],
                ledger_url=ledger_urls[case],
            ) as installed:
                return await killed_at(case[0], names[case], installed, turns)

        cases = {case: asyncio.create_task(run(case)) for case in names}
        yield cases
        for task in cases.values():
            task.cancel()
        await asyncio.gather(*cases.values(), return_exceptions=True)


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
        calls=installed.model.calls_for(task_id),
        states=tuple(each.state for each in outcome.attempts),
        unexplained_calls=installed.unexplained_calls(task_id),
        faults=installed.faults(),
    )


@pytest.mark.req("DC-1")
@pytest.mark.parametrize("point", Failpoint)
@pytest.mark.parametrize("database", DATABASES)
async def test_a_worker_that_dies_anywhere_leaves_one_outcome_and_no_unexplained_charge(
    point: Failpoint,
    database: str,
    aftermaths: dict[tuple[Failpoint, str], asyncio.Task[Aftermath]],
) -> None:
    after = await aftermaths[point, database]

    assert after.exit_status == EXIT_STATUS
    assert (after.status, after.answer) == (TaskStatus.SUCCEEDED, ANSWER)
    assert (after.outcomes, after.audit_outcomes) == (1, 1)
    assert after.unexplained_calls == 0
    lost = [AttemptState.UNKNOWN] if point in FATE_UNKNOWN else []
    assert after.states == (*lost, AttemptState.DONE)
    assert 1 <= after.calls <= 1 + len(lost)
    assert after.faults == []


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
