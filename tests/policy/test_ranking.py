"""The order among permitted models: cheapest sufficient, up only after a failure, never silent."""

from typing import Any

import pytest

from pointwork.contract.decision import Effect, GrantKind, Obligation, Plan, Trigger
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from tests.fakes.policy_facts import (
    Failed,
    Granted,
    Situation,
    changed,
    chosen,
    free,
    reasons,
    shipped,
)

OMEGA = shipped()
IDEAS = Situation(task_class="exploratory_reasoning", sensitivity=Sensitivity.PUBLIC)
HIGH_STAKES = Situation(task_class="high_stakes_logic", sensitivity=Sensitivity.PUBLIC)
LOCAL_REFUSED = Failed(model="smollm2-135m")
OUTAGE = ProviderFailureKind.OVERLOADED


def plan_of(situation: Situation, bundle: PolicyBundle = OMEGA, **fields: Any) -> Plan:
    varied = situation.model_copy(update=fields)
    return decide(varied.facts(bundle), bundle)


@pytest.mark.req("OM-3")
def test_a_sufficient_local_model_leaves_the_frontier_over_provisioned() -> None:
    """Sensitive work that a person let out of the house: local and frontier both are sufficient."""
    plan = plan_of(
        HIGH_STAKES,
        sensitivity=Sensitivity.SENSITIVE,
        grants=(Granted(kind=GrantKind.SENSITIVE_EGRESS),),
    )
    assert chosen(plan) == ["smollm2-135m"]
    frontier = [name for name, each in OMEGA.models.items() if each.model.is_frontier]
    codes = {reasons(plan)[name] for name in frontier if name != "grok-4.5"}
    assert codes == {ReasonCode.OVER_PROVISIONED}


def test_a_cloud_model_is_over_provisioned_even_when_it_is_free() -> None:
    plan = plan_of(IDEAS, free(OMEGA, "gpt-5.4-mini"))
    assert chosen(plan) == ["smollm2-135m"]
    assert reasons(plan)["gpt-5.4-mini"] is ReasonCode.OVER_PROVISIONED


def test_the_cheapest_of_a_rung_is_tried_first() -> None:
    plan = plan_of(IDEAS, failed=(LOCAL_REFUSED,))
    estimates = [each.estimate_nano_usd for each in plan.candidates]
    assert len(estimates) == 5
    assert estimates == sorted(estimates)


@pytest.mark.req("OM-4")
def test_a_dearer_rung_needs_a_recorded_failure_of_a_cheaper_one() -> None:
    wish: dict[str, Any] = {"requested_model": "deepseek-chat"}
    before = plan_of(IDEAS, **wish)
    assert (before.effect, before.reason) == (Effect.DENY, ReasonCode.NO_PRIOR_FAILURE)
    assert reasons(before)["deepseek-chat"] is ReasonCode.NO_PRIOR_FAILURE
    after = plan_of(IDEAS, failed=(LOCAL_REFUSED,), **wish)
    assert chosen(after)[0] == "deepseek-chat"
    assert after.candidates[0].trigger is Trigger.CHEAPER_FAILED


@pytest.mark.req("OM-11")
def test_a_fallback_goes_to_another_vendor_while_one_is_eligible() -> None:
    """The failed vendor's second model is made the cheapest by far, and still comes last."""
    bundle = changed(
        free(OMEGA, "gpt-5.4-mini"), models={"gpt-5.4-mini": {"quality": 3, "is_frontier": True}}
    )
    failed = (Failed(model="gpt-5.1", kind=OUTAGE),)
    classes = {name: row.model_dump() for name, row in bundle.pack.classes.items()}
    classes["high_stakes_logic"]["rungs"] = [["gpt_class", "claude_class"]]
    bundle = changed(bundle, pack={"classes": classes})
    plan = plan_of(HIGH_STAKES, bundle, failed=failed)
    assert chosen(plan) == ["claude-sonnet-5", "gpt-5.4-mini"]
    assert plan.candidates[0].trigger is Trigger.OUTAGE
    alone = plan_of(HIGH_STAKES, bundle, failed=failed, down=("anthropic",))
    assert chosen(alone) == ["gpt-5.4-mini"]
    assert alone.candidates[0].trigger is Trigger.SAME_VENDOR_FALLBACK


@pytest.mark.parametrize("kind", [None, *ProviderFailureKind])
def test_a_refused_answer_moves_up_and_an_outage_moves_aside(
    kind: ProviderFailureKind | None,
) -> None:
    plan = plan_of(HIGH_STAKES, failed=(Failed(model="gpt-5.1", kind=kind),))
    is_outage = kind is not None and kind.is_outage
    assert plan.candidates[0].vendor != "openai"
    assert plan.candidates[0].trigger is (Trigger.OUTAGE if is_outage else Trigger.CHEAPER_FAILED)


def test_when_every_model_was_tried_the_task_ends_as_exhausted() -> None:
    plan = plan_of(HIGH_STAKES, failed=tuple(Failed(model=name) for name in OMEGA.models))
    assert (plan.effect, plan.reason) == (Effect.DENY, ReasonCode.CANDIDATES_EXHAUSTED)


@pytest.mark.req("OM-34")
def test_past_the_nearness_ratio_the_cheaper_model_takes_over_and_nothing_turns_that_off() -> None:
    estimate = plan_of(HIGH_STAKES).candidates[0].estimate_nano_usd
    ratio = OMEGA.pack.ceiling_near_ratio
    assert ratio is not None
    at_the_mark = int(estimate / ratio)
    assert at_the_mark * ratio == estimate
    for ceiling, is_near in (
        (at_the_mark + 1, False),
        (at_the_mark, False),
        (at_the_mark - 1, True),
    ):
        plan = plan_of(HIGH_STAKES, _with_ceiling(ceiling))
        if is_near:
            assert plan.candidates[0].trigger is Trigger.CEILING_NEAR
            assert plan.candidates[0].estimate_nano_usd < estimate
            assert reasons(plan)["gpt-5.1"] is ReasonCode.CEILING_NEAR
            assert Obligation.WARN_DOWNGRADE in plan.obligations
        else:
            assert chosen(plan) == ["gpt-5.1"]
    for off in ("1", "1.5", "0", "-0.1"):
        with pytest.raises(ValueError, match="ceiling_near_ratio"):
            changed(OMEGA, pack={"ceiling_near_ratio": off})
    with pytest.raises(ValueError, match="downgrade"):
        changed(OMEGA, pack={"downgrade": False})


def _with_ceiling(nano_usd: int) -> PolicyBundle:
    cells = OMEGA.pack.ceilings["high_stakes_logic"] | {"gpt_class": nano_usd}
    return changed(OMEGA, pack={"ceilings": OMEGA.pack.ceilings | {"high_stakes_logic": cells}})


@pytest.mark.req("OM-29")
def test_over_the_ceiling_a_task_runs_on_a_cheaper_model_or_waits_for_a_person() -> None:
    estimate = plan_of(HIGH_STAKES).candidates[0].estimate_nano_usd
    bundle = _with_ceiling(estimate - 1)
    plan = plan_of(HIGH_STAKES, bundle)
    assert plan.candidates[0].trigger is Trigger.CEILING_OVER
    assert all(each.estimate_nano_usd < estimate for each in plan.candidates)
    assert Obligation.WARN_DOWNGRADE in plan.obligations
    cells = dict.fromkeys(OMEGA.pack.families, 1)
    nothing = OMEGA.pack.ceilings | {"high_stakes_logic": cells}
    held = plan_of(HIGH_STAKES, changed(OMEGA, pack={"ceilings": nothing}))
    assert (held.effect, held.hold_for) == (Effect.HOLD, GrantKind.COST)
    granted = (Granted(kind=GrantKind.COST, ceiling=held.task_ceiling_nano_usd),)
    run = plan_of(HIGH_STAKES, changed(OMEGA, pack={"ceilings": nothing}), grants=granted)
    assert chosen(run) == ["gpt-5.1"]


def test_over_the_ceiling_a_dearer_model_of_another_family_is_no_downgrade() -> None:
    """Its own ceiling would allow it, but the contract says cheaper."""
    estimate = plan_of(HIGH_STAKES).candidates[0].estimate_nano_usd
    bundle = changed(
        _with_ceiling(estimate - 1),
        models={
            name: {"tiers": ()} for name, each in OMEGA.models.items() if each.model.quality < 3
        },
    )
    plan = plan_of(HIGH_STAKES, bundle)
    assert (plan.effect, plan.hold_for) == (Effect.HOLD, GrantKind.COST)
    assert reasons(plan)["claude-sonnet-5"] is ReasonCode.NO_PRIOR_FAILURE


def test_little_budget_left_runs_the_cheaper_model_with_a_warning() -> None:
    plan = plan_of(HIGH_STAKES, budget_left=3_000_000)
    assert plan.candidates[0].trigger is Trigger.BUDGET_LOW
    assert Obligation.WARN_DOWNGRADE in plan.obligations


def test_a_wish_for_the_model_that_would_be_chosen_is_granted() -> None:
    plan = plan_of(HIGH_STAKES, requested_model="gpt-5.1")
    assert chosen(plan) == ["gpt-5.1"]
    assert plan.candidates[0].trigger is Trigger.REQUESTED


def test_a_wish_for_a_dearer_model_of_the_same_rung_is_denied() -> None:
    plan = plan_of(IDEAS, failed=(LOCAL_REFUSED,), requested_model="claude-haiku-4-5")
    assert (plan.effect, plan.reason) == (Effect.DENY, ReasonCode.OVER_PROVISIONED)
    assert reasons(plan)["deepseek-chat"] is ReasonCode.NOT_REQUESTED


def test_a_wish_for_a_model_nobody_lists_is_denied_by_name() -> None:
    plan = plan_of(IDEAS, requested_model="gpt-9")
    assert (plan.effect, plan.reason) == (Effect.DENY, ReasonCode.NO_CANDIDATE)
    assert reasons(plan)["gpt-9"] is ReasonCode.NO_CANDIDATE


def test_a_wish_is_never_answered_by_another_model() -> None:
    for name in OMEGA.models:
        for task_class in OMEGA.pack.classes:
            plan = plan_of(HIGH_STAKES, task_class=task_class, requested_model=name)
            assert not plan.candidates or chosen(plan)[0] == name


def test_a_wish_near_its_ceiling_is_told_so() -> None:
    plan = plan_of(HIGH_STAKES, output_tokens=42_000, requested_model="gpt-5.1")
    assert (plan.effect, plan.reason) == (Effect.DENY, ReasonCode.CEILING_NEAR)


def test_a_wish_that_only_lacks_a_persons_word_waits_for_it() -> None:
    plan = plan_of(HIGH_STAKES, sensitivity=None, requested_model="gpt-5.1")
    assert (plan.effect, plan.hold_for) == (Effect.HOLD, GrantKind.DATA_CLASSIFICATION)


@pytest.mark.req("OM-8")
def test_no_frontier_model_serves_bulk_or_convenience() -> None:
    bulk = plan_of(IDEAS, task_class="bulk_generation", requested_model="gpt-5.1")
    assert (bulk.effect, bulk.reason) == (Effect.DENY, ReasonCode.FRONTIER_BULK)
    marked = plan_of(HIGH_STAKES, marks=("bulk",), requested_model="gpt-5.1")
    assert (marked.effect, marked.reason) == (Effect.DENY, ReasonCode.FRONTIER_BULK)
    for task_class in ("exploratory_reasoning", "summarisation_formatting"):
        easy = plan_of(
            IDEAS,
            task_class=task_class,
            requested_model="gpt-5.1",
            justification="convenience",
            failed=(LOCAL_REFUSED,),
        )
        assert (easy.effect, easy.reason) == (Effect.DENY, ReasonCode.FRONTIER_PURPOSE)


def test_a_frontier_model_without_a_justification_is_denied() -> None:
    plan = plan_of(IDEAS, requested_model="gpt-5.1", failed=(LOCAL_REFUSED,))
    assert (plan.effect, plan.reason) == (Effect.DENY, ReasonCode.JUSTIFICATION_MISSING)


@pytest.mark.parametrize("task_class", [None, "no_such_class"])
def test_a_task_without_a_class_of_the_pack_runs_nothing(task_class: str | None) -> None:
    plan = plan_of(IDEAS, task_class=task_class)
    code = ReasonCode.CLASS_NOT_IN_PACK if task_class else ReasonCode.CLASS_UNKNOWN
    assert (plan.effect, plan.reason) == (Effect.DENY, code)
    assert reasons(plan) == dict.fromkeys(OMEGA.models, code)
