"""Keeps ``cost_day`` equal to what was posted, in the transaction that posts it (I12).

A part counts from the moment it is posted, on the UTC day its call was sent, under the names its
decision had. Whoever changes a part that ended, or its attempt, takes it out first and puts it
back after. Its rows are taken before any budget window's, here as everywhere: no deadlock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Date,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnElement, FunctionElement

from pointwork.contract.decision import DecisionRecord
from pointwork.contract.outcome import AttemptState, Settlement
from pointwork.ledger.engine import insert_or_update
from pointwork.ledger.tables import Attempt, CostDay, Decision, HoldPart, PartState, table_of

_ATTEMPT = table_of(Attempt)
_DECISION = table_of(Decision)
_PART = table_of(HoldPart)
COST_DAY = table_of(CostDay)
NAMES = ("pack", "task_class", "caller", "worker", "vendor", "model")
"""What tells the rows of one day apart."""
MEASURES = tuple(each.name for each in COST_DAY.c if each.name not in ("day", *NAMES))


class utc_day(FunctionElement[Any]):  # noqa: N801  (reads as the SQL function it is)
    """The UTC date of a time column."""

    name = "utc_day"
    type = Date()
    inherit_cache = True


@compiles(utc_day, "sqlite")
def _sqlite(element: utc_day, compiler: SQLCompiler, **options: Any) -> str:
    (moment,) = element.clauses
    return f"date({compiler.process(moment, **options)})"


@compiles(utc_day, "postgresql")
def _postgresql(element: utc_day, compiler: SQLCompiler, **options: Any) -> str:
    (moment,) = element.clauses
    return f"CAST({compiler.process(moment, **options)} AT TIME ZONE 'UTC' AS DATE)"


@dataclass(frozen=True, kw_only=True, slots=True)
class CallFacts:
    """Whom and what a call is charged to; None where nobody said."""

    pack: str | None
    task_class: str | None
    caller: str | None
    worker: str | None
    task_type: str | None = None
    """The caller's own word, which no attempt row keeps."""

    @classmethod
    def decided(cls, record: DecisionRecord) -> "CallFacts":
        """As the decision has it, whatever the caller declared."""
        request = record.input.request
        return cls(
            pack=record.plan.policy.pack,
            task_class=record.plan.task_class,
            caller=request.caller,
            worker=request.worker,
            task_type=request.task_type,
        )

    @classmethod
    def of_row(cls, row: Any) -> "CallFacts":
        """As an attempt row has it."""
        return cls(pack=row.pack, task_class=row.task_class, caller=row.caller, worker=row.worker)

    def columns(self) -> dict[str, str | None]:
        return {
            "pack": self.pack,
            "task_class": self.task_class,
            "caller": self.caller,
            "worker": self.worker,
        }


def facts_of_decision(connection: Connection, decision_id: str) -> CallFacts:
    """The facts of a decision on record."""
    body = connection.execute(_DECIDED, {"of_decision": decision_id}).scalar_one()
    return CallFacts.decided(DecisionRecord.model_validate_json(body))


def put_in(connection: Connection, part_ids: Iterable[str]) -> None:
    """Count the parts that are posted; others, and those never sent, count for nothing."""
    _count(connection, part_ids, 1)


def take_out(connection: Connection, part_ids: Iterable[str]) -> None:
    """Uncount the parts as they stand, before one or its attempt changes; put them in again."""
    _count(connection, part_ids, -1)


def _count(connection: Connection, part_ids: Iterable[str], sign: int) -> None:
    given = sorted(part_ids)
    if given:
        statement = _ADD_TO_DAYS[connection.dialect.name]
        connection.execute(statement, {"of_parts": given, "sign": sign})


IS_POSTED = and_(
    or_(_PART.c.state == PartState.POSTED, _PART.c.posted_nano_usd > 0),
    _ATTEMPT.c.sent_at.is_not(None),
)
"""Which parts count. A part that ended unsent can have no bill."""
_IS_METERED = and_(_PART.c.settlement == Settlement.EXACT, _ATTEMPT.c.state == AttemptState.DONE)
_IS_UNSURE = _PART.c.settlement == Settlement.AT_LEAST


def _where(condition: ColumnElement[bool], value: ColumnElement[Any] | int) -> ColumnElement[Any]:
    return case((condition, value), else_=0)


_EACH: Mapping[str, ColumnElement[Any]] = {
    "calls": func.count(),
    "cost_nano_usd": func.sum(_PART.c.posted_nano_usd),
    "at_least_nano_usd": func.sum(_where(_IS_UNSURE, _PART.c.posted_nano_usd)),
    "estimate_nano_usd": func.sum(_ATTEMPT.c.estimate_nano_usd),
    "input_tokens": func.sum(func.coalesce(_ATTEMPT.c.input_tokens, 0)),
    "output_tokens": func.sum(func.coalesce(_ATTEMPT.c.output_tokens, 0)),
    "metered_calls": func.sum(_where(_IS_METERED, 1)),
    "metered_cost_nano_usd": func.sum(_where(_IS_METERED, _PART.c.posted_nano_usd)),
    "metered_estimate_nano_usd": func.sum(_where(_IS_METERED, _ATTEMPT.c.estimate_nano_usd)),
    "above_estimate_calls": func.sum(
        _where(_PART.c.posted_nano_usd > _ATTEMPT.c.estimate_nano_usd, 1)
    ),
}
MEASURED = tuple(_EACH[name].label(name) for name in MEASURES)
"""Each measure, over posted parts joined with their attempts."""
POSTED = _PART.join(_ATTEMPT, _ATTEMPT.c.attempt_id == _PART.c.part_id)
# A literal, because Postgres takes two equal parameters for two different things to group by.
_NAMED = tuple(func.coalesce(_ATTEMPT.c[name], literal_column("''")).label(name) for name in NAMES)
_KEYS = (utc_day(_ATTEMPT.c.sent_at).label("day"), *_NAMED)


def posted_days(sign: ColumnElement[int]) -> Select[Any]:
    """What ``cost_day`` must hold, summed afresh from the parts, times ``sign``."""
    measures = ((_EACH[name] * sign).label(name) for name in MEASURES)
    keys = [each.element for each in _KEYS]
    return select(*_KEYS, *measures).select_from(POSTED).where(IS_POSTED).group_by(*keys)


# In the order of their keys, so that two settlers never wait for each other.
_COUNTED = (
    posted_days(bindparam("sign", type_=BigInteger))
    .where(_PART.c.part_id.in_(bindparam("of_parts", expanding=True)))
    .order_by(*(each.element for each in _KEYS))
)
_ADD_TO_DAYS = {
    dialect: statement.from_select(["day", *NAMES, *MEASURES], _COUNTED)
    for dialect, statement in insert_or_update(
        COST_DAY,
        "day",
        *NAMES,
        values=lambda new: {name: COST_DAY.c[name] + new[name] for name in MEASURES},
    ).items()
}
_BOTH = union_all(
    select(COST_DAY.c.day, *(COST_DAY.c[name] for name in (*NAMES, *MEASURES))),
    posted_days(literal_column("-1", BigInteger)),
).subquery()
WRONG_DAYS = (
    select(
        _BOTH.c.day,
        *(_BOTH.c[name] for name in NAMES),
        *(func.sum(_BOTH.c[name]).label(name) for name in MEASURES),
    )
    .group_by(_BOTH.c.day, *(_BOTH.c[name] for name in NAMES))
    .having(or_(*(func.sum(_BOTH.c[name]) != 0 for name in MEASURES)))
)
"""The days that hold other sums than their parts, and by how much (I12)."""
_DECIDED = select(_DECISION.c.body).where(_DECISION.c.decision_id == bindparam("of_decision"))
