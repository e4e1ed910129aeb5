"""Follows a bulk run to its end and shows how far it is."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pointwork.cli.errors import CliError, ExitCode
from pointwork.cli.screen import Screen, usd

if TYPE_CHECKING:
    from pointwork.client.bulk import BulkRuns, BulkView
    from pointwork.ledger.bulk_runs import BulkRunEntry

POLL_SECONDS = 0.5
_LINES_APART = 0.1
"""In a pipe a line is written for each tenth of the items."""


class BulkDisplay(Protocol):
    def sealing(self, sealed: int, total: int) -> None: ...
    def show(self, view: "BulkView") -> None: ...


class PausedError(CliError):
    """The run is paused and nothing of it is in flight any more, so that watching has no end."""

    def __init__(self, view: "BulkView") -> None:
        run_id = view.run.run_id
        why = f": {view.paused.sentence}" if view.paused else ""
        super().__init__(
            f"run {run_id} is paused{why}",
            f"`pointwork bulk resume {run_id}`, then `pointwork bulk watch {run_id}`",
            ExitCode.WAITING,
        )


async def follow_bulk(runs: "BulkRuns", run_id: str, display: BulkDisplay) -> "BulkView":
    """Wait until the run has ended.

    Raises:
        PausedError: it is paused, and nothing of it runs.
        CliError: its workflow was ended from outside.
    """
    while True:
        view = await runs.view(run_id)
        display.show(view)
        if view.run.state.has_ended:
            return view
        if view.paused is not None and view.in_flight == 0:
            raise PausedError(view)
        if view.was_terminated:
            raise CliError(
                f"the workflow of run {run_id} was ended from outside",
                "give its file to `pointwork bulk` again, with its --id, and it goes on",
                ExitCode.UNAVAILABLE,
            )
        await asyncio.sleep(POLL_SECONDS)


class _Lines:
    """A line now and then, for a log or a pipe."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._last: tuple[object, ...] = ()

    def sealing(self, sealed: int, total: int) -> None:
        self._say(f"  sealed {sealed} of {total}", "sealed", sealed, total)

    def show(self, view: "BulkView") -> None:
        self._say(f"  {words(view)}", state_words(view), view.counts.ended, view.run.item_count)

    def _say(self, line: str, state: str, done: int, total: int) -> None:
        said = (state, int(done / total / _LINES_APART))
        if said != self._last:
            self._last = said
            self._screen.note(line)


class _Bar:
    """A bar over the items, for a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._row = progress.add_task("starts", total=None, aside="")

    def sealing(self, sealed: int, total: int) -> None:
        self._progress.update(self._row, description="sealing", completed=sealed, total=total)

    def show(self, view: "BulkView") -> None:
        figures: dict[str, Any] = {
            "completed": view.counts.ended,
            "total": view.run.item_count,
            "description": state_words(view),
        }
        self._progress.update(self._row, **figures, aside=aside_words(view))


@contextmanager
def bulk_display(screen: Screen) -> Iterator[BulkDisplay]:
    """A bar on a terminal, lines elsewhere; always on stderr."""
    if not screen.err.is_terminal:
        yield _Lines(screen)
        return
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[aside]}"),
    )
    with Progress(*columns, console=screen.err, transient=True) as progress:
        yield _Bar(progress)


def state_words(view: "BulkView") -> str:
    if view.paused is not None:
        return "paused"
    if view.was_terminated:
        return "stopped"
    if not view.is_served:
        return "no worker"
    return run_state(view.run)


def run_state(run: "BulkRunEntry") -> str:
    """A run's state in one word; a sealed one is started at once."""
    return "running" if run.state == "sealed" else str(run.state)


def aside_words(view: "BulkView") -> str:
    counts = view.counts
    parts = [f"{view.in_flight} in flight"] if view.in_flight else []
    parts += [f"{counts.failed} failed"] if counts.failed else []
    parts += [f"{counts.cancelled} cancelled"] if counts.cancelled else []
    return ", ".join([*parts, usd(counts.cost_nano_usd)])


def words(view: "BulkView") -> str:
    ended = f"{view.counts.ended} of {view.run.item_count}"
    return f"{state_words(view)}: {ended} ended, {aside_words(view)}"
