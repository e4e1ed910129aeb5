"""The log of activations: an owner puts an earlier version of a pack in force, or a later one.

Entries are added, never changed, and each joins the audit chain (OM-82, OM-85). Which entry still
stands is for the reader to say: a version that is deployed later takes over without one.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, func, select

from pointwork.contract.activation import PolicyActivation
from pointwork.contract.failures import PointworkError
from pointwork.contract.snapshot import PolicyRef
from pointwork.ledger import audit, identities
from pointwork.ledger.engine import insert_if_absent, read, transact
from pointwork.ledger.tables import Audit, PolicyActivationRow, PolicyRevision, table_of

_ACTIVATION = table_of(PolicyActivationRow)
_AUDIT = table_of(Audit)
_REVISION = table_of(PolicyRevision)
_KIND = "policy_activated"


class ActivationRefusedError(PointworkError):
    """Nobody of this name may activate a policy; the audit chain has the try."""


class ActivationConflictError(PointworkError):
    """Something else decides by now than was shown, or the rules are none this ledger keeps."""


class ActivationLog:
    """Activations of all packs. Thread-safe; keeps no state outside the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def latest(self) -> Mapping[str, PolicyActivation]:
        """The last entry of each pack that has one."""
        with read(self._engine) as connection:
            rows = connection.execute(_LATEST).all()
        return {row.pack: _entry(row) for row in rows}

    def history(self, pack: str) -> list[PolicyActivation]:
        """Every entry of the pack, latest first."""
        with read(self._engine) as connection:
            rows = connection.execute(_HISTORY, {"of_pack": pack}).all()
        return [_entry(row) for row in rows]

    def append(self, entry: PolicyActivation) -> None:
        """Put ``entry.policy`` in force for new tasks, with an audit record of it.

        Raises:
            ActivationRefusedError: ``activated_by`` is no person with the role owner.
            ActivationConflictError: another entry came first, or the ledger does not keep the
                bundle.
        """

        def write(connection: Connection) -> ActivationRefusedError | None:
            if refusal := _refusal(connection, entry):
                return refusal
            _append(connection, entry)
            return None

        # Raised only now: that somebody tried had to be committed.
        if refusal := transact(self._engine, write):
            raise refusal


def changed_activations(connection: Connection) -> Iterator[str]:
    """Entries that are not as the chain tells of them, or that it does not tell of at all."""
    told = connection.execute(_TOLD).scalars()
    bodies = [PolicyActivation.model_validate(json.loads(each)["body"]) for each in told]
    expected = {(each.policy.pack, each.number): each for each in bodies}
    for row in connection.execute(select(_ACTIVATION)):
        if expected.pop((row.pack, row.number), None) != _entry(row):
            yield f"activation {row.number} of pack {row.pack} is not as the chain tells of it"
    for pack, number in expected:
        yield f"the chain tells of activation {number} of pack {pack}; that row is gone"


def _append(connection: Connection, entry: PolicyActivation) -> None:
    policy = entry.policy
    values = {"of_bundle": policy.bundle_sha256}
    if connection.execute(_STORED, values).scalar() != policy.pack:
        msg = (
            f"the ledger keeps no bundle {policy.bundle_sha256[:12]} of pack {policy.pack!r}; "
            "start a worker with it first"
        )
        raise ActivationConflictError(msg)
    last: int = connection.execute(_LAST, {"of_pack": policy.pack}).scalar() or 0
    # The key decides between two writers that both saw the same last entry.
    insert, follows = _INSERT[connection.dialect.name], entry.number == last + 1
    if not follows or connection.execute(insert, _row(entry)).rowcount == 0:
        msg = f"another activation of pack {policy.pack!r} came first; look again and repeat it"
        raise ActivationConflictError(msg)
    body = entry.model_dump(mode="json")
    audit.append(connection, _KIND, body, entry.activated_at)


def _refusal(connection: Connection, entry: PolicyActivation) -> ActivationRefusedError | None:
    """Why ``activated_by`` may not do this, recorded; None where they may."""
    if identities.is_owner(connection, entry.activated_by):
        return None
    why = f"{entry.activated_by!r} is no person with the role owner"
    body = {"by": entry.activated_by, "policy": entry.policy.model_dump(mode="json"), "why": why}
    audit.append(connection, "policy_activation_refused", body, entry.activated_at)
    return ActivationRefusedError(f"{why}; let an owner do it")


def _row(entry: PolicyActivation) -> dict[str, Any]:
    policy, replaced = entry.policy, entry.replaced
    return {
        "pack": policy.pack,
        "number": entry.number,
        "bundle_sha256": policy.bundle_sha256,
        "version": policy.version,
        "pack_sha256": policy.pack_sha256,
        "replaced_bundle_sha256": replaced.bundle_sha256,
        "replaced_version": replaced.version,
        "replaced_pack_sha256": replaced.pack_sha256,
        "newest_version": entry.newest_version,
        "activated_by": entry.activated_by,
        "reason": entry.reason,
        "activated_at": entry.activated_at,
    }


def _entry(row: Any) -> PolicyActivation:
    return PolicyActivation(
        number=row.number,
        policy=PolicyRef(
            pack=row.pack,
            version=row.version,
            pack_sha256=row.pack_sha256,
            bundle_sha256=row.bundle_sha256,
        ),
        replaced=PolicyRef(
            pack=row.pack,
            version=row.replaced_version,
            pack_sha256=row.replaced_pack_sha256,
            bundle_sha256=row.replaced_bundle_sha256,
        ),
        newest_version=row.newest_version,
        activated_by=row.activated_by,
        reason=row.reason,
        activated_at=row.activated_at,
    )


_OF_PACK = _ACTIVATION.c.pack == bindparam("of_pack")
_NUMBERS = (
    select(_ACTIVATION.c.pack, func.max(_ACTIVATION.c.number).label("number"))
    .group_by(_ACTIVATION.c.pack)
    .subquery()
)
_LATEST = select(_ACTIVATION).join(
    _NUMBERS,
    (_ACTIVATION.c.pack == _NUMBERS.c.pack) & (_ACTIVATION.c.number == _NUMBERS.c.number),
)
_HISTORY = select(_ACTIVATION).where(_OF_PACK).order_by(_ACTIVATION.c.number.desc())
_LAST = select(func.max(_ACTIVATION.c.number)).where(_OF_PACK)
_STORED = select(_REVISION.c.pack).where(_REVISION.c.bundle_sha256 == bindparam("of_bundle"))
_TOLD = select(_AUDIT.c.record).where(_AUDIT.c.kind == _KIND).order_by(_AUDIT.c.sequence)
_INSERT = insert_if_absent(_ACTIVATION, "pack", "number")
