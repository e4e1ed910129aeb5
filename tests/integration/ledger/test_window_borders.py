"""Holds around the borders of budget windows: each settles in its own window (reliability 15)."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from pointwork.contract.decision import WindowSpec
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import ReserveOutcome, Settlement
from pointwork.policy.documents.pack import Pack
from pointwork.policy.engine.windows import windows_at
from tests.fakes.policy_facts import changed, shipped
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, invoke, reserve

PERIODS = ("day", "week", "month")
BORDERS = (
    ("UTC", "2026-03-04", {"day"}, "midnight"),
    ("Europe/Berlin", "2026-03-04", {"day"}, "midnight"),
    ("America/New_York", "2026-03-02", {"day", "week"}, "Monday"),
    ("Asia/Tokyo", "2026-12-28", {"day", "week"}, "Monday of a week over the new year"),
    ("UTC", "2026-04-01", {"day", "month"}, "month end"),
    ("Europe/Berlin", "2026-06-01", {"day", "week", "month"}, "month end on a Monday"),
    ("America/Los_Angeles", "2027-01-01", {"day", "month"}, "new year"),
    ("UTC", "2028-02-29", {"day"}, "into the leap day"),
    ("Europe/Berlin", "2028-03-01", {"day", "month"}, "out of the leap day"),
    ("America/New_York", "2027-03-01", {"day", "week", "month"}, "end of a short February"),
    ("Europe/Berlin", "2026-03-29", {"day"}, "into the day of 23 hours"),
    ("Europe/Berlin", "2026-03-30", {"day", "week"}, "out of the day of 23 hours"),
    ("Europe/Berlin", "2026-10-25", {"day"}, "into the day of 25 hours"),
    ("Europe/Berlin", "2026-10-26", {"day", "week"}, "out of the day of 25 hours"),
    ("Africa/Cairo", "2026-04-24", {"day"}, "a midnight that the clock skips"),
    ("America/Havana", "2026-11-01", {"day", "month"}, "a day of two midnights"),
    ("Asia/Kolkata", "2026-03-05", {"day"}, "half an hour off"),
    ("Asia/Kolkata", "2026-06-01", {"day", "week", "month"}, "half an hour off, every period"),
    ("Australia/Lord_Howe", "2026-10-04", {"day"}, "summer time of half an hour begins"),
    ("Australia/Lord_Howe", "2026-04-06", {"day", "week"}, "summer time of half an hour has ended"),
)
AROUND = (
    (timedelta(microseconds=1), timedelta(0)),
    (timedelta(microseconds=1), timedelta(microseconds=1)),
    (timedelta(milliseconds=1), timedelta(0)),
    (timedelta(seconds=1), timedelta(seconds=1)),
    (timedelta(seconds=59), timedelta(minutes=31)),
    (timedelta(minutes=29), timedelta(seconds=1)),
    (timedelta(minutes=31), timedelta(minutes=29)),
    (timedelta(hours=1), timedelta(hours=1)),
    (timedelta(hours=3), timedelta(hours=20)),
    (timedelta(hours=22), timedelta(hours=22)),
)


def pack_of(zone: str) -> Pack:
    budgets = [{"scope": "caller", "period": period, "limit": 1000} for period in PERIODS]
    return changed(shipped(), pack={"timezone": zone, "budgets": budgets}).pack


def by_period(pack: Pack, moment: datetime, caller: str) -> dict[str, WindowSpec]:
    return {each.period: each for each in windows_at(pack, moment, caller=caller)}


def spend_around(ledger: Ledger, caller: str, zone: str, day: str, around: int) -> set[str]:
    """Hold before a border and after it, settle the first after it; which periods it parts.

    Every period has counted each of the two once, in the window of the moment it was held.
    """
    pack = pack_of(zone)
    border = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    earlier, later = AROUND[around]
    before = by_period(pack, border - earlier, caller)
    after = by_period(pack, border + later, caller)
    early, late = f"{caller}-early", f"{caller}-late"
    first = reserve(ledger.budgets, early, windows=list(before.values()))
    ledger.attempts.begin(invoke(early), f"{early}/1", NOW)
    second = reserve(ledger.budgets, late, windows=list(after.values()))
    assert (first.outcome, second.outcome) == (ReserveOutcome.RESERVED, ReserveOutcome.RESERVED)
    kind = ProviderFailureKind.TIMEOUT
    ledger.attempts.fail(f"{early}/1", kind, 61, Settlement.EXACT, 5, NOW)
    parted = {period for period in PERIODS if before[period].key != after[period].key}
    keys = {each.key for each in (*before.values(), *after.values())}
    expected = {before[period].key: (1000, 61) for period in PERIODS}
    expected |= {after[period].key: (1000, 100 if period in parted else 161) for period in PERIODS}
    assert ledger.budgets.read(keys) == expected
    return parted


@pytest.mark.req("OM-31")
def test_a_hold_across_a_border_settles_in_its_own_window_and_is_counted_once(
    ledger: Ledger,
) -> None:
    """200 of 200: every border, from a microsecond to most of a day around it."""
    cases = [(border, around) for border in BORDERS for around in range(len(AROUND))]
    assert len(cases) == 200

    def parted(number: int) -> set[str]:
        (zone, day, _, _), around = cases[number]
        return spend_around(ledger, f"caller-{number}", zone, day, around)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(parted, range(len(cases))))
    for ((zone, day, periods, what), around), each in zip(cases, found, strict=True):
        assert each == periods, f"{what}: {zone} {day}, {AROUND[around]}"
    (sums,) = ledger.rows(
        "SELECT SUM(spent_nano_usd) AS spent, SUM(reserved_nano_usd) AS held FROM budget_window"
    )
    assert {name: int(value) for name, value in sums.items()} == {
        "spent": 200 * 61 * len(PERIODS),
        "held": 200 * 100 * len(PERIODS),
    }
