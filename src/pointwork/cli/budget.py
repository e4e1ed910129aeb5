"""``pointwork budget``: what may be spent, who set that, and going on after a hard stop."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pointwork.cli.approvals import As, Reason, check_reason, signed_verdict
from pointwork.cli.budget_words import (
    alert_document,
    alert_line,
    options_named,
    show_budgets,
)
from pointwork.cli.deployment import connect, load_policy, open_ledger
from pointwork.cli.errors import CliError, ExitCode
from pointwork.cli.options import (
    HOST_DEFAULT,
    STATE_DIR_DEFAULT,
    AsJson,
    HostName,
    PoliciesDir,
    StateDir,
)
from pointwork.cli.owner import OWNER
from pointwork.cli.person import check_owner
from pointwork.cli.screen import OK, Screen, usd
from pointwork.contract.approval import ApprovalVerdict

if TYPE_CHECKING:
    from decimal import Decimal

    from pointwork.budgeting import Named
    from pointwork.contract.approval import ApprovalRequest

app = typer.Typer(
    help="See and set budgets, read alerts, resume after a hard stop.", no_args_is_help=True
)

PackOption = Annotated[
    str, typer.Option("--pack", help="A pack, or `all` for one budget over every pack.")
]
ScopeOption = Annotated[
    str, typer.Option("--scope", help="pack, caller, class, worker, vendor or model.")
]
SubjectOption = Annotated[
    str | None,
    typer.Option("--for", help="Whose budget, such as a caller's name; `*` is one for each."),
]
PeriodOption = Annotated[str, typer.Option("--period", help="day, week or month.")]


@app.command()
def show(
    pack: Annotated[str | None, typer.Option("--pack", help="Only budgets of this pack.")] = None,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Every budget of now: its limit and who set it, what is spent, held and left."""
    from pointwork.budgeting import budget_rows

    library, now = load_policy(policies_dir, host, state_dir), datetime.now(UTC)
    if pack is not None and pack != "all":
        library.active(pack)
    rows = [
        each
        for each in budget_rows(library, open_ledger(state_dir), now)
        if pack in (None, each.named.pack)
    ]
    show_budgets(Screen(as_json=as_json), rows, now)


@app.command(name="set")
def set_(
    limit: Annotated[str, typer.Argument(metavar="USD", help="The most to spend, such as 12.50.")],
    pack: PackOption,
    period: PeriodOption,
    reason: Reason,
    scope: ScopeOption = "pack",
    subject: SubjectOption = None,
    alert_at: Annotated[
        str | None, typer.Option("--alert-at", help="Tell people at this share, such as 0.8.")
    ] = None,
    by: As = OWNER,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Set a limit from now on; open holds stay, whatever it is."""
    from pointwork.budgeting import parse_alert_at, parse_limit, parse_named

    library = load_policy(policies_dir, host, state_dir)
    with options_named():
        named = parse_named(library, pack, scope, subject, period)
        limit_nano_usd, share = parse_limit(limit), parse_alert_at(alert_at)
    _set(named, limit_nano_usd, share, reason, by, state_dir, as_json)


@app.command()
def unset(
    pack: PackOption,
    period: PeriodOption,
    reason: Reason,
    scope: ScopeOption = "pack",
    subject: SubjectOption = None,
    by: As = OWNER,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Give a budget back to its pack: the pack's own limit, or none."""
    from pointwork.budgeting import parse_named

    library = load_policy(policies_dir, host, state_dir)
    with options_named():
        named = parse_named(library, pack, scope, subject, period)
    _set(named, None, None, reason, by, state_dir, as_json)


@app.command()
def resume(
    window: Annotated[str, typer.Argument(metavar="WINDOW", help="A stopped window, or a pack.")],
    reason: Reason,
    by: As = OWNER,
    tasks: Annotated[
        bool, typer.Option(help="Also approve the tasks that wait for this budget.")
    ] = True,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> int:
    """Let tasks proceed after a hard stop, and those that wait run over the limit."""
    from pointwork.budgeting import waiting_for
    from pointwork.ledger.budget_stops import StopBook

    check_reason(reason)
    check_owner(state_dir, by)
    engine = open_ledger(state_dir)
    book, now = StopBook(engine), datetime.now(UTC)
    stopped = [key for key in book.standing() if window in (key, key.partition("/")[0])]
    if not stopped:
        standing = ", ".join(book.standing()) or "none is"
        raise CliError(f"no budget {window!r} is stopped", f"stopped budgets: {standing}")
    waiting = waiting_for(engine, stopped) if tasks else []
    for each in waiting:
        _refuse_own(each, by)
    # Tasks first: where one cannot be reached, the stop stands and the command can be repeated.
    asyncio.run(_approve_all(waiting, reason, by, state_dir))
    resumed = [key for key in stopped if book.resume(key, by, reason.strip(), now)]
    screen = Screen(as_json=as_json)
    if as_json:
        task_ids = [each.task_id for each in waiting]
        screen.document({"resumed": resumed, "resumed_by": by, "approved_tasks": task_ids})
        return ExitCode.OK
    for key in resumed:
        screen.say(f"{key} is resumed by {by}.", OK)
    for each in waiting:
        screen.say(f"Task {each.task_id} goes on, up to {usd(each.ceiling_nano_usd)}.")
    screen.note("A task that the limit does not cover stops it again; see `pointwork budget set`.")
    return ExitCode.OK


@app.command()
def alerts(
    everything: Annotated[bool, typer.Option("--all", help="Also those somebody saw.")] = False,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """What people are told of budgets: near, reached, stopped, overrun."""
    from pointwork.ledger.budget_alerts import AlertBook

    found = AlertBook(open_ledger(state_dir)).alerts(seen=everything)
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document([alert_document(each) for each in found])
    for each in found:
        screen.text(alert_line(each))
    if not found:
        return screen.say("No alert waits to be seen.")
    if any(each.seen_at is None for each in found):
        screen.note("`pointwork budget seen ID` records that you have seen one; `--all` all.")
    return None


@app.command()
def seen(
    alert_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of alerts.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every alert not seen yet.")] = False,
    by: As = OWNER,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Record who has seen an alert."""
    from pointwork.ledger.budget_alerts import AlertBook

    check_owner(state_dir, by)
    book, now = AlertBook(open_ledger(state_dir)), datetime.now(UTC)
    wanted: Sequence[str] = alert_ids or []
    if everything == bool(wanted):
        raise CliError("it is not clear which alerts", "give ids, or --all without ids")
    unseen = [each.alert_id for each in book.alerts(limit=book.unseen_count())]
    wanted = wanted or unseen
    for each in wanted:
        if each not in unseen:
            problem = f"no unseen alert has the id {each!r}"
            raise CliError(problem, "see `pointwork budget alerts`")
    for each in wanted:
        book.see(each, by, now)
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document({"seen": list(wanted), "seen_by": by})
    return screen.say(f"{len(wanted)} seen by {by}.", OK)


def _set(
    named: "Named",
    limit_nano_usd: int | None,
    alert_ratio: "Decimal | None",
    reason: str,
    by: str,
    state_dir: Path,
    as_json: bool,
) -> None:
    from pointwork.ledger.budget_settings import BudgetSettings

    check_reason(reason)
    check_owner(state_dir, by)
    setting = BudgetSettings(open_ledger(state_dir)).set(
        pack=named.pack,
        scope=named.scope,
        subject=named.subject,
        period=named.period,
        limit_nano_usd=limit_nano_usd,
        alert_ratio=alert_ratio,
        set_by=by,
        reason=reason.strip(),
        now=datetime.now(UTC),
        pack_limit_nano_usd=named.pack_limit_nano_usd,
    )
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document(setting.model_dump(mode="json"))
    if limit_nano_usd is not None:
        return screen.say(f"{named.words}: {usd(limit_nano_usd)}, set by {by}.", OK)
    back = named.pack_limit_nano_usd
    own = "no limit of its own" if back is None else f"the pack's {usd(back)}"
    return screen.say(f"{named.words}: {own} again.", OK)


async def _approve_all(
    waiting: "Sequence[ApprovalRequest]", reason: str, by: str, state_dir: Path
) -> None:
    if not waiting:
        return
    client = (await connect(state_dir)).client
    for each in waiting:
        signed = signed_verdict(each, ApprovalVerdict.APPROVED, reason, by, state_dir)
        await client.submit_verdict(signed)


def _refuse_own(request: "ApprovalRequest", by: str) -> None:
    if request.requester == by:
        raise CliError(
            f"{by} asked for task {request.task_id} and may not approve it",
            "let another person resume, or give --no-tasks",
        )
