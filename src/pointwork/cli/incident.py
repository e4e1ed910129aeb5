"""``pointwork incident``: what broke a rule, and what owners did about it (OM-87)."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointwork.cli.approvals import check_reason
from pointwork.cli.deployment import open_ledger
from pointwork.cli.errors import CliError
from pointwork.cli.options import STATE_DIR_DEFAULT, AsJson, StateDir
from pointwork.cli.owner import OWNER
from pointwork.cli.person import check_owner
from pointwork.cli.screen import OK, Screen, facts, listed, table

if TYPE_CHECKING:
    from pointwork.ledger.incident_steps import IncidentEntry, IncidentState

app = typer.Typer(
    help="Rules that were broken: review, correct and document each.", no_args_is_help=True
)

IncidentId = Annotated[str, typer.Argument(metavar="ID", help="Id of the incident.")]
By = Annotated[str, typer.Option("--by", help="An owner, who has a key on this machine.")]


@app.command(name="list")
def list_incidents(
    state: Annotated[
        str | None, typer.Option("--state", help="open, reviewed, corrected or documented.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most.")] = 100,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Every incident with its state, latest first."""
    from pointwork.ledger.incident_steps import IncidentBook

    wanted = _state(state) if state is not None else None
    entries = IncidentBook(open_ledger(state_dir)).entries(limit, state=wanted)
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document([_document(each) for each in entries])
    if not entries:
        return screen.say("No incident is on record." if wanted is None else f"None is {wanted}.")
    rows = table("INCIDENT", "STATE", "SINCE", "WHAT", shrink=["WHAT"])
    for each in entries:
        since = each.occurred_at.isoformat(timespec="seconds")
        rows.add_row(each.incident_id, each.state, since, each.detail)
    return screen.show(rows)


@app.command()
def show(
    incident_id: IncidentId, state_dir: StateDir = STATE_DIR_DEFAULT, as_json: AsJson = False
) -> None:
    """One incident with everything that was done about it."""
    from pointwork.ledger.incident_steps import IncidentBook

    entry = IncidentBook(open_ledger(state_dir)).find(incident_id)
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document(_document(entry))
    return _show(screen, entry)


@app.command()
def review(
    incident_id: IncidentId,
    found: Annotated[str, typer.Option("--found", help="What was found, in 8 to 500 characters.")],
    by: By = OWNER,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Say, as an owner, what was found."""
    _take(incident_id, "reviewed", found, by, state_dir, as_json=as_json)


@app.command()
def correct(
    incident_id: IncidentId,
    how: Annotated[str, typer.Option("--how", help="How, in 8 to 500 characters.")],
    by: By = OWNER,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Say, as an owner, how it was put right."""
    _take(incident_id, "corrected", how, by, state_dir, as_json=as_json)


@app.command()
def document(
    incident_id: IncidentId,
    where: Annotated[
        str, typer.Option("--where", help="The entry of the change log, in 8 to 500 characters.")
    ],
    by: By = OWNER,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Say, as an owner, where the change log has it; that ends the incident."""
    _take(incident_id, "documented", where, by, state_dir, as_json=as_json)


def _take(
    incident_id: str, state: str, words: str, by: str, state_dir: Path, *, as_json: bool
) -> None:
    from pointwork.ledger.incident_steps import IncidentBook

    check_reason(words, {"reviewed": "--found", "corrected": "--how"}.get(state, "--where"))
    check_owner(state_dir, by)
    book, now = IncidentBook(open_ledger(state_dir)), datetime.now(UTC)
    entry = book.take(incident_id, _state(state), by, words.strip(), now)
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document(_document(entry))
    screen.say(f"{incident_id} is {entry.state}.", OK)
    return _remind(screen, entry)


def _state(name: str) -> "IncidentState":
    from pointwork.ledger.incident_steps import IncidentState

    try:
        return IncidentState(name)
    except ValueError:
        names = listed([str(each) for each in IncidentState])
        raise CliError(f"--state {name!r} is none", f"give one of {names}") from None


def _show(screen: Screen, entry: "IncidentEntry") -> None:
    screen.show(
        facts(
            [
                ("incident", entry.incident_id),
                ("state", entry.state.value),
                ("since", entry.occurred_at.isoformat(timespec="seconds")),
                ("what", entry.detail),
            ]
        )
    )
    for each in entry.steps:
        at = each.at.isoformat(timespec="seconds")
        screen.say(f"{each.state} {at} by {each.by}: {each.words}")
    _remind(screen, entry)


_COMMANDS = {
    "reviewed": 'review {} --found "..."',
    "corrected": 'correct {} --how "..."',
    "documented": 'document {} --where "..."',
}


def _remind(screen: Screen, entry: "IncidentEntry") -> None:
    """The command that comes next, where one does."""
    if (following := entry.state.next_step) is not None:
        command = _COMMANDS[following].format(entry.incident_id)
        screen.note(f"Next, by an owner: `pointwork incident {command}`.")


def _document(entry: "IncidentEntry") -> dict[str, Any]:
    return {
        "incident_id": entry.incident_id,
        "code": entry.code,
        "subject": entry.subject,
        "state": entry.state,
        "detail": entry.detail,
        "occurred_at": entry.occurred_at.isoformat(),
        "steps": [
            {"state": each.state, "by": each.by, "words": each.words, "at": each.at.isoformat()}
            for each in entry.steps
        ],
    }
