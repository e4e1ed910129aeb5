"""What holds of every decision of every pack, whatever the facts: 100,000 fact sets a pack.

They come from a seeded generator, so that a failure names its shard and stays where it is;
Hypothesis then draws some by the same rules and shrinks what fails.
"""

import json
import re
from itertools import islice
from operator import itemgetter
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointwork.contract.decision import DecisionInput, Effect, GrantKind, Obligation, Plan, Site
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import PrivacyTier, Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.policy.engine.facts import Facts
from pointwork.policy.engine.filters import refusals
from tests.fakes.policy_facts import changed
from tests.policy.random_facts import MADE_UP, bundle_of, fact_sets, facts_of, present
from tests.scale import Scale

FACT_SETS, FACT_SETS_ALWAYS = 100_000, 4_000
"""For each shipped pack."""
SHARDS = 5
AGAIN_EVERY = 10
thorough = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
every_pack = pytest.mark.parametrize(("pack", "host"), present())
drawn = given(st.randoms(use_true_random=False))


def check(facts: DecisionInput, bundle: PolicyBundle, plan: Plan) -> None:
    """Everything that holds of any plan."""
    _is_whole(facts, bundle, plan)
    _ends_in_one_way(facts, bundle, plan)
    _stays_in_the_house(facts, plan)
    if plan.candidates:
        _is_permitted(facts, bundle, plan)


def _is_whole(facts: DecisionInput, bundle: PolicyBundle, plan: Plan) -> None:
    """Each model is chosen or refused, and only once."""
    chosen = [each.model for each in plan.candidates]
    named = {*chosen, *(each.model for each in plan.rejected)}
    assert len(named) == len(chosen) + len(plan.rejected)
    models = bundle.index.by_name.keys()
    assert named >= models
    assert named <= models | {facts.request.requested_model}
    assert plan.policy == bundle.ref


def _ends_in_one_way(facts: DecisionInput, bundle: PolicyBundle, plan: Plan) -> None:
    runs, holds = plan.effect is Effect.RUN, plan.effect is Effect.HOLD
    assert bool(plan.candidates) == runs
    assert (plan.reason is None) == runs
    assert (plan.hold_for is not None) == holds
    assert bool(plan.windows) == runs
    is_stopped = plan.reason is ReasonCode.HARD_STOP
    assert bool(plan.stopped_by) == is_stopped
    if is_stopped:
        assert bundle.pack.hard_stop
        assert (plan.effect, plan.hold_for) == (Effect.HOLD, GrantKind.BUDGET)
        assert set(plan.stopped_by) <= {each.window for each in facts.snapshot.budgets}
    if holds:
        assert is_stopped or plan.hold_for in bundle.pack.holds_for
        assert plan.hold_for not in {each.kind for each in facts.grants}
    wish = facts.request.requested_model
    assert not (runs and wish) or plan.candidates[0].model == wish


def _stays_in_the_house(facts: DecisionInput, plan: Plan) -> None:
    """`restricted` and `local_only` have no way out, in any pack, for an adviser either."""
    spec = facts.request.spec
    if (
        plan.sensitivity is Sensitivity.RESTRICTED
        or facts.request.privacy_tier is PrivacyTier.LOCAL_ONLY
        or (spec is not None and spec.local_only)
    ):
        asked = (*plan.candidates, *((plan.adviser,) if plan.adviser else ()))
        assert all(each.site is Site.LOCAL for each in asked)


def _is_permitted(facts: DecisionInput, bundle: PolicyBundle, plan: Plan) -> None:
    """No ordering admits what a filter refused, but for a lower quality where somebody is told:

    the caller by a warning, or the person whose override names that model.
    """
    task_class = plan.task_class or ""
    known = Facts(facts, bundle, task_class, bundle.pack.classes[task_class])
    refused = refusals(known)
    for each in plan.candidates:
        found = {code for code, _ in refused.get(each.model, ())}
        if found:
            assert found == {ReasonCode.QUALITY_FLOOR}
            assert Obligation.WARN_DOWNGRADE in plan.obligations or plan.override_id
        assert each.estimate_nano_usd <= each.ceiling_nano_usd
        assert each.estimate_nano_usd <= plan.task_ceiling_nano_usd


def _sharded() -> list[Any]:
    """The shipped packs whole, and of those made up a tenth."""
    return [
        pytest.param(pack, host, shard, id=f"{pack}-{shard}")
        for pack, host in present()
        for shard in range(1 if (pack, host) in MADE_UP else SHARDS)
    ]


@pytest.mark.parametrize(("pack", "host", "shard"), _sharded())
def test_every_one_of_many_drawn_decisions_is_whole_permitted_and_repeatable(
    scale: Scale, pack: str, host: str, shard: int
) -> None:
    bundle = bundle_of(pack, host)
    effects = set()
    count = scale.of(FACT_SETS, FACT_SETS_ALWAYS) // SHARDS
    found = islice(fact_sets(Random(f"{pack}/{shard}"), bundle), count)
    for number, facts in enumerate(found):
        plan = decide(facts, bundle)
        check(facts, bundle, plan)
        if number % AGAIN_EVERY == 0:
            assert decide(facts, bundle) == plan
        effects.add(plan.effect)
    assert effects >= {Effect.RUN, Effect.DENY}


@every_pack
@thorough
@drawn
def test_any_decision_is_whole_permitted_and_repeatable(pack: str, host: str, rng: Random) -> None:
    bundle = bundle_of(pack, host)
    facts = facts_of(rng, bundle)
    plan = decide(facts, bundle)
    check(facts, bundle, plan)
    assert decide(facts.model_copy(deep=True), bundle) == plan


def _renamed(bundle: PolicyBundle) -> tuple[PolicyBundle, dict[str, str]]:
    vendors = sorted({each.model.vendor for each in bundle.models.values()}, reverse=True)
    names = {vendor: f"vendor-{number}" for number, vendor in enumerate(vendors)}
    models = {n: {"vendor": names[each.model.vendor]} for n, each in bundle.models.items()}
    return changed(bundle, models=models), names


def _with_names(facts: DecisionInput, names: dict[str, str]) -> DecisionInput:
    """The same facts where vendors with budgets of their own have the new names."""
    return DecisionInput.model_validate_json(_named(facts.model_dump_json(), names))


def _named(text: str, names: dict[str, str]) -> str:
    for vendor, name in names.items():
        text = re.sub(rf'\bvendor/{re.escape(vendor)}(?=[/"])', f"vendor/{name}", text)
    return text


def _without_hashes(plan: Plan, names: dict[str, str]) -> dict[str, Any]:
    """Windows are sorted by key, so by name: that order is no part of what must stay the same."""
    dumped: dict[str, Any] = json.loads(_named(plan.model_dump_json(exclude={"policy"}), names))
    dumped["windows"].sort(key=itemgetter("key"))
    beside = (dumped.get(voice) for voice in ("adviser", "critic", "judge"))
    for each in (*dumped["candidates"], *filter(None, beside)):
        each["vendor"] = names.get(each["vendor"], each["vendor"])
    return dumped


@pytest.mark.req("OM-12")
@every_pack
def test_renaming_every_vendor_changes_nothing_but_the_names(
    scale: Scale, pack: str, host: str
) -> None:
    bundle = bundle_of(pack, host)
    other, names = _renamed(bundle)
    for facts in islice(fact_sets(Random(f"{pack}/names"), bundle), scale.of(2_000, 500)):
        before = _without_hashes(decide(facts, bundle), names)
        assert _without_hashes(decide(_with_names(facts, names), other), {}) == before
