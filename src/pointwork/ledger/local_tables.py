"""The local models of each host, as they were loaded last."""

from datetime import datetime

from sqlalchemy import Text
from sqlmodel import Field

from pointwork.ledger.columns import LedgerTable, time


class LocalModelBuild(LedgerTable, table=True):
    """``body`` is a ``ModelBuild``."""

    __tablename__ = "local_model_build"

    host: str = Field(primary_key=True)
    model: str = Field(primary_key=True)
    runtime: str = Field(primary_key=True)
    body: str = Field(sa_type=Text)
    loaded_at: datetime = time()
    """When this build was loaded first since the one before."""
