"""Limits that owners set: in force at once, for good, and never put back by an older decision."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from pointwork.contract.decision import WindowSpec
from pointwork.contract.money import NANO_PER_USD
from pointwork.ledger.budget_settings import SettingConflictError
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, window
from tests.integration.ledger.spending import DAY, PACK_LIMIT, Office, end, hold, refused_by

CALLER = "omega/caller/tester/day/2026-03-01"
OTHER_CALLER = "omega/caller/bob/day/2026-03-01"
EACH_CALLER = ("caller", "*")
EVERY_SCOPE = {
    "pack": "omega",
    "caller": "tester",
    "class": "bulk",
    "worker": "night-shift",
    "vendor": "acme",
    "model": "small-local",
}


@pytest.fixture
def office(ledger: Ledger) -> Office:
    return Office(ledger)


@pytest.mark.req("CX-90")
def test_a_limit_binds_windows_open_now_and_those_opened_later(office: Office) -> None:
    hold(office.ledger, "t-1", office.decided(), 100)
    office.set(150)
    assert office.limits(DAY) == {DAY: 150}
    assert refused_by(office.ledger, "t-2", office.decided(), 51) == DAY
    office.now = NOW + timedelta(days=1)
    tomorrow = "omega/pack/omega/day/2026-03-02"
    assert refused_by(office.ledger, "t-3", office.decided(), 151) == tomorrow
    assert refused_by(office.ledger, "t-4", office.decided(), 150) == ""


def test_a_limit_lowered_under_open_holds_admits_nothing_until_it_is_raised(
    office: Office,
) -> None:
    ledger = office.ledger
    hold(ledger, "t-1", office.decided(), 600)
    office.set(500)
    assert refused_by(ledger, "t-2", office.decided(), 1) == DAY
    end(ledger, "t-1", 550, amount=600)
    assert ledger.budgets.read([DAY]) == {DAY: (500, 550)}
    assert refused_by(ledger, "t-3", office.decided(), 1) == DAY
    office.set(600)
    assert refused_by(ledger, "t-4", office.decided(), 51) == DAY
    assert refused_by(ledger, "t-5", office.decided(), 50) == ""


def test_a_task_decided_under_an_older_limit_does_not_put_it_back(office: Office) -> None:
    ledger, before = office.ledger, office.decided()
    hold(ledger, "t-1", before, 100)
    office.set(200)
    between = office.decided()
    office.set(150)
    assert refused_by(ledger, "t-2", before, 51) == DAY
    assert refused_by(ledger, "t-3", between, 51) == DAY
    assert office.limits(DAY) == {DAY: 150}
    assert refused_by(ledger, "t-4", before, 50) == ""


def test_a_window_opened_by_an_older_decision_takes_the_limit_in_force(office: Office) -> None:
    before = office.decided()
    office.set(150)
    assert refused_by(office.ledger, "t-1", before, 151) == DAY
    assert office.limits(DAY) == {DAY: 150}


def test_a_limit_for_one_goes_before_one_for_each(office: Office) -> None:
    office.set(50, *EACH_CALLER)
    office.set(80, "caller", "tester")
    for caller, key, limit in (("tester", CALLER, 80), ("bob", OTHER_CALLER, 50)):
        assert refused_by(office.ledger, f"over-{caller}", office.decided(caller), limit + 1) == key
        assert refused_by(office.ledger, f"at-{caller}", office.decided(caller), limit) == ""


def test_a_limit_for_each_that_is_set_later_leaves_one_for_one_alone(office: Office) -> None:
    office.set(80, "caller", "tester")
    hold(office.ledger, "t-1", office.decided(), 10)
    hold(office.ledger, "t-2", office.decided("bob"), 10)
    office.set(50, *EACH_CALLER)
    assert office.limits(CALLER, OTHER_CALLER) == {CALLER: 80}
    hold(office.ledger, "t-3", office.decided("bob"), 10)
    assert office.limits(CALLER, OTHER_CALLER) == {CALLER: 80, OTHER_CALLER: 50}


def test_a_window_opened_after_both_were_set_has_the_limit_for_one(office: Office) -> None:
    """Whichever was set last: a new window is never narrower than its own setting."""
    office.set(80, "caller", "tester")
    office.set(50, *EACH_CALLER)
    hold(office.ledger, "t-1", office.decided(), 10)
    assert office.limits(CALLER) == {CALLER: 80}


def test_a_new_limit_for_each_binds_the_open_windows_of_all_without_their_own(
    office: Office,
) -> None:
    office.set(50, *EACH_CALLER)
    office.set(80, "caller", "tester")
    hold(office.ledger, "t-1", office.decided(), 10)
    hold(office.ledger, "t-2", office.decided("bob"), 10)
    office.set(40, *EACH_CALLER)
    assert office.limits(CALLER, OTHER_CALLER) == {CALLER: 80, OTHER_CALLER: 40}


def test_a_limit_taken_back_leaves_the_packs_own(office: Office) -> None:
    hold(office.ledger, "t-1", office.decided(), 100)
    office.set(150)
    office.set(None)
    assert office.limits(DAY) == {DAY: PACK_LIMIT}
    assert refused_by(office.ledger, "t-2", office.decided(), PACK_LIMIT - 99) == DAY
    assert refused_by(office.ledger, "t-3", office.decided(), PACK_LIMIT - 100) == ""


def test_a_limit_taken_back_stays_so_whatever_an_older_decision_says(office: Office) -> None:
    office.set(150)
    under_150 = office.decided()
    office.set(None)
    hold(office.ledger, "t-1", under_150, 10)
    hold(office.ledger, "t-2", office.decided(), 10)
    assert office.limits(DAY) == {DAY: PACK_LIMIT}
    assert refused_by(office.ledger, "t-3", under_150, 200) == ""
    assert office.limits(DAY) == {DAY: PACK_LIMIT}


def test_a_limit_for_one_that_is_taken_back_leaves_the_one_for_each(office: Office) -> None:
    office.set(50, *EACH_CALLER)
    office.set(80, "caller", "tester")
    under_80 = office.decided()
    hold(office.ledger, "t-1", under_80, 10)
    office.set(None, "caller", "tester")
    assert office.limits(CALLER) == {CALLER: 50}
    assert refused_by(office.ledger, "t-2", under_80, 41) == CALLER
    assert refused_by(office.ledger, "t-3", office.decided(), 41) == CALLER
    office.set(40, *EACH_CALLER)
    assert office.limits(CALLER) == {CALLER: 40}


def test_a_limit_that_the_pack_has_none_of_its_own_for_ends_with_its_setting(
    office: Office,
) -> None:
    office.set(50, "caller", "tester")
    assert {each.key for each in office.decided()} == {CALLER, DAY}
    office.set(None, "caller", "tester")
    assert {each.key for each in office.decided()} == {DAY}


def test_who_set_which_limit_and_why_stands_in_the_audit_chain(office: Office) -> None:
    office.set(150, alert_ratio=Decimal("0.9"))
    office.set(None, set_by="bob", reason="back to normal")
    first, second = office.ledger.chain.records(10)
    assert (first.kind, second.kind) == ("budget_set", "budget_set")
    assert first.body == {
        "pack": "omega",
        "scope": "pack",
        "subject": "omega",
        "period": "day",
        "limit_nano_usd": 150,
        "alert_ratio": "0.9",
        "set_by": "ada",
        "reason": "the quarter is closing",
        "version": 1,
    }
    assert (second.body["set_by"], second.body["reason"]) == ("bob", "back to normal")
    assert (second.body["limit_nano_usd"], second.body["version"]) == (None, 2)


def test_every_setting_is_kept_and_the_last_of_each_budget_is_in_force(office: Office) -> None:
    office.set(150)
    office.set(90, *EACH_CALLER, alert_ratio=Decimal("0.75"))
    last = office.set(160)
    each_caller, day = sorted(office.settings.in_force("omega"), key=lambda each: each.scope)
    assert day == last
    assert (each_caller.subject, each_caller.alert_ratio) == ("*", Decimal("0.75"))
    assert office.settings.in_force("codex") == []
    assert len(office.ledger.rows("SELECT * FROM budget_setting")) == 3


def test_setters_at_once_get_versions_of_their_own_and_the_last_is_in_force(
    office: Office,
) -> None:
    hold(office.ledger, "t-1", office.decided(), 10)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(office.set, range(100, 116)))
    assert sorted(each.version for each in made) == list(range(1, 17))
    (in_force,) = office.settings.in_force("omega")
    assert in_force == max(made, key=lambda each: each.version)
    assert office.limits(DAY) == {DAY: in_force.limit_nano_usd}


def test_of_setters_who_replace_the_same_limit_one_succeeds_and_the_others_change_nothing(
    office: Office,
) -> None:
    """A limit for each caller counts for a caller's own: whoever saw the older one saw another."""
    shown = office.set(500, *EACH_CALLER).version

    def work(number: int) -> bool:
        try:
            office.set(100 + number, "caller", "tester", expected_version=shown)
        except SettingConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(work, range(8)))
    assert taken.count(True) == 1
    (own,) = [each for each in office.settings.all_in_force() if each.subject == "tester"]
    assert (own.version, own.limit_nano_usd) == (shown + 1, 100 + taken.index(True))
    with pytest.raises(SettingConflictError):
        office.set(1, "caller", "bob", expected_version=0)
    assert office.set(1, "caller", "bob", expected_version=shown).version == shown + 2


def test_a_limit_set_while_windows_open_is_in_force_in_all_of_them(office: Office) -> None:
    """One hold opens each caller's window by an older decision, while the limit is set."""
    callers = [f"caller-{number}" for number in range(24)]
    before = {caller: (*office.decided(caller), window_of(caller)) for caller in callers}

    def work(number: int) -> None:
        if number == 12:
            office.set(50, *EACH_CALLER)
        caller = callers[number]
        hold(office.ledger, f"t-{number}", before[caller], 10)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(24)))
    keys = [window_of(caller).key for caller in callers]
    assert office.limits(*keys) == dict.fromkeys(keys, 50)


def window_of(caller: str) -> WindowSpec:
    """The window of a pack's own budget for each caller."""
    key = f"omega/caller/{caller}/day/2026-03-01"
    return window(key).model_copy(update={"scope": f"caller/{caller}"})


@pytest.mark.req("CX-90")
@pytest.mark.parametrize(("scope", "subject"), EVERY_SCOPE.items())
def test_a_limit_of_any_scope_binds_whom_it_is_for(
    office: Office, scope: str, subject: str
) -> None:
    office.set(50, scope, subject)
    windows = office.decided(worker="night-shift")
    key = f"omega/{scope}/{subject}/day/2026-03-01"
    assert refused_by(office.ledger, "t-1", windows, 51) == key
    assert refused_by(office.ledger, "t-2", windows, 50) == ""


@pytest.mark.parametrize(
    ("scope", "others"),
    [
        ("caller", {"caller": "bob"}),
        ("class", {"task_class": "chat"}),
        ("worker", {"worker": "day-shift"}),
    ],
)
def test_a_limit_for_one_does_not_concern_another(
    office: Office, scope: str, others: dict[str, str]
) -> None:
    office.set(50, scope, EVERY_SCOPE[scope])
    other = office.decided(**{"worker": "night-shift", **others})  # type: ignore[arg-type]
    assert refused_by(office.ledger, "t-1", other, 51) == ""


def test_a_limit_of_a_vendor_or_model_holds_only_the_calls_it_covers(office: Office) -> None:
    office.set(50, "vendor", "acme")
    office.set(60, "model", "large-cloud")
    windows, ledger = office.decided(), office.ledger
    vendor, model = "omega/vendor/acme/day/2026-03-01", "omega/model/large-cloud/day/2026-03-01"
    assert hold(ledger, "t-1", windows, 51).refused_by == vendor
    assert hold(ledger, "t-2", windows, 61, vendor="contoso").refused_by is None
    assert hold(ledger, "t-3", windows, 61, vendor="contoso", model="large-cloud").refused_by == (
        model
    )
    assert hold(ledger, "t-4", windows, 50, model="large-cloud").refused_by is None
    assert ledger.budgets.read([DAY, vendor, model]) == {
        DAY: (PACK_LIMIT, 111),
        vendor: (50, 50),
        model: (60, 50),
    }


def test_a_limit_over_every_pack_is_shared_by_their_tasks(office: Office) -> None:
    office.set(150, subject="all", pack="all")
    mine = office.decided()
    other = Office(office.ledger, pack=office.pack.model_copy(update={"pack": "codex"}))
    theirs, shared = other.decided(), "all/pack/all/day/2026-03-01"
    assert {shared, "codex/pack/codex/day/2026-03-01"} == {each.key for each in theirs}
    assert refused_by(office.ledger, "t-1", mine, 100) == ""
    assert refused_by(office.ledger, "t-2", theirs, 51) == shared
    assert refused_by(office.ledger, "t-3", theirs, 50) == ""


def test_windows_of_a_pack_whose_name_differs_in_case_are_left_alone(office: Office) -> None:
    other = window("Omega/pack/omega/day/2026-03-01").model_copy(update={"scope": "pack/omega"})
    hold(office.ledger, "t-1", (other,), 10)
    office.set(50)
    assert office.limits(other.key) == {other.key: PACK_LIMIT}


def test_a_week_and_a_day_are_two_budgets(office: Office) -> None:
    office.set(50, period="week")
    office.set(70)
    week = "omega/pack/omega/week/2026-02-23"
    assert refused_by(office.ledger, "t-1", office.decided(), 51) == week
    assert hold(office.ledger, "t-2", office.decided(), 50).refused_by is None
    assert office.limits(DAY, week) == {DAY: 70, week: 50}


def test_a_limit_of_nothing_admits_only_free_calls(office: Office) -> None:
    office.set(0)
    assert refused_by(office.ledger, "t-1", office.decided(), 1) == DAY
    assert refused_by(office.ledger, "t-2", office.decided(), 0) == ""


def test_the_largest_limit_is_kept_exactly_and_nothing_beyond_it_is_set(office: Office) -> None:
    office.set(2**62)
    hold(office.ledger, "t-1", office.decided(), 10)
    assert office.limits(DAY) == {DAY: 2**62}
    for wrong in (2**62 + 1, -1):
        with pytest.raises(ValueError, match="limit_nano_usd"):
            office.set(wrong)
    assert office.limits(DAY) == {DAY: 2**62}
    assert len(office.ledger.chain.records(10)) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"scope": "planet"},
        {"period": "year"},
        {"subject": "two words"},
        {"subject": ""},
        {"alert_ratio": Decimal(1)},
        {"alert_ratio": Decimal(0)},
        {"set_by": ""},
    ],
)
def test_a_setting_that_makes_no_sense_leaves_nothing(
    office: Office, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        office.set(NANO_PER_USD, **wrong)
    assert office.ledger.rows("SELECT * FROM budget_setting") == []
    assert office.ledger.chain.records(10) == []


def test_a_limit_set_today_leaves_the_window_of_a_day_that_is_over(office: Office) -> None:
    hold(office.ledger, "t-1", office.decided(), 100)
    office.now = NOW + timedelta(days=1)
    hold(office.ledger, "t-2", office.decided(), 100)
    office.set(150)
    today = "omega/pack/omega/day/2026-03-02"
    assert office.limits(DAY, today) == {DAY: PACK_LIMIT, today: 150}
