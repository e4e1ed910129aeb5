"""``pointwork person``: who may submit, approve, own and audit, and the keys that sign for them."""

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pointwork.cli.approvals import As
from pointwork.cli.deployment import open_ledger
from pointwork.cli.errors import CliError
from pointwork.cli.options import STATE_DIR_DEFAULT, AsJson, StateDir
from pointwork.cli.owner import (
    OWNER,
    ensure_owner,
    key_id_of,
    key_path,
    load_key,
    write_new_key,
)
from pointwork.cli.screen import Screen, listed, table
from pointwork.contract.identity import Identity, IdentityKind, Role

if TYPE_CHECKING:
    from pointwork.ledger.identities import Identities

app = typer.Typer(
    help="See and change who may submit, approve, own and audit.", no_args_is_help=True
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="As tasks and verdicts give it.")]
Kind = Annotated[IdentityKind, typer.Option("--kind", help="person, service or group.")]
Roles = Annotated[
    list[Role] | None, typer.Option("--role", help="submitter, approver, owner or auditor.")
]
Of = Annotated[
    list[str] | None,
    typer.Option("--of", help="A person's group, or who operates a service. Repeat for more."),
]
SubjectOption = Annotated[
    str | None,
    typer.Option("--subject", help="Who it is, where one person has several accounts."),
]
LentBy = Annotated[
    str | None,
    typer.Option("--lent-by", help="Who lends the key; it answers no request of theirs."),
]


@app.command(name="list")
def list_(state_dir: StateDir = STATE_DIR_DEFAULT, as_json: AsJson = False) -> None:
    """Everybody who is known, with roles and keys."""
    from pointwork.ledger.approvals import ApprovalBook

    engine = open_ledger(state_dir)
    known, keys = _identities(state_dir).all(), ApprovalBook(engine).keys()
    keys_of = {name.name: [k.key_id for k in keys if k.approver == name.name] for name in known}
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document(
            [each.model_dump(mode="json") | {"keys": keys_of[each.name]} for each in known]
        )
    rows = table("NAME", "KIND", "ROLES", "OF", "SUBJECT", "KEYS", "STATE", shrink=["KEYS"])
    for each in known:
        rows.add_row(
            each.name,
            each.kind,
            listed(each.roles),
            listed(each.belongs_to),
            each.subject if each.subject != each.name else "",
            listed(keys_of[each.name]),
            "disabled" if each.disabled_at else "",
        )
    return screen.show(rows)


@app.command()
def add(
    name: NameArgument,
    role: Roles = None,
    kind: Kind = IdentityKind.PERSON,
    of: Of = None,
    subject: SubjectOption = None,
    by: As = OWNER,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Make somebody known. A person who approves needs a key as well: `person key NAME`."""
    identity = _identity(name, kind, role, of, subject)
    check_owner(state_dir, by)
    _identities(state_dir).add(identity, by)
    _say(identity, "is known", as_json)


@app.command()
def change(
    name: NameArgument,
    role: Roles = None,
    kind: Kind = IdentityKind.PERSON,
    of: Of = None,
    subject: SubjectOption = None,
    by: As = OWNER,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Give somebody these roles, groups and subject instead of those they had."""
    identity = _identity(name, kind, role, of, subject)
    check_owner(state_dir, by)
    _identities(state_dir).change(identity, by, datetime.now(UTC))
    _say(identity, "is changed", as_json)


@app.command()
def disable(
    name: NameArgument,
    by: As = OWNER,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Let somebody do nothing more; what they did stays on record."""
    check_owner(state_dir, by)
    is_new = _identities(state_dir).disable(name, by, datetime.now(UTC))
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document({"name": name, "disabled": True, "was_enabled": is_new})
    return screen.say(f"{name} is disabled{'' if is_new else ' already'}.")


@app.command()
def key(
    name: NameArgument,
    lent_by: LentBy = None,
    by: As = OWNER,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Make a key on this machine that signs verdicts for NAME, and let it count."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from pointwork.contract.approval import ApproverKey
    from pointwork.ledger.approvals import ApprovalBook

    path = key_path(state_dir, name)
    check_owner(state_dir, by)
    known = _identities(state_dir).find(name)
    if known is None or not known.may_approve:
        problem = f"{name} is no person with the role approver or owner"
        raise CliError(problem, f"run `pointwork person add {name} --role approver` first")
    if path.exists():
        raise CliError(f"{path} exists", "move it away; revoke its key if nobody is to use it")
    private = Ed25519PrivateKey.generate()
    write_new_key(path, private)
    public = private.public_key().public_bytes_raw()
    made = ApproverKey(
        key_id=key_id_of(name, public),
        approver=name,
        public_key=base64.b64encode(public).decode(),
        delegated_by=lent_by,
    )
    ApprovalBook(open_ledger(state_dir)).add_key(made, datetime.now(UTC))
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document({"key_id": made.key_id, "file": str(path)})
    screen.say(f"Key {made.key_id} signs for {name}; the private half is {path}.")
    return screen.note("A task that waits already takes it from its next reminder on.")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="See `pointwork person list`.")],
    by: As = OWNER,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Let a key sign no more verdicts, also for tasks that wait already."""
    from pointwork.ledger.approvals import ApprovalBook

    check_owner(state_dir, by)
    if not ApprovalBook(open_ledger(state_dir)).revoke_key(key_id, datetime.now(UTC)):
        raise CliError(f"no key {key_id!r} signs anything", "see `pointwork person list`")
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document({"key_id": key_id, "revoked": True})
    return screen.say(f"Key {key_id} is revoked.")


def check_owner(state_dir: Path, by: str) -> None:
    """Refuse who has no key on this machine, or not the role owner.

    Raises:
        CliError: it says which.
    """
    load_key(state_dir, by)
    identities = _identities(state_dir)
    if by == OWNER and not any(Role.OWNER in each.roles for each in identities.all()):
        # A ledger elsewhere, which no `pointwork up` made: the first owner is who holds this key.
        ensure_owner(open_ledger(state_dir), state_dir)
    known = identities.find(by)
    if known is None or Role.OWNER not in known.roles or known.disabled_at is not None:
        raise CliError(f"{by} has not the role owner", "use --as with an owner's name")


def _identities(state_dir: Path) -> "Identities":
    from pointwork.ledger.identities import Identities

    return Identities(open_ledger(state_dir))


def _identity(
    name: str,
    kind: IdentityKind,
    roles: list[Role] | None,
    of: list[str] | None,
    subject: str | None,
) -> Identity:
    if kind is IdentityKind.GROUP and (roles or of or subject):
        problem = f"{name} is a group, and a group has neither roles, groups nor a subject"
        raise CliError(problem, "leave out --role, --of and --subject")
    key_path(Path(), name)
    return Identity(
        name=name,
        kind=kind,
        subject=subject or name,
        roles=tuple(sorted({*(roles or ())})),
        belongs_to=tuple(dict.fromkeys(of or ())),
        created_at=datetime.now(UTC),
    )


def _say(identity: Identity, what: str, as_json: bool) -> None:
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document(identity.model_dump(mode="json"))
    return screen.say(f"{identity.name} {what}: {identity.kind}, roles {listed(identity.roles)}.")
