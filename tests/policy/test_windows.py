"""Budget windows are calendar days, weeks and months where the pack lives, with no gap between."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointwork.contract.decision import WindowSpec
from pointwork.policy.engine.windows import windows_at
from tests.fakes.policy_facts import changed, shipped

PERIODS = ("day", "week", "month")
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",  # its clocks go back at midnight, so there are two midnights
    "Africa/Cairo",  # its clocks go forward at midnight, so there is none
    "Asia/Kolkata",  # half an hour off
    "Australia/Lord_Howe",  # half an hour off, and summer time is half an hour
    "Asia/Kathmandu",  # three quarters off
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
)


def windows(zone: str, moment: datetime, **names: Any) -> dict[str, WindowSpec]:
    budgets = [{"scope": "pack", "period": period, "limit": 1} for period in PERIODS]
    pack = changed(shipped(), pack={"timezone": zone, "budgets": budgets}).pack
    return {each.period: each for each in windows_at(pack, moment, caller="billing", **names)}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(2024, 1, 1), datetime(2036, 1, 1)),  # noqa: DTZ001 - UTC is set below
)
def test_every_moment_lies_in_one_window_of_each_period_and_the_next_begins_at_its_end(
    zone: str, moment: datetime
) -> None:
    at = moment.replace(tzinfo=UTC)
    for period, window in windows(zone, at).items():
        assert window.starts_at <= at < window.ends_at
        following = windows(zone, window.ends_at)[period]
        assert following.starts_at == window.ends_at
        assert following.key != window.key
        last = windows(zone, window.ends_at - timedelta(microseconds=1))[period]
        assert last == window
        local = window.starts_at.astimezone(ZoneInfo(zone))
        assert f"/{local:%Y-%m-%d}" in window.key


@pytest.mark.parametrize(
    ("zone", "moment", "hours"),
    [
        ("Europe/Berlin", "2026-03-29T12:00", 23),
        ("Europe/Berlin", "2026-10-25T12:00", 25),
        ("Europe/Berlin", "2026-06-01T12:00", 24),
        ("America/New_York", "2026-03-08T18:00", 23),
        ("America/New_York", "2026-11-01T18:00", 25),
        ("Africa/Cairo", "2026-04-24T12:00", 23),
        ("America/Havana", "2026-11-01T18:00", 25),
        ("Australia/Lord_Howe", "2026-10-04T03:00", 23.5),
        ("Australia/Lord_Howe", "2026-04-05T03:00", 24.5),
    ],
)
def test_a_day_on_which_clocks_change_is_still_one_day(
    zone: str, moment: str, hours: float
) -> None:
    day = windows(zone, utc(moment))["day"]
    assert day.ends_at - day.starts_at == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("zone", "moment", "starts", "ends"),
    [
        ("Asia/Kolkata", "2026-03-04T18:29", "2026-03-03T18:30", "2026-03-04T18:30"),
        ("Asia/Kolkata", "2026-03-04T18:30", "2026-03-04T18:30", "2026-03-05T18:30"),
        ("Asia/Kathmandu", "2026-03-04T18:15", "2026-03-04T18:15", "2026-03-05T18:15"),
        ("UTC", "2028-02-29T23:59", "2028-02-29T00:00", "2028-03-01T00:00"),
        ("UTC", "2028-02-28T12:00", "2028-02-28T00:00", "2028-02-29T00:00"),
        ("UTC", "2026-12-31T23:59", "2026-12-31T00:00", "2027-01-01T00:00"),
    ],
)
def test_a_day_begins_at_midnight_where_the_pack_lives(
    zone: str, moment: str, starts: str, ends: str
) -> None:
    day = windows(zone, utc(moment))["day"]
    assert (day.starts_at, day.ends_at) == (utc(starts), utc(ends))


@pytest.mark.parametrize(
    ("moment", "starts"),
    [
        ("2026-03-01T23:59", "2026-02-23"),
        ("2026-03-02T00:00", "2026-03-02"),
        ("2027-01-01T00:00", "2026-12-28"),
        ("2028-02-29T12:00", "2028-02-28"),
    ],
)
def test_a_week_begins_on_monday_across_months_and_years(moment: str, starts: str) -> None:
    week = windows("UTC", utc(moment))["week"]
    assert week.starts_at == utc(starts)
    assert week.ends_at - week.starts_at == timedelta(days=7)


@pytest.mark.parametrize(
    ("moment", "days"),
    [("2028-02-10", 29), ("2027-02-28", 28), ("2026-01-31", 31), ("2026-04-30", 30)],
)
def test_a_month_is_as_long_as_it_is(moment: str, days: int) -> None:
    month = windows("UTC", utc(moment))["month"]
    assert month.ends_at - month.starts_at == timedelta(days=days)
    assert month.starts_at.day == month.ends_at.day == 1


def test_a_vendors_window_is_left_out_until_the_vendor_is_known() -> None:
    budgets = [
        {"scope": scope, "period": "day", "limit": 1}
        for scope in ("pack", "caller", "vendor", "model")
    ]
    pack = changed(shipped(), pack={"budgets": budgets}).pack
    early = windows_at(pack, utc("2026-03-04"), caller="billing")
    assert [each.scope for each in early] == ["caller/billing", "pack/omega"]
    late = windows_at(pack, utc("2026-03-04"), caller="billing", vendors=("acme",), models=("m-1",))
    assert [each.key for each in late] == sorted(each.key for each in late)
    assert len({each.key for each in late}) == 4
