"""Prices from the pinned price library, as nano-USD tiers. Offline: the data is in its wheel."""

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from importlib.metadata import version

import genai_prices
from genai_prices.types import ModelPrice, TieredPrices

from pointwork.contract.money import NANO_PER_USD, PriceTier
from pointwork.policy.documents.catalogue import GenaiPrice

_PRICE_STEP = timedelta(minutes=30)
_PRICE_STEPS = 48


class UnknownPriceError(LookupError):
    """The price library does not know the model."""


@cache
def price_library_version() -> str:
    """Read once: it lies in the package's metadata, which takes a millisecond to parse."""
    return f"genai-prices {version('genai-prices')}"


def look_up(price: GenaiPrice) -> tuple[PriceTier, ...]:
    """Every tier of the model's price on the day ``price.as_of``, at its dearest hour.

    Some models cost half as much at night. A hold must cover the call whenever it is made.

    Raises:
        UnknownPriceError: the library does not know the model under this very name, or not both
            of its token prices; one of zero is none.
    """
    midnight = datetime.combine(price.as_of, time(), UTC)
    try:
        found = genai_prices.calc_price(
            genai_prices.Usage(input_tokens=1, output_tokens=1),
            model_ref=price.model,
            provider_id=price.provider,
            genai_request_timestamp=midnight,
        )
    except LookupError:
        known = f"{price_library_version()} knows no price for {price.provider}:{price.model}"
        raise UnknownPriceError(f"{known}; state one with its source and date") from None
    if found.model.id != price.model:
        # The library also matches by prefix: a renamed model would be held at another's price.
        known = f"{price_library_version()} takes {price.model} for {found.model.id}"
        raise UnknownPriceError(f"{known}; name that one, or state a price with source and date")
    of_day = [found.model.get_prices(midnight + n * _PRICE_STEP) for n in range(_PRICE_STEPS)]
    by_hour = [_tiers(each, price) for each in of_day]
    return tuple(_dearest(by_hour, start) for start in sorted(_starts(by_hour)))


def _starts(by_hour: list[tuple[PriceTier, ...]]) -> set[int]:
    return {tier.from_input_tokens for tiers in by_hour for tier in tiers}


def _dearest(by_hour: list[tuple[PriceTier, ...]], from_input_tokens: int) -> PriceTier:
    """The highest of each price that any hour has from ``from_input_tokens`` on."""
    reached = [_reached(tiers, from_input_tokens) for tiers in by_hour]
    return PriceTier(
        from_input_tokens=from_input_tokens,
        input_per_mtok=max(tier.input_per_mtok for tier in reached),
        output_per_mtok=max(tier.output_per_mtok for tier in reached),
        cached_input_per_mtok=max(tier.cached_input_per_mtok for tier in reached),
        cache_write_per_mtok=max(tier.cache_write_per_mtok for tier in reached),
    )


def _reached(tiers: tuple[PriceTier, ...], from_input_tokens: int) -> PriceTier:
    return [tier for tier in tiers if tier.from_input_tokens <= from_input_tokens][-1]


def _tiers(model_price: ModelPrice, price: GenaiPrice) -> tuple[PriceTier, ...]:
    if not model_price.input_mtok or not model_price.output_mtok:
        known = f"{price_library_version()} lacks a token price of {price.provider}:{price.model}"
        raise UnknownPriceError(f"{known}; state one with its source and date")
    read = model_price.cache_read_mtok or model_price.input_mtok
    write = model_price.cache_write_mtok or model_price.input_mtok
    prices = (model_price.input_mtok, model_price.output_mtok, read, write)
    starts = {0} | {
        tier.start for each in prices if isinstance(each, TieredPrices) for tier in each.tiers
    }
    return tuple(
        PriceTier(
            from_input_tokens=start,
            input_per_mtok=_nano_at(prices[0], start),
            output_per_mtok=_nano_at(prices[1], start),
            cached_input_per_mtok=_nano_at(prices[2], start),
            cache_write_per_mtok=_nano_at(prices[3], start),
        )
        for start in sorted(starts)
    )


def _nano_at(price: Decimal | TieredPrices, from_input_tokens: int) -> int:
    """The price in force from ``from_input_tokens`` on, rounded up to whole nano-USD."""
    if isinstance(price, TieredPrices):
        reached = [tier.price for tier in price.tiers if tier.start <= from_input_tokens]
        price = max(reached, default=price.base)
    nano = price * NANO_PER_USD
    return -int(-nano // 1)
