"""The versions of each pack's promote/demote overlay: added, never changed (R-9, JG-37).

No row of the policy itself is touched, and every version joins the audit chain with its evidence.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, bindparam, select

from pointwork.contract.canonical import canonical_json
from pointwork.contract.failures import PointworkError
from pointwork.contract.overlay import OPTIMIZER, Overlay, OverlayChange, reverted
from pointwork.ledger import audit
from pointwork.ledger.engine import insert_if_absent, read, transact
from pointwork.ledger.tables import ApproverKey, PolicyOverlay, table_of

_OVERLAY = table_of(PolicyOverlay)
_KEY = table_of(ApproverKey)
_AGENTS = frozenset({OPTIMIZER, "loop"})
_T = TypeVar("_T")


class OverlayRefusedError(PointworkError):
    """Nobody with this identity may do this to this pack; the audit chain has the try."""


class OverlayConflictError(PointworkError):
    """The change does not follow the version in force, or names one that never was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OverlayEntry:
    """A version, and who wrote it."""

    overlay: Overlay
    created_by: str


class OverlayLog:
    """Overlays of all packs. Thread-safe; keeps no state outside the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def current(self, pack: str) -> Overlay | None:
        """The version in force; None where the pack's own order stands."""
        with read(self._engine) as connection:
            return current_overlay(connection, pack)

    def history(self, pack: str) -> list[OverlayEntry]:
        """Every version, latest first."""
        with read(self._engine) as connection:
            rows = connection.execute(_HISTORY, {"of_pack": pack}).all()
        return [
            OverlayEntry(overlay=Overlay.model_validate_json(row.body), created_by=row.created_by)
            for row in rows
        ]

    def append(
        self, change: OverlayChange, *, by: str, pack_allows_overlay: bool, now: datetime
    ) -> bool:
        """Put a new version in force, with an audit record of it, its events and its evidence.

        The same change again changes nothing.

        Args:
            change: the version after the one in force.
            by: ``optimizer``, or a person with an approver's key. The identity ``loop`` proposes
                only, and every other is unknown (R-35).
            pack_allows_overlay: whether the pack's document has the field ``overlay``; without it
                the same signal only opens a proposal (R-9).
            now: when it is recorded.

        Returns:
            Whether the version is new.

        Raises:
            OverlayRefusedError: the pack has no overlay, or ``by`` may not write one.
            OverlayConflictError: another version is in force than the one it follows.
        """
        pack = change.overlay.pack

        def write(connection: Connection) -> bool | OverlayRefusedError:
            refusal = _refusal(connection, pack, by, pack_allows_overlay, now)
            return refusal or _append(connection, change, by, now)

        return _raised(transact(self._engine, write))

    def revert(
        self, pack: str, to_version: int, *, by: str, pack_allows_overlay: bool, now: datetime
    ) -> OverlayChange:
        """Put the places of an earlier version in force again, as a new version.

        Args:
            pack: whose overlay it is.
            to_version: the version to go back to; 0 is the pack's own order.
            by: as for ``append``.
            pack_allows_overlay: as for ``append``.
            now: when it takes effect; the cool-down counts from it.

        Raises:
            OverlayRefusedError: as for ``append``.
            OverlayConflictError: the pack has no overlay yet, or never had that version.
        """

        def write(connection: Connection) -> OverlayChange | OverlayRefusedError:
            refusal = _refusal(connection, pack, by, pack_allows_overlay, now)
            if refusal:
                return refusal
            current = current_overlay(connection, pack)
            target = _version(connection, pack, to_version)
            if current is None or (target is None and to_version != 0):
                in_force = current.version if current else 0
                msg = (
                    f"pack {pack!r} has no overlay version {to_version} to go back to; "
                    f"give one from 0 to {in_force}"
                )
                raise OverlayConflictError(msg)
            reason = f"{by} went back from version {current.version} to version {to_version}."
            change = reverted(current, target, now, reason)
            _append(connection, change, by, now)
            return change

        return _raised(transact(self._engine, write))


def current_overlay(connection: Connection, pack: str) -> Overlay | None:
    """As ``OverlayLog.current``, over a given connection."""
    body = connection.execute(_CURRENT, {"of_pack": pack}).scalar()
    return Overlay.model_validate_json(body) if body is not None else None


def _version(connection: Connection, pack: str, version: int) -> Overlay | None:
    body = connection.execute(_FIND, {"of_pack": pack, "of_version": version}).scalar()
    return Overlay.model_validate_json(body) if body is not None else None


def _append(connection: Connection, change: OverlayChange, by: str, now: datetime) -> bool:
    overlay = change.overlay
    body = canonical_json(overlay).decode()
    row: dict[str, Any] = {
        "pack": overlay.pack,
        "version": overlay.version,
        "parent": overlay.parent,
        "created_by": by,
        "created_at": overlay.created_at,
        "body": body,
    }
    current = current_overlay(connection, overlay.pack)
    if current == overlay:
        return False
    in_force = current.version if current else 0
    follows = overlay.version == in_force + 1
    # The key decides between two writers that both saw the same version in force.
    if not follows or connection.execute(_INSERT[connection.dialect.name], row).rowcount == 0:
        msg = (
            f"overlay version {overlay.version} of pack {overlay.pack!r} does not follow the one "
            "in force; read the windows and propose again"
        )
        raise OverlayConflictError(msg)
    record = {"by": by, **change.model_dump(mode="json")}
    audit.append(connection, "policy_overlay", record, now)
    return True


def _refusal(
    connection: Connection, pack: str, by: str, pack_allows_overlay: bool, now: datetime
) -> OverlayRefusedError | None:
    """Why ``by`` may not write an overlay of ``pack``, recorded; None where they may."""
    if not pack_allows_overlay:
        fault = f"pack {pack!r} has no field overlay, so its order changes only by a new version"
        remedy = "propose one"
    elif by == OPTIMIZER or (by not in _AGENTS and _is_person(connection, by)):
        return None
    else:
        fault = f"{by!r} may not write an overlay of pack {pack!r}"
        remedy = "let the optimizer or a person with an approver's key do it"
    audit.append(connection, "policy_overlay_refused", {"pack": pack, "by": by, "why": fault}, now)
    return OverlayRefusedError(f"{fault}; {remedy}")


def _is_person(connection: Connection, name: str) -> bool:
    return connection.execute(_PERSON, {"of_name": name}).first() is not None


def _raised(done: _T | OverlayRefusedError) -> _T:
    """Raised only now: that somebody tried had to be committed."""
    if isinstance(done, OverlayRefusedError):
        raise done
    return done


_INSERT = insert_if_absent(_OVERLAY, "pack", "version")
_HISTORY = (
    select(_OVERLAY.c.body, _OVERLAY.c.created_by)
    .where(_OVERLAY.c.pack == bindparam("of_pack"))
    .order_by(_OVERLAY.c.version.desc())
)
_CURRENT = (
    select(_OVERLAY.c.body)
    .where(_OVERLAY.c.pack == bindparam("of_pack"))
    .order_by(_OVERLAY.c.version.desc())
    .limit(1)
)
_FIND = select(_OVERLAY.c.body).where(
    _OVERLAY.c.pack == bindparam("of_pack"), _OVERLAY.c.version == bindparam("of_version")
)
_PERSON = select(_KEY.c.key_id).where(
    _KEY.c.approver == bindparam("of_name"), _KEY.c.revoked_at.is_(None)
)
