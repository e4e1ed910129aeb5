"""``pointwork demo``: real tasks through a real server to a real local model, then the proof."""

import asyncio
from contextlib import asynccontextmanager
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointwork.cli.audit import print_replays
from pointwork.cli.demo_report import DemoResult, print_results, result_row
from pointwork.cli.demo_tasks import (
    DemoTask,
    differences,
    has_cloud_key,
    load_tasks,
    submission,
)
from pointwork.cli.deployment import Running, app_root, connect
from pointwork.cli.errors import ExitCode
from pointwork.cli.options import HOST_DEFAULT, STATE_DIR_DEFAULT, AsJson, HostName
from pointwork.cli.replaying import Replayed, replay_tasks
from pointwork.cli.screen import Screen
from pointwork.cli.starting import cancel_on_signal, embedded, prepare
from pointwork.cli.watching import follow, recorded, step_display

_ANSWER_LINES_SHOWN = 8

Tasks = Annotated[
    Path | None, typer.Option("--tasks", help="Folder of tasks; examples/tasks by default.")
]
# Without the environment's folder: a demonstration leaves no tasks in a ledger that is in use.
DemoState = Annotated[Path, typer.Option("--state-dir", help="Folder for its own state.")]
Keep = Annotated[bool, typer.Option("--keep", help="Stay up afterwards, until Ctrl-C.")]


def demo(
    tasks: Tasks = None,
    keep: Keep = False,
    state_dir: DemoState = STATE_DIR_DEFAULT / "demo",
    host: HostName = HOST_DEFAULT,
    as_json: AsJson = False,
) -> int:
    """Route real tasks to a local model, print the record, replay it.

    Exit code 0 only if every task ended as its document says and every replay held.
    """
    folder = tasks if tasks is not None else app_root() / "examples" / "tasks"
    found = load_tasks(folder)
    screen = Screen(as_json=as_json)
    return asyncio.run(_demo(screen, found, folder, state_dir, host, keep=keep))


async def _demo(
    screen: Screen,
    tasks: dict[str, DemoTask],
    folder: Path,
    state_dir: Path,
    host: str,
    *,
    keep: bool,
) -> int:
    async with _running(screen, state_dir, host):
        running = await connect(state_dir)
        results = await _work_through(screen, running, tasks, folder)
        ids = [each.outcome.task_id for each in results]
        screen.say()
        screen.say(f"Replaying all {len(ids)}.")
        replays = await replay_tasks(ids, app_root(), state_dir)
        _report(screen, results, replays)
        if keep:
            await _stay(screen, state_dir)
    if not all(each.holds for each in replays):
        return ExitCode.MISMATCH
    return ExitCode.OK if not any(each.differences for each in results) else ExitCode.NO_ANSWER
