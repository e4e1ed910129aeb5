"""The tables of approvals: what waits for a person, used tokens, keys that sign verdicts."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, Index, Text
from sqlmodel import Field

from pointwork.ledger.columns import LedgerTable, time


class ApprovalState(StrEnum):
    """An approval waits, then ends in exactly one of the others."""

    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    VOID = "void"


class Approval(LedgerTable, table=True):
    __tablename__ = "approval"
    __table_args__ = (
        CheckConstraint(
            "state IN ('waiting','approved','rejected','expired','void')", name="state"
        ),
        CheckConstraint("(state = 'waiting') = (closed_at IS NULL)", name="closed_once"),
        Index(None, "state", "opened_at"),
        Index(None, "task_id", "state"),
    )
    approval_id: str = Field(primary_key=True)
    task_id: str
    state: str
    approver: str | None
    token_id: str | None
    opened_at: datetime = time()
    expires_at: datetime = time()
    closed_at: datetime | None = time()
    body: str = Field(sa_type=Text)


class UsedToken(LedgerTable, table=True):
    __tablename__ = "used_token"
    token_id: str = Field(primary_key=True)
    approval_id: str = Field(foreign_key="approval.approval_id")
    used_at: datetime = time()


class ApproverKey(LedgerTable, table=True):
    __tablename__ = "approver_key"
    key_id: str = Field(primary_key=True)
    approver: str
    public_key: str
    added_at: datetime = time()
    revoked_at: datetime | None = time()
    delegated_by: str | None
