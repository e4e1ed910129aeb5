"""``pointwork override``: an exception to a route, with reason, scope, duration and its cost."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointwork.cli.approvals import As, Reason, check_reason, signed_verdict
from pointwork.cli.deployment import load_policy, open_ledger
from pointwork.cli.errors import CliError
from pointwork.cli.options import (
    HOST_DEFAULT,
    STATE_DIR_DEFAULT,
    AsJson,
    HostName,
    PoliciesDir,
    StateDir,
)
from pointwork.cli.override_words import Bounds, document, parse_bounds, show_asked, show_entries
from pointwork.cli.owner import OWNER, load_key
from pointwork.cli.screen import OK, Screen, listed, usd
from pointwork.contract.approval import ApprovalVerdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine

    from pointwork.contract.override_request import OverrideRequest
    from pointwork.policy.bundle import PolicyBundle

app = typer.Typer(
    help="Send tasks to another model than their route, for a stated reason, time and cost.",
    no_args_is_help=True,
)

OverrideId = Annotated[str, typer.Argument(metavar="ID", help="Id of the override.")]


@app.command()
def create(
    pack: Annotated[str, typer.Option("--pack", help="Whose tasks it is for.")],
    model: Annotated[str, typer.Option("--model", help="The model that goes first.")],
    requester: Annotated[str, typer.Option("--requester", help="Who asks for it.")],
    reason: Annotated[str, typer.Option("--reason", help="What the default route cannot do.")],
    scope: Annotated[
        str | None, typer.Option("--scope", help="task, session or period.", show_default=False)
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option(
            "--duration",
            help="single_use, session, time_limited or indefinite.",
            show_default=False,
        ),
    ] = None,
    task: Annotated[str | None, typer.Option("--task", help="Id of the task to come.")] = None,
    task_class: Annotated[
        str | None, typer.Option("--class", help="That task's class, to estimate from.")
    ] = None,
    conversation: Annotated[
        str | None, typer.Option("--conversation", help="The session it is for.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="When it ends, such as 2026-12-24T18:00Z.")
    ] = None,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Ask for an override; it changes nothing until another person acknowledges its cost."""
    from pointwork.ledger.overrides import OverrideBook

    check_reason(reason)
    now = datetime.now(UTC)
    bounds = parse_bounds(scope, duration, task, conversation, until, now)
    bundle = load_policy(policies_dir, host, state_dir).active(pack)
    _check_named(bundle, model, task_class, bounds)
    engine = open_ledger(state_dir)
    _check_to_come(engine, bounds)
    asked = _asked(engine, bundle, model, task_class, bounds, reason.strip(), requester, now)
    lifetime = timedelta(seconds=bundle.pack.approvals.expire_after_seconds)
    book = OverrideBook(engine)
    book.ask(asked, now + lifetime, now)
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document(document(book.find(asked.override_id, now)))
    return show_asked(screen, asked)


@app.command(name="list")
def list_overrides(
    pack: Annotated[str | None, typer.Option("--pack", help="Only those of this pack.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most.")] = 100,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Every override with its state, and each task it moved: from which model, to which, how."""
    from pointwork.ledger.overrides import OverrideBook

    now = datetime.now(UTC)
    entries = OverrideBook(open_ledger(state_dir)).entries(now, pack=pack, limit=limit)
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document([document(each) for each in entries])
    return show_entries(screen, entries)


@app.command()
def acknowledge(
    override_id: OverrideId,
    reason: Reason,
    approver: As = OWNER,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Acknowledge the cost you were shown: from now on the override holds."""
    from pointwork.ledger.overrides import OverrideBook
    from pointwork.overriding import acknowledge as take_verdict
    from pointwork.verdicts import VerdictRefusedError

    check_reason(reason)
    engine, now = open_ledger(state_dir), datetime.now(UTC)
    book = OverrideBook(engine)
    request, asked = book.approval(override_id, now), book.find(override_id, now).asked
    bundle = load_policy(policies_dir, host, state_dir).active(asked.pack)
    approved = ApprovalVerdict.APPROVED
    signed = signed_verdict(request, approved, reason, approver, state_dir)
    try:
        take_verdict(engine, signed, bundle, datetime.now(UTC))
    except VerdictRefusedError as error:
        raise CliError(str(error), "see `pointwork override list`") from None
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document(document(book.find(override_id, datetime.now(UTC))))
    cost = usd(asked.cost_impact_nano_usd)
    screen.say(f"{override_id} is active; {approver} acknowledged {cost}.", OK)
    return screen.note(f'`pointwork override revoke {override_id} --reason "..."` ends it.')


@app.command()
def revoke(
    override_id: OverrideId,
    reason: Reason,
    by: As = OWNER,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """End an override now; tasks that hold money for it keep their model."""
    _end(override_id, reason, by, state_dir, as_json, is_struck=False)


@app.command()
def strike(
    override_id: OverrideId,
    reason: Reason,
    by: As = OWNER,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """End an override whose reason is convenience, as a reviewer."""
    _end(override_id, reason, by, state_dir, as_json, is_struck=True)


@app.command()
def end_session(
    conversation: Annotated[str, typer.Argument(metavar="CONVERSATION", help="The session.")],
    by: As = OWNER,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """End every override of a session, because the session is over."""
    from pointwork.ledger.overrides import OverrideBook

    load_key(state_dir, by)
    book = OverrideBook(open_ledger(state_dir))
    ended = book.end_session(conversation, by, datetime.now(UTC))
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document({"conversation": conversation, "ended": ended, "ended_by": by})
    if not ended:
        return screen.say(f"No override holds for conversation {conversation}.")
    return screen.say(f"The session is over for {listed(ended)}.", OK)


def _end(
    override_id: str, reason: str, by: str, state_dir: Path, as_json: bool, *, is_struck: bool
) -> None:
    from pointwork.ledger.overrides import OverrideBook

    check_reason(reason)
    load_key(state_dir, by)
    book, now = OverrideBook(open_ledger(state_dir)), datetime.now(UTC)
    end = book.strike if is_struck else book.revoke
    end(override_id, by, reason.strip(), now)
    screen = Screen(as_json=as_json)
    entry = book.find(override_id, now)
    if as_json:
        return screen.document(document(entry))
    return screen.say(f"{override_id} is {entry.state} by {by}; tasks take their route again.", OK)


def _check_named(
    bundle: "PolicyBundle", model: str, task_class: str | None, bounds: Bounds
) -> None:
    pack = bundle.pack
    models = [e.name for e in bundle.index.entries if e.priced.model.kind == "llm"]
    if model not in models:
        named = listed(sorted(models))
        raise CliError(f"--model {model!r} is no language model of {pack.pack}", f"name {named}")
    if task_class is None:
        return
    if bounds.task_id is None:
        raise CliError("--class is given without --task", "only a task's own class is estimated")
    if task_class not in pack.classes:
        problem = f"--class {task_class!r} is no class of {pack.pack}"
        raise CliError(problem, f"name {listed(list(pack.classes))}")


def _check_to_come(engine: "Engine", bounds: Bounds) -> None:
    """A task reads overrides when it begins, so one that has begun would never see this one."""
    from pointwork.ledger.outcomes import OutcomeLog

    log, task_id = OutcomeLog(engine), bounds.task_id
    if task_id is not None and (log.find(task_id) or log.latest_decision(task_id)):
        problem = f"--task {task_id!r} was decided already, and overrides are read before that"
        raise CliError(problem, "submit the work under a new id, and name that")


def _asked(
    engine: "Engine",
    bundle: "PolicyBundle",
    model: str,
    task_class: str | None,
    bounds: Bounds,
    reason: str,
    requester: str,
    now: datetime,
) -> "OverrideRequest":
    from pydantic import ValidationError

    from pointwork.contract.override_request import OverrideRequest
    from pointwork.overriding import Wanted, estimate

    wanted = Wanted(
        model=model,
        scope=bounds.scope,
        duration=bounds.duration,
        conversation=bounds.conversation,
        ends_at=bounds.ends_at,
        task_class=task_class,
    )
    impact = estimate(engine, bundle, wanted, now)
    try:
        return OverrideRequest(
            override_id=f"override-{uuid.uuid4().hex[:12]}",
            pack=bundle.pack.pack,
            model=model,
            scope=bounds.scope,
            task_id=bounds.task_id,
            conversation=bounds.conversation,
            starts_at=now,
            ends_at=bounds.ends_at,
            duration=bounds.duration,
            reason=reason,
            requester=requester,
            cost_impact_nano_usd=impact.nano_usd,
            cost_basis=impact.basis,
            policy_sha256=bundle.sha256,
        )
    except ValidationError as error:
        raise _refused(error.errors(include_url=False, include_input=False)[0]) from None


def _refused(fault: "Mapping[str, Any]") -> CliError:
    """The message's own sentence where it has one: problem and remedy."""
    field = str(fault["loc"][0]) if fault["loc"] else "override"
    option = {"task_id": "--task"}.get(field, f"--{field.replace('_', '-')}")
    text = str(fault["msg"]).removeprefix("Value error, ")
    problem, _, remedy = text.partition("; ")
    return CliError(f"{option}: {problem}", remedy or "see `pointwork override create --help`")
