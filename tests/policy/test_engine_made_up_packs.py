"""What the engine does where no shipped pack goes, told on packs made up for it (packs/)."""

import pickle
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from pointwork.contract.decision import (
    Candidate,
    Effect,
    GrantKind,
    MoveKind,
    Obligation,
    Plan,
    Trigger,
)
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.money import PriceTier
from pointwork.contract.override import Override, OverrideDuration, OverrideScope
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import EvalSignal, ReceiptKind
from pointwork.contract.task import Lane, PrivacyTier, Sensitivity, SpecFacts
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.policy.proving.situation import NOW, TASK_ID
from tests.fakes.policy_facts import Failed, Received, Situation, changed, chosen, reasons
from tests.policy.random_facts import bundle_of

OMEGA = bundle_of("omega", "embedded")
ROLES = bundle_of("roles", "rtx5090")
NUMBERS = bundle_of("numbers", "embedded")
STEPS = bundle_of("steps", "laptop")
PUBLIC = Sensitivity.PUBLIC
OUTAGE = ProviderFailureKind.OVERLOADED
PERMITS = tuple(
    Received(kind=kind)
    for kind in (ReceiptKind.EGRESS, ReceiptKind.HOSTED_FALLBACK, ReceiptKind.DATA_BOUNDARY)
)


def plan_of(bundle: PolicyBundle, task_class: str, **fields: Any) -> Plan:
    fields = {"sensitivity": PUBLIC, "conversation_id": "talk-1"} | fields
    return decide(Situation(task_class=task_class, **fields).facts(bundle), bundle)


def details(plan: Plan) -> dict[str, str]:
    return {each.model: each.detail for each in plan.rejected}


def override_of(model: str) -> Override:
    return Override(
        override_id="override-1",
        model=model,
        scope=OverrideScope.TASK,
        task_id=TASK_ID,
        starts_at=NOW,
        duration=OverrideDuration.INDEFINITE,
        reason="The board wants this one.",
        approver="ada",
        cost_impact_nano_usd=1,
        acknowledged_at=NOW,
    )


@pytest.mark.parametrize(
    ("fields", "model", "reason", "detail"),
    [
        ({"privacy_tier": PrivacyTier.LOCAL_ONLY}, "gpt-5.1", "privacy_tier", "local_only"),
        (
            {"privacy_tier": PrivacyTier.APPROVED_PRIVATE},
            "gpt-5.1",
            "privacy_tier",
            "approved_private",
        ),
        ({"residency": ("EU",)}, "gpt-5.1", "residency", "US"),
        ({"residency": ("EU",)}, "gemini-3.1-pro", "residency", "unknown region"),
        ({"marks": ("bulk", "test_data")}, "gpt-5.1", "frontier_bulk", "bulk, test_data"),
        ({"items": 150}, "gpt-5.1", "local_first_volume", "150 items"),
        ({"sensitivity": Sensitivity.SENSITIVE}, "gpt-5.1", "privacy", "sensitive"),
        (
            {"image": True, "answer_schema": True},
            "deepseek-chat",
            "capability",
            "json_schema, vision",
        ),
        ({"without_keys": ("openai",)}, "gpt-5.1", "no_credentials", "openai_api_key"),
        ({"down": ("openai",)}, "gpt-5.1", "unhealthy", "openai"),
        ({"limited_seconds": {"openai": 53}}, "gpt-5.1", "rate_limited", "until 05:07:00 UTC"),
        ({"quotas": {"openai": 0}}, "gpt-5.1", "quota_exhausted", "openai"),
        ({"budget_left": 0}, "gpt-5.1", "budget", "omega/pack/omega/day/2026-03-04"),
    ],
    ids=str,
)
def test_a_refusal_says_what_the_rule_compared(
    fields: dict[str, Any], model: str, reason: str, detail: str
) -> None:
    plan = plan_of(OMEGA, "high_stakes_logic", **fields)
    assert reasons(plan)[model] == reason
    assert details(plan)[model] == detail


def test_an_override_opens_what_only_an_escalation_would() -> None:
    before = plan_of(ROLES, "architect")
    assert reasons(before)["claude-opus-5"] is ReasonCode.ESCALATION_ONLY
    plan = plan_of(ROLES, "architect", overrides=(override_of("claude-opus-5"),))
    assert chosen(plan) == ["claude-opus-5", *chosen(before)]
    assert plan.candidates[0].trigger is Trigger.OVERRIDE
    assert "claude-opus-5" not in reasons(plan)


def test_an_override_of_the_model_that_comes_first_anyway_changes_nothing() -> None:
    before = plan_of(ROLES, "architect")
    assert plan_of(ROLES, "architect", overrides=(override_of(chosen(before)[0]),)) == before


def test_a_model_may_answer_badly_as_often_as_its_class_allows_and_no_more() -> None:
    first, second = chosen(plan_of(ROLES, "helper"))
    for tries, expected in ((1, first), (2, first), (3, second)):
        failed = (Failed(model=first),) * tries
        assert chosen(plan_of(ROLES, "helper", failed=failed))[0] == expected
    for failed in (
        (Failed(model=first, kind=OUTAGE),),
        (Failed(model=first), Failed(model=first, kind=OUTAGE)),
        (Failed(model=first), Failed(model=second, kind=OUTAGE)),
    ):
        assert first not in chosen(plan_of(ROLES, "helper", failed=failed))


def test_a_second_opinion_comes_from_another_vendor_that_may_be_asked() -> None:
    plan = plan_of(ROLES, "architect", marks=("disputed",))
    assert plan.adviser is not None
    assert plan.adviser.vendor != plan.candidates[0].vendor
    assert plan.adviser.model == "claude-sonnet-5"
    down = plan_of(ROLES, "architect", marks=("disputed",), down=("anthropic",))
    assert down.adviser is not None
    assert down.adviser.model == "gpt-5.1"
    alone = plan_of(ROLES, "architect", marks=("disputed",), down=("anthropic", "openai"))
    assert alone.adviser is None
    assert plan_of(ROLES, "architect").adviser is None


def test_an_alternative_within_a_rules_own_rung_is_named_by_what_failed() -> None:
    small = {"measures": {"changed_lines": Decimal(10)}}
    plain = plan_of(ROLES, "coder", **small).candidates[0]
    assert (plain.trigger, plain.move) == ("small_diff", None)
    other = plan_of(ROLES, "coder", failed=(Failed(model=plain.model, kind=OUTAGE),), **small)
    assert other.candidates[0].model == "ministral-3-14b"
    assert other.candidates[0].trigger is Trigger.LOCAL_UNAVAILABLE
    assert other.candidates[0].move is not None
    assert other.candidates[0].move.kind is MoveKind.FALLBACK


def test_a_question_about_no_priced_model_asks_for_no_money() -> None:
    asked: dict[str, Any] = {"privacy_tier": PrivacyTier.LOCAL_ONLY}
    held = plan_of(ROLES, "judge", **asked)
    assert held.hold_for is GrantKind.OUTSIDE_DECISION
    assert held.task_ceiling_nano_usd > 0
    unpriced = changed(ROLES, models={name: {"tiers": ()} for name in ROLES.models})
    assert plan_of(unpriced, "judge", **asked).task_ceiling_nano_usd == 0


def test_over_a_ceiling_the_next_cheaper_model_is_a_warned_downgrade() -> None:
    plan = plan_of(NUMBERS, "sorting", output_tokens=4_000)
    assert plan.candidates[0].trigger is Trigger.CEILING_OVER
    assert Obligation.WARN_DOWNGRADE in plan.obligations
    assert plan.candidates[0].move is not None
    assert plan.candidates[0].move.kind is MoveKind.DOWNGRADE


def test_a_wished_model_that_an_override_admits_is_not_refused_too() -> None:
    plan = plan_of(
        ROLES,
        "architect",
        overrides=(override_of("claude-opus-5"),),
        requested_model="claude-opus-5",
    )
    assert (plan.effect, chosen(plan)[0]) == (Effect.RUN, "claude-opus-5")


def _steps(*families: str, ceiling: int = 50_000_000, **pack: Any) -> PolicyBundle:
    """The steps pack with the class ``edit`` over ``families`` in this order; no hard stop."""
    classes = STEPS.pack.model_dump()["classes"]
    classes["edit"] |= {"rungs": [list(families)], "ceiling": ceiling}
    return changed(STEPS, pack={"classes": classes, "hard_stop": False} | pack)


PLANNING: dict[str, Any] = {"marks": ("checked", "hard"), "receipts": PERMITS, "stage": "plan"}
NEARLY_SPENT: dict[str, Any] = {"budget_spent": 2_999_900_000}
"""Enough is left for a model of the house and for no other."""


@pytest.mark.parametrize("order", [("house", "cheap", "standard"), ("standard", "cheap", "house")])
def test_a_spent_budget_leaves_the_lowest_lane_that_it_shuts(order: tuple[str, ...]) -> None:
    plan = plan_of(_steps(*order), "edit", **PLANNING, **NEARLY_SPENT, down=("openai",))
    first = plan.candidates[0]
    assert (first.trigger, first.lane) == (Trigger.BUDGET_LOW, Lane.LOCAL)
    assert first.move is not None
    assert (first.move.kind, first.move.from_lane) == (MoveKind.DOWNGRADE, Lane.CHEAP)
    assert Obligation.WARN_DOWNGRADE in plan.obligations


@pytest.mark.parametrize(
    ("ceiling", "state", "switch", "reason"),
    [
        (50_000_000, NEARLY_SPENT, {"on_budget": "deny"}, ReasonCode.BUDGET),
        (1_000_000, {}, {"on_ceiling": "block", "holds_for": []}, ReasonCode.CEILING),
    ],
)
def test_what_a_pack_does_not_downgrade_for_ends_the_task(
    ceiling: int, state: dict[str, Any], switch: dict[str, Any], reason: ReasonCode
) -> None:
    step = PLANNING | state
    downgraded = plan_of(_steps("house", "cheap", ceiling=ceiling), "edit", **step)
    assert downgraded.candidates[0].lane is Lane.LOCAL
    ended = plan_of(_steps("house", "cheap", ceiling=ceiling, **switch), "edit", **step)
    assert (ended.effect, ended.reason) == (Effect.DENY, reason)


def test_a_lane_that_only_wants_a_reason_is_told_so_whatever_other_lanes_want() -> None:
    """Models outside the route have nothing to say in why the routed ones are shut."""
    plan = plan_of(_steps("high", "premium"), "edit", **PLANNING)
    assert (plan.effect, plan.reason) == (Effect.DENY, ReasonCode.LANE_GUARD)


def test_vendors_that_failed_come_after_others_of_the_lane_but_the_house_never_does() -> None:
    before = chosen(plan_of(_steps("cheap"), "edit", **PLANNING))
    failed = (Failed(model="gpt-4o-mini", kind=OUTAGE),)
    after = chosen(plan_of(_steps("cheap"), "edit", **PLANNING, failed=failed))
    assert before == ["gpt-5.4-mini", "claude-haiku-4-5"]
    assert after == ["claude-haiku-4-5", "gpt-5.4-mini"]


@pytest.mark.parametrize(("seconds", "holds"), [(-1, True), (0, True), (1, False)])
def test_an_override_holds_from_the_moment_it_starts(seconds: int, holds: bool) -> None:
    starts = NOW + timedelta(seconds=seconds)
    override = override_of("claude-opus-5").model_copy(update={"starts_at": starts})
    plan = plan_of(ROLES, "architect", overrides=(override,))
    assert (chosen(plan)[0] == "claude-opus-5") is holds


def test_a_candidate_is_the_copy_that_pydantic_would_make_of_its_template() -> None:
    decided: dict[str, Any] = {
        "trigger": Trigger.DEFAULT,
        "estimate_nano_usd": 7,
        "ceiling_nano_usd": 8,
        "max_output_tokens": 9,
    }
    for entry in OMEGA.index.entries:
        made, copied = entry.candidate(**decided), entry.template.model_copy(update=decided)
        assert made == copied
        assert made.model_dump_json() == copied.model_dump_json()
        assert made.model_copy(deep=True) == copied
        assert pickle.loads(pickle.dumps(made)) == copied
        assert Candidate.model_validate_json(made.model_dump_json()) == made


def test_a_class_that_is_no_step_down_begins_at_the_first_that_is() -> None:
    below = changed(NUMBERS, pack={"downgrade_classes": ["drafting", "sorting"]})
    listed = ["claude-3-opus", "gpt-4o", "claude-3-5-sonnet"]
    tries = tuple(Failed(model=name) for name in listed)
    classes = below.pack.model_dump()["classes"]
    classes["research"] |= {"rungs": [["top"]]}
    plan = plan_of(changed(below, pack={"classes": classes}), "research", failed=tries)
    assert chosen(plan)[:2] == ["gpt-4o-mini", "gemini-3.5-flash-lite"]


def test_a_dear_second_choice_does_not_make_a_fallback_a_downgrade() -> None:
    """The first model is out; that the second is over its ceiling says nothing of the first."""
    dear = {
        "gpt-4o": {"tiers": tuple(_times(tier, 1_000) for tier in NUMBERS.models["gpt-4o"].tiers)}
    }
    plan = plan_of(changed(NUMBERS, models=dear), "research", down=("openrouter-anthropic",))
    first = plan.candidates[0]
    assert reasons(plan)["gpt-4o"] is ReasonCode.CEILING
    assert (first.model, first.trigger) == ("gpt-4o-mini", Trigger.NEXT_PRIORITY)
    assert first.move is not None
    assert first.move.kind is MoveKind.FALLBACK


def _times(tier: PriceTier, factor: int) -> PriceTier:
    update = {name: price * factor for name, price in tier.model_dump().items() if price}
    return tier.model_copy(update=update)


def test_a_rung_with_its_own_word_for_the_move_is_still_an_escalation_after_a_bad_answer() -> None:
    classes = ROLES.pack.model_dump()["classes"]
    classes["helper"] |= {
        "rungs": [["quick"], {"families": ["thinkers"], "trigger": "next_priority"}],
        "quality_failures_max": 1,
    }
    bundle = changed(ROLES, pack={"classes": classes})
    quick = chosen(plan_of(bundle, "helper"))
    for kind, expected in ((None, MoveKind.ESCALATION), (OUTAGE, MoveKind.FALLBACK)):
        failed = tuple(Failed(model=name, kind=kind) for name in quick)
        move = plan_of(bundle, "helper", failed=failed).candidates[0].move
        assert move is not None
        assert (move.kind, move.trigger) == (expected, Trigger.NEXT_PRIORITY)


def test_a_step_down_never_borrows_from_a_class_above() -> None:
    cheap = {"gpt-4o-mini": {"tiers": NUMBERS.models["smollm2-135m"].tiers}}
    failed = (Failed(model="claude-3-haiku"),)
    plan = plan_of(changed(NUMBERS, models=cheap), "sorting", failed=failed)
    assert chosen(plan) == ["smollm2-135m"]


@pytest.mark.parametrize(("cited", "shown"), [("", "none"), ("0.9", "0.9")])
def test_a_spec_that_cites_another_policy_is_told_what_it_cites(cited: str, shown: str) -> None:
    spec = SpecFacts(name="spec-1", policy_version=cited, roles=("architect",))
    plan = plan_of(ROLES, "architect", spec=spec)
    assert plan.reason is ReasonCode.SPEC_POLICY_MISSING
    assert set(details(plan).values()) == {f"cites {shown}, not 1.0"}


def test_a_denied_wish_leaves_every_refused_model_its_own_reason() -> None:
    plain = reasons(plan_of(OMEGA, "high_stakes_logic", down=("google",)))
    wished = plan_of(
        OMEGA, "high_stakes_logic", down=("google",), requested_model="claude-sonnet-5"
    )
    assert wished.effect is Effect.DENY
    assert reasons(wished)["gemini-3.1-pro"] is plain["gemini-3.1-pro"] is ReasonCode.UNHEALTHY
    assert reasons(wished)["gpt-5.1"] is ReasonCode.NOT_REQUESTED


@pytest.mark.parametrize(("median", "is_refused"), [(99, False), (100, False), (101, True)])
def test_a_task_may_ask_for_speed_in_a_pack_without_lanes(median: int, is_refused: bool) -> None:
    plan = plan_of(
        OMEGA,
        "high_stakes_logic",
        measures={"latency_ms_max": Decimal(100)},
        latencies={"gpt-5.1": median},
    )
    assert (reasons(plan).get("gpt-5.1") is ReasonCode.LATENCY) is is_refused
    unasked = plan_of(OMEGA, "high_stakes_logic", latencies={"gpt-5.1": median})
    assert chosen(unasked) == ["gpt-5.1"]


@pytest.mark.parametrize(
    "out",
    [
        {"without_keys": ("openai",)},
        {"down": ("openai",)},
        {"limited_seconds": {"openai": 60}},
        {"quotas": {"openai": 0}},
        {"residency": ("EU",)},
    ],
    ids=str,
)
def test_the_next_model_of_a_rung_serves_as_a_named_fallback(out: dict[str, Any]) -> None:
    eu = changed(ROLES, models={"claude-opus-5": {"residency": ("EU",)}})
    plan = plan_of(eu, "judge", **out)
    first = plan.candidates[0]
    assert (first.model, first.trigger) == ("claude-opus-5", Trigger.PROVIDER_OUTAGE)
    assert first.move is not None
    assert first.move.kind is MoveKind.FALLBACK


def test_refused_answers_of_this_task_are_a_measure_that_a_rule_may_read() -> None:
    classes = ROLES.pack.model_dump()["classes"]
    stuck = {"measure": "quality_failures", "at_least": 1}
    rule = {"trigger": "stuck", "kind": "escalation", "when": stuck, "rungs": [["writers"]]}
    classes["helper"] |= {"routes": [rule]}
    bundle = changed(ROLES, pack={"classes": classes})
    first = chosen(plan_of(bundle, "helper"))[0]
    after = plan_of(bundle, "helper", failed=(Failed(model=first),)).candidates[0]
    assert (after.family, after.trigger) == ("writers", "stuck")
    aside = plan_of(bundle, "helper", failed=(Failed(model=first, kind=OUTAGE),)).candidates[0]
    assert aside.family == "quick"


@pytest.mark.parametrize(("task_class", "is_refused"), [("edit", True), ("plan", False)])
def test_only_evaluations_of_the_tasks_own_class_count(task_class: str, is_refused: bool) -> None:
    classes = STEPS.pack.model_dump()["classes"]
    classes["edit"] |= {"eval_confidence_min": "0.50"}
    bundle = changed(STEPS, pack={"classes": classes})
    seen = EvalSignal(model="llama-3.2-1b", task_class=task_class, confidence=Decimal("0.4"))
    plan = plan_of(bundle, "edit", marks=("checked",), stage="execute", evals=(seen,))
    assert (reasons(plan).get("llama-3.2-1b") is ReasonCode.QUALITY_FLOOR) is is_refused
