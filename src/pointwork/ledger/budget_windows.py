"""The rows of budget windows: opened with their limit, taken from, moved, and read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, case, insert, or_, select, update

from pointwork.contract.budget_windows import limit_in_force, scope_of
from pointwork.contract.snapshot import BudgetSignal, WindowSpec
from pointwork.ledger.budget_alerts import tell
from pointwork.ledger.budget_settings import hold_settings, settings_in
from pointwork.ledger.budget_tables import AlertKind, BudgetAllowance
from pointwork.ledger.engine import insert_or_update, read
from pointwork.ledger.tables import BudgetWindow, table_of

WINDOW = table_of(BudgetWindow)
ALLOWANCE = table_of(BudgetAllowance)


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowState:
    """A window as it stands; ``limit_version`` is the owner's setting, 0 the pack's own limit."""

    key: str
    period: str
    ends_at: datetime
    limit_nano_usd: int
    limit_version: int
    spent_nano_usd: int
    reserved_nano_usd: int
    stopped_at: datetime | None

    @property
    def left_nano_usd(self) -> int:
        """Below zero where a limit was lowered, a person allowed more, or a bill was higher."""
        return self.limit_nano_usd - self.spent_nano_usd - self.reserved_nano_usd


def windows_open_at(engine: Engine, moment: datetime) -> list[WindowState]:
    """Every window that has not ended by ``moment``, sorted by key."""
    columns = [WINDOW.c[each.name] for each in fields(WindowState) if each.name != "key"]
    query = (
        select(WINDOW.c.window_key.label("key"), *columns)
        .where(WINDOW.c.ends_at > moment)
        .order_by(WINDOW.c.window_key)
    )
    with read(engine) as connection:
        return [WindowState(**row._mapping) for row in connection.execute(query)]


def open_windows(connection: Connection, windows: Iterable[WindowSpec]) -> None:
    """Make the windows exist with the limits in force: a missing row could not be locked.

    A limit that an owner set later than a task was decided stands: the higher version wins.
    """
    wanted = {each.key: each for each in windows}
    if not wanted:
        return
    known = {
        row.window_key: (row.limit_version, row.limit_nano_usd)
        for row in connection.execute(_LIMITS, {"of_windows": sorted(wanted)})
    }
    if len(known) < len(wanted):
        hold_settings(connection)
    statement = _OPEN_WINDOW[connection.dialect.name]
    for key, spec in sorted(wanted.items()):
        if key in known and (
            known[key][0] > spec.limit_version
            or known[key] == (spec.limit_version, spec.limit_nano_usd)
        ):
            continue
        limit_nano_usd, version = (
            (spec.limit_nano_usd, spec.limit_version)
            if key in known
            else _limit_in_force(connection, spec)
        )
        connection.execute(
            statement,
            {
                "window_key": spec.key,
                "scope": spec.scope,
                "period": spec.period,
                "starts_at": spec.starts_at,
                "ends_at": spec.ends_at,
                "limit_nano_usd": limit_nano_usd,
                "limit_high_nano_usd": limit_nano_usd,
                "limit_version": version,
                "spent_nano_usd": 0,
                "reserved_nano_usd": 0,
            },
        )


def take(
    connection: Connection,
    key: str,
    amount_nano_usd: int,
    *,
    alert: tuple[int, int] | None,
    task_id: str,
    now: datetime,
) -> bool:
    """Reserve in one window, if its limit covers that; people are told where it comes near.

    ``alert`` is committed nano-USD together from where on they are, and the version of the limit
    that this is a share of: under another limit it says nothing.
    """
    taken = connection.execute(_TAKE, {"of_window": key, "amount": amount_nano_usd}).first()
    if taken is None:
        return False
    committed = taken.spent_nano_usd + taken.reserved_nano_usd
    is_near = alert is not None and alert[1] == taken.limit_version and committed >= alert[0]
    if is_near and taken.alerted_version != taken.limit_version:
        connection.execute(_ALERTED, {"of_window": key, "version": taken.limit_version})
        tell(
            connection,
            AlertKind.NEAR,
            key,
            taken.limit_version,
            task_id=task_id,
            amount_nano_usd=committed,
            limit_nano_usd=taken.limit_nano_usd,
            now=now,
        )
    return True


def take_allowed(
    connection: Connection, key: str, amount_nano_usd: int, part_id: str, approval_id: str
) -> None:
    """Reserve in a window whatever its limit; what lies above it is on record as allowed."""
    taken = connection.execute(_TAKE_ANYHOW, {"of_window": key, "amount": amount_nano_usd}).one()
    above = taken.spent_nano_usd + taken.reserved_nano_usd - taken.limit_nano_usd
    row = {
        "part_id": part_id,
        "window_key": key,
        "approval_id": approval_id,
        # Others may have released something since the limit refused the amount.
        "amount_nano_usd": max(0, min(amount_nano_usd, above)),
    }
    connection.execute(_ALLOW, row)


def move(connection: Connection, sums: Mapping[str, Sequence[int]]) -> None:
    """Release and spend, (released, spent) by window, in the order of keys."""
    for key, (released, spent) in sorted(sums.items()):
        connection.execute(_MOVE, {"of_window": key, "released": released, "spent": spent})


def readings(connection: Connection, keys: Iterable[str]) -> dict[str, BudgetSignal]:
    """How the windows that exist stand, by key."""
    rows = connection.execute(_READ, {"of_windows": sorted(keys)})
    return {row.window_key: _signal(row) for row in rows}


def tell_reached(connection: Connection, key: str, task_id: str, now: datetime) -> None:
    """Tell people, once for each limit, that a window refused a call."""
    row = connection.execute(_READ, {"of_windows": [key]}).first()
    if row is not None:
        tell(
            connection,
            AlertKind.REACHED,
            key,
            row.limit_version,
            task_id=task_id,
            amount_nano_usd=row.spent_nano_usd + row.reserved_nano_usd,
            limit_nano_usd=row.limit_nano_usd,
            now=now,
        )


def _limit_in_force(connection: Connection, spec: WindowSpec) -> tuple[int, int]:
    """Of a window that is opened now: an owner may have set its limit since the decision."""
    pack, scope = spec.key.partition("/")[0], scope_of(spec.key)
    subject = spec.scope.partition("/")[2]
    of_budget = [
        each
        for each in settings_in(connection, [pack])
        if (each.scope, each.period) == (scope, spec.period)
    ]
    setting, version = limit_in_force(of_budget, subject)
    limit_nano_usd = setting.limit_nano_usd if setting is not None else None
    # A limit given back to the pack is known to the next decision, not here.
    if limit_nano_usd is None or version <= spec.limit_version:
        return spec.limit_nano_usd, spec.limit_version
    return limit_nano_usd, version


def _signal(row: Any) -> BudgetSignal:
    return BudgetSignal(
        window=row.window_key,
        limit_nano_usd=row.limit_nano_usd,
        committed_nano_usd=row.spent_nano_usd + row.reserved_nano_usd,
        is_stopped=row.stopped_at is not None,
    )


_BY_KEYS = WINDOW.c.window_key.in_(bindparam("of_windows", expanding=True))
_LIMITS = select(WINDOW.c.window_key, WINDOW.c.limit_version, WINDOW.c.limit_nano_usd).where(
    _BY_KEYS
)
_READ = select(
    WINDOW.c.window_key,
    WINDOW.c.limit_nano_usd,
    WINDOW.c.limit_version,
    WINDOW.c.spent_nano_usd,
    WINDOW.c.reserved_nano_usd,
    WINDOW.c.stopped_at,
).where(_BY_KEYS)
_OPEN_WINDOW = insert_or_update(
    WINDOW,
    "window_key",
    values=lambda new: {
        "limit_nano_usd": new.limit_nano_usd,
        "limit_version": new.limit_version,
        "limit_high_nano_usd": case(
            (new.limit_nano_usd > WINDOW.c.limit_high_nano_usd, new.limit_nano_usd),
            else_=WINDOW.c.limit_high_nano_usd,
        ),
    },
    where=lambda new: or_(
        WINDOW.c.limit_version < new.limit_version,
        (WINDOW.c.limit_version == new.limit_version)
        & (WINDOW.c.limit_nano_usd != new.limit_nano_usd),
    ),
)
_THIS = WINDOW.c.window_key == bindparam("of_window")
_COMMITTED_NOW = (
    WINDOW.c.spent_nano_usd,
    WINDOW.c.reserved_nano_usd,
    WINDOW.c.limit_nano_usd,
    WINDOW.c.limit_version,
    WINDOW.c.alerted_version,
)
_TAKE = (
    update(WINDOW)
    .where(
        _THIS,
        WINDOW.c.spent_nano_usd + WINDOW.c.reserved_nano_usd + bindparam("amount")
        <= WINDOW.c.limit_nano_usd,
    )
    .values(reserved_nano_usd=WINDOW.c.reserved_nano_usd + bindparam("amount"))
    .returning(*_COMMITTED_NOW)
)
_TAKE_ANYHOW = (
    update(WINDOW)
    .where(_THIS)
    .values(reserved_nano_usd=WINDOW.c.reserved_nano_usd + bindparam("amount"))
    .returning(*_COMMITTED_NOW)
)
_ALLOW = insert(ALLOWANCE)
_ALERTED = update(WINDOW).where(_THIS).values(alerted_version=bindparam("version"))
_MOVE = (
    update(WINDOW)
    .where(_THIS)
    .values(
        reserved_nano_usd=WINDOW.c.reserved_nano_usd - bindparam("released"),
        spent_nano_usd=WINDOW.c.spent_nano_usd + bindparam("spent"),
    )
)
