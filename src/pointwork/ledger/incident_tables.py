"""The table of what owners did about incidents."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKeyConstraint
from sqlmodel import Field

from pointwork.ledger.columns import LedgerTable, time


class IncidentStep(LedgerTable, table=True):
    """A step is added and never changed; the last one of an incident is its state."""

    __tablename__ = "incident_step"
    __table_args__ = (
        CheckConstraint("step IN ('reviewed','corrected','documented')", name="step"),
        ForeignKeyConstraint(["task_id", "code"], ["incident.task_id", "incident.code"]),
    )
    task_id: str = Field(primary_key=True)
    code: str = Field(primary_key=True)
    step: str = Field(primary_key=True)
    taken_by: str
    words: str
    taken_at: datetime = time()
