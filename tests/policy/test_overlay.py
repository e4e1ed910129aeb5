"""Promote and demote: bounded, explained, and never to and fro (JG-35, JG-36, R-9)."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.overlay import (
    ErrorCount,
    ModelWindow,
    Overlay,
    OverlayChange,
    OverlayPlace,
    PriorityMove,
    reverted,
    windows_sha256,
)
from pointwork.policy.documents.strict_yaml import PolicyError, parse_document
from pointwork.policy.engine.overlay import (
    OverlayRules,
    is_cooling_down,
    next_overlay,
    reordered,
    window_bounds,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RULES = OverlayRules(
    promote_at=Decimal("0.95"),
    demote_below=Decimal("0.80"),
    requests_min=20,
    window_seconds=3600,
    cooldown_seconds=7200,
)
ROUTES = {"code": ("alpha", "beta", "gamma")}
DOCUMENT = """\
promote_at: "0.95"
demote_below: "0.80"
requests_min: 20
window_seconds: 3600
cooldown_seconds: 7200
"""


def window(model: str, succeeded: int, requests: int = 100, at: datetime = NOW) -> ModelWindow:
    failed = requests - succeeded
    errors = (ErrorCount(kind=ProviderFailureKind.TIMEOUT, count=failed),) if failed else ()
    return ModelWindow(
        model=model,
        starts_at=at - timedelta(seconds=RULES.window_seconds),
        ends_at=at,
        requests=requests,
        succeeded=succeeded,
        failed=failed,
        errors_by_kind=errors,
    )


def change(*windows: ModelWindow, current: Overlay | None = None) -> OverlayChange | None:
    return next_overlay(RULES, "juggernaut", ROUTES, current, windows, NOW)


def made(*windows: ModelWindow, current: Overlay | None = None) -> OverlayChange:
    found = change(*windows, current=current)
    assert found is not None
    return found


def order(overlay: Overlay | None) -> tuple[str, ...]:
    return reordered("code", ROUTES["code"], overlay)


def stored(*moved: tuple[str, int], hours_ago: int = 24, version: int = 1) -> Overlay:
    """A version in force, old enough that nothing of it cools down."""
    return Overlay(
        pack="juggernaut",
        version=version,
        parent=version - 1 or None,
        created_at=NOW - timedelta(hours=hours_ago),
        reason="an earlier change",
        windows_sha256=windows_sha256(()),
        places=tuple(
            OverlayPlace(task_class="code", model=model, shift=1 if shift > 0 else -1)
            for model, shift in moved
        ),
    )


@pytest.mark.req("JG-35")
def test_a_model_below_the_bound_drops_one_place_and_the_event_has_the_figures() -> None:
    found = made(window("alpha", 79))
    assert order(found.overlay) == ("beta", "alpha", "gamma")
    (event,) = found.events
    assert (event.model, event.move) == ("alpha", PriorityMove.DEMOTED)
    assert (event.from_place, event.to_place) == (1, 2)
    assert (event.succeeded, event.requests, event.bound) == (79, 100, Decimal("0.80"))
    assert event.sentence == (
        "alpha is demoted in code from place 1 to 2: 79 of 100 calls succeeded, below 0.80."
    )
    assert found.overlay.reason == event.sentence


@pytest.mark.req("JG-36")
def test_a_model_at_the_bound_rises_one_place_and_the_event_has_the_figures() -> None:
    found = made(window("gamma", 95))
    assert order(found.overlay) == ("alpha", "gamma", "beta")
    (event,) = found.events
    assert (event.model, event.move) == ("gamma", PriorityMove.PROMOTED)
    assert (event.from_place, event.to_place) == (3, 2)
    assert (event.succeeded, event.requests, event.bound) == (95, 100, Decimal("0.95"))


@pytest.mark.req("JG-35", "JG-36")
@pytest.mark.parametrize("succeeded", [80, 81, 94])
def test_between_the_bounds_nothing_moves(succeeded: int) -> None:
    assert change(window("alpha", succeeded), window("gamma", succeeded)) is None


@pytest.mark.req("JG-35", "JG-36")
def test_one_call_short_of_the_minimum_sample_moves_nothing() -> None:
    assert change(window("alpha", 0, 19), window("gamma", 19, 19)) is None
    assert order(made(window("alpha", 0, 20)).overlay) == ("beta", "alpha", "gamma")


def test_one_exchange_of_a_bad_model_with_a_good_one_tells_of_both() -> None:
    found = made(window("alpha", 10), window("beta", 99))
    assert order(found.overlay) == ("beta", "alpha", "gamma")
    assert {each.model: each.move for each in found.events} == {
        "alpha": PriorityMove.DEMOTED,
        "beta": PriorityMove.PROMOTED,
    }


def test_two_models_that_do_equally_badly_or_well_keep_their_order() -> None:
    assert change(window("beta", 10), window("gamma", 10)) is None
    assert change(window("alpha", 99), window("beta", 99)) is None


def test_the_first_place_has_nothing_above_it_and_the_last_nothing_below() -> None:
    assert change(window("alpha", 100)) is None
    assert change(window("gamma", 0)) is None


def test_no_model_goes_further_than_one_place_from_where_the_pack_puts_it() -> None:
    demoted = stored(("alpha", -1), ("beta", 1))
    assert order(demoted) == ("beta", "alpha", "gamma")
    assert change(window("alpha", 0), current=demoted) is None


def test_a_demoted_model_that_recovers_goes_home_even_past_one_that_does_well_too() -> None:
    demoted = stored(("alpha", -1), ("beta", 1))
    found = made(window("alpha", 97), window("beta", 97), current=demoted)
    assert order(found.overlay) == ROUTES["code"]
    assert found.overlay.places == ()
    assert (found.overlay.version, found.overlay.parent) == (2, 1)


@pytest.mark.parametrize(
    ("seconds", "moves"), [(7199, False), (7200, True)], ids=["just before", "at its end"]
)
def test_nothing_moves_twice_within_the_cool_down(seconds: int, moves: bool) -> None:
    current = stored(hours_ago=0).model_copy(
        update={"created_at": NOW - timedelta(seconds=seconds)}
    )
    assert is_cooling_down(RULES, current, NOW) is not moves
    assert (change(window("alpha", 0), current=current) is not None) is moves


def test_no_call_counts_for_two_changes() -> None:
    rules = RULES.model_copy(update={"cooldown_seconds": 60})
    current = stored(hours_ago=0).model_copy(update={"created_at": NOW - timedelta(seconds=120)})
    assert window_bounds(rules, current, NOW) == (current.created_at, NOW)
    older = window("alpha", 0)
    assert next_overlay(rules, "juggernaut", ROUTES, current, [older], NOW) is None
    newer = older.model_copy(update={"starts_at": current.created_at})
    assert next_overlay(rules, "juggernaut", ROUTES, current, [newer], NOW) is not None


def test_a_model_the_class_does_not_name_never_enters_its_route() -> None:
    assert change(window("stranger", 100)) is None
    foreign = stored(("stranger", 1), ("alpha", -1))
    assert sorted(order(foreign)) == sorted(ROUTES["code"])


def test_each_class_moves_within_its_own_models() -> None:
    routes = {"code": ("alpha", "beta"), "ops": ("beta", "alpha"), "chat": ("alpha",)}
    found = next_overlay(RULES, "juggernaut", routes, None, [window("alpha", 0)], NOW)
    assert found is not None
    assert reordered("code", routes["code"], found.overlay) == ("beta", "alpha")
    assert reordered("ops", routes["ops"], found.overlay) == ("beta", "alpha")
    assert [each.task_class for each in found.events] == ["code"]


def test_a_class_the_overlay_does_not_name_keeps_the_packs_order() -> None:
    assert reordered("ops", ("alpha", "beta"), stored(("alpha", -1))) == ("alpha", "beta")
    assert reordered("code", ("alpha", "beta"), None) == ("alpha", "beta")


def test_two_windows_for_one_model_are_refused() -> None:
    with pytest.raises(ValueError, match="'alpha' has two windows"):
        change(window("alpha", 0), window("alpha", 100))


def test_another_packs_overlay_is_refused() -> None:
    with pytest.raises(ValueError, match=r"pack 'other', not 'juggernaut'"):
        change(current=stored().model_copy(update={"pack": "other"}))


def test_the_evidence_is_kept_whole_and_hashed() -> None:
    windows = (window("alpha", 0), window("beta", 90))
    found = made(*windows)
    assert found.windows == windows
    assert found.overlay.windows_sha256 == windows_sha256(windows)
    with pytest.raises(ValidationError, match="not the hash of windows"):
        OverlayChange(overlay=found.overlay, events=found.events, windows=windows[:1])


@pytest.mark.req("JG-37")
def test_a_revert_is_a_new_version_with_the_old_order() -> None:
    first = made(window("alpha", 0)).overlay
    back = reverted(first, None, NOW, "owner went back").overlay
    assert (back.version, back.parent) == (2, 1)
    assert order(back) == ROUTES["code"]
    again = reverted(back, first, NOW, "owner went forth").overlay
    assert order(again) == order(first)
    assert (again.version, again.parent) == (3, 2)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"0.95"', "0.95", "quote it"),
        ('"0.95"', '"1"', "promote_at"),
        ('"0.80"', '"0"', "demote_below"),
        ('"0.80"', '"0.95"', "let demote_below be the lower"),
        ('"0.80"', '"0.96"', "let demote_below be the lower"),
        ("requests_min: 20", "requests_min: 0", "requests_min"),
        ("cooldown_seconds: 7200", "cooldown_seconds: 0", "cooldown_seconds"),
        ("window_seconds: 3600", "window_seconds: 0", "window_seconds"),
        ("window_seconds: 3600", "window_seconds: 3600\nshift_max: 2", "shift_max"),
        ("requests_min: 20\n", "", "requests_min"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(old: str, new: str, says: str) -> None:
    assert parse_document(DOCUMENT, OverlayRules, name="good") == RULES
    with pytest.raises(PolicyError, match=says):
        parse_document(DOCUMENT.replace(old, new), OverlayRules, name="bad")


MODELS = ("alpha", "beta", "gamma", "delta", "epsilon")
LISTS = st.permutations(MODELS).flatmap(
    lambda models: st.integers(1, len(models)).map(lambda count: tuple(models[:count]))
)
SUCCESSES = st.lists(st.integers(0, 100), min_size=len(MODELS), max_size=len(MODELS))


def measured(successes: Sequence[int], at: datetime) -> list[ModelWindow]:
    pairs = zip(MODELS, successes, strict=True)
    return [window(model, succeeded, at=at) for model, succeeded in pairs]


@settings(max_examples=300, deadline=None)
@given(
    routes=st.dictionaries(st.sampled_from(["a", "b", "c"]), LISTS, max_size=3),
    history=st.lists(SUCCESSES, max_size=8),
)
def test_whatever_happens_each_route_stays_a_permutation_within_one_place(
    routes: dict[str, tuple[str, ...]], history: list[list[int]]
) -> None:
    current: Overlay | None = None
    for number, successes in enumerate(history):
        now = NOW + timedelta(hours=3 * number)
        windows = measured(successes, now)
        found = next_overlay(RULES, "p", routes, current, windows, now)
        assert found == next_overlay(
            RULES, "p", dict(reversed(routes.items())), current, windows, now
        )
        if found is None:
            continue
        for name, route in routes.items():
            before, after = reordered(name, route, current), reordered(name, route, found.overlay)
            assert sorted(after) == sorted(route)
            assert all(abs(after.index(each) - route.index(each)) <= 1 for each in route)
            assert all(abs(after.index(each) - before.index(each)) <= 1 for each in route)
        assert found.events
        assert found.overlay.version == (current.version + 1 if current else 1)
        current = found.overlay


@settings(max_examples=200, deadline=None)
@given(
    route=LISTS,
    places=st.dictionaries(st.sampled_from(MODELS), st.sampled_from([-1, 1]), max_size=5),
)
def test_an_overlay_of_another_version_of_the_route_still_moves_nothing_far(
    route: tuple[str, ...], places: dict[str, int]
) -> None:
    after = reordered("code", route, stored(*places.items()))
    assert sorted(after) == sorted(route)
    assert all(abs(after.index(each) - route.index(each)) <= 1 for each in route)


@settings(max_examples=100, deadline=None)
@given(minutes=st.lists(st.integers(1, 59), min_size=2, max_size=40))
def test_windows_that_alternate_change_the_order_at_most_once_a_cool_down(
    minutes: list[int],
) -> None:
    current: Overlay | None = None
    now, changes = NOW, []
    for number, each in enumerate(minutes):
        now += timedelta(minutes=each)
        starts_at, _ = window_bounds(RULES, current, now)
        good, bad = ("alpha", "beta") if number % 2 else ("beta", "alpha")
        windows = [
            window(model, succeeded, at=now).model_copy(update={"starts_at": starts_at})
            for model, succeeded in ((good, 100), (bad, 0))
        ]
        found = next_overlay(RULES, "juggernaut", ROUTES, current, windows, now)
        if found is not None:
            changes.append(now)
            current = found.overlay
    gaps = [later - earlier for earlier, later in pairwise(changes)]
    assert all(gap >= timedelta(seconds=RULES.cooldown_seconds) for gap in gaps)
