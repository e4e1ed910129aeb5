"""What people set, were told and allowed about budgets; the windows are in ``tables``."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import CheckConstraint, Index, Numeric
from sqlmodel import Field

from pointwork.ledger.columns import LedgerTable, money, not_negative, time


class AlertKind(StrEnum):
    """What people are told of a budget, once for each window and limit, or for each overrun."""

    NEAR = "near"
    """Spent and reserved together reached the share people asked to be told at (JG-28)."""
    REACHED = "reached"
    """The limit refused a call."""
    STOPPED = "stopped"
    """The hard stop holds every task until a person resumes (OM-32)."""
    OVERRUN = "overrun"
    """A call cost more than was held for it (OM-39)."""


class BudgetSettingRow(LedgerTable, table=True):
    """Every limit an owner ever set; rows are only added (CX-90)."""

    __tablename__ = "budget_setting"
    __table_args__ = (
        CheckConstraint("limit_nano_usd IS NULL OR limit_nano_usd >= 0", name="limit"),
        CheckConstraint(
            "alert_ratio IS NULL OR (alert_ratio > 0 AND alert_ratio < 1)", name="alert"
        ),
        Index(None, "pack"),
    )
    version: int = money(primary_key=True)
    pack: str
    scope: str
    subject: str
    period: str
    limit_nano_usd: int | None = money()
    alert_ratio: Decimal | None = Field(sa_type=Numeric(5, 4))
    set_by: str
    reason: str
    set_at: datetime = time()


class BudgetAllowance(LedgerTable, table=True):
    """What one call may hold above a window's limit because a person allowed it (OM-33)."""

    __tablename__ = "budget_allowance"
    __table_args__ = (not_negative("amount_nano_usd"), Index(None, "window_key"))
    part_id: str = Field(primary_key=True, foreign_key="hold_part.part_id")
    window_key: str = Field(primary_key=True, foreign_key="budget_window.window_key")
    approval_id: str = Field(foreign_key="approval.approval_id")
    amount_nano_usd: int = money()


class ModelMargin(LedgerTable, table=True):
    """What a vendor billed above the bound of a call; no row where it never sent a bill."""

    __tablename__ = "model_margin"
    __table_args__ = (not_negative("margin_nano_usd"),)
    model: str = Field(primary_key=True)
    margin_nano_usd: int = money()
    first_billed_at: datetime = time()
    renewed_at: datetime | None = time()


class BudgetAlert(LedgerTable, table=True):
    """Something people are told once, until somebody says that they have seen it."""

    __tablename__ = "budget_alert"
    __table_args__ = (
        CheckConstraint("kind IN ('near','reached','stopped','overrun')", name="kind"),
        CheckConstraint("(seen_at IS NULL) = (seen_by IS NULL)", name="seen"),
        Index(None, "seen_at", "occurred_at"),
    )
    alert_id: str = Field(primary_key=True)
    kind: str
    subject: str
    """The window's key; an overrun's part."""
    task_id: str
    """The task that brought it about."""
    amount_nano_usd: int = money()
    """Spent and reserved together by then; an overrun's cost."""
    limit_nano_usd: int = money()
    """The window's limit; what an overrun had held."""
    occurred_at: datetime = time()
    seen_at: datetime | None = time()
    seen_by: str | None
