"""What holds of every decision, whatever the facts and whatever the catalogue."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointwork.contract.canonical import canonical_json
from pointwork.contract.decision import (
    DecisionInput,
    Effect,
    FailedAttempt,
    Grant,
    Obligation,
    Plan,
    Site,
    Trigger,
)
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import PrivacyTier, Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from tests.fakes.policy_facts import Situation, chosen, reasons, shipped
from tests.policy.strategies import OMEGA, bundles, situations

ROOT = Path(__file__).parents[2]
thorough = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _candidates_of(plan: Plan, bundle: PolicyBundle) -> list[str]:
    """The candidates, after a check that each model is chosen or refused, and only once."""
    names, refused = chosen(plan), [each.model for each in plan.rejected]
    assert sorted({*names, *refused} & set(bundle.models)) == sorted(bundle.models)
    assert len({*names, *refused}) == len(names) + len(refused)
    return names


@thorough
@given(situations(), st.just(OMEGA) | bundles())
def test_every_model_is_a_candidate_or_carries_one_reason(
    situation: Situation, bundle: PolicyBundle
) -> None:
    plan = decide(situation.facts(bundle), bundle)
    names = _candidates_of(plan, bundle)
    assert bool(names) == (plan.effect is Effect.RUN)
    assert (plan.reason is None) == (plan.effect is Effect.RUN)
    assert (plan.hold_for is not None) == (plan.effect is Effect.HOLD)
    assert plan.policy == bundle.ref


@thorough
@given(situations(), st.just(OMEGA) | bundles())
@pytest.mark.req("LP-45")
def test_no_candidate_breaks_a_limit_no_person_may_lift(
    situation: Situation, bundle: PolicyBundle
) -> None:
    """Whatever anything costs: the bundles' prices are drawn, zero included."""
    given_ = situation.facts(bundle)
    plan = decide(given_, bundle)
    for each in plan.candidates:
        priced = bundle.models[each.model]
        outside = each.site is not Site.LOCAL
        assert not (outside and plan.sensitivity is Sensitivity.RESTRICTED)
        assert not (outside and situation.privacy_tier is PrivacyTier.LOCAL_ONLY)
        assert not (outside and set(situation.marks) & set(bundle.pack.local_marks))
        volume = bundle.pack.high_volume_items
        assert not (outside and volume is not None and situation.items >= volume)
        assert not (outside and situation.task_class == "bulk_generation")
        if outside and situation.residency:
            assert priced.endpoint.residency
            assert set(priced.endpoint.residency) <= set(situation.residency)
        assert each.model not in {failed.model for failed in situation.failed}
        assert each.endpoint not in {*situation.without_keys, *situation.down}
        assert priced.tiers


@thorough
@given(situations(), st.just(OMEGA) | bundles())
@pytest.mark.req("OM-29")
def test_a_model_over_its_ceiling_never_runs(situation: Situation, bundle: PolicyBundle) -> None:
    plan = decide(situation.facts(bundle), bundle)
    over = {each.model for each in plan.rejected if each.reason is ReasonCode.CEILING}
    assert not over & set(chosen(plan))
    for each in plan.candidates:
        assert each.estimate_nano_usd <= each.ceiling_nano_usd
        assert each.estimate_nano_usd <= plan.task_ceiling_nano_usd
    if plan.candidates and plan.candidates[0].trigger is Trigger.CEILING_OVER:
        assert Obligation.WARN_DOWNGRADE in plan.obligations


@thorough
@given(situations(), st.just(OMEGA) | bundles())
def test_every_frontier_candidate_has_a_justification_on_its_plan(
    situation: Situation, bundle: PolicyBundle
) -> None:
    plan = decide(situation.facts(bundle), bundle)
    if any(bundle.models[name].model.is_frontier for name in chosen(plan)):
        assert plan.justification.strip()


@thorough
@given(situations(), st.just(OMEGA) | bundles())
@pytest.mark.req("OM-2")
def test_the_chosen_model_costs_no_more_than_any_other_that_qualifies(
    situation: Situation, bundle: PolicyBundle
) -> None:
    """Qualifying is being a candidate; another vendor than the one that failed goes first."""
    plan = decide(situation.facts(bundle), bundle)
    failed_vendors = {
        bundle.models[each.model].model.vendor
        for each in situation.failed
        if each.model in bundle.models
    }
    keys = [(each.vendor in failed_vendors, each.estimate_nano_usd) for each in plan.candidates]
    assert keys == sorted(keys)


def _after(given_: DecisionInput, plan: Plan, rng: random.Random) -> DecisionInput:
    """The input of the next decision, once the first candidate failed or a person agreed."""
    if plan.hold_for is not None:
        grant = Grant(
            kind=plan.hold_for,
            approval_id=f"approval/{len(given_.grants)}",
            approver="ada",
            ceiling_nano_usd=plan.task_ceiling_nano_usd,
        )
        return given_.model_copy(update={"grants": (*given_.grants, grant)})
    kind = rng.choice([None, *ProviderFailureKind])
    attempt = FailedAttempt(model=plan.candidates[0].model, kind=kind)
    return given_.model_copy(update={"failed": (*given_.failed, attempt)})


@thorough
@given(situations(), st.just(OMEGA) | bundles(), st.randoms(use_true_random=False))
def test_a_task_whose_every_call_fails_ends_and_no_model_is_tried_twice(
    situation: Situation, bundle: PolicyBundle, rng: random.Random
) -> None:
    given_, tried, approvals = situation.facts(bundle), list[str](), 0
    while (plan := decide(given_, bundle)).effect is not Effect.DENY:
        if plan.effect is Effect.RUN:
            tried.append(plan.candidates[0].model)
        approvals += plan.effect is Effect.HOLD
        given_ = _after(given_, plan, rng)
    assert len(tried) == len(set(tried))
    assert approvals <= 3


@thorough
@given(situations())
def test_no_grant_opens_a_way_out_for_restricted_content(situation: Situation) -> None:
    bundle = shipped()
    restricted = situation.model_copy(update={"sensitivity": Sensitivity.RESTRICTED})
    plan = decide(restricted.facts(bundle), bundle)
    assert all(each.site is Site.LOCAL for each in plan.candidates)
    assert plan.reason is not ReasonCode.PRIVACY
    if plan.effect is Effect.RUN:
        assert Obligation.LOG_RESTRICTED in plan.obligations
        assert set(reasons(plan).values()) <= {
            ReasonCode.RESTRICTED,
            ReasonCode.OVER_PROVISIONED,
        }


def _varied_inputs(count: int) -> list[DecisionInput]:
    rng, bundle = random.Random(20260304), shipped()
    classes = [*bundle.pack.classes, None, "no_such_class"]
    return [
        Situation(
            task_class=rng.choice(classes),
            marks=tuple(rng.sample(("bulk", "trend_scan", "urgent"), rng.randint(0, 2))),
            items=rng.choice((1, 99, 100)),
            sensitivity=rng.choice([None, *Sensitivity]),
            output_tokens=rng.randint(1, 65_536),
            input_bytes=rng.randint(0, 1_500_000),
            image=rng.random() < 0.2,
            requested_model=rng.choice([None, None, *bundle.models]),
            budget_left=rng.choice((None, rng.randint(0, 100_000_000))),
        ).facts(bundle)
        for _ in range(count)
    ]


def test_the_same_facts_give_the_same_bytes_a_thousand_times_and_in_another_process() -> None:
    inputs = _varied_inputs(1_000)
    once = [canonical_json(decide(each, shipped())) for each in inputs]
    assert [canonical_json(decide(each, shipped())) for each in inputs] == once
    assert len(set(once)) > 200
    documents = json.dumps([each.model_dump(mode="json") for each in inputs])
    for hash_seed in ("0", "4242"):
        other = subprocess.run(
            [sys.executable, "-m", "tests.policy.rerun_decisions"],
            input=documents.encode(),
            capture_output=True,
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed},
            timeout=120,
            check=True,
        )
        assert other.stdout.splitlines() == once
