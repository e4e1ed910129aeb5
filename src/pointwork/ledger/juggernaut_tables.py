"""Fills Juggernaut's tables from the ledger's own rows (JG-43 to JG-46).

``model_selections`` follows every call at once (``selections``). The other three are written from
time to time: policies, budgets and closed performance windows by the sweeper, and a policy when it
is written. A row's id follows from what it tells of, so writing it again changes it in place.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Connection, Engine, bindparam, cast, func, select, update

from pointwork.contract.overlay import ModelWindow
from pointwork.ledger.cost_rollup import COST_DAY
from pointwork.ledger.cost_tables import COST_BUDGETS, MODEL_PERFORMANCE, ROUTING_POLICIES
from pointwork.ledger.engine import insert_if_absent, insert_or_update, read, transact
from pointwork.ledger.model_windows import ModelWindows
from pointwork.ledger.selections import PACK, dollars, name_for, row_id, whole
from pointwork.ledger.tables import Attempt, BudgetWindow, PolicyRevision, table_of

SETTLES_WITHIN = timedelta(days=2)
"""How long after its end a budget period is still written: late bills move it."""
CLOSES_AFTER = timedelta(hours=1)
"""How long after midnight UTC a day's performance is closed: its last calls end by then."""
DAYS_PER_RUN_MAX = 31

_ATTEMPT = table_of(Attempt)
_REVISION = table_of(PolicyRevision)
_WINDOW = table_of(BudgetWindow)
_SCOPE = f"pack/{PACK}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyRow:
    """A routing policy as its table has it."""

    name: str
    """At most 50 characters."""
    description: str
    config: Mapping[str, Any]
    """The policy in JSON, in the structure that the seed gives it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CallSums:
    """The calls of some days that ended, to all models together."""

    calls: int
    succeeded: int
    succeeded_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Terms:
    """What the pack says of one period's budget, in nano-USD."""

    limit: int
    budget: int
    alert_ratio: Decimal | None

    def budget_under(self, limit_nano_usd: int) -> int:
        """What people call the budget, in proportion where an owner has set another limit."""
        if limit_nano_usd == self.limit or not self.limit:
            return self.budget
        return self.budget * limit_nano_usd // self.limit


def keep_policies(engine: Engine, policies: Iterable[PolicyRow], now: datetime) -> None:
    """Make ``routing_policies`` those given: others are not active any more.

    ``updated_at`` moves only for a policy that changed.
    """
    given = {each.name: each for each in policies}

    def write(connection: Connection) -> None:
        for each in given.values():
            connection.execute(_ADD_POLICY[connection.dialect.name], _policy(each, now))
        for row in connection.execute(select(ROUTING_POLICIES)).all():
            new = given.get(row.name)
            wanted: dict[str, Any] = {"is_active": new is not None}
            if new is not None:
                wanted |= {"description": new.description, "policy_config": dict(new.config)}
            if any(getattr(row, column) != value for column, value in wanted.items()):
                connection.execute(_CHANGE_POLICY, {"of_id": row.id, **wanted, "updated_at": now})

    transact(engine, write)


def policies_written_at(engine: Engine) -> dict[str, datetime]:
    """When each active policy was last changed, by name."""
    query = select(ROUTING_POLICIES.c.name, ROUTING_POLICIES.c.updated_at)
    with read(engine) as connection:
        rows = connection.execute(query.where(ROUTING_POLICIES.c.is_active)).all()
    return {row.name: row.updated_at for row in rows}


def project(engine: Engine, now: datetime) -> int:
    """Write the budgets that still move and the performance windows that closed.

    Returns:
        How many rows were written.
    """
    budgets = _budgets(engine, now)
    performance = _performance(engine, now)

    def write(connection: Connection) -> None:
        for statement, rows in ((_SET_BUDGET, budgets), (_ADD_WINDOW, performance)):
            for row in rows:
                connection.execute(statement[connection.dialect.name], row)

    if budgets or performance:
        transact(engine, write)
    return len(budgets) + len(performance)


def overspent(engine: Engine, since: datetime) -> list[str]:
    """The daily and weekly periods from ``since`` on that spent more than their budget (JG-61)."""
    with read(engine) as connection:
        terms = _terms(connection)
        windows = connection.execute(_WINDOWS_SINCE, {"since": since}).all()
    return [
        each.window_key
        for each in windows
        if each.period in ("day", "week") and each.spent_nano_usd > _budget_of(each, terms)
    ]


def call_sums(engine: Engine, since: date, now: datetime) -> CallSums:
    """The calls sent from the UTC day ``since`` up to ``now``: closed days, and those still open.

    Today and yesterday are read from their calls where no sweeper has closed them, and so is every
    day from the first one on that cost something and is not closed.
    """
    first = datetime.combine(since, time(), UTC)
    yesterday = now.astimezone(UTC).date() - timedelta(days=1)
    with read(engine) as connection:
        closed = connection.execute(_CLOSED_SUMS, {"first": first}).one()
        after = closed.last or first
        days = {"first": after.date(), "today": yesterday}
        open_day = connection.execute(_DAYS.limit(1), days).scalar() or yesterday
    open_from = max(after, datetime.combine(open_day, time(), UTC))
    windows = ModelWindows(engine).read(open_from, now, pack=PACK)
    return CallSums(
        calls=int(closed.calls) + sum(each.requests for each in windows),
        succeeded=int(closed.succeeded) + sum(each.succeeded for each in windows),
        succeeded_ms=int(closed.succeeded_ms)
        + sum(each.succeeded * (each.average_ms or 0) for each in windows),
    )


def _budgets(engine: Engine, now: datetime) -> list[dict[str, Any]]:
    with read(engine) as connection:
        terms = _terms(connection)
        windows = connection.execute(_WINDOWS_SINCE, {"since": now - SETTLES_WITHIN}).all()
    rows = []
    for each in windows:
        row = {
            "id": row_id("cost_budgets", each.window_key),
            "budget_type": name_for(each.scope, 50),
            "budget_period": each.period,
            "budget_amount": dollars(_budget_of(each, terms), 10, 2),
            "spent_amount": dollars(each.spent_nano_usd, 10, 2),
            "period_start": each.starts_at,
            "period_end": each.ends_at,
            "created_at": now,
        }
        known = terms.get(each.period)
        if known is not None and known.alert_ratio is not None:
            row["alert_threshold"] = known.alert_ratio
        rows.append(row)
    return rows


def _budget_of(window: Any, terms: Mapping[str, _Terms]) -> int:
    known = terms.get(window.period)
    limit: int = window.limit_nano_usd
    return known.budget_under(limit) if known else limit


def _terms(connection: Connection) -> dict[str, _Terms]:
    """The pack's budgets by period, from the revision that a worker stored last."""
    text = connection.execute(_LAST_REVISION).scalar()
    budgets = json.loads(text)["pack"].get("budgets", ()) if text else ()
    return {
        each["period"]: _Terms(
            limit=each["limit"],
            budget=each.get("pause_expensive_from") or each["limit"],
            alert_ratio=Decimal(each["alert_ratio"]) if each.get("alert_ratio") else None,
        )
        for each in budgets
        if each["scope"] == "pack"
    }


def _performance(engine: Engine, now: datetime) -> list[dict[str, Any]]:
    windows = ModelWindows(engine)
    rows = []
    for day in _closed_days(engine, now):
        starts_at = datetime.combine(day, time(), UTC)
        bounds = {"starts_at": starts_at, "ends_at": starts_at + timedelta(days=1)}
        with read(engine) as connection:
            vendors = {row.model: row.vendor for row in connection.execute(_VENDORS, bounds)}
        for window in windows.read(**bounds, pack=PACK):
            rows.append(_window_row(window, vendors.get(window.model), now))
    return rows


def _closed_days(engine: Engine, now: datetime) -> list[date]:
    """Days with calls that are over and not written yet, oldest first."""
    today = (now - CLOSES_AFTER).astimezone(UTC).date()
    with read(engine) as connection:
        last = connection.execute(_LAST_WINDOW).scalar()
        first = last.date() if last else date.min
        return list(connection.execute(_DAYS, {"first": first, "today": today}).scalars())


def _window_row(window: ModelWindow, vendor: str | None, now: datetime) -> dict[str, Any]:
    return {
        "id": row_id("model_performance", window.model, window.starts_at.isoformat()),
        "model_name": name_for(window.model, 100),
        "provider": name_for(vendor, 50),
        "window_start": window.starts_at,
        "window_end": window.ends_at,
        "total_requests": whole(window.requests),
        "successful_requests": whole(window.succeeded),
        "failed_requests": whole(window.failed),
        "avg_response_time_ms": whole(window.average_ms),
        "total_cost": dollars(window.cost_nano_usd, 10, 2),
        "avg_tokens_used": whole(window.average_tokens),
        "created_at": now,
    }


def _policy(policy: PolicyRow, now: datetime) -> dict[str, Any]:
    return {
        "id": row_id("routing_policies", policy.name),
        "name": policy.name,
        "description": policy.description,
        "policy_config": dict(policy.config),
        "is_active": True,
        "created_at": now,
        "updated_at": now,
    }


_ADD_POLICY = insert_if_absent(ROUTING_POLICIES, "name")
_CHANGE_POLICY = update(ROUTING_POLICIES).where(ROUTING_POLICIES.c.id == bindparam("of_id"))
_ADD_WINDOW = insert_if_absent(MODEL_PERFORMANCE, "id")
_SET_BUDGET = insert_or_update(
    COST_BUDGETS,
    "id",
    values=lambda new: {
        name: new[name] for name in ("budget_amount", "spent_amount", "alert_threshold")
    },
)
_WINDOWS_SINCE = (
    select(_WINDOW)
    .where(_WINDOW.c.scope == _SCOPE, _WINDOW.c.ends_at > bindparam("since"))
    .order_by(_WINDOW.c.window_key)
)
_LAST_REVISION = (
    select(_REVISION.c.canonical_json)
    .where(_REVISION.c.pack == PACK)
    .order_by(_REVISION.c.created_at.desc(), _REVISION.c.bundle_sha256)
    .limit(1)
)
_LAST_WINDOW = select(func.max(MODEL_PERFORMANCE.c.window_end))
_CLOSED_SUMS = select(
    func.coalesce(func.sum(MODEL_PERFORMANCE.c.total_requests), 0).label("calls"),
    func.coalesce(func.sum(MODEL_PERFORMANCE.c.successful_requests), 0).label("succeeded"),
    func.coalesce(
        func.sum(
            cast(MODEL_PERFORMANCE.c.successful_requests, BigInteger)
            * MODEL_PERFORMANCE.c.avg_response_time_ms
        ),
        0,
    ).label("succeeded_ms"),
    func.max(MODEL_PERFORMANCE.c.window_end).label("last"),
).where(MODEL_PERFORMANCE.c.window_start >= bindparam("first"))
_DAYS = (
    select(COST_DAY.c.day)
    .distinct()
    .where(
        COST_DAY.c.pack == PACK,
        COST_DAY.c.day >= bindparam("first"),
        COST_DAY.c.day < bindparam("today"),
    )
    .order_by(COST_DAY.c.day)
    .limit(DAYS_PER_RUN_MAX)
)
_VENDORS = (
    select(_ATTEMPT.c.model, func.max(_ATTEMPT.c.vendor).label("vendor"))
    .where(
        _ATTEMPT.c.pack == PACK,
        _ATTEMPT.c.sent_at >= bindparam("starts_at"),
        _ATTEMPT.c.sent_at < bindparam("ends_at"),
    )
    .group_by(_ATTEMPT.c.model)
)
