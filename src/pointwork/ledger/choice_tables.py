"""The tables of answers given side by side: how they compared, and which a person chose."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, Text
from sqlmodel import Field

from pointwork.ledger.columns import LedgerTable, time


class AnswerComparison(LedgerTable, table=True):
    """Where answers differ, by place; their text is in the vault alone (OM-55)."""

    __tablename__ = "answer_comparison"
    __table_args__ = (
        CheckConstraint("kind IN ('json','text')", name="kind"),
        CheckConstraint("differences_count >= 0", name="differences_count"),
        Index(None, "task_id"),
    )
    comparison_id: str = Field(primary_key=True)
    task_id: str
    decision_id: str
    kind: str
    agree: bool
    differences_count: int
    compared_at: datetime = time()
    body: str = Field(sa_type=Text)


class AnswerSelection(LedgerTable, table=True):
    """A person's choice. No row without the person and the token of their signed verdict (OM-63).

    One a task: it has one authoritative output.
    """

    __tablename__ = "answer_selection"
    __table_args__ = (
        CheckConstraint("approver <> ''", name="approver"),
        CheckConstraint("choice IN ('A','B','C','D','E')", name="choice"),
    )
    task_id: str = Field(primary_key=True)
    approval_id: str = Field(foreign_key="approval.approval_id", unique=True)
    comparison_id: str = Field(foreign_key="answer_comparison.comparison_id")
    choice: str
    model: str
    answer_digest: str
    approver: str
    token_id: str = Field(foreign_key="used_token.token_id")
    reason: str
    chosen_at: datetime = time()
