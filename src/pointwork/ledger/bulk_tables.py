"""The tables of bulk runs: ids, references and declarations. How an item ended is its outcome's."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, Text
from sqlmodel import Field

from pointwork.ledger.columns import LedgerTable, not_negative, time


class BulkRunRow(LedgerTable, table=True):
    """One run of a file. Its end is written once; records of it stay."""

    __tablename__ = "bulk_run"
    __table_args__ = (
        not_negative("item_count", "in_flight_max", "handed_position"),
        CheckConstraint("state IN ('sealing','sealed','completed','cancelled')", name="state"),
        CheckConstraint(
            "(state IN ('completed','cancelled')) = (ended_at IS NOT NULL)", name="ended_once"
        ),
        Index(None, "created_at", "run_id"),
    )
    run_id: str = Field(primary_key=True)
    caller: str
    pack: str
    declared_sha256: str
    """Of every item's id and declarations in the file's order; of no text."""
    item_count: int
    in_flight_max: int
    priority: int
    state: str
    handed_position: int
    """Items up to this one were handed to the workflow; none after it has begun."""
    created_at: datetime = time()
    sealed_at: datetime | None = time()
    ended_at: datetime | None = time()


class BulkItemRow(LedgerTable, table=True):
    """One line of the file. ``body`` is the sealed request: declarations and references."""

    __tablename__ = "bulk_item"
    __table_args__ = (Index(None, "task_id", unique=True),)
    run_id: str = Field(primary_key=True, foreign_key="bulk_run.run_id")
    position: int = Field(primary_key=True)
    """From 1, in the file's order."""
    item_id: str
    task_id: str = Field(foreign_key="task.task_id")
    body: str = Field(sa_type=Text)
