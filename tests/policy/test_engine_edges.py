"""Edges of the engine that no shipped pack stands on today: told on packs made up for it."""

from typing import Any

import pytest

from pointwork.contract.decision import Effect, Plan, Trigger
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.override import Override, OverrideDuration, OverrideScope
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import ReceiptKind
from pointwork.contract.task import PrivacyTier, Sensitivity
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


def test_after_a_bad_answer_no_model_of_the_same_price_is_tried() -> None:
    low = plan_of(NUMBERS, "drafting").candidates[-1].model
    tiers = NUMBERS.models[low].tiers
    alike = changed(NUMBERS, models={name: {"tiers": tiers} for name in NUMBERS.models})
    first = chosen(plan_of(alike, "drafting"))[0]
    plan = plan_of(alike, "drafting", failed=(Failed(model=first),))
    assert (plan.effect, chosen(plan)) == (Effect.DENY, [])


def test_a_model_below_the_lane_a_stage_begins_at_is_not_good_enough() -> None:
    step: dict[str, Any] = {"marks": ("checked",), "receipts": PERMITS, "quotas": {}}
    plan = plan_of(STEPS, "edit", stage="plan", **step)
    assert reasons(plan)["llama-3.2-1b"] is ReasonCode.QUALITY_FLOOR
    assert details(plan)["llama-3.2-1b"] == "begins at cheap"
    below = plan_of(STEPS, "edit", stage="execute", **step)
    assert chosen(below)[0] == "llama-3.2-1b"


def test_a_contract_for_one_personal_model_opens_no_other() -> None:
    personal = {"llama-3.2-1b": {"personal": True}, "llama-3.2-3b": {"personal": True}}
    bundle = changed(STEPS, models=personal)
    consent = Received(kind=ReceiptKind.PERSONALISATION_CONSENT, subject="ada")
    contract = Received(kind=ReceiptKind.GOVERNANCE_CONTRACT, model="llama-3.2-3b")
    step: dict[str, Any] = {"marks": ("checked",), "stage": "execute", "subject": "ada"}
    for receipts, opened in (
        ((consent, contract), ["llama-3.2-3b"]),
        ((consent,), []),
        ((contract,), []),
    ):
        plan = plan_of(bundle, "edit", receipts=receipts, **step)
        assert chosen(plan) == opened
        assert reasons(plan)["llama-3.2-1b"] is ReasonCode.PERSONALISATION


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
