"""More care, less money, fewer permissions: never a model more, in any pack (invariant 2).

A model is permitted where no filter refuses it. Each test draws a task, makes one thing stricter
and compares what is permitted before and after. What may be chosen among the permitted is the
ordering's affair: a task that may no longer use a cheap model can need a dearer permitted one.
"""

from collections.abc import Callable
from itertools import islice
from random import Random
from typing import Any

import pytest

from pointwork.contract.decision import DecisionInput, Effect, FailedAttempt, GrantKind, Site
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import PrivacyTier, Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.policy.engine.facts import Facts
from pointwork.policy.engine.filters import refusals
from pointwork.policy.engine.ranking import MONEY
from pointwork.policy.engine.sensitivity import effective_sensitivity
from tests.fakes.policy_facts import free
from tests.policy.random_facts import REGIONS, bundle_of, fact_sets, present

FACT_SETS = 500
POOL = 250
every_pack = pytest.mark.parametrize(("pack", "host"), present())
Refused = dict[str, set[ReasonCode]]
Change = Callable[[DecisionInput, PolicyBundle, Random], DecisionInput | None]
"""One thing made stricter; None where the task leaves nothing to make stricter."""

OPTIONAL = {
    "budgets": {ReasonCode.BUDGET, ReasonCode.PAUSED_OVER_BUDGET},
    "quotas": {ReasonCode.QUOTA_EXHAUSTED},
    "latencies": {ReasonCode.LATENCY},
}
"""What only these signals refuse. They are readings of what the reserve step, the vendor and the
clock enforce anyway; a pack that wants them known requires them, and then their absence denies."""


def refused_by_filters(facts: DecisionInput, bundle: PolicyBundle) -> Refused | None:
    """None where the task has no class of the pack, so that no filter is asked."""
    name = decide(facts, bundle).task_class or ""  # the class that routes it, simpler or not
    row = bundle.pack.classes.get(name)
    if row is None:
        return None
    found = refusals(Facts(facts, bundle, name, row))
    return {name: {code for code, _ in reasons} for name, reasons in found.items()}


def _asked(facts: DecisionInput, **fields: Any) -> DecisionInput:
    return facts.model_copy(update={"request": facts.request.model_copy(update=fields)})


def _seen(facts: DecisionInput, **fields: Any) -> DecisionInput:
    return facts.model_copy(update={"snapshot": facts.snapshot.model_copy(update=fields)})


def more_sensitive(facts: DecisionInput, bundle: PolicyBundle, rng: Random) -> DecisionInput | None:
    """A detector finds more. A person's word on sensitive content is about nothing below it."""
    level = effective_sensitivity(facts, bundle.pack)
    below = level is None or level.rank < Sensitivity.SENSITIVE.rank
    if below and any(each.kind is GrantKind.SENSITIVE_EGRESS for each in facts.grants):
        return None
    higher = [each for each in Sensitivity if level is None or each.rank > level.rank]
    if not higher:
        return None
    found = facts.classification.model_copy(update={"detected_sensitivity": rng.choice(higher)})
    return facts.model_copy(update={"classification": found})


def less_budget(facts: DecisionInput, bundle: PolicyBundle, rng: Random) -> DecisionInput | None:
    budgets = list(facts.snapshot.budgets)
    if not budgets:
        return None
    at = rng.randrange(len(budgets))
    left = rng.randint(0, 10 ** rng.randint(1, 10))
    spent = max(budgets[at].limit_nano_usd - left, budgets[at].committed_nano_usd)
    budgets[at] = budgets[at].model_copy(update={"committed_nano_usd": spent})
    return _seen(facts, budgets=tuple(budgets))


def receipt_gone(facts: DecisionInput, bundle: PolicyBundle, rng: Random) -> DecisionInput | None:
    held = list(facts.snapshot.receipts)
    if not held:
        return None
    held.pop(rng.randrange(len(held)))
    return _seen(facts, receipts=tuple(held))


def grant_gone(facts: DecisionInput, bundle: PolicyBundle, rng: Random) -> DecisionInput | None:
    held = list(facts.grants)
    if not held:
        return None
    held.pop(rng.randrange(len(held)))
    return facts.model_copy(update={"grants": tuple(held)})


def endpoint_unread(
    facts: DecisionInput, bundle: PolicyBundle, rng: Random
) -> DecisionInput | None:
    known = list(facts.snapshot.endpoints)
    if not known:
        return None
    known.pop(rng.randrange(len(known)))
    return _seen(facts, endpoints=tuple(known))


def resources_unread(
    facts: DecisionInput, bundle: PolicyBundle, rng: Random
) -> DecisionInput | None:
    return _seen(facts, resources=None) if facts.snapshot.resources else None


def tier_added(facts: DecisionInput, bundle: PolicyBundle, rng: Random) -> DecisionInput | None:
    tiers = list(PrivacyTier)
    stricter = tiers[tiers.index(facts.request.privacy_tier) + 1 :]
    return _asked(facts, privacy_tier=rng.choice(stricter)) if stricter else None


def residency_added(
    facts: DecisionInput, bundle: PolicyBundle, rng: Random
) -> DecisionInput | None:
    left = facts.request.residency or REGIONS
    return _asked(facts, residency=(rng.choice(left),))


CHANGES: tuple[Change, ...] = (
    more_sensitive,
    less_budget,
    receipt_gone,
    grant_gone,
    endpoint_unread,
    resources_unread,
    tier_added,
    residency_added,
)


@every_pack
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_is_stricter_permits_no_model_that_was_refused(
    pack: str, host: str, change: Change
) -> None:
    bundle, rng = bundle_of(pack, host), Random(f"{pack}/{change.__name__}")
    lost = compared = 0
    for facts in islice(fact_sets(rng, bundle, POOL), FACT_SETS):
        stricter, before = change(facts, bundle, rng), refused_by_filters(facts, bundle)
        if stricter is None or before is None:
            continue
        after = refused_by_filters(stricter, bundle)
        assert after is not None
        assert before.keys() <= after.keys()
        outside = {
            each.model for each in decide(stricter, bundle).candidates if each.site != Site.LOCAL
        }
        assert not outside & before.keys() - _forgiven(before)
        compared += 1
        lost += len(after) > len(before)
    assert compared > 20
    assert lost or change in (resources_unread, receipt_gone, grant_gone)


def _forgiven(refused: Refused) -> set[str]:
    """Quality alone may be given up, downwards, for money or for a person's override."""
    return {name for name, codes in refused.items() if codes == {ReasonCode.QUALITY_FLOOR}}


@every_pack
def test_a_failed_attempt_permits_no_model_but_what_its_lane_opens_for(
    pack: str, host: str
) -> None:
    """A lane may open because of a bad answer: that is what the pack has it for."""
    bundle, rng = bundle_of(pack, host), Random(f"{pack}/failed")
    for facts in islice(fact_sets(rng, bundle, POOL), FACT_SETS):
        plan, before = decide(facts, bundle), refused_by_filters(facts, bundle)
        if plan.effect is not Effect.RUN or before is None:
            continue
        kind = rng.choice((None, *ProviderFailureKind))
        failed = (*facts.failed, FailedAttempt(model=plan.candidates[0].model, kind=kind))
        after = refused_by_filters(facts.model_copy(update={"failed": failed}), bundle)
        assert after is not None
        opened = before.keys() - after.keys()
        assert all(before[name] == {ReasonCode.LANE_CLOSED} for name in opened)
        assert not (opened and kind is not None)


@every_pack
def test_less_budget_never_buys_a_dearer_model(pack: str, host: str) -> None:
    """A wish aside: a model that was refused to one may be what a poorer task is given anyway."""
    bundle, rng = bundle_of(pack, host), Random(f"{pack}/dearer")
    moved = 0
    for facts in islice(fact_sets(rng, bundle, POOL), 2 * FACT_SETS):
        plain = _asked(facts, requested_model=None)
        poorer = less_budget(plain, bundle, rng)
        if poorer is None:
            continue
        before, after = decide(plain, bundle), decide(poorer, bundle)
        dearest = [
            max((each.estimate_nano_usd for each in plan.candidates), default=0)
            for plan in (before, after)
        ]
        assert dearest[1] <= dearest[0]
        moved += dearest[1] < dearest[0]
    assert moved > 5


@every_pack
@pytest.mark.parametrize("signal", OPTIONAL)
def test_a_signal_that_is_missing_denies_or_lifts_only_its_own_refusals(
    pack: str, host: str, signal: str
) -> None:
    bundle, rng = bundle_of(pack, host), Random(f"{pack}/{signal}")
    name = {"budgets": "budget", "quotas": "quota", "latencies": "latency"}[signal]
    for facts in islice(fact_sets(rng, bundle, POOL), FACT_SETS):
        before = refused_by_filters(facts, bundle)
        missing = _seen(facts, **{signal: () if signal == "budgets" else None})
        if before is None:
            continue
        if name in bundle.pack.required_signals:
            assert decide(missing, bundle).effect is Effect.DENY
        after = refused_by_filters(missing, bundle)
        assert after is not None
        for model in before.keys() - after.keys():
            assert before[model] <= OPTIONAL[signal]


@every_pack
def test_no_price_readmits_a_model_that_anything_but_money_refused(pack: str, host: str) -> None:
    bundle, rng = bundle_of(pack, host), Random(f"{pack}/free")
    costless = free(bundle, *bundle.models)
    for facts in islice(fact_sets(rng, bundle, POOL), FACT_SETS):
        before, after = refused_by_filters(facts, bundle), refused_by_filters(facts, costless)
        if before is None or after is None:
            continue
        for model, codes in before.items():
            assert codes - MONEY == after.get(model, set()) - MONEY
