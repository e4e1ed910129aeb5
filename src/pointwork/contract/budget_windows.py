"""Calendar windows of budgets: half open, in a stated zone, with keys that never change.

A key is ``pack/scope/subject/period/first-day``, so that a new day is a new window: nothing is ever
reset, and nothing can race with a reset (OM-31, JG-24).
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, Field

from pointwork.contract.decision import Candidate
from pointwork.contract.money import NanoUsd
from pointwork.contract.snapshot import BudgetSignal, WindowSpec
from pointwork.contract.task import Message, Name

BudgetScope = Literal["pack", "caller", "class", "worker", "vendor", "model"]
"""What a budget is for: one for the whole pack, or one for each of these."""
BudgetPeriod = Literal["day", "week", "month"]

MODEL_SCOPES = frozenset({"vendor", "model"})
"""Scopes that some of a task's candidates fall in and others do not."""
EVERY_PACK = "all"
"""The pack part of a budget that tasks of every pack share; its calendar is UTC."""
EVERY_SUBJECT = "*"
"""A setting for each caller, class, worker, vendor or model that has none of its own."""


class BudgetSetting(Message):
    """What an owner set for one budget; the highest version of a budget is in force."""

    version: Annotated[int, Field(ge=1)]
    pack: Name
    """A pack, or ``all``."""
    scope: BudgetScope
    subject: Name | Literal["*"]
    period: BudgetPeriod
    limit_nano_usd: NanoUsd | None
    """None gives the budget back to the pack: its own limit, or none at all."""
    alert_ratio: Annotated[Decimal, Field(gt=0, lt=1, decimal_places=4)] | None = None
    """Share of the limit from which people are told; None leaves that to the pack."""
    set_by: Name
    reason: str
    set_at: AwareDatetime


def limit_in_force(
    settings: Iterable[BudgetSetting], subject: str
) -> tuple[BudgetSetting | None, int]:
    """What gives ``subject`` its limit, among the latest settings of one budget.

    A setting for the subject by name goes before one for each; None is the pack's own limit.

    Returns:
        The setting, and the version of the limit: of all the settings that were asked, one given
        back to the pack included, the highest. So it rises whenever the limit changes, and 0 is a
        limit that no owner ever touched.
    """
    version = 0
    by_subject = {each.subject: each for each in settings}
    for name in (subject, EVERY_SUBJECT):
        if (setting := by_subject.get(name)) is not None:
            version = max(version, setting.version)
            if setting.limit_nano_usd is not None:
                return setting, version
    return None, version


@lru_cache(maxsize=4096)
def window_on(
    pack: str,
    zone: str,
    scope: str,
    subject: str,
    period: str,
    today: date,
    limit_nano_usd: int,
    alert_nano_usd: int | None = None,
    limit_version: int = 0,
) -> WindowSpec:
    """The window of a budget that ``today`` falls in, on the calendar of ``zone``.

    Kept, because every decision of a day in the zone asks for the same few windows.
    """
    midnight = datetime.combine(today, time(), ZoneInfo(zone))
    starts_at, ends_at = _bounds(period, midnight)
    return WindowSpec(
        key=f"{pack}/{scope}/{subject}/{period}/{starts_at:%Y-%m-%d}",
        scope=f"{scope}/{subject}",
        period=period,
        starts_at=starts_at.astimezone(UTC),
        ends_at=ends_at.astimezone(UTC),
        limit_nano_usd=limit_nano_usd,
        limit_version=limit_version,
        alert_nano_usd=alert_nano_usd,
    )


def covers(window: WindowSpec, candidate: Candidate) -> bool:
    """Whether a call of ``candidate`` is paid from ``window``; others than these cover any call."""
    scope, _, subject = window.scope.partition("/")
    match scope:
        case "vendor":
            return subject == candidate.vendor
        case "model":
            return subject == candidate.model
        case _:
            return True


@lru_cache(maxsize=4096)
def scope_of(window_key: str) -> str:
    """The scope that a key names; empty where it names none."""
    _, _, rest = window_key.partition("/")
    return rest.partition("/")[0]


def with_fresh(
    before: Iterable[BudgetSignal], fresh: Iterable[BudgetSignal]
) -> tuple[BudgetSignal, ...]:
    """The readings, each replaced by a later one of the same window where there is one."""
    later = {each.window: each for each in fresh}
    known = [later.pop(each.window, each) for each in before]
    return (*known, *later.values())


def _bounds(period: str, midnight: datetime) -> tuple[datetime, datetime]:
    """Midnights in the zone. Wall-clock arithmetic keeps a day a calendar day over a DST change."""
    match period:
        case "day":
            return midnight, midnight + timedelta(days=1)
        case "week":
            monday = midnight - timedelta(days=midnight.weekday())
            return monday, monday + timedelta(days=7)
        case _:
            first = midnight.replace(day=1)
            return first, (first + timedelta(days=32)).replace(day=1)
