"""Overrides on record: who asked for what, who acknowledged it, how it ended, what it moved.

Rows are added and never deleted; how an override ends is written once, and every step joins the
audit chain. Whether its cost was acknowledged is its approval's word alone (design 7; OM-68).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, or_, select, update

from pointwork.contract.approval import ApprovalRequest
from pointwork.contract.canonical import canonical_json, sha256_hex
from pointwork.contract.decision import GrantKind
from pointwork.contract.failures import PointworkError
from pointwork.contract.override import OverrideDuration, OverrideScope
from pointwork.contract.override_request import OverrideRequest, OverrideState
from pointwork.contract.reasons import ReasonCode
from pointwork.ledger import audit
from pointwork.ledger.approvals import ApprovalBook
from pointwork.ledger.engine import insert_if_absent, read, transact
from pointwork.ledger.override_rows import APPROVAL, OVERRIDE, USE
from pointwork.ledger.tables import ApprovalState, Outcome, table_of

_OUTCOME = table_of(Outcome)
_INSERT = insert_if_absent(OVERRIDE, "override_id")


class OverrideConflictError(PointworkError):
    """No override has the id, another one has it, or it is over; nothing was changed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UsedOverride:
    """A task that the override moved (OM-74)."""

    task_id: str
    original_route: str
    """A model, or ``held`` or ``denied``."""
    overridden_route: str
    outcome: str
    """``success`` or ``failure``."""
    recorded_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OverrideEntry:
    """An override as it stands, with all that was ever said of it."""

    asked: OverrideRequest
    state: OverrideState
    approver: str | None
    acknowledged_at: datetime | None
    expires_at: datetime
    session_ended_at: datetime | None
    used_by: str | None
    ended_at: datetime | None
    ended_by: str | None
    ended_reason: str | None
    uses: tuple[UsedOverride, ...] = ()


class OverrideBook:
    """Every override. Thread-safe; keeps no state outside the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._approvals = ApprovalBook(engine)

    def ask(self, asked: OverrideRequest, expires_at: datetime, now: datetime) -> None:
        """Let an override wait for a person who acknowledges its cost; the same again is nothing.

        Raises:
            OverrideConflictError: the id stands for another override.
        """
        body = canonical_json(asked).decode()
        approval_id = f"override/{asked.override_id}"
        row = asked.model_dump(exclude={"cost_basis"}) | {
            "approval_id": approval_id,
            "expires_at": expires_at,
            "body": body,
        }

        def write(connection: Connection) -> None:
            if connection.execute(_INSERT[connection.dialect.name], row).rowcount == 1:
                shown = asked.model_dump(mode="json")
                audit.append(connection, "override_created", shown, now)
            elif _found(connection, asked.override_id).body != body:
                msg = f"override {asked.override_id} is another one; ask under a new id"
                raise OverrideConflictError(msg)

        transact(self._engine, write)
        self._approvals.open(_request(asked, approval_id, expires_at), now)

    def approval(self, override_id: str, now: datetime) -> ApprovalRequest:
        """What a person is asked, opened if a crash kept it from being so.

        Raises:
            OverrideConflictError: no override has the id, or it does not wait any more.
        """
        entry = self.find(override_id, now)
        if entry.state is not OverrideState.PENDING:
            msg = f"override {override_id} is {entry.state}, not pending; ask for a new one"
            raise OverrideConflictError(msg)
        request = _request(entry.asked, f"override/{override_id}", entry.expires_at)
        self._approvals.open(request, now)
        return request

    def revoke(self, override_id: str, by: str, reason: str, now: datetime) -> None:
        """End an override that waits or holds; running tasks that hold money keep their route.

        Raises:
            OverrideConflictError: no override has the id, or it is over already.
        """
        self._end(override_id, OverrideState.REVOKED, by, reason, now)

    def strike(self, override_id: str, by: str, reason: str, now: datetime) -> None:
        """End an override because a reviewer finds its reason to be convenience (OM-69).

        Raises:
            OverrideConflictError: as ``revoke``.
        """
        self._end(override_id, OverrideState.STRUCK, by, reason, now)

    def expire(self, now: datetime) -> int:
        """End the approvals of overrides that nobody acknowledged in time; how many there were."""
        with read(self._engine) as connection:
            late = connection.execute(_LATE, {"at": now}).scalars().all()
        for approval_id in late:
            self._approvals.close(approval_id, None, None, None, now)
        return len(late)

    def end_session(self, conversation: str, by: str, now: datetime) -> list[str]:
        """End what holds for a conversation; the overrides that ended, by id (OM-72)."""

        def write(connection: Connection) -> list[str]:
            values = {"of_conversation": conversation, "at": now}
            ended = sorted(connection.execute(_END_SESSION, values).scalars().all())
            if ended:
                body = {"conversation": conversation, "overrides": ended, "by": by}
                audit.append(connection, "override_session_ended", body, now)
            return ended

        return transact(self._engine, write)

    def find(self, override_id: str, now: datetime) -> OverrideEntry:
        """The override as it stands at ``now``.

        Raises:
            OverrideConflictError: no override has the id.
        """
        with read(self._engine) as connection:
            row = connection.execute(_FIND, {"of_override": override_id}).first()
            if row is None:
                raise _unknown(override_id)
            uses = connection.execute(_USES, {"of_overrides": [override_id]}).all()
        return _entry(row, uses, now)

    def entries(
        self, now: datetime, *, pack: str | None = None, limit: int = 100
    ) -> list[OverrideEntry]:
        """Up to ``limit`` overrides of one pack or all, latest first, with their uses."""
        query = _LATEST if pack is None else _LATEST.where(OVERRIDE.c.pack == pack)
        with read(self._engine) as connection:
            rows = connection.execute(query.limit(limit)).all()
            found = [row.override_id for row in rows]
            uses = connection.execute(_USES, {"of_overrides": found}).all()
        return [_entry(row, uses, now) for row in rows]

    def _end(
        self, override_id: str, state: OverrideState, by: str, reason: str, now: datetime
    ) -> None:
        def write(connection: Connection) -> None:
            found = connection.execute(_LOCKED, {"of_override": override_id}).first()
            if found is None:
                raise _unknown(override_id)
            if found.ended_at is not None:
                msg = f"override {override_id} is {found.ended_as} already; nothing was changed"
                raise OverrideConflictError(msg)
            values = {"of_override": override_id, "at": now, "to": state, "by": by, "why": reason}
            connection.execute(_END, values)
            body = {"override_id": override_id, "by": by, "reason": reason}
            audit.append(connection, f"override_{state}", body, now)

        transact(self._engine, write)
        approval_id = f"override/{override_id}"
        if self._approvals.state(approval_id) is ApprovalState.WAITING:
            self._approvals.close(approval_id, None, None, None, now)


def _request(asked: OverrideRequest, approval_id: str, expires_at: datetime) -> ApprovalRequest:
    """The override as a decision: bound to all that is shown, and to the cost as its ceiling.

    ``task_id`` is the override's own id: no task waits for it.
    """
    return ApprovalRequest(
        approval_id=approval_id,
        task_id=asked.override_id,
        requester=asked.requester,
        asks_for=GrantKind.OVERRIDE,
        reason=ReasonCode.OVERRIDE_ASKED,
        ceiling_nano_usd=asked.cost_impact_nano_usd,
        policy_sha256=asked.policy_sha256,
        request_sha256=sha256_hex(canonical_json(asked)),
        opened_at=asked.starts_at,
        expires_at=expires_at,
    )


def _entry(row: Any, uses: Sequence[Any], now: datetime) -> OverrideEntry:
    is_approved = row.approval_state == ApprovalState.APPROVED
    return OverrideEntry(
        asked=OverrideRequest.model_validate_json(row.body),
        state=_state(row, now),
        approver=row.approver if is_approved else None,
        acknowledged_at=row.closed_at if is_approved else None,
        expires_at=row.expires_at,
        session_ended_at=row.session_ended_at,
        used_by=row.used_by,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
        ended_reason=row.ended_reason,
        uses=tuple(
            UsedOverride(
                task_id=each.task_id,
                original_route=each.original_route,
                overridden_route=each.overridden_route,
                outcome=each.outcome,
                recorded_at=each.recorded_at,
            )
            for each in uses
            if each.override_id == row.override_id
        ),
    )


def _state(row: Any, now: datetime) -> OverrideState:
    if row.ended_as is not None:
        return OverrideState(row.ended_as)
    if row.approval_state in (None, ApprovalState.WAITING) and now < row.expires_at:
        return OverrideState.PENDING
    if row.approval_state != ApprovalState.APPROVED:
        return OverrideState.EXPIRED
    is_past = row.ends_at is not None and now >= row.ends_at
    is_done = row.scope == OverrideScope.TASK and row.outcome_of is not None
    if row.session_ended_at is not None or row.used_by is not None or is_past or is_done:
        return OverrideState.ENDED
    return OverrideState.ACTIVE


def _found(connection: Connection, override_id: str) -> Any:
    return connection.execute(_FIND, {"of_override": override_id}).one()


def _unknown(override_id: str) -> OverrideConflictError:
    msg = f"no override has the id {override_id!r}; see `pointwork override list`"
    return OverrideConflictError(msg)


_ROWS = (
    select(
        OVERRIDE,
        APPROVAL.c.state.label("approval_state"),
        APPROVAL.c.approver,
        APPROVAL.c.closed_at,
        _OUTCOME.c.task_id.label("outcome_of"),
    )
    .outerjoin(APPROVAL, APPROVAL.c.approval_id == OVERRIDE.c.approval_id)
    .outerjoin(_OUTCOME, _OUTCOME.c.task_id == OVERRIDE.c.task_id)
)
_FIND = _ROWS.where(OVERRIDE.c.override_id == bindparam("of_override"))
_LATEST = _ROWS.order_by(OVERRIDE.c.starts_at.desc(), OVERRIDE.c.override_id.desc())
_LOCKED = (
    select(OVERRIDE.c.ended_at, OVERRIDE.c.ended_as)
    .where(OVERRIDE.c.override_id == bindparam("of_override"))
    .with_for_update()
)
_LATE = (
    select(OVERRIDE.c.approval_id)
    .join(APPROVAL, APPROVAL.c.approval_id == OVERRIDE.c.approval_id)
    .where(APPROVAL.c.state == ApprovalState.WAITING, APPROVAL.c.expires_at <= bindparam("at"))
)
_USES = (
    select(USE)
    .where(USE.c.override_id.in_(bindparam("of_overrides", expanding=True)))
    .order_by(USE.c.recorded_at, USE.c.task_id)
)
_END = (
    update(OVERRIDE)
    .where(OVERRIDE.c.override_id == bindparam("of_override"))
    .values(
        ended_at=bindparam("at"),
        ended_as=bindparam("to"),
        ended_by=bindparam("by"),
        ended_reason=bindparam("why"),
    )
)
_END_SESSION = (
    update(OVERRIDE)
    .where(
        OVERRIDE.c.conversation == bindparam("of_conversation"),
        OVERRIDE.c.ended_at.is_(None),
        OVERRIDE.c.session_ended_at.is_(None),
        or_(
            OVERRIDE.c.scope == OverrideScope.SESSION,
            OVERRIDE.c.duration == OverrideDuration.SESSION,
        ),
    )
    .values(session_ended_at=bindparam("at"))
    .returning(OVERRIDE.c.override_id)
)
