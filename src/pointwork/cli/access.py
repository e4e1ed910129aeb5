"""``pointwork access``: keys by which services and persons call the API."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pointwork.cli.approvals import As
from pointwork.cli.deployment import open_ledger
from pointwork.cli.errors import CliError
from pointwork.cli.options import STATE_DIR_DEFAULT, AsJson, StateDir
from pointwork.cli.owner import OWNER
from pointwork.cli.person import NameArgument, check_owner
from pointwork.cli.screen import Screen, table

if TYPE_CHECKING:
    from pointwork.ledger.access_keys import AccessKeys

app = typer.Typer(help="Keys by which services and persons call the API.", no_args_is_help=True)

Days = Annotated[
    int | None, typer.Option("--days", min=1, max=3_650, help="How long it is good for.")
]


@app.command()
def create(
    name: NameArgument,
    days: Days = None,
    by: As = OWNER,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Make a key for NAME and print it, once: only its hash is kept."""
    check_owner(state_dir, by)
    now = datetime.now(UTC)
    token = _keys(state_dir).create(name, by, now, now + timedelta(days=days) if days else None)
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document({"name": name, "key": token})
    screen.say(f"The key of {name}; it cannot be shown again:")
    return screen.text(token)


@app.command(name="list")
def list_(state_dir: StateDir = STATE_DIR_DEFAULT, as_json: AsJson = False) -> None:
    """Every key: whose it is, and until when it opens anything."""
    keys, now = _keys(state_dir).all(), datetime.now(UTC)
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document(
            [
                {
                    "key_id": each.key_id,
                    "name": each.name,
                    "created_at": each.created_at.isoformat(),
                    "expires_at": each.expires_at.isoformat() if each.expires_at else None,
                    "revoked_at": each.revoked_at.isoformat() if each.revoked_at else None,
                }
                for each in keys
            ]
        )
    rows = table("KEY", "NAME", "CREATED", "UNTIL", "STATE")
    for each in keys:
        is_over = each.expires_at is not None and each.expires_at <= now
        state = "revoked" if each.revoked_at else "expired" if is_over else ""
        until = f"{each.expires_at:%F}" if each.expires_at else "it is revoked"
        rows.add_row(each.key_id, each.name, f"{each.created_at:%F}", until, state)
    return screen.show(rows)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="See `pointwork access list`.")],
    by: As = OWNER,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Let a key open nothing more."""
    check_owner(state_dir, by)
    if not _keys(state_dir).revoke(key_id, by, datetime.now(UTC)):
        raise CliError(f"no key {key_id!r} opens anything", "see `pointwork access list`")
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document({"key_id": key_id, "revoked": True})
    return screen.say(f"Key {key_id} is revoked.")


def _keys(state_dir: Path) -> "AccessKeys":
    from pointwork.ledger.access_keys import AccessKeys

    return AccessKeys(open_ledger(state_dir))
