"""The limits that owners set, beside those of the packs: versioned, and on the audit chain."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, case, func, insert, or_, select, update

from pointwork.contract.budget_windows import EVERY_PACK, BudgetSetting, limit_in_force
from pointwork.contract.failures import PointworkError
from pointwork.ledger import audit
from pointwork.ledger.budget_tables import BudgetSettingRow
from pointwork.ledger.engine import read, transact
from pointwork.ledger.tables import BudgetWindow, table_of

SETTING = table_of(BudgetSettingRow)
_WINDOW = table_of(BudgetWindow)


class SettingConflictError(PointworkError):
    """Somebody set the limit since it was read; nothing was changed."""


class BudgetSettings:
    """What owners have set. Thread-safe; keeps no state outside the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def in_force(self, pack: str) -> list[BudgetSetting]:
        """The settings that tasks of ``pack`` fall under, those of every pack included."""
        with read(self._engine) as connection:
            return settings_in(connection, [pack, EVERY_PACK])

    def all_in_force(self) -> list[BudgetSetting]:
        with read(self._engine) as connection:
            return _latest(connection.execute(select(SETTING).order_by(SETTING.c.version)))

    def set(
        self,
        *,
        pack: str,
        scope: str,
        subject: str,
        period: str,
        limit_nano_usd: int | None,
        alert_ratio: Decimal | None,
        set_by: str,
        reason: str,
        now: datetime,
        pack_limit_nano_usd: int | None = None,
        expected_version: int | None = None,
    ) -> BudgetSetting:
        """Set a budget's limit, in the windows open now and in those to come.

        Holds that are open stay, whatever the new limit; it is asked of the next reservation. A
        window above its new limit admits nothing until enough of it is released.

        Args:
            pack: a pack, or ``all``.
            scope: pack, caller, class, worker, vendor or model.
            subject: whose budget; ``*`` is one for each that has none of its own.
            period: day, week or month.
            limit_nano_usd: None gives the budget back to the pack.
            alert_ratio: share of the limit from which people are told.
            set_by: who did it.
            reason: why, in a sentence.
            now: when.
            pack_limit_nano_usd: the pack's own limit for the same budget, where it has one: what
                open windows go back to where ``limit_nano_usd`` is None and no setting for each
                subject takes its place.
            expected_version: the version of the limit that is to be replaced, as
                ``limit_in_force`` tells it; None replaces whichever stands.

        Raises:
            ValueError: an argument is none of these, or an amount is out of range.
            SettingConflictError: the limit has another version than ``expected_version``.
        """

        def write(connection: Connection) -> BudgetSetting:
            body = {
                "pack": pack,
                "scope": scope,
                "subject": subject,
                "period": period,
                "limit_nano_usd": limit_nano_usd,
                "alert_ratio": str(alert_ratio) if alert_ratio is not None else None,
                "set_by": set_by,
                "reason": reason,
            }
            version = _next_version(connection)
            row = {**body, "alert_ratio": alert_ratio, "version": version, "set_at": now}
            setting = BudgetSetting.model_validate(row)
            _check_version(connection, setting, expected_version)
            connection.execute(_INSERT, row)
            _put_in_open_windows(connection, setting, pack_limit_nano_usd, now)
            # The chain's lock comes last, here as everywhere.
            audit.append(connection, "budget_set", {**body, "version": version}, now)
            return setting

        return transact(self._engine, write)


def settings_in(connection: Connection, packs: Sequence[str]) -> list[BudgetSetting]:
    """The setting in force of each budget of the packs, over a given connection."""
    return _latest(connection.execute(_OF_PACKS, {"of_packs": list(packs)}))


def hold_settings(connection: Connection) -> None:
    """Let nobody set a limit until the transaction ends; SQLite's write lock does it already.

    For a window that opens: a limit set at the same moment would find no window to put itself in.
    Taken before any window's row, as a setter takes it.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_SHARED_LOCK)


def _next_version(connection: Connection) -> int:
    """One setter at a time, and no window that opens meanwhile: see ``hold_settings``."""
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK)
    return int(connection.execute(_LAST_VERSION).scalar() or 0) + 1


def _latest(rows: Any) -> list[BudgetSetting]:
    found: dict[tuple[str, str, str, str], BudgetSetting] = {}
    for row in rows:
        setting = BudgetSetting.model_validate(row._mapping)
        found[setting.pack, setting.scope, setting.subject, setting.period] = setting
    return list(found.values())


def _check_version(
    connection: Connection, setting: BudgetSetting, expected_version: int | None
) -> None:
    _, version = limit_in_force(_of_budget(connection, setting), setting.subject)
    if expected_version not in (None, version):
        msg = "the limit was set by somebody else meanwhile; look at it and set it again"
        raise SettingConflictError(msg)


def _of_budget(connection: Connection, setting: BudgetSetting) -> list[BudgetSetting]:
    return [
        each
        for each in settings_in(connection, [setting.pack])
        if (each.scope, each.period) == (setting.scope, setting.period)
    ]


def _put_in_open_windows(
    connection: Connection, setting: BudgetSetting, pack_limit_nano_usd: int | None, now: datetime
) -> None:
    """New limits for the windows that the setting is for, in the order of their keys."""
    budget = f"{setting.pack}/{setting.scope}/"
    of_budget = _of_budget(connection, setting)
    open_now = select(_WINDOW.c.window_key, _WINDOW.c.scope).where(
        _WINDOW.c.window_key.startswith(budget, autoescape=True),
        _WINDOW.c.period == setting.period,
        _WINDOW.c.ends_at > now,
    )
    for row in connection.execute(open_now.order_by(_WINDOW.c.window_key)).all():
        # SQLite compares a prefix without regard to case.
        if not row.window_key.startswith(budget):
            continue
        source, version = limit_in_force(of_budget, row.scope.partition("/")[2])
        limit = source.limit_nano_usd if source is not None else pack_limit_nano_usd
        if limit is not None and version == setting.version:
            values = {"of_window": row.window_key, "limit": limit, "to_version": version}
            connection.execute(_PUT_LIMIT, values)


_SHARED_LOCK = select(
    func.pg_advisory_xact_lock_shared(func.hashtextextended("pointwork/budgets", 0))
)
_LOCK = select(func.pg_advisory_xact_lock(func.hashtextextended("pointwork/budgets", 0)))
_LAST_VERSION = select(func.max(SETTING.c.version))
_INSERT = insert(SETTING)
_OF_PACKS = (
    select(SETTING)
    .where(SETTING.c.pack.in_(bindparam("of_packs", expanding=True)))
    .order_by(SETTING.c.version)
)
_PUT_LIMIT = (
    update(_WINDOW)
    .where(
        _WINDOW.c.window_key == bindparam("of_window"),
        or_(
            _WINDOW.c.limit_version < bindparam("to_version"),
            _WINDOW.c.limit_nano_usd != bindparam("limit"),
        ),
    )
    .values(
        limit_nano_usd=bindparam("limit"),
        limit_version=bindparam("to_version"),
        limit_high_nano_usd=case(
            (bindparam("limit") > _WINDOW.c.limit_high_nano_usd, bindparam("limit")),
            else_=_WINDOW.c.limit_high_nano_usd,
        ),
    )
)
