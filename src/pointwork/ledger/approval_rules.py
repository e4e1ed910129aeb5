"""When an approval may end: by whom, by how many, and with which choice (design 7)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select

from pointwork.contract.approval import ApprovalRequest, ApprovalVerdict
from pointwork.contract.branches import Selection
from pointwork.contract.decision import GrantKind
from pointwork.ledger import identities, tables
from pointwork.ledger.approver_keys import bar_of
from pointwork.ledger.tables import ApprovalState, table_of

_VERDICT = table_of(tables.ApprovalVerdictRow)


@dataclass(frozen=True, slots=True)
class GivenVerdict:
    """One person's answer, as it is on record."""

    token_id: str
    approver: str
    subject: str
    key_id: str | None
    verdict: ApprovalVerdict
    reason: str
    recorded_at: datetime


def end_state(verdict: ApprovalVerdict | None, row: Any, now: datetime) -> ApprovalState:
    if verdict is not None:
        return ApprovalState(verdict)
    return ApprovalState.EXPIRED if now >= row.expires_at else ApprovalState.VOID


def given_verdict(
    connection: Connection,
    verdict: ApprovalVerdict | None,
    approver: str | None,
    token_id: str | None,
    key_id: str | None,
    reason: str,
    now: datetime,
) -> GivenVerdict | None:
    if verdict is None or approver is None or token_id is None:
        return None
    known = identities.find(connection, approver)
    subject = known.subject if known else approver
    return GivenVerdict(token_id, approver, subject, key_id, verdict, reason, now)


def fault(
    connection: Connection,
    row: Any,
    verdict: ApprovalVerdict | None,
    given: GivenVerdict | None,
    now: datetime,
) -> str:
    """Why the approval may not end so, or count this; empty where it may."""
    if row.state != ApprovalState.WAITING:
        return f"the approval is {row.state} already"
    if verdict is None:
        return ""
    if given is None:
        return "a verdict needs an approver and a token"
    if now >= row.expires_at:
        return "the approval has expired"
    said = connection.execute(GIVEN, {"of_approval": row.approval_id}).all()
    # A person who approved and thinks better of it may still reject.
    if verdict is ApprovalVerdict.APPROVED and given.subject in {each.subject for each in said}:
        return f"{given.approver} has approved already; another person is needed"
    requester = ApprovalRequest.model_validate_json(row.body).requester
    return bar_of(connection, given.key_id, given.approver, requester)


def short(connection: Connection, row: Any) -> str:
    """Why the persons who approved are not enough with this one; empty where they are."""
    needed = ApprovalRequest.model_validate_json(row.body).approvers_min
    said = connection.execute(GIVEN, {"of_approval": row.approval_id}).all()
    have = 1 + len({each.subject for each in said})
    return f"{needed} persons must approve, and {have} did" if have < needed else ""


def misfit(
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


GIVEN = (
    select(
        _VERDICT.c.token_id,
        _VERDICT.c.approver,
        _VERDICT.c.subject,
        _VERDICT.c.key_id,
        _VERDICT.c.verdict,
        _VERDICT.c.reason,
        _VERDICT.c.recorded_at,
    )
    .where(_VERDICT.c.approval_id == bindparam("of_approval"))
    .order_by(_VERDICT.c.recorded_at, _VERDICT.c.token_id)
)
