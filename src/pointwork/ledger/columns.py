"""What every table of the ledger is made of: amounts, times, checks, and one set of names."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Dialect, MetaData, Table
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlmodel import Field, SQLModel

METADATA = MetaData(
    naming_convention={
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)


class UtcTime(TypeDecorator[datetime]):
    """An instant: timestamptz on Postgres, sortable UTC text on SQLite, aware UTC in Python."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(DateTime(timezone=dialect.name == "postgresql"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            msg = "the ledger stores aware times; give the datetime a time zone"
            raise ValueError(msg)
        utc = value.astimezone(UTC)
        return utc if dialect.name == "postgresql" else utc.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def money(**options: Any) -> Any:
    return Field(sa_type=BigInteger, **options)


def time(**options: Any) -> Any:
    return Field(sa_type=UtcTime, **options)


def not_negative(*columns: str) -> CheckConstraint:
    return CheckConstraint(" AND ".join(f"{name} >= 0" for name in columns), name="not_negative")


class LedgerTable(SQLModel):
    metadata = METADATA


def table_of(model: type[LedgerTable]) -> Table:
    """The Core table behind a model: the hot path writes statements, not objects."""
    return METADATA.tables[str(model.__tablename__)]
