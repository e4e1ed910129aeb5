"""The tables of overrides: what was asked, how it ended, and each task it moved."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, Text, text
from sqlmodel import Field

from pointwork.ledger.columns import LedgerTable, money, not_negative, time

_OPEN = text("ended_at IS NULL")


class RouteOverride(LedgerTable, table=True):
    """An override as it was asked for; only how it ends is added later (OM-68 to OM-73).

    Who acknowledged its cost, and when, stands in the approval of the same id.
    """

    __tablename__ = "route_override"
    __table_args__ = (
        not_negative("cost_impact_nano_usd"),
        CheckConstraint("scope IN ('task','session','period')", name="scope"),
        CheckConstraint(
            "duration IN ('single_use','session','time_limited','indefinite')", name="duration"
        ),
        CheckConstraint("ended_as IN ('revoked','struck','ended')", name="ended_as"),
        CheckConstraint("(ended_at IS NULL) = (ended_as IS NULL)", name="ended_once"),
        CheckConstraint("(used_by IS NULL) = (used_at IS NULL)", name="used_once"),
        Index(None, "pack", "ends_at", sqlite_where=_OPEN, postgresql_where=_OPEN),
        Index(None, "conversation", sqlite_where=_OPEN, postgresql_where=_OPEN),
    )
    override_id: str = Field(primary_key=True)
    approval_id: str
    pack: str
    model: str
    scope: str
    task_id: str | None
    conversation: str | None
    starts_at: datetime = time()
    ends_at: datetime | None = time()
    duration: str
    reason: str
    requester: str
    cost_impact_nano_usd: int = money()
    policy_sha256: str
    expires_at: datetime = time()
    """Until when somebody may acknowledge it."""
    session_ended_at: datetime | None = time()
    used_by: str | None
    """The task that claimed a single use."""
    used_at: datetime | None = time()
    ended_at: datetime | None = time()
    ended_as: str | None
    ended_by: str | None
    ended_reason: str | None
    body: str = Field(sa_type=Text)


class OverrideUse(LedgerTable, table=True):
    """A task that an override moved to another model, and how it ended (OM-74)."""

    __tablename__ = "override_use"
    __table_args__ = (
        CheckConstraint("outcome IN ('success','failure')", name="outcome"),
        Index(None, "task_id"),
    )
    override_id: str = Field(primary_key=True, foreign_key="route_override.override_id")
    task_id: str = Field(primary_key=True)
    decision_id: str = Field(foreign_key="decision.decision_id")
    original_route: str
    """The model the default would have used, or ``held`` or ``denied``."""
    overridden_route: str
    outcome: str
    recorded_at: datetime = time()
