"""Follows one task from its start to its record, and shows each step as it is reached."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pointwork.cli.errors import CliError, ExitCode
from pointwork.cli.screen import Screen, milliseconds
from pointwork.contract.decision import GrantKind
from pointwork.contract.failures import PointworkError, TaskFailedError
from pointwork.contract.outcome import TaskOutcome, TaskStatus, TaskView

if TYPE_CHECKING:
    from pointwork.client import PointworkClient
    from pointwork.contract.prompt import AnswerSchema, Prompt
    from pointwork.contract.task import TaskDeclaration

POLL_SECONDS = 0.15
_VIEW_TIMEOUT_SECONDS = 5.0
STEPS = ("classify", "reserve", "invoke", "verify", "answer")
_REACHED = {
    TaskStatus.CLASSIFYING: 0,
    TaskStatus.PENDING_APPROVAL: 0,
    TaskStatus.RESERVING: 1,
    TaskStatus.INVOKING: 2,
    TaskStatus.VERIFYING: 3,
}
"""How many steps are behind a task in this state; a terminal one has them all behind it."""


@dataclass(frozen=True)
class Submission:
    """A task that is ready to be sealed and started."""

    declaration: "TaskDeclaration"
    prompt: "Prompt"
    schema: "AnswerSchema | None" = None


class StepDisplay(Protocol):
    def show(self, view: TaskView) -> None: ...


class HeldForPersonError(CliError):
    """The task waits for a person's verdict, and the caller did not ask to wait for that."""

    def __init__(self, view: TaskView) -> None:
        remedy = (
            f"see `pointwork explain {view.task_id}`, then `pointwork approve {view.task_id} "
            '--reason "..."` or `pointwork deny`'
        )
        if view.waits_for == GrantKind.CHOICE:
            remedy = f"its answers differ; see them with `pointwork choose {view.task_id}`"
        super().__init__(
            f"task {view.task_id} waits for a person to decide on {view.waits_for}",
            remedy,
            ExitCode.WAITING,
        )
        self.view = view


@dataclass(frozen=True)
class Ended:
    """How a task ended, as it is recorded, and its answer where it has one."""

    outcome: TaskOutcome
    answer: str | None = field(repr=False)


async def follow(
    client: "PointworkClient",
    submission: Submission,
    display: StepDisplay,
    wait_seconds: float | None,
) -> Ended:
    """Start the task and wait until it has ended, with or without an answer.

    Without ``wait_seconds`` the wait ends when the task needs a person; with it, only with time.

    Raises:
        HeldForPersonError: the task waits for a person.
        CliError: it has not ended within ``wait_seconds``; it goes on.
        TaskFailedError: it ended without an answer, and its record cannot be found.
    """
    task_id = await client.submit(submission.prompt, submission.declaration, submission.schema)
    running = asyncio.create_task(client.result(task_id))
    try:
        async with asyncio.timeout(wait_seconds):
            await _show_until_done(
                client, task_id, running, display, leaves_when_held=wait_seconds is None
            )
            outcome = await running
    except TaskFailedError:
        recorded = await client.outcome(task_id)
        if recorded is None:
            raise
        return Ended(recorded, None)
    except TimeoutError:
        raise CliError(
            f"task {task_id} has no answer after {wait_seconds:g} s and goes on",
            f"ask again with `pointwork show {task_id} --answer`",
            ExitCode.WAITING,
        ) from None
    finally:
        running.cancel()
    return Ended(outcome, await asyncio.to_thread(client.answer_text, outcome))


async def _show_until_done(
    client: "PointworkClient",
    task_id: str,
    running: "asyncio.Task[TaskOutcome]",
    display: StepDisplay,
    *,
    leaves_when_held: bool,
) -> None:
    while not running.done():
        await asyncio.wait({running}, timeout=POLL_SECONDS)
        view = None if running.done() else await _view(client, task_id)
        if view is None:
            continue
        display.show(view)
        if view.status is TaskStatus.PENDING_APPROVAL and leaves_when_held:
            raise HeldForPersonError(view)


async def _view(client: "PointworkClient", task_id: str) -> TaskView | None:
    """Where the task stands; None where nobody can say just now. Only the display depends on it."""
    try:
        async with asyncio.timeout(_VIEW_TIMEOUT_SECONDS):
            return await client.status(task_id)
    except (PointworkError, TimeoutError):
        return None


class _Lines:
    """One line a step, for a log or a pipe."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._started = time.monotonic()
        self._last = ""

    def show(self, view: TaskView) -> None:
        line = _describe(view)
        if line != self._last:
            self._last = line
            elapsed_ms = (time.monotonic() - self._started) * 1000
            self._screen.note(f"  {milliseconds(elapsed_ms):>8}  {line}")


class _Bar:
    """A bar over the steps, for a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._row = progress.add_task("starts", total=len(STEPS))

    def show(self, view: TaskView) -> None:
        reached = _REACHED.get(view.status, len(STEPS) - 1)
        self._progress.update(self._row, description=_describe(view), completed=reached)


@contextmanager
def step_display(screen: Screen) -> Iterator[StepDisplay]:
    """A bar on a terminal, lines elsewhere; always on stderr."""
    if not screen.err.is_terminal:
        yield _Lines(screen)
        return
    columns = (
        TextColumn("{task.description:<34}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:.0f} of {task.total:.0f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen.err, transient=True) as progress:
        yield _Bar(progress)


def _describe(view: TaskView) -> str:
    match view.status:
        case TaskStatus.PENDING_APPROVAL:
            return f"waits for a person: {view.waits_for}"
        case TaskStatus.INVOKING:
            retry = f", attempt {view.attempt}" if view.attempt > 1 else ""
            return f"invoke {view.model}{retry}"
        case status if status in _REACHED:
            return STEPS[_REACHED[status]]
        case status if status.is_terminal:
            return "record"
        case _:
            return "answer"
