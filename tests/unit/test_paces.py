"""What the lane takes loads and generations for, from what they took."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pointwork.local.paces import RunPaces, SwapPaces

A_LOAD = st.floats(0.1, 100.0)


def test_a_model_that_was_never_loaded_takes_the_guess() -> None:
    paces = SwapPaces(5.0)
    paces.note("a", "b", 2.0)
    assert paces.seconds("b", "a") == 5.0


def test_a_load_from_another_model_stands_in_for_one_that_was_not_seen() -> None:
    paces = SwapPaces(5.0)
    paces.note(None, "b", 2.0)
    assert paces.seconds("a", "b") == paces.seconds(None, "b")


def test_a_model_that_was_there_already_teaches_nothing_of_its_load() -> None:
    paces = SwapPaces(5.0)
    paces.note("b", "b", 0.0)
    assert paces.seconds("a", "b") == 5.0


@given(A_LOAD)
def test_steady_loads_are_taken_for_at_most_a_half_more(seconds: float) -> None:
    paces = SwapPaces(5.0)
    taken = []
    for _ in range(12):
        paces.note("a", "b", seconds)
        taken.append(paces.seconds("a", "b"))
    assert all(later <= sooner for sooner, later in pairwise(taken))
    assert seconds <= taken[-1] <= 1.5 * seconds


@given(st.lists(A_LOAD, min_size=1))
def test_no_load_is_taken_for_less_than_the_fastest_or_nothing(loads: list[float]) -> None:
    paces = SwapPaces(5.0)
    for seconds in loads:
        paces.note("a", "b", seconds)
    assert paces.seconds("a", "b") >= min(loads)


@given(A_LOAD)
def test_one_slow_load_makes_the_next_be_planned_for(seconds: float) -> None:
    paces = SwapPaces(5.0)
    for _ in range(12):
        paces.note("a", "b", seconds)
    paces.note("a", "b", 2 * seconds)
    assert paces.seconds("a", "b") >= 1.9 * seconds


def test_a_slow_generation_counts_at_once_and_a_fast_one_by_and_by() -> None:
    paces = RunPaces(20.0)
    assert paces.seconds("a", 40, 60.0) == 2.0
    paces.note("a", 10, 1.0)
    paces.note("a", 10, 3.0)
    slow = paces.seconds("a", 10, 60.0)
    paces.note("a", 10, 1.0)
    assert slow == 3.0
    assert 1.0 < paces.seconds("a", 10, 60.0) < slow
