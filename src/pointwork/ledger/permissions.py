"""What must have been permitted before it happened: invariants 9 and 10 (reliability 2.2).

Both read what decisions recorded, not what code would decide today.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select

from pointwork.contract.canonical import sha256_hex
from pointwork.contract.decision import GrantKind, Site
from pointwork.contract.snapshot import ReceiptKind
from pointwork.contract.task import PrivacyTier, Sensitivity
from pointwork.ledger.holds import ATTEMPT, PART
from pointwork.ledger.tables import (
    Approval,
    ApprovalState,
    ApprovalVerdictRow,
    Decision,
    PolicyRevision,
    UsedToken,
    table_of,
)

_APPROVAL = table_of(Approval)
_DECISION = table_of(Decision)
_REVISION = table_of(PolicyRevision)
_TOKEN = table_of(UsedToken)
_VERDICT = table_of(ApprovalVerdictRow)
_ROWS_PER_FETCH = 200
_HAS_GRANT = '"grants":[{'
"""In canonical JSON these bytes stand nowhere else: within a text the quotes would be escaped."""


def unpermitted_egress(connection: Connection) -> Iterator[str]:
    """Attempts that took sensitive content out of the house and may not have (OM-40, OM-42, R-2).

    Restricted content never leaves. Sensitive content leaves by a person's grant, a receipt of
    the authority, or where the pack on record says so. Reads one row for each attempt outside the
    house, and the body of a decision where its content was sensitive.
    """
    rules: dict[str, dict[str, Any]] = {}
    query = (
        select(
            ATTEMPT.c.attempt_id,
            ATTEMPT.c.task_id,
            ATTEMPT.c.model,
            ATTEMPT.c.endpoint,
            ATTEMPT.c.site,
            _DECISION.c.sensitivity,
            _DECISION.c.bundle_sha256,
            _DECISION.c.body,
        )
        .join(PART, PART.c.part_id == ATTEMPT.c.attempt_id)
        .join(_DECISION, _DECISION.c.decision_id == PART.c.decision_id)
        .where(
            ATTEMPT.c.site != Site.LOCAL,
            _DECISION.c.sensitivity.in_([Sensitivity.SENSITIVE, Sensitivity.RESTRICTED]),
        )
    )
    for row in _rows(connection, query):
        if row.sensitivity == Sensitivity.SENSITIVE:
            if row.bundle_sha256 not in rules:
                rules[row.bundle_sha256] = _privacy_rules(connection, row.bundle_sha256)
            if _is_permitted(row, rules[row.bundle_sha256]):
                continue
        yield (
            f"attempt {row.attempt_id} took {row.sensitivity} content of task {row.task_id} to "
            f"{row.endpoint} ({row.site}), and nothing on record permits it"
        )


def unsound_grants(connection: Connection) -> Iterator[str]:
    """Approvals that were used without one timely token of another person (design 7).

    Starts from the approvals, which are few, and then looks in every decision for a grant that
    no approval stands behind; the database reads every decision's body for it.
    """
    yield from _unsound_approvals(connection)
    yield from _baseless_grants(connection)


def _unsound_approvals(connection: Connection) -> Iterator[str]:
    counted = _TOKEN.alias()
    tokens = (
        select(func.count())
        .select_from(counted)
        .where(counted.c.approval_id == _APPROVAL.c.approval_id)
        .scalar_subquery()
    )
    persons = (
        select(func.count(func.distinct(_VERDICT.c.subject)))
        .where(_VERDICT.c.approval_id == _APPROVAL.c.approval_id)
        .scalar_subquery()
    )
    query = (
        select(_APPROVAL, tokens.label("tokens"), persons.label("persons"), _TOKEN.c.used_at)
        .outerjoin(
            _TOKEN,
            (_TOKEN.c.token_id == _APPROVAL.c.token_id)
            & (_TOKEN.c.approval_id == _APPROVAL.c.approval_id),
        )
        .where(_APPROVAL.c.state == ApprovalState.APPROVED)
    )
    for row in _rows(connection, query):
        named, asked = f"approval {row.approval_id} of task {row.task_id}", json.loads(row.body)
        needed = asked.get("approvers_min", 1)
        if row.tokens != needed or row.used_at is None:
            yield f"{named} was used with {row.tokens} tokens instead of its own {needed}"
        elif row.used_at >= row.expires_at:
            yield f"{named} was used at {row.used_at:%F %T} UTC, after it had expired"
        if needed > 1 and row.persons != needed:
            yield f"{named} needs {needed} persons, and {row.persons} approved"
        if not row.approver or row.approver == asked["requester"]:
            yield f"{named} was approved by {row.approver or 'nobody'}, who asked for it"


def _baseless_grants(connection: Connection) -> Iterator[str]:
    approved = {
        row.approval_id: row
        for row in connection.execute(
            select(_APPROVAL.c.approval_id, _APPROVAL.c.task_id, _APPROVAL.c.approver).where(
                _APPROVAL.c.state == ApprovalState.APPROVED
            )
        )
    }
    # Both find bytes; LIKE would fold case and take several times as long.
    place = func.strpos if connection.dialect.name == "postgresql" else func.instr
    query = select(_DECISION.c.decision_id, _DECISION.c.task_id, _DECISION.c.body).where(
        place(_DECISION.c.body, _HAS_GRANT) > 0
    )
    for row in _rows(connection, query):
        for grant in json.loads(row.body)["input"]["grants"]:
            behind = approved.get(grant["approval_id"])
            if behind is None or (behind.task_id, behind.approver) != (
                row.task_id,
                grant["approver"],
            ):
                yield (
                    f"decision {row.decision_id} counts on approval {grant['approval_id']} of "
                    f"{grant['approver']}, which nobody gave for task {row.task_id}"
                )


def _rows(connection: Connection, query: Select[Any]) -> Iterator[Any]:
    """A page at a time; the cursor is closed even where a row cannot be read."""
    options = {"yield_per": _ROWS_PER_FETCH}
    with connection.execute(query, execution_options=options) as rows:
        yield from rows


def _is_permitted(row: Any, privacy: Mapping[str, Any]) -> bool:
    """Whether the record shows why this sensitive content could leave."""
    given = json.loads(row.body)["input"]
    if given["request"].get("privacy_tier") == PrivacyTier.LOCAL_ONLY:
        return False
    if any(each["kind"] == GrantKind.SENSITIVE_EGRESS for each in given["grants"]):
        return True
    if any(_is_boundary(each, given) for each in given["snapshot"].get("receipts", ())):
        return True
    if privacy.get("sensitive") == "tier_only":
        return True
    approved = {each["model"] for each in privacy.get("approved_private_models", ())}
    return row.site == Site.PRIVATE and row.model in approved


def _is_boundary(receipt: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """A receipt in force, for this task or its user, that sets a data boundary."""
    task_id, subject = receipt.get("task_id"), receipt.get("subject")
    taken_at = datetime.fromisoformat(given["snapshot"]["taken_at"])
    return (
        receipt["kind"] == ReceiptKind.DATA_BOUNDARY
        and datetime.fromisoformat(receipt["expires_at"]) > taken_at
        and (task_id or subject) is not None
        and task_id in (None, given["request"]["task_id"])
        and subject in (None, given["request"].get("subject"))
    )


def _privacy_rules(connection: Connection, bundle_sha256: str) -> dict[str, Any]:
    """What the pack on record says of privacy; nothing where the record is gone or was changed."""
    query = select(_REVISION.c.canonical_json).where(_REVISION.c.bundle_sha256 == bundle_sha256)
    text = connection.execute(query).scalar()
    if text is None or sha256_hex(text.encode()) != bundle_sha256:
        return {}
    privacy: dict[str, Any] = json.loads(text)["pack"]["privacy"]
    return privacy
