"""What survives ``kill -9``, with every part a real process."""

import asyncio
import base64
import os
import signal
from pathlib import Path

import pytest
from sqlalchemy import text

from pointwork.contract.outcome import AttemptState, Settlement, TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.ledger.audit import AuditChain
from pointwork.ledger.invariants import check
from tests.fakes.slow_model import ANSWER, slow_model
from tests.faults.conftest import Deployment, write_policies
from tests.faults.installation import installation
from tests.faults.processes import temporal

PROMPT = Prompt.from_text("Tidy up this line: the meeting are moved to tuesday.")


def count(deployment: Deployment, query: str) -> int:
    with deployment.engine.connect() as connection:
        return int(connection.execute(text(query)).scalar_one())


@pytest.mark.req("DC-1")
async def test_a_worker_killed_during_a_call_leaves_an_unknown_attempt_and_the_task_completes(
    deployment: Deployment,
) -> None:
    declaration = deployment.declare()
    await deployment.client.submit(PROMPT, declaration)
    async with asyncio.timeout(60):
        await deployment.model.called.wait()
    os.kill(deployment.embedded.pids["all"], signal.SIGKILL)
    deployment.model.gate.set()
    async with asyncio.timeout(120):
        outcome = await deployment.client.result(declaration.task_id)

    assert outcome.status is TaskStatus.SUCCEEDED
    assert [a.state for a in outcome.attempts] == [AttemptState.UNKNOWN, AttemptState.DONE]
    unknown, done = outcome.attempts
    assert unknown.settlement is Settlement.AT_LEAST
    assert unknown.cost_nano_usd > done.cost_nano_usd > 0
    assert deployment.model.calls == 2
    assert count(deployment, "SELECT count(*) FROM outcome") == 1
    assert count(deployment, "SELECT count(*) FROM audit WHERE kind = 'outcome'") == 1
    assert AuditChain(deployment.engine).verify().first_broken_sequence is None
    assert check(deployment.engine) == []


async def test_a_worker_told_to_stop_hands_its_call_on_to_the_next(tmp_path: Path) -> None:
    async with (
        slow_model() as model,
        temporal(tmp_path / "temporal") as server,
        installation(
            tmp_path / "one", server.address, write_policies(tmp_path, model), model
        ) as installed,
    ):
        first = await installed.worker()
        await installed.submit("stopped-1")
        async with asyncio.timeout(60):
            await model.called.wait()
        first.send(signal.SIGTERM)
        assert await first.ended() == 0
        model.gate.set()
        await installed.worker()
        async with asyncio.timeout(120):
            outcome = await installed.closed("stopped-1")

        assert outcome.status is TaskStatus.SUCCEEDED
        assert [each.state for each in outcome.attempts] == [
            AttemptState.UNKNOWN,
            AttemptState.DONE,
        ]
        assert installed.unexplained_calls("stopped-1") == 0
        assert installed.faults() == []


@pytest.mark.req("DC-1")
async def test_a_killed_temporal_server_loses_none_of_fifty_acknowledged_tasks(
    deployment: Deployment,
) -> None:
    declarations = [deployment.declare() for _ in range(50)]
    for declaration in declarations[:25]:
        await deployment.client.submit(PROMPT, declaration)
    acknowledged = await asyncio.gather(
        *(deployment.client.submit(PROMPT, each) for each in declarations[25:])
    )
    os.kill(deployment.embedded.pids["temporal"], signal.SIGKILL)
    deployment.model.gate.set()
    async with asyncio.timeout(180):
        outcomes = await asyncio.gather(
            *(until_recorded(deployment, each.task_id) for each in declarations)
        )

    assert len(acknowledged) == 25
    assert {each for each in outcomes} == {TaskStatus.SUCCEEDED}
    assert count(deployment, "SELECT count(*) FROM outcome") == 50
    assert check(deployment.engine) == []


async def test_nothing_on_disk_holds_a_prompt_or_an_answer_in_the_clear(
    deployment: Deployment,
) -> None:
    canary = "the heron stands in the mill pond at dusk"
    deployment.model.gate.set()
    declaration = deployment.declare()
    outcome = await deployment.client.run(Prompt.from_text(canary), declaration)
    assert deployment.client.answer_text(outcome) == ANSWER
    await until_recorded(deployment, declaration.task_id)
    files = [path for path in deployment.state_dir.rglob("*") if path.is_file()]
    held = [p.name for p in files if holds(p.read_bytes(), canary) or holds(p.read_bytes(), ANSWER)]

    assert {"ledger.db", "temporal.db"} <= {path.name for path in files}
    assert held == []


def holds(data: bytes, text: str) -> bool:
    """Whether ``text`` stands in ``data`` as it is, or base64 at any of its three alignments."""
    raw = text.encode()
    wrapped = [base64.b64encode(raw[start:-3])[:-4] for start in range(3)]
    return any(needle in data for needle in (raw, *wrapped))


async def until_recorded(deployment: Deployment, task_id: str) -> TaskStatus:
    while (outcome := await asyncio.to_thread(deployment.outcomes.find, task_id)) is None:
        await asyncio.sleep(0.1)
    return outcome.status
