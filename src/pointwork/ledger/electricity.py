"""What this house's models cost: electricity alone, by the meter and the tariff (CX-12)."""

from dataclasses import dataclass

from sqlalchemy import Engine, func, select

from pointwork.ledger.costs import EVER, Days, between
from pointwork.ledger.engine import read
from pointwork.ledger.tables import Attempt, table_of

MILLIJOULES_PER_WATT_HOUR = 3_600_000

_ATTEMPT = table_of(Attempt)


@dataclass(frozen=True, kw_only=True, slots=True)
class Electricity:
    """Of the metered calls of one model."""

    model: str
    calls: int
    energy_millijoules: int
    cost_nano_usd: int
    """At the tariff of the time, and part of what the tasks cost; 0 where there was none."""

    @property
    def watt_hours(self) -> float:
        return self.energy_millijoules / MILLIJOULES_PER_WATT_HOUR


def electricity(engine: Engine, days: Days = EVER, pack: str | None = None) -> list[Electricity]:
    """By model, in the order of their names; a call belongs to the UTC day it was sent on."""
    query = between(
        select(
            _ATTEMPT.c.model,
            func.count().label("calls"),
            func.sum(_ATTEMPT.c.energy_millijoules).label("energy_millijoules"),
            func.coalesce(func.sum(_ATTEMPT.c.electricity_nano_usd), 0).label("cost_nano_usd"),
        )
        .where(_ATTEMPT.c.energy_millijoules.is_not(None))
        .group_by(_ATTEMPT.c.model)
        .order_by(_ATTEMPT.c.model),
        _ATTEMPT.c.sent_at,
        days,
    )
    if pack is not None:
        query = query.where(_ATTEMPT.c.pack == pack)
    with read(engine) as connection:
        rows = connection.execute(query).mappings()
        return [
            Electricity(
                model=row["model"],
                calls=row["calls"],
                energy_millijoules=int(row["energy_millijoules"]),
                cost_nano_usd=int(row["cost_nano_usd"]),
            )
            for row in rows
        ]
