"""The table of who listens while an answer is written."""

from datetime import datetime

from sqlmodel import Field

from pointwork.ledger.columns import LedgerTable, time


class StreamListener(LedgerTable, table=True):
    """The gateway replica that holds a task's caller. A row says where, never what."""

    __tablename__ = "stream_listener"
    task_id: str = Field(primary_key=True)
    url: str
    expires_at: datetime = time()
