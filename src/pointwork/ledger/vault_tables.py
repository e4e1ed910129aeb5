"""The tables of the vault: data keys, sealed contents, rotated master keys, whose store it is."""

from datetime import datetime

from sqlalchemy import Index, LargeBinary, text
from sqlmodel import Field

from pointwork.ledger.columns import LedgerTable, time

_LIVE = text("wrapped IS NOT NULL")


class VaultKey(LedgerTable, table=True):
    """A task's data key, wrapped by a master key; ``wrapped`` is null once it was destroyed."""

    __tablename__ = "vault_key"
    __table_args__ = (
        # For retention, which walks the live keys by age and never meets an erased one again.
        Index(None, "created_at", "task_id", sqlite_where=_LIVE, postgresql_where=_LIVE),
    )
    task_id: str = Field(primary_key=True, foreign_key="task.task_id")
    master_key_id: str
    wrapped: bytes | None
    created_at: datetime = time()
    erased_at: datetime | None = time()


class VaultContent(LedgerTable, table=True):
    """A sealed content. Where ``object_name`` says that it lies in a store, ``sealed`` is empty."""

    __tablename__ = "vault_content"
    task_id: str = Field(primary_key=True, foreign_key="vault_key.task_id")
    digest: str = Field(primary_key=True)
    media_type: str = Field(primary_key=True)
    bytes_count: int
    sealed: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = time()
    object_name: str | None = None


class SupersededMasterKey(LedgerTable, table=True):
    """A master key that wraps no new data key any more, whoever still holds it as the active."""

    __tablename__ = "superseded_master_key"
    key_id: str = Field(primary_key=True)
    superseded_at: datetime = time()
    retired_at: datetime | None = time()
    """Since when it wraps nothing and is, or may be, gone from the key file."""


class LedgerIdentity(LedgerTable, table=True):
    """One row, made with the table: ledgers that share a store tell their objects apart by it."""

    __tablename__ = "ledger_identity"
    ledger_id: str = Field(primary_key=True)
