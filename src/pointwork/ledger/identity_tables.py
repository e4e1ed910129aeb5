"""The tables of who may answer: identities, and what each person said of an approval."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, Text
from sqlmodel import Field

from pointwork.ledger.columns import LedgerTable, time


class IdentityRow(LedgerTable, table=True):
    """An account; ``roles`` and ``belongs_to`` are canonical JSON lists."""

    __tablename__ = "identity"
    __table_args__ = (
        CheckConstraint("kind IN ('person','service','group')", name="kind"),
        CheckConstraint("subject <> ''", name="subject"),
    )
    name: str = Field(primary_key=True)
    kind: str
    subject: str
    roles: str = Field(sa_type=Text)
    belongs_to: str = Field(sa_type=Text)
    created_at: datetime = time()
    disabled_at: datetime | None = time()


class ApprovalVerdictRow(LedgerTable, table=True):
    """One person's answer to an approval, with the reason they gave; rows are only added."""

    __tablename__ = "approval_verdict"
    __table_args__ = (
        CheckConstraint("verdict IN ('approved','rejected')", name="verdict"),
        Index(None, "approval_id", "subject"),
    )
    token_id: str = Field(primary_key=True, foreign_key="used_token.token_id")
    approval_id: str = Field(foreign_key="approval.approval_id")
    approver: str
    subject: str
    """Quorum counts subjects: one person with two accounts counts once."""
    key_id: str | None
    verdict: str
    reason: str
    recorded_at: datetime = time()


class AccessKeyRow(LedgerTable, table=True):
    """A key by which somebody calls the API; the key itself is nowhere."""

    __tablename__ = "access_key"
    __table_args__ = (Index(None, "name"),)
    key_id: str = Field(primary_key=True)
    name: str = Field(foreign_key="identity.name")
    secret_hash: str
    created_at: datetime = time()
    expires_at: datetime | None = time()
    revoked_at: datetime | None = time()
