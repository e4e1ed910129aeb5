"""The catalogue's prices are the pinned library's, at their dearest hour, on one stated day."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction

import genai_prices
import pytest

from pointwork.contract.money import NANO_PER_USD, usage_cost_nano_usd
from pointwork.policy.documents.catalogue import Catalogue, GenaiPrice
from pointwork.policy.documents.prices import UnknownPriceError, look_up
from pointwork.policy.documents.strict_yaml import read_document
from tests.fakes.policy_facts import POLICIES, shipped

CATALOGUE = read_document(POLICIES / "models.yaml", Catalogue)
LISTED = {n: m.price for n, m in CATALOGUE.models.items() if isinstance(m.price, GenaiPrice)}
HALF_HOURS = [timedelta(minutes=30 * number) for number in range(48)]
USAGES = [
    {"input_tokens": 1, "output_tokens": 1},
    {"input_tokens": 1_234, "output_tokens": 567},
    {"input_tokens": 150_000, "output_tokens": 8_192},
    {"input_tokens": 250_001, "output_tokens": 33},
    {"input_tokens": 10_000, "output_tokens": 100, "cache_read_tokens": 4_000},
    {"input_tokens": 10_000, "output_tokens": 100, "cache_write_tokens": 4_000},
]


def _library_nano_usd(price: GenaiPrice, usage: dict[str, int]) -> Fraction:
    """What the library itself computes for the call, at the dearest hour of the day."""
    midnight = datetime.combine(price.as_of, time(), UTC)
    costs: list[Decimal] = [
        genai_prices.calc_price(
            genai_prices.Usage(**usage),
            model_ref=price.model,
            provider_id=price.provider,
            genai_request_timestamp=midnight + after,
        ).total_price
        for after in HALF_HOURS
    ]
    return Fraction(max(costs)) * NANO_PER_USD


@pytest.mark.parametrize("usage", USAGES, ids=str)
@pytest.mark.parametrize("name", LISTED)
def test_a_call_costs_what_the_library_says_to_the_nano(name: str, usage: dict[str, int]) -> None:
    cost = usage_cost_nano_usd(
        look_up(LISTED[name]),
        input_tokens=usage["input_tokens"],
        output_tokens=usage["output_tokens"],
        cached_input_tokens=usage.get("cache_read_tokens", 0),
        cache_write_tokens=usage.get("cache_write_tokens", 0),
    )
    assert 0 <= cost - _library_nano_usd(LISTED[name], usage) < 1


def test_a_price_that_falls_at_night_is_held_at_its_daytime_height() -> None:
    """Looked up by the clock, a bundle's hash would change twice a day, and holds would halve."""
    listed = GenaiPrice(
        source="genai-prices",
        provider="deepseek",
        model="deepseek-chat",
        as_of=date(2026, 3, 4),
    )
    (tier,) = look_up(listed)
    assert (tier.input_per_mtok, tier.output_per_mtok) == (270_000_000, 1_100_000_000)


def test_a_price_is_that_of_its_stated_day() -> None:
    prices = [
        look_up(GenaiPrice(source="genai-prices", provider="openai", model="o3", as_of=day))
        for day in (date(2025, 6, 9), date(2025, 6, 10))
    ]
    assert [tiers[0].input_per_mtok for tiers in prices] == [10_000_000_000, 2_000_000_000]


def test_every_model_of_the_catalogue_has_a_price_above_zero() -> None:
    for name, priced in shipped().models.items():
        assert priced.tiers, name
        assert priced.tiers[0].from_input_tokens == 0
        assert all(each.input_per_mtok and each.output_per_mtok for each in priced.tiers)
        assert priced.price_version


@pytest.mark.parametrize(("provider", "model"), [("openai", "gpt-99"), ("nobody", "gpt-5.1")])
def test_a_model_the_library_does_not_know_has_no_price(provider: str, model: str) -> None:
    unknown = GenaiPrice(
        source="genai-prices", provider=provider, model=model, as_of=date(2026, 3, 4)
    )
    with pytest.raises(UnknownPriceError, match=f"{provider}:{model}"):
        look_up(unknown)
