"""Money is a whole number of nano-USD (1 USD = 1_000_000_000); no float ever holds an amount."""

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

NANO_PER_USD = 1_000_000_000
TOKENS_PER_MTOK = 1_000_000

NanoUsd = Annotated[int, Field(strict=True, ge=0, le=2**62)]
"""An amount of money in nano-USD, never negative."""


def format_usd(amount_nano_usd: int) -> str:
    """``$0.000123``: at least four decimals, up to nine where the amount needs them."""
    digits = f"{Decimal(amount_nano_usd) / NANO_PER_USD:.9f}"
    whole, _, fraction = digits.partition(".")
    return f"${whole}.{fraction.rstrip('0').ljust(4, '0')}"


def format_signed_usd(amount_nano_usd: int) -> str:
    """As ``format_usd``, of an amount that may lie below zero: ``-$0.0100``."""
    sign = "-" if amount_nano_usd < 0 else ""
    return f"{sign}{format_usd(abs(amount_nano_usd))}"


class PriceTier(BaseModel):
    """Prices in nano-USD per million tokens from a given prompt length on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    from_input_tokens: Annotated[int, Field(ge=0)] = 0
    input_per_mtok: NanoUsd
    output_per_mtok: NanoUsd
    cached_input_per_mtok: NanoUsd
    cache_write_per_mtok: NanoUsd


def usage_cost_nano_usd(
    tiers: tuple[PriceTier, ...],
    *,
    input_tokens: int,
    output_tokens: int,
    cached_input_tokens: int = 0,
    cache_write_tokens: int = 0,
) -> int:
    """What a call cost: the tier its prompt length reached applies to every token of the call.

    ``cached_input_tokens`` and ``cache_write_tokens`` are part of ``input_tokens``.
    """
    reached = [tier for tier in tiers if input_tokens >= tier.from_input_tokens]
    tier = max(reached, key=lambda each: each.from_input_tokens)
    plain_input_tokens = max(0, input_tokens - cached_input_tokens - cache_write_tokens)
    return _rounded_up(
        plain_input_tokens * tier.input_per_mtok
        + cached_input_tokens * tier.cached_input_per_mtok
        + cache_write_tokens * tier.cache_write_per_mtok
        + output_tokens * tier.output_per_mtok
    )


def worst_case_nano_usd(
    tiers: tuple[PriceTier, ...], *, input_tokens_max: int, output_tokens_max: int
) -> int:
    """The most a call can cost: the dearest tier, every input token at its dearest price.

    Rounded once, like the cost itself: rounding each part up would let a split bill exceed a hold.
    """
    input_price = max(
        max(tier.input_per_mtok, tier.cached_input_per_mtok, tier.cache_write_per_mtok)
        for tier in tiers
    )
    output_price = max(tier.output_per_mtok for tier in tiers)
    return _rounded_up(input_tokens_max * input_price + output_tokens_max * output_price)


def _rounded_up(token_nano_usd_per_mtok: int) -> int:
    return -(-token_nano_usd_per_mtok // TOKENS_PER_MTOK)
