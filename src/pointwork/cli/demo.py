"""``pointwork demo``: real tasks through a real server to a real local model, then the proof."""

import asyncio
import textwrap
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer

from pointwork.cli.audit import print_replays
from pointwork.cli.demo_report import DemoResult, demo_document, print_results, summary_line
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
from pointwork.cli.replaying import replay_tasks
from pointwork.cli.route import reasons_grouped, short_reason
from pointwork.cli.screen import FAIL, OK, Screen, shown
from pointwork.cli.starting import embedded, is_running, prepare
from pointwork.cli.watching import Submission, follow, step_display

_ANSWER_LINES_SHOWN = 8
_MARGIN = "  | "

Tasks = Annotated[
    Path | None, typer.Option("--tasks", help="Folder of tasks; by default examples/tasks.")
]
# Not the environment's folder: a demonstration leaves no tasks in a ledger that is in use.
DemoState = Annotated[Path, typer.Option("--state-dir", help="Folder for its own state.")]
Keep = Annotated[bool, typer.Option("--keep", help="Stay up afterwards, until Ctrl-C.")]


def demo(
    tasks: Tasks = None,
    keep: Keep = False,
    state_dir: DemoState = STATE_DIR_DEFAULT / "demo",
    host: HostName = HOST_DEFAULT,
    as_json: AsJson = False,
) -> int:
    """Route real tasks to a local model, then replay every one.

    Exit code 0 only if every task ended as its document says and every replay held.
    """
    folder = tasks if tasks is not None else app_root() / "examples" / "tasks"
    loaded = load_tasks(folder)
    run_id = f"{int(time.time()):x}"
    submissions = {name: submission(name, task, folder, run_id) for name, task in loaded.items()}
    screen = Screen(as_json=as_json)
    starts = not is_running(state_dir)
    if starts:
        prepare(screen, state_dir, host)
    return asyncio.run(_demo(screen, loaded, submissions, state_dir, starts=starts, keep=keep))


async def _demo(
    screen: Screen,
    tasks: dict[str, DemoTask],
    submissions: dict[str, Submission],
    state_dir: Path,
    *,
    starts: bool,
    keep: bool,
) -> int:
    async with AsyncExitStack() as stack:
        if starts:
            await stack.enter_async_context(embedded(screen, state_dir))
        running = await connect(state_dir)
        results = await _work_through(screen, running, tasks, submissions)
        ids = [each.outcome.task_id for each in results]
        screen.say(f"\nReplaying all {len(ids)} tasks.")
        replays = await replay_tasks(ids, app_root(), state_dir)
        as_expected = all(not each.differences for each in results)
        all_hold = all(each.holds for each in replays)
        if screen.as_json:
            screen.document(demo_document(results, replays))
        else:
            screen.line()
            print_results(screen, results)
            screen.line()
            print_replays(screen, replays)
            screen.line()
            _conclude(screen, results)
        if keep:
            await _stay(screen, running)
    if not all_hold:
        return ExitCode.MISMATCH
    return ExitCode.OK if as_expected else ExitCode.NO_ANSWER


async def _work_through(
    screen: Screen,
    running: Running,
    tasks: dict[str, DemoTask],
    submissions: dict[str, Submission],
) -> list[DemoResult]:
    """One task after the other, as a person would; each is shown while it runs."""
    results: list[DemoResult] = []
    for number, (name, task) in enumerate(tasks.items(), start=1):
        screen.say(f"\n{number} of {len(tasks)}  {task.title}", "bold")
        if task.skip_with_cloud_key and any(
            each.record is not None and has_cloud_key(each.record) for each in results
        ):
            screen.note("  skipped: a cloud key is set, and the demonstration spends no money")
            continue
        with step_display(screen) as display:
            ended = await follow(running.client, submissions[name], display, None)
        outcome, record = ended.outcome, await running.last_decision(ended.outcome.task_id)
        found = differences(task.expect, outcome, record)
        results.append(DemoResult(name, outcome, record, tuple(found)))
        if ended.answer is not None:
            _show_answer(screen, ended.answer.splitlines())
        elif record is not None:
            _show_answer(screen, [short_reason(outcome, record), *reasons_grouped(record.plan)])
        screen.say(f"  {summary_line(outcome)}", OK if not found else FAIL)
    return results


def _show_answer(screen: Screen, paragraphs: Sequence[str]) -> None:
    """The first lines, set off from the rest and folded to the width there is."""
    lines = [
        line
        for paragraph in paragraphs
        for line in textwrap.wrap(shown(paragraph), screen.err.width - len(_MARGIN))
    ]
    for line in lines[:_ANSWER_LINES_SHOWN]:
        screen.say(f"{_MARGIN}{line}")
    if len(lines) > _ANSWER_LINES_SHOWN:
        screen.note(f"{_MARGIN}and {len(lines) - _ANSWER_LINES_SHOWN} more lines")


def _conclude(screen: Screen, results: list[DemoResult]) -> None:
    surprises = [each for each in results if each.differences]
    for each in surprises:
        screen.line(f"{each.name}: {'; '.join(each.differences)}.", FAIL)
    if not surprises:
        screen.line(f"All {len(results)} tasks ended as their documents say.", OK)


async def _stay(screen: Screen, running: Running) -> None:
    """Keep what was started up, to look around in; Ctrl-C ends it like any other command."""
    screen.say("\nStill up; look around with `pointwork list`, `show` and `explain`, each with")
    screen.say(f"--state-dir {running.state_dir}. Ctrl-C stops it.")
    await asyncio.Event().wait()
