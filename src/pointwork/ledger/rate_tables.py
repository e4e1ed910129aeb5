"""The table of how much of a second's requests the gateway's replicas have taken."""

from sqlalchemy import BigInteger
from sqlmodel import Field

from pointwork.ledger.columns import LedgerTable


class RateLease(LedgerTable, table=True):
    """One key holder in one second of Unix time. ``granted`` may pass the limit by part of a lease;
    what passes it was given to nobody."""

    __tablename__ = "rate_lease"
    second: int = Field(sa_type=BigInteger, primary_key=True)
    holder: str = Field(primary_key=True)
    granted: int
