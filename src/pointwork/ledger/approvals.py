"""Approvals that wait for a person, the keys that may answer, and the tokens already used."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, insert, select, update

from pointwork.contract.approval import ApprovalRequest, ApprovalVerdict, ApproverKey
from pointwork.contract.branches import Selection
from pointwork.contract.canonical import canonical_json
from pointwork.ledger import approval_rules as rules
from pointwork.ledger import audit, tables
from pointwork.ledger.approver_keys import (
    ApprovalConflictError,
    add_key,
    live_keys,
    revoke_key,
)
from pointwork.ledger.budget_stops import stop
from pointwork.ledger.engine import insert_if_absent, read, transact
from pointwork.ledger.tables import ApprovalState, table_of

_APPROVAL = table_of(tables.Approval)
_TOKEN = table_of(tables.UsedToken)
_VERDICT = table_of(tables.ApprovalVerdictRow)
_SELECTION = table_of(tables.AnswerSelection)
_UNKNOWN = "the approval is not known"


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
        *,
        key_id: str | None = None,
        reason: str = "",
    ) -> bool:
        """End a waiting approval, once.

        Without a verdict it ends expired where its time is over, and void otherwise (the task was
        cancelled, or what was shown has changed). A verdict needs an approver, who is not the
        requester, a token that was never used, and an approval that has not expired (design 7);
        with its ``key_id``, a key that may answer this requester now. Where several persons must
        approve, the others were counted before. A choice ends approved only with the person's
        ``selection`` of one of its options, kept in the same transaction (OM-63).

        Returns:
            True where the approval ended so, now or by an earlier call with the same arguments.
            False where it had ended otherwise or may not end so; nothing changed but the audit
            chain, which has an ``approval_refused`` record of the try.
        """

        def write(connection: Connection) -> bool:
            row = connection.execute(_LOCKED, {"of_approval": approval_id}).first()
            if row is None:
                _refused(connection, approval_id, None, approver, _UNKNOWN, now)
                return False
            state = rules.end_state(verdict, row, now)
            if verdict is not None and (row.state, row.approver, row.token_id) == (
                state,
                approver,
                token_id,
            ):
                return True
            if verdict is None and row.state in (ApprovalState.EXPIRED, ApprovalState.VOID):
                return True
            given = rules.given_verdict(
                connection, verdict, approver, token_id, key_id, reason, now
            )
            fault = rules.fault(connection, row, verdict, given, now)
            fault = fault or rules.misfit(row, verdict, approver, token_id, selection)
            if given is not None and not fault:
                if verdict is ApprovalVerdict.APPROVED:
                    fault = rules.short(connection, row)
                fault = fault or _claim(connection, row, given)
            if fault:
                _refused(connection, approval_id, row.task_id, approver, fault, now)
                return False
            _end(connection, row, state, given, now)
            if selection is not None:
                _keep(connection, selection, now)
            return True

        return transact(self._engine, write)

    def count(
        self,
        approval_id: str,
        approver: str,
        token_id: str,
        now: datetime,
        *,
        key_id: str | None,
        reason: str,
    ) -> bool:
        """Keep one person's yes where more are needed; the approval waits on.

        Returns:
            As ``close``.
        """
        yes = ApprovalVerdict.APPROVED

        def write(connection: Connection) -> bool:
            row = connection.execute(_LOCKED, {"of_approval": approval_id}).first()
            if row is None:
                _refused(connection, approval_id, None, approver, _UNKNOWN, now)
                return False
            counted = connection.execute(rules.GIVEN, {"of_approval": approval_id}).all()
            if any((each.token_id, each.approver) == (token_id, approver) for each in counted):
                return True
            given = rules.given_verdict(connection, yes, approver, token_id, key_id, reason, now)
            fault = rules.fault(connection, row, yes, given, now)
            if not fault and given is not None:
                fault = _claim(connection, row, given)
            if fault:
                _refused(connection, approval_id, row.task_id, approver, fault, now)
                return False
            body = {"approval_id": approval_id, "approver": approver, "token_id": token_id}
            audit.append(connection, "approval_counted", body, now, task_id=row.task_id)
            return True

        return transact(self._engine, write)

    def waiting(self) -> list[ApprovalRequest]:
        """Every request without a verdict, oldest first."""
        with read(self._engine) as connection:
            bodies = connection.execute(_WAITING).scalars().all()
        return [ApprovalRequest.model_validate_json(body) for body in bodies]

    def open_of(self, task_id: str) -> ApprovalRequest | None:
        """What a person is asked about a task now; None where nobody is."""
        with read(self._engine) as connection:
            body = connection.execute(_OPEN_OF, {"of_task": task_id}).scalars().first()
        return ApprovalRequest.model_validate_json(body) if body else None

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

    def keys(self, requester: str | None = None) -> list[ApproverKey]:
        """The public keys that may sign verdicts today, by id; see ``live_keys``."""
        with read(self._engine) as connection:
            return live_keys(connection, requester)

    def add_key(self, key: ApproverKey, now: datetime) -> None:
        """Let a key sign verdicts; the same key again changes nothing.

        Raises:
            ApprovalConflictError: the key id was used for another key, or was revoked.
        """
        transact(self._engine, lambda connection: add_key(connection, key, now))

    def revoke_key(self, key_id: str, now: datetime) -> bool:
        """Let a key sign no more verdicts; False where it could not sign any."""
        return transact(self._engine, lambda connection: revoke_key(connection, key_id, now))

    def refused(
        self, task_id: str, approval_id: str, approver: str | None, fault: str, now: datetime
    ) -> None:
        """Record a verdict that did not reach the approval; it changes nothing else."""
        transact(
            self._engine,
            lambda connection: _refused(connection, approval_id, task_id, approver, fault, now),
        )

    def verdicts(self, approval_id: str) -> list[rules.GivenVerdict]:
        """What persons said of it so far, the first one first."""
        with read(self._engine) as connection:
            rows = connection.execute(rules.GIVEN, {"of_approval": approval_id}).all()
        return [rules.GivenVerdict(*row) for row in rows]


def _keep(connection: Connection, selection: Selection, now: datetime) -> None:
    row = selection.model_dump(exclude={"answer"}) | {"answer_digest": selection.answer.digest}
    connection.execute(_SELECT, row)
    body = selection.model_dump(mode="json")
    audit.append(connection, "selection", body, now, task_id=selection.task_id)


def _claim(connection: Connection, row: Any, given: rules.GivenVerdict) -> str:
    """Use the token up and keep what was said; a token that was used before, in words."""
    token = {
        "token_id": given.token_id,
        "approval_id": row.approval_id,
        "used_at": given.recorded_at,
    }
    if connection.execute(_USE_TOKEN[connection.dialect.name], token).rowcount == 0:
        return "the token was used before"
    connection.execute(_KEEP_VERDICT, {**asdict(given), "approval_id": row.approval_id})
    return ""


def _end(
    connection: Connection,
    row: Any,
    state: ApprovalState,
    given: rules.GivenVerdict | None,
    now: datetime,
) -> None:
    approver, token_id = (given.approver, given.token_id) if given else (None, None)
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
    if given is not None and given.reason:
        body["reason"] = given.reason
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


_OPEN = insert_if_absent(_APPROVAL, "approval_id")
_FIND = select(_APPROVAL).where(_APPROVAL.c.approval_id == bindparam("of_approval"))
_LOCKED = _FIND.with_for_update()
_WAITING = (
    select(_APPROVAL.c.body)
    .where(_APPROVAL.c.state == ApprovalState.WAITING)
    .order_by(_APPROVAL.c.opened_at, _APPROVAL.c.approval_id)
)
_OPEN_OF = _WAITING.where(_APPROVAL.c.task_id == bindparam("of_task"))
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
_KEEP_VERDICT = insert(_VERDICT)
