"""Identities and what bars one from answering: nobody approves what they asked for themselves."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, select, update

from pointwork.contract.canonical import canonical_bytes
from pointwork.contract.failures import PointworkError
from pointwork.contract.identity import Identity, IdentityKind, Role
from pointwork.ledger import audit
from pointwork.ledger.engine import insert_if_absent, read, transact
from pointwork.ledger.identity_tables import IdentityRow
from pointwork.ledger.tables import table_of

_IDENTITY = table_of(IdentityRow)


class IdentityConflictError(PointworkError):
    """The name stands for somebody else already, or for nobody; nothing was changed."""


class Identities:
    """Who is known by which name; every change joins the audit chain. Thread-safe, no state."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, identity: Identity, by: str) -> None:
        """Make an account known; the same one again changes nothing.

        Raises:
            IdentityConflictError: the name is taken by another.
        """

        def write(connection: Connection) -> None:
            if register(connection, identity, by):
                return
            known = find(connection, identity.name)
            if known is None or _facts(known) != _facts(identity):
                msg = f"{identity.name!r} is known already; change it, or take another name"
                raise IdentityConflictError(msg)

        transact(self._engine, write)

    def change(self, identity: Identity, by: str, now: datetime) -> None:
        """Give an account these roles, groups and subject.

        Raises:
            IdentityConflictError: nobody has the name, or no owner would be left.
        """

        def write(connection: Connection) -> None:
            if Role.OWNER not in identity.roles:
                _keep_an_owner(connection, identity.name)
            row = _row(identity)
            changed = {key: row[key] for key in ("kind", "subject", "roles", "belongs_to")}
            values = changed | {"of_name": identity.name}
            if connection.execute(_CHANGE, values).rowcount == 0:
                raise IdentityConflictError(_unknown(identity.name))
            audit.append(connection, "identity_changed", _facts(identity) | {"by": by}, now)

        transact(self._engine, write)

    def disable(self, name: str, by: str, now: datetime) -> bool:
        """Let an account do nothing more; False where it could not already.

        Raises:
            IdentityConflictError: nobody has the name, or no owner would be left.
        """

        def write(connection: Connection) -> bool:
            if find(connection, name) is None:
                raise IdentityConflictError(_unknown(name))
            _keep_an_owner(connection, name)
            values = {"of_name": name, "at": now}
            if connection.execute(_DISABLE, values).rowcount == 0:
                return False
            audit.append(connection, "identity_disabled", {"name": name, "by": by}, now)
            return True

        return transact(self._engine, write)

    def all(self) -> list[Identity]:
        """Every account, disabled ones too, by name."""
        with read(self._engine) as connection:
            return [_identity(row) for row in connection.execute(_ALL)]

    def find(self, name: str) -> Identity | None:
        with read(self._engine) as connection:
            return find(connection, name)


def register(connection: Connection, identity: Identity, by: str) -> bool:
    """Add the account within a transaction; False where its name is taken."""
    row = _row(identity)
    if connection.execute(_ADD[connection.dialect.name], row).rowcount == 0:
        return False
    body = _facts(identity) | {"by": by}
    audit.append(connection, "identity_added", body, identity.created_at)
    return True


def find(connection: Connection, name: str) -> Identity | None:
    row = connection.execute(_FIND, {"of_name": name}).first()
    return _identity(row) if row else None


def is_owner(connection: Connection, name: str) -> bool:
    """Whether ``name`` is a person who has the role owner now."""
    known = find(connection, name)
    return (
        known is not None
        and known.kind is IdentityKind.PERSON
        and known.disabled_at is None
        and Role.OWNER in known.roles
    )


def person_of(name: str, role: Role, now: datetime) -> Identity:
    """A person who is known by nothing but a name."""
    return Identity(name=name, subject=name, roles=(role,), created_at=now)


def service_of(name: str, now: datetime) -> Identity:
    """A program that may submit, and is known by nothing but a name."""
    return person_of(name, Role.SUBMITTER, now).model_copy(update={"kind": IdentityKind.SERVICE})


class Bars:
    """What keeps each approver from answering one requester, read once for all of them."""

    def __init__(self, connection: Connection, requester: str) -> None:
        self._known = {row.name: _identity(row) for row in connection.execute(_ALL)}
        self._requester = requester
        self._behind = self._subjects(requester, frozenset())

    def subject(self, name: str) -> str:
        known = self._known.get(name)
        return known.subject if known else name

    def bar(self, approver: str, delegated_by: str | None = None) -> str:
        """Why this person may not answer; empty where they may."""
        known, asks = self._known.get(approver), self._requester
        if known is None:
            return f"{approver} is nobody known; add them with `pointwork person add`"
        if known.kind is not IdentityKind.PERSON:
            return f"{approver} is a {known.kind} account, and only a person approves"
        if not known.may_approve:
            return f"{approver} has neither the role approver nor owner, or was disabled"
        if approver != asks and known.subject in self._behind:
            return self._why(approver)
        lender = delegated_by and self.subject(delegated_by)
        if delegated_by is not None and (delegated_by == asks or lender in self._behind):
            return f"the key was lent by {delegated_by}, who asks; ask another person"
        return ""

    def _why(self, approver: str) -> str:
        asking = self._known.get(self._requester)
        match asking.kind if asking else None:
            case IdentityKind.GROUP:
                return f"{approver} is of {self._requester}, which asks; ask another person"
            case IdentityKind.SERVICE:
                return f"{approver} operates {self._requester}, which asks; ask another person"
            case _:
                return f"{approver} is the same person as {self._requester}, who asks"

    def _subjects(self, name: str, seen: frozenset[str]) -> frozenset[str]:
        """The persons behind a name; one that nobody registered has its own name alone."""
        known = self._known.get(name)
        if known is None or name in seen:
            return frozenset({name})
        match known.kind:
            case IdentityKind.PERSON:
                return frozenset({known.subject})
            case IdentityKind.GROUP:
                members = [each.subject for each in self._known.values() if self._is_of(each, name)]
                return frozenset(members)
            case IdentityKind.SERVICE:
                found = [self._subjects(each, seen | {name}) for each in known.belongs_to]
                return frozenset().union(*found)

    @staticmethod
    def _is_of(identity: Identity, group: str) -> bool:
        return identity.kind is IdentityKind.PERSON and group in identity.belongs_to


def _keep_an_owner(connection: Connection, name: str) -> None:
    """Refuse what would leave nobody who may change anything again.

    Raises:
        IdentityConflictError: the account is the only owner.
    """
    owners = {
        each.name
        for each in map(_identity, connection.execute(_ALL))
        if Role.OWNER in each.roles and each.disabled_at is None
    }
    if owners == {name}:
        raise IdentityConflictError(f"{name!r} is the only owner; make somebody else one first")


def _facts(identity: Identity) -> dict[str, Any]:
    return identity.model_dump(mode="json", exclude={"created_at", "disabled_at"})


def _row(identity: Identity) -> dict[str, Any]:
    return {
        "name": identity.name,
        "kind": identity.kind,
        "subject": identity.subject,
        "roles": canonical_bytes(list(identity.roles)).decode(),
        "belongs_to": canonical_bytes(list(identity.belongs_to)).decode(),
        "created_at": identity.created_at,
        "disabled_at": identity.disabled_at,
    }


def _identity(row: Any) -> Identity:
    fields: Mapping[str, Any] = row._mapping
    lists = {key: json.loads(fields[key]) for key in ("roles", "belongs_to")}
    return Identity.model_validate({**fields, **lists})


def _unknown(name: str) -> str:
    return f"nobody is known as {name!r}; `pointwork person list` names everybody"


_ADD = insert_if_absent(_IDENTITY, "name")
_FIND = select(_IDENTITY).where(_IDENTITY.c.name == bindparam("of_name"))
_ALL = select(_IDENTITY).order_by(_IDENTITY.c.name)
_CHANGE = (
    update(_IDENTITY)
    .where(_IDENTITY.c.name == bindparam("of_name"))
    .values(
        kind=bindparam("kind"),
        subject=bindparam("subject"),
        roles=bindparam("roles"),
        belongs_to=bindparam("belongs_to"),
    )
)
_DISABLE = (
    update(_IDENTITY)
    .where(_IDENTITY.c.name == bindparam("of_name"), _IDENTITY.c.disabled_at.is_(None))
    .values(disabled_at=bindparam("at"))
)
