"""What was posted by day, costs above their holds, and the tables of Juggernaut's Milestone 6.

``cost_day`` is exact and follows every posting in its own transaction. Juggernaut's tables stand
beside it under the names and columns their document gives them, with dollars in two or four
decimals: they are for reading, and no decision is made from them.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    JSON,
    TIMESTAMP,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    String,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field

from pointwork.ledger.columns import METADATA, LedgerTable, money, not_negative, time


class CostDay(LedgerTable, table=True):
    """Everything posted for one kind of call that was sent on one UTC day (JG-21 to JG-25).

    A name that is not known is empty. Its sums are those of the parts, always (I12).
    """

    __tablename__ = "cost_day"
    day: date = Field(sa_type=Date, primary_key=True)
    pack: str = Field(primary_key=True)
    task_class: str = Field(primary_key=True)
    caller: str = Field(primary_key=True)
    worker: str = Field(primary_key=True)
    vendor: str = Field(primary_key=True)
    model: str = Field(primary_key=True)
    calls: int = Field(sa_type=BigInteger)
    cost_nano_usd: int = money()
    at_least_nano_usd: int = money()
    """The share of the cost whose settlement is AT_LEAST."""
    estimate_nano_usd: int = money()
    input_tokens: int = Field(sa_type=BigInteger)
    output_tokens: int = Field(sa_type=BigInteger)
    metered_calls: int = Field(sa_type=BigInteger)
    """Calls that answered at an exact cost: only these say how good the estimates are."""
    metered_cost_nano_usd: int = money()
    metered_estimate_nano_usd: int = money()
    above_estimate_calls: int = Field(sa_type=BigInteger)


class Overrun(LedgerTable, table=True):
    """A cost above what was held for it (OM-37, OM-39); ``excess`` is what no hold covered."""

    __tablename__ = "overrun"
    __table_args__ = (
        not_negative("held_nano_usd", "cost_nano_usd"),
        CheckConstraint("excess_nano_usd > 0", name="excess"),
        Index(None, "task_id"),
    )
    part_id: str = Field(primary_key=True, foreign_key="hold_part.part_id")
    task_id: str
    model: str
    held_nano_usd: int = money()
    cost_nano_usd: int = money()
    excess_nano_usd: int = money()
    reason: str
    occurred_at: datetime = time()
    reviewed_at: datetime | None = time()
    reviewed_by: str | None


class Dollars(TypeDecorator[Decimal]):
    """DECIMAL of a whole number of digits; SQLite keeps such a number as it keeps any other."""

    impl = Numeric
    cache_ok = True

    def __init__(self, precision: int, scale: int) -> None:
        super().__init__(precision, scale, asdecimal=False)
        self._quantum = Decimal(1).scaleb(-scale)

    def process_result_value(self, value: float | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(str(value)).quantize(self._quantum)


class UtcStamp(TypeDecorator[datetime]):
    """TIMESTAMP without a zone, which the seed asks for: UTC in the table, aware in Python."""

    impl = TIMESTAMP
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


def _id() -> Column[Any]:
    return Column("id", Uuid(), primary_key=True)


def _stamp(name: str) -> Column[Any]:
    return Column(name, UtcStamp(), server_default=func.now())


GOVERNANCE_TASKS = Table(
    "governance_tasks",
    METADATA,
    _id(),
    Column("type", String(50)),
    Column("class", String(50)),
    _stamp("created_at"),
)
"""Referenced but not defined by the seed: the least it needs (S-16)."""

ROUTING_POLICIES = Table(
    "routing_policies",
    METADATA,
    _id(),
    Column("name", String(50), unique=True),
    Column("description", Text()),
    Column("policy_config", JSON().with_variant(JSONB(), "postgresql")),
    Column("is_active", Boolean(), server_default=text("true")),
    _stamp("created_at"),
    _stamp("updated_at"),
)

MODEL_SELECTIONS = Table(
    "model_selections",
    METADATA,
    _id(),
    Column("task_id", Uuid(), ForeignKey("governance_tasks.id")),
    Column("policy_name", String(50)),
    Column("selected_model", String(100)),
    Column("selected_provider", String(50)),
    Column("estimated_cost", Dollars(10, 4)),
    Column("actual_cost", Dollars(10, 4)),
    Column("tokens_used", Integer()),
    Column("response_time_ms", Integer()),
    Column("success", Boolean()),
    _stamp("created_at"),
)

MODEL_PERFORMANCE = Table(
    "model_performance",
    METADATA,
    _id(),
    Column("model_name", String(100)),
    Column("provider", String(50)),
    Column("window_start", UtcStamp()),
    Column("window_end", UtcStamp()),
    Column("total_requests", Integer()),
    Column("successful_requests", Integer()),
    Column("failed_requests", Integer()),
    Column("avg_response_time_ms", Integer()),
    Column("total_cost", Dollars(10, 2)),
    Column("avg_tokens_used", Integer()),
    _stamp("created_at"),
)

COST_BUDGETS = Table(
    "cost_budgets",
    METADATA,
    _id(),
    Column("budget_type", String(50)),
    Column("budget_period", String(20)),
    Column("budget_amount", Dollars(10, 2)),
    Column("spent_amount", Dollars(10, 2), server_default=text("0")),
    Column("period_start", UtcStamp()),
    Column("period_end", UtcStamp()),
    Column("alert_threshold", Dollars(5, 2), server_default=text("0.80")),
    _stamp("created_at"),
)
