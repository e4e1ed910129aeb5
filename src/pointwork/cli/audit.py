"""``pointwork audit``: the log line, the chain, and replaying a task as it was."""

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from pointwork.cli.deployment import app_root, open_ledger
from pointwork.cli.errors import CliError, ExitCode
from pointwork.cli.options import STATE_DIR_DEFAULT, AsJson, StateDir
from pointwork.cli.replaying import Replayed, replay_tasks
from pointwork.cli.screen import FAIL, OK, Screen, facts, table
from pointwork.contract.outcome import TaskOutcome

app = typer.Typer(help="Read the record and prove it.")

_REPLAY_TASKS_MAX = 100_000


class LogFormat(StrEnum):
    OMEGA = "omega"
    JSON = "json"


Format = Annotated[LogFormat, typer.Option("--format", help="Six fields, or an outcome a line.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="Most lines.")]


@app.command()
def log(
    format: Format = LogFormat.OMEGA,
    limit: Limit = 1000,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """One line a task, oldest first: time, task, model, cost, outcome, fallback (OM-80)."""
    from pointwork.ledger.logline import render_log_line
    from pointwork.ledger.outcomes import OutcomeLog

    outcomes = OutcomeLog(open_ledger(state_dir)).recent(limit)[::-1]
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document([each.model_dump(mode="json") for each in outcomes])
    for each in outcomes:
        is_omega = format is LogFormat.OMEGA
        screen.text(render_log_line(each) if is_omega else each.model_dump_json())
    return None


@app.command()
def verify(state_dir: StateDir = STATE_DIR_DEFAULT, as_json: AsJson = False) -> int:
    """Recompute the whole hash chain; an edit, a deletion or a swap anywhere shows."""
    from pointwork.ledger.audit import AuditChain

    report = AuditChain(open_ledger(state_dir)).verify()
    screen = Screen(as_json=as_json)
    if as_json:
        screen.document(
            {
                "holds": report.holds,
                "records": report.count,
                "head_sha256": report.head_hash,
                "first_broken_sequence": report.first_broken_sequence,
                "reason": report.reason or None,
            }
        )
    elif report.holds:
        screen.line(f"The chain holds: {report.count} records.", OK)
        screen.show(facts([("head SHA-256", report.head_hash)]))
    else:
        screen.line("The chain is broken.", FAIL)
        screen.show(facts([("held until", f"record {report.count}"), ("because", report.reason)]))
        screen.error(f"{report.reason}; restore the ledger from a backup and compare")
    return ExitCode.OK if report.holds else ExitCode.MISMATCH


@app.command()
def replay(
    task_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Id of the task.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every task that has ended.")] = False,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> int:
    """Replay a task's history on today's code, and make its decisions again, byte for byte."""
    from pointwork.ledger.outcomes import OutcomeLog

    if (task_id is None) != every:
        raise CliError("ID and --all are both given or both missing", "give one of them")
    outcomes = OutcomeLog(open_ledger(state_dir))
    if task_id is None:
        ids = [each.task_id for each in outcomes.recent(_REPLAY_TASKS_MAX)[::-1]]
    else:
        ids = [_known(outcomes.find(task_id), task_id)]
    screen = Screen(as_json=as_json)
    reports = asyncio.run(replay_tasks(ids, app_root(), state_dir))
    holds = all(each.holds for each in reports)
    if as_json:
        documents = [each.document for each in reports]
        screen.document(documents[0] if task_id is not None else {"ok": holds, "tasks": documents})
    else:
        print_replays(screen, reports)
    return ExitCode.OK if holds else ExitCode.MISMATCH


def print_replays(screen: Screen, reports: list[Replayed]) -> None:
    """A row a task, then one verdict over all of them."""
    if not reports:
        return screen.say("No task has ended yet, so there is nothing to replay.")
    rows = table("TASK", "HISTORY", "DECISIONS", "PROBLEM", shrink=["TASK", "PROBLEM"])
    for each in reports:
        rows.add_row(each.task_id, each.history_words, each.decision_words, each.problem or "-")
    screen.show(rows)
    broken = [each for each in reports if not each.holds]
    screen.line()
    if broken:
        return screen.line(f"{len(broken)} of {len(reports)} replays do not hold.", FAIL)
    return screen.line(
        f"All {len(reports)} replays hold: each history replays, each decision is the same bytes.",
        OK,
    )


def _known(outcome: TaskOutcome | None, task_id: str) -> str:
    if outcome is None:
        raise CliError(f"no task {task_id!r} has ended", "see `pointwork list`")
    return task_id
