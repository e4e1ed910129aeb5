"""Worst cases held at once never pass a cap, and no usage costs more (reliability case 13)."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.money import PriceTier, usage_cost_nano_usd, worst_case_nano_usd
from pointwork.contract.outcome import ReserveOutcome, Settlement
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, invoke, outcome, reserve, window

TRUNCATED = ProviderFailureKind.TRUNCATED
CAP = 450_000_000
"""0.45 USD in nano-USD."""
LONG_TOKENS = 300_000
BASE_PER_MTOK, LONG_PER_MTOK = 250_000_000, 500_000_000
TIERED = (
    PriceTier(
        input_per_mtok=BASE_PER_MTOK,
        output_per_mtok=1_000_000_000,
        cached_input_per_mtok=25_000_000,
        cache_write_per_mtok=BASE_PER_MTOK,
    ),
    PriceTier(
        from_input_tokens=200_000,
        input_per_mtok=LONG_PER_MTOK,
        output_per_mtok=1_500_000_000,
        cached_input_per_mtok=50_000_000,
        cache_write_per_mtok=LONG_PER_MTOK,
    ),
)
CACHE_WRITES = tuple(
    tier.model_copy(update={"cache_write_per_mtok": tier.input_per_mtok * 5 // 4})
    for tier in TIERED
)


@pytest.mark.req("JG-26", "JG-27")
@pytest.mark.parametrize(
    ("tiers", "output_tokens_max", "admitted"),
    [(TIERED, 0, 3), (CACHE_WRITES, 0, 2), (TIERED, 60_000, 1)],
    ids=["long prompts", "written to the cache", "with reasoning counted as output"],
)
def test_five_long_calls_at_once_hold_no_more_than_the_cap(
    ledger: Ledger, tiers: tuple[PriceTier, ...], output_tokens_max: int, admitted: int
) -> None:
    """At the base price, which is what a gateway without tiers would hold, five would fit."""
    worst = worst_case_nano_usd(
        tiers, input_tokens_max=LONG_TOKENS, output_tokens_max=output_tokens_max
    )
    assert 5 * LONG_TOKENS * BASE_PER_MTOK // 10**6 <= CAP

    def hold(number: int) -> ReserveOutcome:
        task_id = f"t-{number}"
        return reserve(ledger.budgets, task_id, amount=worst, windows=[window("day", CAP)]).outcome

    with ThreadPoolExecutor(5) as callers:
        held = list(callers.map(hold, range(5)))
    assert held.count(ReserveOutcome.RESERVED) == admitted == CAP // worst
    assert ledger.budgets.read(["day"])["day"][1] == admitted * worst <= CAP


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_whatever_the_meter_says_within_its_bounds_the_cap_holds(ledger: Ledger) -> None:
    """Cached, written, reasoned: 40 tasks settle at random usages and none is an overrun."""
    random_ = random.Random(13)
    for number in range(40):
        tokens_in, tokens_out = random_.randint(1, LONG_TOKENS), random_.randint(0, 9_000)
        worst = worst_case_nano_usd(
            CACHE_WRITES, input_tokens_max=tokens_in, output_tokens_max=tokens_out
        )
        task_id = f"t-{number}"
        windows = [window("day", CAP)]
        if reserve(ledger.budgets, task_id, amount=worst, windows=windows).outcome is not (
            ReserveOutcome.RESERVED
        ):
            continue
        used_in = random_.randint(1, tokens_in)
        cached = random_.randint(0, used_in)
        cost = usage_cost_nano_usd(
            CACHE_WRITES,
            input_tokens=used_in,
            output_tokens=random_.randint(0, tokens_out),
            cached_input_tokens=cached,
            cache_write_tokens=random_.randint(0, used_in - cached),
        )
        ledger.attempts.begin(invoke(task_id), f"{task_id}/1", NOW)
        ledger.attempts.fail(f"{task_id}/1", TRUNCATED, cost, Settlement.EXACT, 5, NOW)
        ledger.outcomes.log(outcome(task_id), None, NOW)
    assert ledger.rows("SELECT part_id FROM overrun") == []
    assert 0 < ledger.budgets.read(["day"])["day"][1] <= CAP
