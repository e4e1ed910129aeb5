"""``pointwork list``, ``show`` and ``cancel``."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from pointwork.cli.deployment import connect, open_ledger, open_vault
from pointwork.cli.errors import CliError, ExitCode
from pointwork.cli.options import STATE_DIR_DEFAULT, AsJson, StateDir, TaskIdArgument
from pointwork.cli.route import (
    STATUS_STYLES,
    attempt_rows,
    other_models,
    result_document,
    route_lines,
    run_lines,
    short_reason,
)
from pointwork.cli.screen import Screen, age, facts, table, usd, usd_aligned
from pointwork.cli.unfinished import UnfinishedTask, unfinished_tasks
from pointwork.contract.decision import GrantKind
from pointwork.contract.failures import ServiceUnavailableError
from pointwork.contract.outcome import TaskOutcome, TaskStatus, TaskView
from pointwork.policy.reading.outcome_words import branch_words, count_words, voice_words

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pointwork.contract.decision import DecisionRecord

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="Most rows.")]

_WITH_CLASS_COLUMNS = 108


def list_tasks(
    limit: Limit = 20,
    status: Annotated[TaskStatus | None, typer.Option(help="Only tasks in this state.")] = None,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Tasks that run, then those that ended, latest first."""
    from pointwork.ledger.outcomes import OutcomeLog

    outcomes = OutcomeLog(open_ledger(state_dir))
    is_ended = status is not None and status.is_terminal
    ended = [] if status and not is_ended else outcomes.recent(limit, status)
    note, unfinished = "", []
    if not is_ended:
        try:
            unfinished = asyncio.run(unfinished_tasks(state_dir, limit))
        except ServiceUnavailableError:
            note = "Pointwork does not run here, so only tasks that have ended are listed."
    known = {each.task_id for each in ended}
    unfinished = [
        each
        for each in unfinished
        if each.task_id not in known and (status is None or each.status == status)
    ]
    screen = Screen(as_json=as_json)
    if as_json:
        running = [_running_document(each) for each in unfinished]
        done = [each.model_dump(mode="json") for each in ended]
        return screen.document({"running": running, "ended": done, "note": note})
    if unfinished or ended:
        room = max(0, limit - len(unfinished))
        screen.show(_rows(screen, unfinished[:limit], ended[:room]))
    else:
        screen.say("No tasks yet; start one with `pointwork run`.")
    return screen.note(note) if note else None


def _rows(screen: Screen, unfinished: list[UnfinishedTask], ended: list[TaskOutcome]) -> Table:
    """The class gives way first where the terminal is narrow."""
    figures = ["COST", "AGE"]
    heads = ["TASK", "STATUS", "CLASS", "MODEL", *figures]
    lines = [*map(_running_cells, unfinished), *map(_ended_cells, ended)]
    if screen.out.width < _WITH_CLASS_COLUMNS:
        heads.remove("CLASS")
        lines = [[*cells[:2], *cells[3:]] for cells in lines]
    rows = table(*heads, right=figures, shrink=["TASK"])
    for cells in lines:
        rows.add_row(*cells)
    return rows


def _running_cells(task: UnfinishedTask) -> list[str | Text]:
    status = f"waits for {task.waits_for}" if task.waits_for else task.status
    since = age((datetime.now(UTC) - task.started_at).total_seconds())
    return [task.task_id, status, task.task_class or "-", task.model or "-", "-", since]


def _ended_cells(outcome: TaskOutcome) -> list[str | Text]:
    return [
        outcome.task_id,
        Text(outcome.status, style=STATUS_STYLES.get(outcome.status, "")),
        outcome.task_class or "unknown",
        outcome.served_model or "-",
        usd_aligned(outcome.cost_nano_usd),
        age((datetime.now(UTC) - outcome.finished_at).total_seconds()),
    ]


def _running_document(task: UnfinishedTask) -> dict[str, Any]:
    return {
        "task_id": task.task_id,
        "status": task.status,
        "task_class": task.task_class or None,
        "model": task.model or None,
        "waits_for": task.waits_for or None,
        "started_at": task.started_at.isoformat(),
    }


def show(
    task_id: TaskIdArgument,
    answer: Annotated[bool, typer.Option("--answer", help="Print the answer alone.")] = False,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> int:
    """Everything known of a task, and its answer."""
    from pointwork.ledger.content import SealedContent
    from pointwork.ledger.outcomes import OutcomeLog

    engine = open_ledger(state_dir)
    outcomes = OutcomeLog(engine)
    outcome, decisions = outcomes.find(task_id), outcomes.decisions(task_id)
    screen = Screen(as_json=as_json)
    if outcome is None:
        return _show_unfinished(screen, state_dir, task_id, decisions, wants_answer=answer)
    text = None
    if answer:
        if outcome.answer is None:
            problem = f"task {task_id} ended {outcome.status} and has no answer"
            raise CliError(problem, f"see `pointwork explain {task_id}`", ExitCode.NO_ANSWER)
        content = SealedContent(open_vault(engine, state_dir))
        text = content.answer_text(task_id, outcome.answer)
    said = {} if answer else _said_of_it(state_dir, engine, outcome)
    if as_json:
        screen.document(_whole_document(outcome, decisions, text) | said)
    elif text is not None:
        screen.text(text)
    else:
        _print_ended(screen, outcome, decisions)
        for name, remarks in said.items():
            screen.line()
            screen.line(f"=== {name.replace('_', ' ').capitalize()}", style="bold")
            screen.show(facts([(kind.replace("_", " "), each) for kind, each in remarks]))
    return ExitCode.OK


def _said_of_it(
    state_dir: Path, engine: "Engine", outcome: TaskOutcome
) -> dict[str, list[tuple[str, str]]]:
    """What a critic and a judge wrote, by kind, from the vault; nothing of what is erased."""
    from pointwork.ledger.content import SealedContent
    from pointwork.ledger.vault import ContentUnavailableError

    critique, judgement = outcome.critique, outcome.judgement
    written = {
        "critic": critique.remarks if critique else None,
        "judge": judgement.reasons if judgement else None,
    }
    found = {}
    for name, ref in written.items():
        if ref is None:
            continue
        content = SealedContent(open_vault(engine, state_dir))
        try:
            said = json.loads(content.answer_text(outcome.task_id, ref))
        except ContentUnavailableError:
            continue
        found[f"{name}_said"] = [
            (kind, each)
            for kind, listed in said.items()
            if isinstance(listed, list)
            for each in listed
        ]
    return found


def _whole_document(
    outcome: TaskOutcome, decisions: "list[DecisionRecord]", answer: str | None
) -> dict[str, Any]:
    document = result_document(outcome, decisions[-1] if decisions else None, answer)
    return document | {"decisions": [each.model_dump(mode="json") for each in decisions]}


def _print_ended(screen: Screen, outcome: TaskOutcome, decisions: "list[DecisionRecord]") -> None:
    last = decisions[-1] if decisions else None
    screen.show(route_lines(outcome, last))
    more: list[tuple[str, str | Text]] = [
        ("caller", outcome.caller),
        ("started", outcome.started_at.isoformat(timespec="seconds")),
    ]
    if last is not None and last.input.request.description:
        more.append(("description", last.input.request.description))
    if outcome.redactions:
        more.append(("redacted", count_words(outcome.redactions)))
    more += [("approval", each) for each in outcome.approval_ids]
    more += [("answers", words) for words in branch_words(outcome)]
    more += voice_words(outcome)
    more.append(("decisions", f"{len(decisions)}; see `pointwork explain {outcome.task_id}`"))
    if outcome.reason:
        more.append(("reason", short_reason(outcome, last)))
    screen.show(facts(more))
    if outcome.attempts:
        screen.line()
        screen.show(attempt_rows(outcome.attempts))
        for line in run_lines(outcome.attempts):
            screen.line(line)
    if last is not None and outcome.status is not TaskStatus.SUCCEEDED and last.plan.rejected:
        screen.line()
        screen.show(other_models(last.plan))


def _show_unfinished(
    screen: Screen,
    state_dir: Path,
    task_id: str,
    decisions: "list[DecisionRecord]",
    *,
    wants_answer: bool,
) -> int:
    try:
        view = asyncio.run(_view(state_dir, task_id))
    except ServiceUnavailableError:
        if not decisions:
            raise _unknown(task_id) from None
        raise
    if wants_answer and view.waits_for == GrantKind.UNPASSED_ANSWER:
        return _show_unpassed(screen, state_dir, task_id)
    if wants_answer:
        problem = f"task {task_id} is {view.status} and has no answer yet"
        raise CliError(problem, "ask again later", ExitCode.WAITING)
    if screen.as_json:
        plans = [each.model_dump(mode="json") for each in decisions]
        screen.document({"task_id": task_id, **view.model_dump(mode="json"), "decisions": plans})
        return ExitCode.OK
    since = age((datetime.now(UTC) - view.started_at).total_seconds())
    pairs = [
        ("task", task_id),
        ("status", f"{view.status}, for {since}"),
        ("model", view.model or "none yet"),
        ("attempt", str(view.attempt)),
        ("cost", f"at most {usd(view.estimate_nano_usd)} held"),
    ]
    if view.waits_for:
        pairs.append(("waits for", f"a person: {view.waits_for}; see `pointwork inbox`"))
    screen.show(facts(pairs))
    return ExitCode.OK


def _show_unpassed(screen: Screen, state_dir: Path, task_id: str) -> int:
    """What was answered and what its judge said, for the person who is asked to release it."""
    from pointwork.ledger.content import SealedContent
    from pointwork.ledger.given_answers import given_answers

    engine = open_ledger(state_dir)
    content = SealedContent(open_vault(engine, state_dir))
    said = [
        {"model": model, "said": content.answer_text(task_id, ref)}
        for model, ref in given_answers(engine, task_id)
    ]
    if screen.as_json:
        screen.document({"task_id": task_id, "waits_for": GrantKind.UNPASSED_ANSWER, "said": said})
        return ExitCode.OK
    for each in said:
        screen.line(f"=== {each['model']}", style="bold")
        screen.text(each["said"])
    screen.note(f'`pointwork approve {task_id} --reason "..."` lets the answer out.')
    return ExitCode.OK


async def _view(state_dir: Path, task_id: str) -> TaskView:
    client = (await connect(state_dir)).client
    try:
        async with asyncio.timeout(10):
            return await client.status(task_id)
    except TimeoutError:
        raise ServiceUnavailableError(
            f"no worker answers for task {task_id}; check that they run with `pointwork doctor`"
        ) from None


def _unknown(task_id: str) -> CliError:
    return CliError(f"no task {task_id!r} is recorded", "see `pointwork list`")


def cancel(
    task_id: TaskIdArgument, state_dir: StateDir = STATE_DIR_DEFAULT, as_json: AsJson = False
) -> int:
    """Stop a running task. Its money is settled and its outcome recorded all the same."""
    from pointwork.ledger.outcomes import OutcomeLog

    ended = OutcomeLog(open_ledger(state_dir)).find(task_id)
    if ended is not None:
        raise CliError(f"task {task_id} ended already, {ended.status}", "nothing needs cancelling")
    asyncio.run(_cancel(state_dir, task_id))
    screen = Screen(as_json=as_json)
    if as_json:
        screen.document({"task_id": task_id, "status": "cancelling"})
    else:
        screen.say(f"Asked task {task_id} to stop; `pointwork show {task_id}` has its record soon.")
    return ExitCode.OK


async def _cancel(state_dir: Path, task_id: str) -> None:
    await (await connect(state_dir)).client.cancel(task_id)
