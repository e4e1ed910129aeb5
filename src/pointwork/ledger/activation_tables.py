"""The table of activations: which version of a pack decides new tasks, and who said so."""

from datetime import datetime

from sqlalchemy import CheckConstraint
from sqlmodel import Field

from pointwork.ledger.columns import LedgerTable, time


class PolicyActivationRow(LedgerTable, table=True):
    """An entry is added and never changed; the latest of a pack is the one that counts."""

    __tablename__ = "policy_activation"
    __table_args__ = (CheckConstraint("number >= 1", name="number"),)
    pack: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    bundle_sha256: str = Field(foreign_key="policy_revision.bundle_sha256")
    version: str
    pack_sha256: str
    replaced_bundle_sha256: str
    replaced_version: str
    replaced_pack_sha256: str
    newest_version: str
    activated_by: str
    reason: str
    activated_at: datetime = time()
