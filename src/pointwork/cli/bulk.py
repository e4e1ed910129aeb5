"""``pointwork bulk``: the tasks of a file in one durable run, behind everything interactive."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from pointwork.cli.bulk_file import BulkFile, Checked
from pointwork.cli.bulk_results import Written, check_results_path, write_results
from pointwork.cli.bulk_watching import (
    bulk_display,
    follow_bulk,
    run_state,
    state_words,
)
from pointwork.cli.deployment import connect, load_policy, open_ledger, open_vault
from pointwork.cli.errors import CliError, ExitCode
from pointwork.cli.options import (
    HOST_DEFAULT,
    STATE_DIR_DEFAULT,
    AsJson,
    HostName,
    PoliciesDir,
    StateDir,
)
from pointwork.cli.screen import Screen, age, facts, table, usd, usd_aligned
from pointwork.contract.bulk import IN_FLIGHT_MAX, RUN_ID_PATTERN
from pointwork.contract.failures import ServiceUnavailableError
from pointwork.contract.task import OUTPUT_TOKENS_MAX, Sensitivity

if TYPE_CHECKING:
    from pointwork.client.bulk import BulkRuns, BulkView
    from pointwork.ledger.bulk_runs import BulkDraft, BulkRunEntry


class FileFirst(TyperGroup):
    """A group whose first word, where it is none of its commands, is the file to run."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=FileFirst,
    help="Run the tasks of a file: `pointwork bulk FILE`. Interactive work goes first.",
    no_args_is_help=True,
)

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")]
ResultsOption = Annotated[
    Path | None,
    typer.Option("--results", metavar="FILE", help="Write the answers there at the end."),
]


@app.command()
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="One JSON object a line.")],
    pack: Annotated[str, typer.Option("--pack", help="Rule set that decides.")] = "omega",
    task_class: Annotated[
        str | None, typer.Option("--class", "-c", help="Class of items that name none.")
    ] = None,
    sensitivity: Annotated[
        Sensitivity | None, typer.Option(help="How far texts may travel that do not say.")
    ] = None,
    max_tokens: Annotated[
        int,
        typer.Option(
            "--max-tokens", min=1, max=OUTPUT_TOKENS_MAX, help="Longest answer, in tokens."
        ),
    ] = 512,
    caller: Annotated[str, typer.Option(help="Who asks; approvals come from another.")] = "cli",
    priority: Annotated[int, typer.Option(min=1, max=5, help="1 is served first, 5 last.")] = 5,
    in_flight: Annotated[
        int, typer.Option("--in-flight", min=1, max=IN_FLIGHT_MAX, help="Items at once.")
    ] = 8,
    run_id: Annotated[
        str | None, typer.Option("--id", help="Your id; the same file under it runs once.")
    ] = None,
    results: ResultsOption = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print the id and leave.")] = False,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    as_json: AsJson = False,
) -> int:
    """Run every line of FILE as a task, a few at a time, and watch; ctrl-C leaves it running.

    A line is {"id": ..., "text": ...} or {"id": ..., "messages": [...]}, with task_class,
    sensitivity and max_output_tokens where it differs. Texts are sealed before anything starts.
    """
    options = {
        "pack": pack,
        "task_class": task_class,
        "sensitivity": sensitivity,
        "max_tokens": max_tokens,
        "caller": caller,
        "priority": priority,
    }
    named = _checked_id(run_id) if run_id is not None else _new_id()
    if results is not None:
        if no_wait:
            problem = "--results and --no-wait are both given"
            raise CliError(problem, "leave one out; `pointwork bulk results` writes them later")
        check_results_path(results)
    source = BulkFile(file, named, options, load_policy(policies_dir, host, state_dir))
    checked = source.check()
    draft = _draft(named, checked, in_flight, options)
    screen = Screen(as_json=as_json)
    screen.say(f"Run {named}: {checked.item_count} items of {file}.")
    try:
        asyncio.run(_start(screen, state_dir, draft, source))
    except KeyboardInterrupt:
        remedy = f"give the same command with --id {named}, and it goes on"
        raise CliError("stopped before the run was started", remedy, ExitCode.INTERRUPTED) from None
    if no_wait:
        return _say_started(screen, named)
    return _watched(screen, state_dir, named, results)


@app.command()
def watch(
    run_id: RunArgument,
    results: ResultsOption = None,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> int:
    """Follow a run to its end; ctrl-C leaves it running."""
    if results is not None:
        check_results_path(results)
    return _watched(Screen(as_json=as_json), state_dir, run_id, results)


@app.command(name="list")
def list_(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="Most rows.")] = 20,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Runs, latest first."""
    from pointwork.ledger.bulk_runs import BulkBook

    book = BulkBook(open_ledger(state_dir))
    found = [(each, book.counts(each.run_id)) for each in book.recent(limit)]
    screen = Screen(as_json=as_json)
    if as_json:
        documents = [_run_document(run) | counts.model_dump() for run, counts in found]
        return screen.document({"runs": documents})
    if not found:
        return screen.say("No runs yet; start one with `pointwork bulk FILE`.")
    figures = ["ITEMS", "DONE", "FAILED", "CANCELLED", "COST", "AGE"]
    rows = table("RUN", "STATE", *figures, right=figures, shrink=["RUN"])
    for run, counts in found:
        ended = (counts.done, counts.failed, counts.cancelled)
        since = age((datetime.now(UTC) - run.created_at).total_seconds())
        rows.add_row(
            *(run.run_id, run_state(run), str(run.item_count), *map(str, ended)),
            *(usd_aligned(counts.cost_nano_usd), since),
        )
    return screen.show(rows)


@app.command()
def status(
    run_id: RunArgument, state_dir: StateDir = STATE_DIR_DEFAULT, as_json: AsJson = False
) -> None:
    """How far a run is, and what it cost."""
    view = asyncio.run(_view(state_dir, run_id))
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document(_view_document(view))
    return _show(screen, view)


@app.command()
def pause(
    run_id: RunArgument, state_dir: StateDir = STATE_DIR_DEFAULT, as_json: AsJson = False
) -> None:
    """Start no more items; those in flight go on."""
    _tell(state_dir, run_id, "pause", lambda runs: runs.pause(run_id), as_json)


@app.command()
def resume(
    run_id: RunArgument, state_dir: StateDir = STATE_DIR_DEFAULT, as_json: AsJson = False
) -> None:
    """Go on with a run that is paused."""
    _tell(state_dir, run_id, "resume", lambda runs: runs.resume(run_id), as_json)


@app.command()
def cancel(
    run_id: RunArgument, state_dir: StateDir = STATE_DIR_DEFAULT, as_json: AsJson = False
) -> None:
    """Cancel what runs and what has not begun. Money is settled; what ended stays as it is."""
    _tell(state_dir, run_id, "cancel", lambda runs: runs.cancel(run_id), as_json)


@app.command()
def results(
    run_id: RunArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the answers are written.")],
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> int:
    """Write each item's answer, model, cost and reason, in the order of the run's file."""
    written = _write(state_dir, run_id, file)
    screen = Screen(as_json=as_json)
    if as_json:
        document = {"run_id": run_id, "file": str(file)}
        screen.document(document | {"items": written.items, "unfinished": written.unfinished})
    else:
        screen.say(f"Wrote {written.items} items to {file}; {written.unfinished} have not ended.")
    return ExitCode.WAITING if written.unfinished else ExitCode.OK


def _checked_id(given: str) -> str:
    import re

    if not re.fullmatch(RUN_ID_PATTERN, given):
        raise CliError(
            f"--id {given[:64]!r} is not allowed",
            "use 1 to 48 letters, digits and . _ - starting with a letter or digit",
        )
    return given


def _new_id() -> str:
    return f"bulk-{datetime.now(UTC):%Y%m%d%H%M%S}-{uuid.uuid4().hex[:8]}"


def _draft(run_id: str, checked: Checked, in_flight: int, options: dict[str, Any]) -> "BulkDraft":
    from pointwork.ledger.bulk_runs import BulkDraft

    return BulkDraft(
        run_id=run_id,
        caller=options["caller"],
        pack=options["pack"],
        item_count=checked.item_count,
        declared_sha256=checked.declared_sha256,
        in_flight_max=in_flight,
        priority=options["priority"],
    )


async def _start(screen: Screen, state_dir: Path, draft: "BulkDraft", source: BulkFile) -> None:
    runs, total = await _runs(state_dir), draft.item_count
    with bulk_display(screen) as display:
        sealed = 0

        def tell(count: int) -> None:
            nonlocal sealed
            sealed += count
            display.sealing(sealed, total)

        await runs.seal(draft, source.items(draft.declared_sha256), tell)
    await runs.start(draft.run_id)


async def _runs(state_dir: Path) -> "BulkRuns":
    from pointwork.client.bulk import BulkRuns
    from pointwork.ledger.bulk_runs import BulkBook

    running = await connect(state_dir)
    return BulkRuns(running.client, BulkBook(running.engine))


def _say_started(screen: Screen, run_id: str) -> int:
    if screen.as_json:
        screen.document({"run_id": run_id, "state": "started"})
    else:
        screen.text(run_id)
    return ExitCode.OK


def _watched(screen: Screen, state_dir: Path, run_id: str, results: Path | None) -> int:
    try:
        view = asyncio.run(_follow(screen, state_dir, run_id))
    except KeyboardInterrupt:
        raise CliError(
            f"stopped watching; run {run_id} goes on",
            f"see `pointwork bulk watch {run_id}`, or `pause` or `cancel` it",
            ExitCode.INTERRUPTED,
        ) from None
    if results is not None:
        _write(state_dir, run_id, results)
    if screen.as_json:
        screen.document(_view_document(view))
    else:
        _show(screen, view)
    return ExitCode.OK if view.counts.done == view.run.item_count else ExitCode.NO_ANSWER


async def _follow(screen: Screen, state_dir: Path, run_id: str) -> "BulkView":
    runs = await _runs(state_dir)
    with bulk_display(screen) as display:
        return await follow_bulk(runs, run_id, display)


async def _view(state_dir: Path, run_id: str) -> "BulkView":
    """Where a run stands, as far as the ledger knows where nothing runs here."""
    from pointwork.client.bulk import BulkView
    from pointwork.embedded import EmbeddedError
    from pointwork.ledger.bulk_runs import BulkBook

    try:
        return await (await _runs(state_dir)).view(run_id)
    except (ServiceUnavailableError, EmbeddedError):
        book = BulkBook(open_ledger(state_dir))
        run = book.find(run_id)
        return BulkView(run=run, counts=book.counts(run_id), is_served=run.state.has_ended)


def _tell(
    state_dir: Path,
    run_id: str,
    word: str,
    told: "Callable[[BulkRuns], Awaitable[None]]",
    as_json: bool,
) -> None:
    async def tell() -> None:
        await told(await _runs(state_dir))

    asyncio.run(tell())
    screen = Screen(as_json=as_json)
    if as_json:
        screen.document({"run_id": run_id, "asked": word})
    else:
        screen.say(f"Asked run {run_id} to {word}; see `pointwork bulk status {run_id}`.")


def _write(state_dir: Path, run_id: str, path: Path) -> Written:
    from pointwork.ledger.bulk_runs import BulkBook
    from pointwork.ledger.content import SealedContent

    engine = open_ledger(state_dir)
    book = BulkBook(engine)
    book.find(run_id)
    return write_results(path, run_id, book, SealedContent(open_vault(engine, state_dir)))


def _show(screen: Screen, view: "BulkView") -> None:
    counts = view.counts
    pairs = [
        ("run", view.run.run_id),
        ("state", state_words(view)),
        ("items", f"{counts.ended} of {view.run.item_count} ended, {view.in_flight} in flight"),
        ("answered", str(counts.done)),
        ("failed", str(counts.failed)),
        ("cancelled", str(counts.cancelled)),
        ("cost", usd(counts.cost_nano_usd)),
    ]
    if view.paused is not None:
        pairs.append(("paused", view.paused.sentence))
    screen.show(facts(pairs))


def _run_document(run: "BulkRunEntry") -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "state": run_state(run),
        "caller": run.caller,
        "pack": run.pack,
        "total": run.item_count,
        "created_at": run.created_at.isoformat(),
        "ended_at": run.ended_at.isoformat() if run.ended_at else None,
    }


def _view_document(view: "BulkView") -> dict[str, Any]:
    return _run_document(view.run) | {
        **view.counts.model_dump(),
        "in_flight": view.in_flight,
        "paused": view.paused,
        "is_served": view.is_served,
    }
