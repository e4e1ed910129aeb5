"""Which models answer side by side: only where the class says so, of different vendors."""

from typing import Any

import pytest

from pointwork.contract.decision import (
    GrantKind,
    Obligation,
    ParallelShortfall,
    Plan,
    Trigger,
)
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.task import PrivacyTier, Risk, Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from tests.fakes.policy_facts import Failed, Granted, Situation, changed, chosen, shipped

OMEGA = shipped()
CRITICAL = Situation(task_class="high_stakes_logic", sensitivity=Sensitivity.PUBLIC, risk=Risk.HIGH)
IDEAS = Situation(task_class="exploratory_reasoning", sensitivity=Sensitivity.PUBLIC)
TWO_OF_OPENAI = changed(OMEGA, models={"gpt-5.1": {"is_frontier": False}})
"""Ideas have no frontier purpose, so the vendor's second model must be none to serve them."""
ANSWERED_BADLY = ProviderFailureKind.TRUNCATED


def parallel(count: int | None, bundle: PolicyBundle = OMEGA, **pack: Any) -> PolicyBundle:
    classes = {
        name: row.model_dump() | {"parallel": count} for name, row in bundle.pack.classes.items()
    }
    return changed(bundle, pack={"classes": classes, **pack})


def plan_of(situation: Situation, bundle: PolicyBundle, **fields: Any) -> Plan:
    varied = situation.model_copy(update=fields)
    return decide(varied.facts(bundle), bundle)


def vendors(plan: Plan) -> list[str]:
    return [each.vendor for each in plan.candidates[: plan.branches]]


@pytest.mark.req("OM-54")
def test_no_shipped_pack_asks_for_more_than_one_answer() -> None:
    for pack in ("omega", "codex", "juggernaut", "socioprophet"):
        assert all(row.parallel is None for row in shipped(pack).pack.classes.values())


@pytest.mark.req("OM-54")
def test_without_configuration_a_critical_task_has_one_branch() -> None:
    plan = plan_of(CRITICAL, OMEGA)
    assert plan.branches == 1
    assert plan.parallel_shortfall is None
    assert Obligation.COMPARE not in plan.obligations
    assert plan == plan_of(CRITICAL, parallel(None))


@pytest.mark.req("OM-54")
@pytest.mark.parametrize("count", [2, 3])
def test_with_configuration_the_plan_has_as_many_branches_and_compares_them(count: int) -> None:
    plan = plan_of(CRITICAL, parallel(count))
    assert plan.branches == count
    assert Obligation.COMPARE in plan.obligations


@pytest.mark.req("OM-53")
def test_a_rung_of_one_vendor_is_filled_from_the_classes_later_rungs() -> None:
    bundle = parallel(3)
    plan = plan_of(CRITICAL, bundle)
    assert chosen(plan_of(CRITICAL, OMEGA)) == ["gpt-5.1"]
    assert vendors(plan) == ["openai", "anthropic", "google"]
    triggers = [each.trigger for each in plan.candidates]
    assert triggers == [Trigger.DEFAULT, Trigger.PARALLEL, Trigger.PARALLEL]
    assert all(each.move is None for each in plan.candidates)
    assert plan.parallel_shortfall is None


def test_the_first_model_is_the_one_that_would_have_answered_alone() -> None:
    for situation in (CRITICAL, IDEAS):
        alone, beside = plan_of(situation, OMEGA), plan_of(situation, parallel(2))
        assert beside.candidates[0] == alone.candidates[0]


@pytest.mark.req("OM-53")
def test_with_one_vendor_it_runs_and_the_plan_says_so() -> None:
    others = ("anthropic", "deepseek", "google", "moonshot", "xai", "local-gpu")
    plan = plan_of(IDEAS, parallel(2, TWO_OF_OPENAI), without_keys=others)
    assert vendors(plan) == ["openai", "openai"]
    assert plan.model_dump(mode="json")["parallel_shortfall"] == "single_vendor_parallel"


@pytest.mark.req("OM-53")
def test_fewer_vendors_or_models_than_asked_for_run_and_the_plan_says_which() -> None:
    without = ("deepseek", "google", "moonshot", "xai", "local-gpu")
    twice = plan_of(IDEAS, parallel(3, TWO_OF_OPENAI), without_keys=without)
    assert vendors(twice)[:2] == ["openai", "anthropic"]
    assert len({*vendors(twice)}) < twice.branches == 3
    assert twice.parallel_shortfall is ParallelShortfall.FEWER_VENDORS
    few = plan_of(CRITICAL, parallel(5))
    assert few.branches == 3
    assert few.parallel_shortfall is ParallelShortfall.FEWER_MODELS


def test_a_single_permitted_model_answers_alone_and_is_compared_with_nothing() -> None:
    plan = plan_of(IDEAS, parallel(3), privacy_tier=PrivacyTier.LOCAL_ONLY)
    assert (plan.branches, chosen(plan)) == (1, ["smollm2-135m"])
    assert plan.parallel_shortfall is ParallelShortfall.SINGLE_VENDOR
    assert Obligation.COMPARE not in plan.obligations


@pytest.mark.parametrize(
    "fields",
    [
        {"sensitivity": Sensitivity.RESTRICTED},
        {"sensitivity": Sensitivity.SENSITIVE},
        {"sensitivity": None},
        {"marks": ("bulk",)},
        {"items": 100},
    ],
)
def test_no_model_that_a_filter_refuses_becomes_a_branch(fields: dict[str, Any]) -> None:
    plan = plan_of(IDEAS, parallel(3), **fields)
    assert chosen(plan) == ["smollm2-135m"]


def test_an_approved_exit_lets_models_outside_answer_beside_the_house() -> None:
    granted = (Granted(kind=GrantKind.SENSITIVE_EGRESS),)
    plan = plan_of(IDEAS, parallel(2), sensitivity=Sensitivity.SENSITIVE, grants=granted)
    assert plan.branches == 2
    assert Obligation.REDACT in plan.obligations


def test_models_that_failed_do_not_answer_again() -> None:
    failed = (
        Failed(model="gpt-5.1", kind=ANSWERED_BADLY),
        Failed(model="claude-sonnet-5", kind=ANSWERED_BADLY),
    )
    plan = plan_of(CRITICAL, parallel(2), failed=failed)
    assert chosen(plan) == ["gemini-3.1-pro"]
    assert plan.branches == 1


def test_a_model_near_its_ceiling_is_no_branch() -> None:
    """Near a ceiling the change to a cheaper model is compulsory (OM-34), beside others too."""
    tight = {"high_stakes_logic": {**OMEGA.pack.ceilings["high_stakes_logic"]}}
    estimate = next(
        each.estimate_nano_usd
        for each in plan_of(CRITICAL, parallel(3)).candidates
        if each.vendor == "google"
    )
    ceilings = {
        name: {family: f"{usd / 10**9:.9f}" for family, usd in row.items()}
        for name, row in (OMEGA.pack.ceilings | tight).items()
    }
    ceilings["high_stakes_logic"]["gemini_class"] = f"{estimate * 1.1 / 10**9:.9f}"
    plan = plan_of(CRITICAL, parallel(3, ceilings=ceilings))
    assert vendors(plan) == ["openai", "anthropic"]


def test_an_answer_of_several_is_never_an_earlier_one() -> None:
    bundle = shipped("juggernaut")
    asked = Situation(task_class="code", sensitivity=Sensitivity.PUBLIC)
    assert plan_of(asked, bundle).cache_ttl_seconds > 0
    compared = parallel(2, bundle, verification=["metrics", "compare"])
    assert plan_of(asked, compared).cache_ttl_seconds == 0
