"""Calendar budget windows in the pack's own time zone, half open, with stable keys."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from pointwork.contract.decision import WindowSpec
from pointwork.policy.documents.pack import BudgetLimit, Pack


def windows_at(
    pack: Pack,
    moment: datetime,
    *,
    caller: str,
    vendor: str | None = None,
    model: str | None = None,
) -> tuple[WindowSpec, ...]:
    """The windows of ``pack`` that a call at ``moment`` falls in, sorted by key.

    A vendor's or model's window is left out where ``vendor`` or ``model`` is not yet known.
    """
    named = _budgets(pack, moment, caller=caller, vendor=vendor, model=model)
    return tuple(sorted((window for window, _ in named), key=lambda spec: spec.key))


def budgets_by_window(pack: Pack, moment: datetime, *, caller: str) -> dict[str, BudgetLimit]:
    """The pack's budget behind each window key, as ``windows_at`` names them."""
    return {window.key: budget for window, budget in _budgets(pack, moment, caller=caller)}


def _budgets(
    pack: Pack,
    moment: datetime,
    *,
    caller: str,
    vendor: str | None = None,
    model: str | None = None,
) -> list[tuple[WindowSpec, BudgetLimit]]:
    subjects = {"pack": pack.pack, "caller": caller, "vendor": vendor, "model": model}
    zone, name = pack.timezone, pack.pack
    today = moment.astimezone(ZoneInfo(zone)).date()
    return [
        (_window(name, zone, budget.scope, subject, budget.period, budget.limit, today), budget)
        for budget in pack.budgets
        if (subject := subjects[budget.scope]) is not None
    ]


@lru_cache(maxsize=4096)
def _window(
    pack: str, zone: str, scope: str, subject: str, period: str, limit_nano_usd: int, today: date
) -> WindowSpec:
    """Kept, because every decision of a day in the zone asks for the same few windows."""
    midnight = datetime.combine(today, time(), ZoneInfo(zone))
    starts_at, ends_at = _bounds(period, midnight)
    return WindowSpec(
        key=f"{pack}/{scope}/{subject}/{period}/{starts_at:%Y-%m-%d}",
        scope=f"{scope}/{subject}",
        period=period,
        starts_at=starts_at.astimezone(UTC),
        ends_at=ends_at.astimezone(UTC),
        limit_nano_usd=limit_nano_usd,
    )


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
