"""Following one task: what an interruption does to the wait."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from pointwork.cli.watching import Submission, follow
from pointwork.client import PointworkClient
from pointwork.contract.outcome import TaskOutcome, TaskStatus, TaskView
from pointwork.contract.prompt import AnswerSchema, Prompt
from pointwork.contract.task import TaskDeclaration

VIEW = TaskView(task_id="t", status=TaskStatus.INVOKING, started_at=datetime.now(UTC))


class _NeverAnswers(PointworkClient):
    """A task that goes on for ever, and something that happens whenever its state is asked."""

    def __init__(self, on_status: Callable[[], object]) -> None:
        self._on_status = on_status

    async def submit(
        self, prompt: Prompt, declaration: TaskDeclaration, schema: AnswerSchema | None = None
    ) -> str:
        return declaration.task_id

    async def result(self, task_id: str) -> TaskOutcome:
        await asyncio.Event().wait()
        raise AssertionError

    async def status(self, task_id: str) -> TaskView:
        self._on_status()
        return VIEW


class _Unseen:
    def __init__(self) -> None:
        self.shown = 0

    def show(self, view: TaskView) -> None:
        self.shown += 1


async def test_an_interrupt_that_comes_with_the_state_of_the_task_is_not_lost() -> None:
    task = asyncio.current_task()
    assert task is not None
    submission = Submission(TaskDeclaration(task_id="t", caller="me"), Prompt.from_text("Wait."))
    display = _Unseen()
    with pytest.raises(asyncio.CancelledError):
        await follow(_NeverAnswers(task.cancel), submission, display, wait_seconds=3)
    assert display.shown == 1
    assert task.uncancel() == 0
