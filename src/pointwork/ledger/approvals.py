"""Approvals that wait for a person, the keys that may answer, and the tokens already used."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, insert, select, update

from pointwork.contract.approval import ApprovalRequest, ApprovalVerdict, ApproverKey
from pointwork.contract.branches import Selection
from pointwork.contract.canonical import canonical_json
from pointwork.contract.decision import GrantKind
from pointwork.contract.failures import PointworkError
from pointwork.ledger import audit, tables
from pointwork.ledger.budget_stops import stop
from pointwork.ledger.engine import insert_if_absent, read, transact
from pointwork.ledger.tables import ApprovalState, table_of

_APPROVAL = table_of(tables.Approval)
_TOKEN = table_of(tables.UsedToken)
_KEY = table_of(tables.ApproverKey)
_SELECTION = table_of(tables.AnswerSelection)


class ApprovalConflictError(PointworkError):
    """The same id stands for something else already; nothing was changed."""


class ApprovalBook:
    """Approvals and approver keys; every change joins the audit chain. Thread-safe, no state."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open(self, request: ApprovalRequest, now: datetime) -> None:
        """Let a request wait for its verdict; the same request again changes nothing.

        One that asks to go on over an exceeded budget stops that budget for every task (OM-32).

        Raises:
            ApprovalConflictError: the approval id was used for another request.
        """
        body = canonical_json(request).decode()
        row = {
            "approval_id": request.approval_id,
            "task_id": request.task_id,
            "state": ApprovalState.WAITING,
            "opened_at": request.opened_at,
            "expires_at": request.expires_at,
            "body": body,
        }

        def write(connection: Connection) -> None:
            if connection.execute(_OPEN[connection.dialect.name], row).rowcount == 1:
                shown = request.model_dump(mode="json")
                stop(connection, request.windows, request.task_id, now)
                audit.append(connection, "approval_opened", shown, now, task_id=request.task_id)
                return
            if _found(connection, request.approval_id).body != body:
                msg = (
                    f"approval id {request.approval_id} was used for another request; "
                    "open this one under a new id"
                )
                raise ApprovalConflictError(msg)

        transact(self._engine, write)

    def close(
        self,
        approval_id: str,
        verdict: ApprovalVerdict | None,
        approver: str | None,
        token_id: str | None,
        now: datetime,
        selection: Selection | None = None,
    ) -> bool:
        """End a waiting approval, once.

        Without a verdict it ends expired where its time is over, and void otherwise (the task was
        cancelled, or what was shown has changed). A verdict needs an approver, who is not the
        requester, a token that was never used, and an approval that has not expired (design 7). A
        choice ends approved only with the person's ``selection`` of one of its options, kept in
        the same transaction (OM-63).

        Returns:
            True where the approval ended so, now or by an earlier call with the same arguments.
            False where it had ended otherwise or may not end so; nothing changed but the audit
            chain, which has an ``approval_refused`` record of the try.
        """

        def write(connection: Connection) -> bool:
            row = connection.execute(_LOCKED, {"of_approval": approval_id}).first()
            if row is None:
                fault = "the approval is not known"
                _refused(connection, approval_id, None, approver, fault, now)
                return False
            state = _end_state(verdict, row, now)
            if verdict is not None and (row.state, row.approver, row.token_id) == (
                state,
                approver,
                token_id,
            ):
                return True
            if verdict is None and row.state in (ApprovalState.EXPIRED, ApprovalState.VOID):
                return True
            fault = _fault(row, verdict, approver, token_id, now)
            fault = fault or _misfit(row, verdict, approver, token_id, selection)
            if not fault and token_id is not None and not _claim(connection, row, token_id, now):
                fault = "the token was used before"
            if fault:
                _refused(connection, approval_id, row.task_id, approver, fault, now)
                return False
            _end(connection, row, state, approver, token_id, now)
            if selection is not None:
                _keep(connection, selection, now)
            return True

        return transact(self._engine, write)

    def waiting(self) -> list[ApprovalRequest]:
        """Every request without a verdict, oldest first."""
        with read(self._engine) as connection:
            bodies = connection.execute(_WAITING).scalars().all()
        return [ApprovalRequest.model_validate_json(body) for body in bodies]

    def find(self, approval_id: str) -> ApprovalRequest | None:
        """The request, waiting or ended; None where it is not known."""
        with read(self._engine) as connection:
            row = connection.execute(_FIND, {"of_approval": approval_id}).first()
        return ApprovalRequest.model_validate_json(row.body) if row else None

    def state(self, approval_id: str) -> ApprovalState | None:
        """How the approval stands; None where it is not known."""
        with read(self._engine) as connection:
            row = connection.execute(_FIND, {"of_approval": approval_id}).first()
        return ApprovalState(row.state) if row else None

    def keys(self) -> list[ApproverKey]:
        """The public keys that may sign verdicts today, by id."""
        with read(self._engine) as connection:
            rows = connection.execute(_LIVE_KEYS).all()
        return [_key(row) for row in rows]

    def add_key(self, key: ApproverKey, now: datetime) -> None:
        """Let a key sign verdicts; the same key again changes nothing.

        Raises:
            ApprovalConflictError: the key id was used for another key, or was revoked.
        """
        row = {**key.model_dump(), "added_at": now}

        def write(connection: Connection) -> None:
            if connection.execute(_ADD_KEY[connection.dialect.name], row).rowcount == 1:
                audit.append(connection, "approver_key_added", key.model_dump(), now)
                return
            stored = connection.execute(_FIND_KEY, {"of_key": key.key_id}).one()
            if stored.revoked_at is not None or _key(stored) != key:
                msg = f"approver key id {key.key_id} was used before; give the key a new id"
                raise ApprovalConflictError(msg)

        transact(self._engine, write)

    def revoke_key(self, key_id: str, now: datetime) -> bool:
        """Let a key sign no more verdicts; False where it could not sign any."""

        def write(connection: Connection) -> bool:
            revoked = connection.execute(_REVOKE_KEY, {"of_key": key_id, "at": now}).rowcount == 1
            if revoked:
                audit.append(connection, "approver_key_revoked", {"key_id": key_id}, now)
            return revoked

        return transact(self._engine, write)


def _end_state(verdict: ApprovalVerdict | None, row: Any, now: datetime) -> ApprovalState:
    if verdict is not None:
        return ApprovalState(verdict)
    return ApprovalState.EXPIRED if now >= row.expires_at else ApprovalState.VOID


def _fault(
    row: Any,
    verdict: ApprovalVerdict | None,
    approver: str | None,
    token_id: str | None,
    now: datetime,
) -> str:
    """Why the approval may not end so; empty where it may."""
    if row.state != ApprovalState.WAITING:
        return f"the approval is {row.state} already"
    if verdict is None:
        return ""
    if approver is None or token_id is None:
        return "a verdict needs an approver and a token"
    if now >= row.expires_at:
        return "the approval has expired"
    if approver == ApprovalRequest.model_validate_json(row.body).requester:
        return "the approver is the requester"
    return ""


def _misfit(
    row: Any,
    verdict: ApprovalVerdict | None,
    approver: str | None,
    token_id: str | None,
    selection: Selection | None,
) -> str:
    """Why the selection is not what this end of the approval calls for; empty where it is."""
    request = ApprovalRequest.model_validate_json(row.body)
    chooses = request.asks_for is GrantKind.CHOICE and verdict is ApprovalVerdict.APPROVED
    if not chooses or selection is None:
        return "the verdict chooses nothing" if chooses != (selection is not None) else ""
    offered = {each.letter: (each.model, each.answer) for each in request.options}
    if offered.get(selection.choice) != (selection.model, selection.answer):
        return "the selection is none of the answers shown"
    if (selection.approver, selection.token_id) != (approver, token_id):
        return "the selection is another person's"
    compared = request.comparison.comparison_id if request.comparison else ""
    of_request = (row.approval_id, row.task_id, compared)
    if (selection.approval_id, selection.task_id, selection.comparison_id) != of_request:
        return "the selection is for another approval"
    return ""


def _keep(connection: Connection, selection: Selection, now: datetime) -> None:
    row = selection.model_dump(exclude={"answer"}) | {"answer_digest": selection.answer.digest}
    connection.execute(_SELECT, row)
    body = selection.model_dump(mode="json")
    audit.append(connection, "selection", body, now, task_id=selection.task_id)


def _claim(connection: Connection, row: Any, token_id: str, now: datetime) -> bool:
    """Use the token up; False where it was used before, be it by a racing transaction."""
    token = {"token_id": token_id, "approval_id": row.approval_id, "used_at": now}
    return connection.execute(_USE_TOKEN[connection.dialect.name], token).rowcount == 1


def _end(
    connection: Connection,
    row: Any,
    state: ApprovalState,
    approver: str | None,
    token_id: str | None,
    now: datetime,
) -> None:
    connection.execute(
        _CLOSE,
        {
            "of_approval": row.approval_id,
            "to_state": state,
            "by": approver,
            "token": token_id,
            "at": now,
        },
    )
    body = {
        "approval_id": row.approval_id,
        "state": state,
        "approver": approver,
        "token_id": token_id,
    }
    audit.append(connection, "approval_closed", body, now, task_id=row.task_id)


def _refused(
    connection: Connection,
    approval_id: str,
    task_id: str | None,
    approver: str | None,
    fault: str,
    now: datetime,
) -> None:
    body: Mapping[str, Any] = {
        "approval_id": approval_id,
        "approver": approver,
        "fault": fault,
    }
    audit.append(connection, "approval_refused", body, now, task_id=task_id)


def _found(connection: Connection, approval_id: str) -> Any:
    return connection.execute(_FIND, {"of_approval": approval_id}).one()


def _key(row: Any) -> ApproverKey:
    return ApproverKey(key_id=row.key_id, approver=row.approver, public_key=row.public_key)


_OPEN = insert_if_absent(_APPROVAL, "approval_id")
_FIND = select(_APPROVAL).where(_APPROVAL.c.approval_id == bindparam("of_approval"))
_LOCKED = _FIND.with_for_update()
_WAITING = (
    select(_APPROVAL.c.body)
    .where(_APPROVAL.c.state == ApprovalState.WAITING)
    .order_by(_APPROVAL.c.opened_at, _APPROVAL.c.approval_id)
)
_CLOSE = (
    update(_APPROVAL)
    .where(_APPROVAL.c.approval_id == bindparam("of_approval"))
    .values(
        state=bindparam("to_state"),
        approver=bindparam("by"),
        token_id=bindparam("token"),
        closed_at=bindparam("at"),
    )
)
_SELECT = insert(_SELECTION)
_USE_TOKEN = insert_if_absent(_TOKEN, "token_id")
_ADD_KEY = insert_if_absent(_KEY, "key_id")
_FIND_KEY = select(_KEY).where(_KEY.c.key_id == bindparam("of_key"))
_LIVE_KEYS = select(_KEY).where(_KEY.c.revoked_at.is_(None)).order_by(_KEY.c.key_id)
_REVOKE_KEY = (
    update(_KEY)
    .where(_KEY.c.key_id == bindparam("of_key"), _KEY.c.revoked_at.is_(None))
    .values(revoked_at=bindparam("at"))
)
