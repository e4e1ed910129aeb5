"""The public keys that sign verdicts: whose they are, and which may answer whom today."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from pointwork.contract.approval import ApproverKey
from pointwork.contract.failures import PointworkError
from pointwork.contract.identity import Role
from pointwork.ledger import audit, tables
from pointwork.ledger.engine import insert_if_absent
from pointwork.ledger.identities import Bars, person_of, register
from pointwork.ledger.tables import table_of

_KEY = table_of(tables.ApproverKey)


class ApprovalConflictError(PointworkError):
    """The same id stands for something else already; nothing was changed."""


def live_keys(connection: Connection, requester: str | None) -> list[ApproverKey]:
    """The keys that may sign verdicts today, by id.

    With a ``requester`` each says who its person is, and why it may not answer them, if it may not.
    """
    rows = connection.execute(_LIVE_KEYS).all()
    if requester is None:
        return [_key(row) for row in rows]
    bars, found = Bars(connection, requester), []
    for row in rows:
        subject = bars.subject(row.approver)
        update_ = {
            "subject": "" if subject == row.approver else subject,
            "barred": bars.bar(row.approver, row.delegated_by),
        }
        found.append(_key(row).model_copy(update=update_))
    return found


def add_key(connection: Connection, key: ApproverKey, now: datetime) -> None:
    """Let a key sign; a name that nobody registered becomes a person with the role approver.

    Raises:
        ApprovalConflictError: the key id was used for another key, or was revoked.
    """
    stated = key.model_dump(exclude={"subject", "barred"}, exclude_none=True)
    row = {**stated, "delegated_by": key.delegated_by, "added_at": now}
    if connection.execute(_ADD_KEY[connection.dialect.name], row).rowcount == 1:
        register(connection, person_of(key.approver, Role.APPROVER, now), key.approver)
        audit.append(connection, "approver_key_added", stated, now)
        return
    stored = connection.execute(_FIND_KEY, {"of_key": key.key_id}).one()
    if stored.revoked_at is not None or _key(stored) != key:
        msg = f"approver key id {key.key_id} was used before; give the key a new id"
        raise ApprovalConflictError(msg)


def revoke_key(connection: Connection, key_id: str, now: datetime) -> bool:
    """Let a key sign no more verdicts; False where it could not sign any."""
    revoked = connection.execute(_REVOKE_KEY, {"of_key": key_id, "at": now}).rowcount == 1
    if revoked:
        audit.append(connection, "approver_key_revoked", {"key_id": key_id}, now)
    return revoked


def bar_of(connection: Connection, key_id: str | None, approver: str, requester: str) -> str:
    """Why a verdict under this key does not count for this requester now; empty where it does."""
    if key_id is None:
        return "the approver is the requester" if approver == requester else ""
    row = connection.execute(_FIND_KEY, {"of_key": key_id}).first()
    if row is None or row.revoked_at is not None or row.approver != approver:
        return f"the key {key_id} was revoked"
    if approver == requester:
        return "the approver is the requester"
    return Bars(connection, requester).bar(approver, row.delegated_by)


def _key(row: Any) -> ApproverKey:
    return ApproverKey(
        key_id=row.key_id,
        approver=row.approver,
        public_key=row.public_key,
        delegated_by=row.delegated_by,
    )


_ADD_KEY = insert_if_absent(_KEY, "key_id")
_FIND_KEY = select(_KEY).where(_KEY.c.key_id == bindparam("of_key"))
_LIVE_KEYS = select(_KEY).where(_KEY.c.revoked_at.is_(None)).order_by(_KEY.c.key_id)
_REVOKE_KEY = (
    update(_KEY)
    .where(_KEY.c.key_id == bindparam("of_key"), _KEY.c.revoked_at.is_(None))
    .values(revoked_at=bindparam("at"))
)
