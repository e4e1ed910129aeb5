"""Amounts are whole nano-USD, never below the true cost, never a full nano above it."""

import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pointwork.contract.money import (
    NANO_PER_USD,
    TOKENS_PER_MTOK,
    NanoUsd,
    PriceTier,
    format_usd,
    usage_cost_nano_usd,
    worst_case_nano_usd,
)

PRICES = st.integers(0, 200 * NANO_PER_USD)
TOKENS = st.integers(0, 2_000_000)


def _tier(from_input_tokens: int, prices: tuple[int, int, int, int]) -> PriceTier:
    return PriceTier(
        from_input_tokens=from_input_tokens,
        input_per_mtok=prices[0],
        output_per_mtok=prices[1],
        cached_input_per_mtok=prices[2],
        cache_write_per_mtok=prices[3],
    )


@st.composite
def tiers(draw: st.DrawFn) -> tuple[PriceTier, ...]:
    starts = draw(st.lists(TOKENS.filter(bool), max_size=3, unique=True))
    four = st.tuples(PRICES, PRICES, PRICES, PRICES)
    return tuple(_tier(start, draw(four)) for start in sorted([0, *starts]))


def test_a_hundred_thousand_costs_are_the_true_ones_rounded_up_once() -> None:
    rng = random.Random(11)
    for _ in range(100_000):
        cached, written, plain, output = (rng.randint(0, 1_000_000) for _ in range(4))
        prices = tuple(rng.randint(0, 10 ** rng.randint(0, 11)) for _ in range(4))
        tier = PriceTier.model_construct(
            from_input_tokens=0,
            input_per_mtok=prices[0],
            output_per_mtok=prices[1],
            cached_input_per_mtok=prices[2],
            cache_write_per_mtok=prices[3],
        )
        cost = usage_cost_nano_usd(
            (tier,),
            input_tokens=plain + cached + written,
            output_tokens=output,
            cached_input_tokens=cached,
            cache_write_tokens=written,
        )
        parts = zip((plain, output, cached, written), prices, strict=True)
        exact = Fraction(sum(tokens * price for tokens, price in parts), TOKENS_PER_MTOK)
        assert 0 <= cost - exact < 1


@settings(max_examples=500, deadline=None)
@given(tiers(), TOKENS, TOKENS, st.tuples(*[st.floats(0, 1)] * 4))
def test_no_call_within_its_bounds_costs_more_than_the_worst_case(
    tiers: tuple[PriceTier, ...], input_max: int, output_max: int, shares: tuple[float, ...]
) -> None:
    """However the tokens split into plain, cached and newly cached, and whatever tier applies."""
    input_tokens, output_tokens = int(input_max * shares[0]), int(output_max * shares[1])
    cached = int(input_tokens * shares[2])
    written = int((input_tokens - cached) * shares[3])
    cost = usage_cost_nano_usd(
        tiers,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_input_tokens=cached,
        cache_write_tokens=written,
    )
    held = worst_case_nano_usd(tiers, input_tokens_max=input_max, output_tokens_max=output_max)
    assert cost <= held


def test_splitting_a_bill_over_a_cache_does_not_round_it_past_its_hold() -> None:
    tier = _tier(0, (1, 1, 1, 1))
    cost = usage_cost_nano_usd(
        (tier,), input_tokens=3, output_tokens=1, cached_input_tokens=1, cache_write_tokens=1
    )
    assert cost == worst_case_nano_usd((tier,), input_tokens_max=3, output_tokens_max=1) == 1


@pytest.mark.parametrize(("input_tokens", "price"), [(199, 1), (200, 7), (201, 7)])
def test_a_tier_applies_to_the_whole_call_from_its_first_token_on(
    input_tokens: int, price: int
) -> None:
    dearer = _tier(200, (7 * TOKENS_PER_MTOK, 9 * TOKENS_PER_MTOK, 0, 0))
    cheaper = _tier(0, (TOKENS_PER_MTOK, TOKENS_PER_MTOK, 0, 0))
    cost = usage_cost_nano_usd((cheaper, dearer), input_tokens=input_tokens, output_tokens=0)
    assert cost == input_tokens * price


def test_the_worst_case_takes_the_dearest_tier_and_the_dearest_kind_of_input() -> None:
    per_token = TOKENS_PER_MTOK
    both = (_tier(0, (1 * per_token, 9 * per_token, 0, 2 * per_token)), _tier(50, (0, 0, 0, 0)))
    assert worst_case_nano_usd(both, input_tokens_max=100, output_tokens_max=10) == 290


def test_five_long_calls_admitted_under_a_cap_stay_under_it() -> None:
    """The tier a long prompt reaches is in the hold, so five of them never pass a cap of 0.45."""
    tier = (_tier(0, (10**9, 0, 0, 0)), _tier(200_000, (2 * 10**9, 0, 0, 0)))
    cap, held = 450_000_000, 0
    for _ in range(5):
        worst = worst_case_nano_usd(tier, input_tokens_max=300_000, output_tokens_max=1)
        held += worst if held + worst <= cap else 0
    assert held == 0  # one alone would cost 0.60


@pytest.mark.parametrize(
    ("nano_usd", "text"),
    [
        (0, "$0.0000"),
        (1, "$0.000000001"),
        (123_000, "$0.000123"),
        (50_000_000, "$0.0500"),
        (1_000_000_000, "$1.0000"),
        (12_345_678_901, "$12.345678901"),
    ],
)
def test_an_amount_is_shown_exactly_with_four_decimals_at_least(nano_usd: int, text: str) -> None:
    assert format_usd(nano_usd) == text


@pytest.mark.parametrize(
    "value", [-1, 0.5, 1.0, "1", True, float("nan"), float("inf"), 1e30, 2**62 + 1, None]
)
def test_nothing_but_a_whole_number_of_nano_usd_is_an_amount(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(NanoUsd).validate_python(value)


def test_zero_is_an_amount() -> None:
    assert TypeAdapter(NanoUsd).validate_python(0) == 0
