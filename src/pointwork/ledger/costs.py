"""What tasks cost: totals, estimates against bills, and costs above their holds (OM-37 to OM-39).

Days are UTC, and a call belongs to the day it was sent on. Totals are read from ``cost_day``
alone, so they take as long for a million tasks as for a hundred; figures of single tasks are
summed from their parts, for as many tasks as were asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, Select, bindparam, func, select, update

from pointwork.contract.failures import PointworkError
from pointwork.ledger import audit
from pointwork.ledger.cost_rollup import COST_DAY, IS_POSTED, MEASURED, MEASURES, POSTED
from pointwork.ledger.engine import read, transact
from pointwork.ledger.tables import Attempt, HoldPart, Outcome, Overrun, table_of

LISTED_MAX = 1_000
"""The most tasks or overruns that one question lists."""

_ATTEMPT = table_of(Attempt)
_OUTCOME = table_of(Outcome)
_OVERRUN = table_of(Overrun)
_PART = table_of(HoldPart)


class OverrunNotFoundError(PointworkError):
    """No overrun stands under this part's id."""


class CostBy(StrEnum):
    """What totals are asked by. ``policy`` is the class or role that a task was routed as."""

    MODEL = "model"
    VENDOR = "vendor"
    POLICY = "policy"
    PACK = "pack"
    CALLER = "caller"
    WORKER = "worker"
    TASK = "task"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, kw_only=True, slots=True)
class Days:
    """UTC days from ``since`` to ``until``, both included; None leaves an end open."""

    since: date | None = None
    until: date | None = None

    def __post_init__(self) -> None:
        if self.since and self.until and self.since > self.until:
            msg = f"since {self.since} is after until {self.until}; give the earlier day first"
            raise ValueError(msg)


EVER = Days()


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """What the calls under one name cost; the name is empty where nobody gave one."""

    name: str
    calls: int = 0
    cost_nano_usd: int = 0
    at_least_nano_usd: int = 0
    """The share of the cost that nobody metered: charged in full, and never refunded."""
    estimate_nano_usd: int = 0
    """What was held for the calls before they were sent."""
    input_tokens: int = 0
    output_tokens: int = 0
    metered_calls: int = 0
    metered_cost_nano_usd: int = 0
    metered_estimate_nano_usd: int = 0
    above_estimate_calls: int = 0

    def plus(self, other: "Costs") -> "Costs":
        """The sum of both, under this one's name."""
        return replace(self, **{n: getattr(self, n) + getattr(other, n) for n in MEASURES})

    @property
    def actual_to_estimate(self) -> float | None:
        """Metered cost over its estimate; None where nothing was metered or estimated to cost."""
        if not self.metered_estimate_nano_usd:
            return None
        return self.metered_cost_nano_usd / self.metered_estimate_nano_usd


@dataclass(frozen=True, kw_only=True, slots=True)
class OverrunRecord:
    """A call that cost more than was held for it, and who has looked at it since."""

    part_id: str
    task_id: str
    model: str
    held_nano_usd: int
    cost_nano_usd: int
    excess_nano_usd: int
    reason: str
    occurred_at: datetime
    reviewed_at: datetime | None
    reviewed_by: str | None


class CostReport:
    """Reads what was posted. Thread-safe; keeps no state."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def totals(self, by: CostBy, days: Days = EVER, pack: str | None = None) -> list[Costs]:
        """One total a name: the dearest first, or in the order of time (JG-22 to JG-25).

        A week has the name of its Monday and the ISO week, a month is ``2026-03``. Tasks are not
        summed here; ask ``dearest_tasks``.
        """
        column, name_of = _NAMES_BY[by]
        query = _sums(column.label("name"), days=days, pack=pack).group_by(column)
        found: dict[str, Costs] = {}
        with read(self._engine) as connection:
            for row in connection.execute(query):
                costs = _costs(row, name_of(row.name))
                before = found.get(costs.name)
                found[costs.name] = before.plus(costs) if before else costs
        if by in _OF_TIME:
            return [found[name] for name in sorted(found)]
        return sorted(found.values(), key=lambda each: (-each.cost_nano_usd, each.name))

    def total(self, days: Days = EVER, pack: str | None = None) -> Costs:
        """Everything posted, as one sum."""
        with read(self._engine) as connection:
            row = connection.execute(_sums(days=days, pack=pack)).one()
        return _costs(row, "total")

    def packs(self) -> list[str]:
        """The packs that any cost stands under, in the order of their names."""
        with read(self._engine) as connection:
            found = connection.execute(select(COST_DAY.c.pack).distinct()).scalars()
            return sorted(name for name in found if name)

    def of_task(self, task_id: str) -> Costs:
        """The sum of the task's calls, of a running one too; zero where it made none (JG-21)."""
        with read(self._engine) as connection:
            return _of_tasks(connection, [task_id])[0]

    def dearest_tasks(
        self, days: Days = EVER, pack: str | None = None, limit: int = 20
    ) -> list[Costs]:
        """The tasks that cost most of those that ended on these days, each the sum of its calls."""
        query = (
            select(_OUTCOME.c.task_id)
            .order_by(_OUTCOME.c.cost_nano_usd.desc(), _OUTCOME.c.finished_at.desc())
            .limit(min(limit, LISTED_MAX))
        )
        query = between(query, _OUTCOME.c.finished_at, days)
        if pack is not None:
            query = query.where(_OUTCOME.c.pack == pack)
        with read(self._engine) as connection:
            found = _of_tasks(connection, list(connection.execute(query).scalars()))
        return sorted(found, key=lambda each: -each.cost_nano_usd)

    def tasks_ended(self, days: Days = EVER, pack: str | None = None) -> int:
        """How many tasks ended on these days, whether or not they made a call."""
        query = between(select(func.count()).select_from(_OUTCOME), _OUTCOME.c.finished_at, days)
        if pack is not None:
            query = query.where(_OUTCOME.c.pack == pack)
        with read(self._engine) as connection:
            return int(connection.execute(query).scalar_one())

    def overruns(
        self,
        days: Days = EVER,
        pack: str | None = None,
        *,
        only_unreviewed: bool = False,
        limit: int = LISTED_MAX,
    ) -> list[OverrunRecord]:
        """Costs above what was held, latest first; each names task, model, cost and reason."""
        query = between(select(_OVERRUN), _OVERRUN.c.occurred_at, days)
        if pack is not None:
            query = query.join(_ATTEMPT, _ATTEMPT.c.attempt_id == _OVERRUN.c.part_id)
            query = query.where(_ATTEMPT.c.pack == pack)
        if only_unreviewed:
            query = query.where(_OVERRUN.c.reviewed_at.is_(None))
        latest = query.order_by(_OVERRUN.c.occurred_at.desc(), _OVERRUN.c.part_id).limit(limit)
        with read(self._engine) as connection:
            return [OverrunRecord(**row) for row in connection.execute(latest).mappings()]


def review_overrun(engine: Engine, part_id: str, *, by: str, now: datetime) -> OverrunRecord:
    """Record that a person has looked at an overrun; the first one stays on record (OM-38).

    Raises:
        OverrunNotFoundError: no overrun has this part's id.
    """

    def write(connection: Connection) -> OverrunRecord:
        found = {"of_part": part_id}
        marked = connection.execute(_REVIEW, {**found, "by": by, "at": now}).rowcount == 1
        row = connection.execute(_FIND_OVERRUN, found).mappings().first()
        if row is None:
            msg = f"no overrun has the part id {part_id!r}; see `pointwork costs --overruns`"
            raise OverrunNotFoundError(msg)
        record = OverrunRecord(**row)
        if marked:
            body = {"part_id": part_id, "by": by, "excess_nano_usd": record.excess_nano_usd}
            audit.append(connection, "overrun_reviewed", body, now, task_id=record.task_id)
        return record

    return transact(engine, write)


def _sums(*names: Any, days: Days, pack: str | None) -> Select[Any]:
    sums = (func.coalesce(func.sum(COST_DAY.c[name]), 0).label(name) for name in MEASURES)
    query = select(*names, *sums)
    if days.since is not None:
        query = query.where(COST_DAY.c.day >= days.since)
    if days.until is not None:
        query = query.where(COST_DAY.c.day <= days.until)
    return query if pack is None else query.where(COST_DAY.c.pack == pack)


def _costs(row: Any, name: str) -> Costs:
    # A sum of BIGINT is NUMERIC on Postgres, which arrives as a Decimal.
    return Costs(name=name, **{each: int(getattr(row, each)) for each in MEASURES})


def _of_tasks(connection: Connection, task_ids: list[str]) -> list[Costs]:
    rows = connection.execute(_PARTS_OF, {"of_tasks": task_ids})
    found = {row.task_id: _costs(row, row.task_id) for row in rows}
    return [found.get(task_id, Costs(name=task_id)) for task_id in task_ids]


def between(query: Select[Any], moment: Any, days: Days) -> Select[Any]:
    """The query for rows whose ``moment`` is on one of these days."""
    if days.since is not None:
        query = query.where(moment >= datetime.combine(days.since, time(), UTC))
    if days.until is not None and days.until < date.max:
        after = datetime.combine(days.until + timedelta(days=1), time(), UTC)
        query = query.where(moment < after)
    return query


def _week(day: date) -> str:
    monday = day - timedelta(days=day.weekday())
    year, week, _ = day.isocalendar()
    return f"{monday} ({year}-W{week:02d})"


def _named(name: Any) -> str:
    return str(name)


_NAMES_BY: dict[CostBy, tuple[Any, Callable[[Any], str]]] = {
    CostBy.MODEL: (COST_DAY.c.model, _named),
    CostBy.VENDOR: (COST_DAY.c.vendor, _named),
    CostBy.POLICY: (COST_DAY.c.task_class, _named),
    CostBy.PACK: (COST_DAY.c.pack, _named),
    CostBy.CALLER: (COST_DAY.c.caller, _named),
    CostBy.WORKER: (COST_DAY.c.worker, _named),
    CostBy.DAY: (COST_DAY.c.day, _named),
    CostBy.WEEK: (COST_DAY.c.day, _week),
    CostBy.MONTH: (COST_DAY.c.day, lambda day: f"{day:%Y-%m}"),
}
_OF_TIME = frozenset({CostBy.DAY, CostBy.WEEK, CostBy.MONTH})
_PARTS_OF = (
    select(_PART.c.task_id, *MEASURED)
    .select_from(POSTED)
    .where(IS_POSTED, _PART.c.task_id.in_(bindparam("of_tasks", expanding=True)))
    .group_by(_PART.c.task_id)
)
_FIND_OVERRUN = select(_OVERRUN).where(_OVERRUN.c.part_id == bindparam("of_part"))
_REVIEW = (
    update(_OVERRUN)
    .where(_OVERRUN.c.part_id == bindparam("of_part"), _OVERRUN.c.reviewed_at.is_(None))
    .values(reviewed_at=bindparam("at"), reviewed_by=bindparam("by"))
)
