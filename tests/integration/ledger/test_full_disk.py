"""A full disk stops tasks and loses nothing; with room again they go on (case 37)."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import pytest
from sqlalchemy.exc import OperationalError

from pointwork.contract.approval import ApprovalRequest
from pointwork.contract.decision import GrantKind
from pointwork.contract.outcome import AttemptState
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import ContentRef
from tests.fakes.full_disk import SmallDisk
from tests.fakes.scripted_provider import Says, Script
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW
from tests.integration.ledger.steps import Steps

pytestmark = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
TASKS = [f"t-{number}" for number in range(120)]
"""Enough for each step to need a page that is not there, whatever room the last ones left."""


class Run:
    """Tasks on a disk that fills up between two of their steps."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.script = Script()
        for task_id in TASKS:
            self.script.write(task_id, *[Says("an answer " * 200)] * 3)
        self.disk = SmallDisk(ledger.engine)
        self.steps = Steps(ledger.engine, self.script)
        self.prompts: dict[str, ContentRef] = {}

    async def accept(self, task_id: str) -> None:
        self.prompts[task_id] = await self.steps.accept(task_id)

    async def reserve(self, task_id: str) -> None:
        await self.steps.reserve(task_id, self.prompts[task_id])

    async def call(self, task_id: str) -> None:
        await self.steps.call(task_id, self.prompts[task_id])

    async def log(self, task_id: str) -> None:
        await self.steps.log(task_id)

    async def all(self, *steps: Callable[[str], Awaitable[None]]) -> None:
        for step in steps:
            for task_id in TASKS:
                await step(task_id)

    async def while_full(self, step: Callable[[str], Awaitable[None]]) -> list[str]:
        """The tasks whose step fails while the disk is full, every one with an error of its own."""
        self.disk.fill()
        stopped = [task_id for task_id in TASKS if not await self._passes(step, task_id)]
        assert stopped
        assert self.ledger.rows("PRAGMA quick_check") == [{"quick_check": "ok"}]
        assert self.ledger.violations() == []
        self.assert_every_call_was_held()
        self.disk.make_room()
        return stopped

    async def _passes(self, step: Callable[[str], Awaitable[None]], task_id: str) -> bool:
        try:
            await step(task_id)
        except OperationalError as error:
            if "full" not in str(error.orig):
                raise
            return False
        return True

    def assert_every_call_was_held(self) -> None:
        rows = self.ledger.rows(
            "SELECT attempt_id FROM attempt JOIN hold_part ON part_id = attempt_id "
            "WHERE attempt.state <> 'planned'"
        )
        sent = {calls.request.request_id for each in self.script.calls.values() for calls in each}
        assert sent <= {row["attempt_id"] for row in rows}

    def attempts(self, tasks: Sequence[str]) -> set[str]:
        rows = self.ledger.rows("SELECT task_id, state FROM attempt WHERE send = 1")
        return {row["state"] for row in rows if row["task_id"] in tasks}

    def count(self, table: str) -> int:
        ((found),) = self.ledger.rows(f"SELECT count(*) AS n FROM {table}")
        return int(found["n"])


@pytest.fixture
def run(ledger: Ledger) -> Run:
    return Run(ledger)


async def test_a_full_disk_at_reserve_holds_nothing_and_calls_nobody(run: Run) -> None:
    await run.all(run.accept)
    stopped = await run.while_full(run.reserve)
    assert run.count("hold_part") == len(TASKS) - len(stopped)
    assert run.script.calls == {}
    await run.all(run.reserve, run.call, run.log)
    assert run.count("outcome") == len(TASKS)


async def test_a_full_disk_at_begin_sends_nothing(run: Run) -> None:
    """The call is not made before it is recorded as sent, and that cannot be recorded."""
    await run.all(run.accept, run.reserve)
    stopped = await run.while_full(run.call)
    unsent = [task_id for task_id in stopped if not run.script.calls[task_id]]
    assert unsent
    assert run.attempts(unsent) == {AttemptState.PLANNED}
    await run.all(run.call, run.log)
    assert run.count("outcome") == len(TASKS)


async def test_a_full_disk_at_finish_keeps_the_hold_and_knows_of_the_call(run: Run) -> None:
    """The answer is lost with its page, so the call counts in full until somebody knows better."""
    await run.all(run.accept, run.reserve)
    stopped = await run.while_full(run.call)
    answered = [task_id for task_id in stopped if run.script.calls[task_id]]
    assert answered
    assert run.attempts(answered) == {AttemptState.SENT}
    await run.all(run.call, run.log)
    assert run.attempts(answered) == {AttemptState.UNKNOWN}
    assert run.count("outcome") == len(TASKS)


async def test_a_full_disk_at_settle_leaves_the_task_unrecorded_and_its_hold_open(
    run: Run,
) -> None:
    await run.all(run.accept, run.reserve, run.call)
    stopped = await run.while_full(run.log)
    rows = run.ledger.rows("SELECT task_id FROM hold_part WHERE state = 'reserved'")
    assert sorted(row["task_id"] for row in rows) == sorted(stopped)
    assert run.count("outcome") == len(TASKS) - len(stopped)
    await run.all(run.log)
    assert run.count("outcome") == len(TASKS)


async def test_a_full_disk_at_an_audit_record_takes_back_what_it_was_to_tell_of(run: Run) -> None:
    async def ask(task_id: str) -> None:
        run.ledger.approvals.open(request(task_id), NOW)

    stopped = await run.while_full(ask)
    assert run.count("approval") == run.count("audit") == len(TASKS) - len(stopped)
    await run.all(ask)
    assert run.ledger.chain.verify().count == run.count("approval") == len(TASKS)


def request(task_id: str) -> ApprovalRequest:
    return ApprovalRequest(
        approval_id=f"{task_id}/approval",
        task_id=task_id,
        requester="tester",
        asks_for=GrantKind.COST,
        reason=ReasonCode.CEILING,
        ceiling_nano_usd=500,
        policy_sha256="b" * 64,
        request_sha256="d" * 64,
        opened_at=NOW,
        expires_at=NOW + timedelta(hours=1),
    )
