"""Edges of the engine that no shipped pack's case stands on."""

from typing import Any

import pytest

from pointwork.contract.decision import Effect, FailedAttempt, Plan, Trigger
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import ReceiptKind
from pointwork.contract.task import PrivacyTier, Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.policy.engine.facts import Facts
from tests.fakes.policy_facts import Failed, Received, Situation, changed, chosen, reasons, shipped

LOCAL, SONNET = "smollm2-135m", "claude-sonnet-5"
OMEGA, CODEX = shipped("omega"), shipped("codex")
PUBLIC = Sensitivity.PUBLIC


def plan_of(bundle: PolicyBundle, task_class: str, **fields: Any) -> Plan:
    return decide(Situation(task_class=task_class, **fields).facts(bundle), bundle)


def details(plan: Plan) -> dict[str, str]:
    return {each.model: each.detail for each in plan.rejected}


@pytest.mark.parametrize(
    ("failed", "left"),
    [
        ([(LOCAL, None)], set()),
        ([(LOCAL, None), (LOCAL, None)], {LOCAL}),
        ([(LOCAL, ProviderFailureKind.TIMEOUT)], {LOCAL}),
        ([(SONNET, ProviderFailureKind.TIMEOUT), (LOCAL, None)], {SONNET}),
        ([(LOCAL, None), (SONNET, None)], {LOCAL, SONNET}),
    ],
)
def test_only_the_first_rungs_last_model_may_try_again_and_only_so_often(
    failed: list[tuple[str, ProviderFailureKind | None]], left: set[str]
) -> None:
    given = Situation(task_class="implementer").facts(CODEX)
    tries = tuple(FailedAttempt(model=model, kind=kind) for model, kind in failed)
    row = CODEX.pack.classes["implementer"]
    facts = Facts(given.model_copy(update={"failed": tries}), CODEX, "implementer", row)
    assert facts.left_models == left


def test_a_contract_for_one_personal_model_opens_no_other() -> None:
    bundle = shipped("socioprophet", "laptop")
    personal = "llama-3.2-1b-personal"
    consent = Received(kind=ReceiptKind.PERSONALISATION_CONSENT, subject="ada", task_id=None)
    for model, opens in ((personal, True), ("another-model", False)):
        contract = Received(
            kind=ReceiptKind.GOVERNANCE_CONTRACT, subject="ada", task_id=None, model=model
        )
        plan = plan_of(bundle, "triage", subject="ada", receipts=(consent, contract))
        assert (personal in chosen(plan)) is opens


@pytest.mark.parametrize(
    "out", [{"without_keys": ("openai",)}, {"down": ("openai",)}], ids=["no key", "down"]
)
def test_who_cannot_serve_gives_no_second_opinion(out: dict[str, Any]) -> None:
    asked = {"marks": ("user_requested_second_opinion",)}
    plan = plan_of(CODEX, "architect", **asked)
    assert plan.adviser is not None
    assert plan.adviser.vendor == "openai"
    assert plan_of(CODEX, "architect", **asked, **out).adviser is None


@pytest.mark.parametrize("tier", [PrivacyTier.APPROVED_PRIVATE, PrivacyTier.LOCAL_ONLY])
def test_a_refusal_names_the_tier_that_refuses(tier: PrivacyTier) -> None:
    plan = plan_of(OMEGA, "summarisation_formatting", sensitivity=PUBLIC, privacy_tier=tier)
    assert reasons(plan)["gpt-5.1"] is ReasonCode.PRIVACY_TIER
    assert details(plan)["gpt-5.1"] == tier


def test_a_class_that_begins_higher_takes_no_lower_lane() -> None:
    socioprophet = shipped("socioprophet")
    classes = socioprophet.pack.model_dump()["classes"]
    classes["triage"] |= {"lane": "standard"}
    bundle = changed(socioprophet, pack={"classes": classes})
    receipts = tuple(
        Received(kind=kind) for kind in (ReceiptKind.EGRESS, ReceiptKind.HOSTED_FALLBACK)
    )
    plan = plan_of(bundle, "triage", receipts=receipts, sensitivity=PUBLIC)
    assert reasons(plan)[LOCAL] is ReasonCode.QUALITY_FLOOR
    assert details(plan)[LOCAL] == "begins at standard"
    assert plan.candidates[0].lane == "standard"


def test_a_model_of_the_same_price_is_not_a_cheaper_one() -> None:
    juggernaut = shipped("juggernaut")
    mini = juggernaut.models["gpt-4o-mini"].tiers
    same = {name: {"tiers": mini} for name in juggernaut.models}
    bundle = changed(juggernaut, models=same)
    plan = plan_of(bundle, "normal", failed=(Failed(model="gpt-4o-mini"),))
    assert (plan.effect, plan.reason) == (Effect.DENY, ReasonCode.CANDIDATES_EXHAUSTED)


@pytest.mark.parametrize(
    ("schema", "trigger"),
    [("pointwork/pack/1", Trigger.DEFAULT), ("pointwork/pack/2", Trigger.FIRST_RUNG_OUT)],
)
def test_a_start_past_the_first_rung_is_named_in_the_newer_documents(
    schema: str, trigger: Trigger
) -> None:
    bundle = changed(OMEGA, pack={"schema_version": schema})
    plan = plan_of(bundle, "summarisation_formatting", sensitivity=PUBLIC, down=("local-gpu",))
    first = plan.candidates[0]
    assert first.trigger == trigger
    assert (first.move is None) is (schema == "pointwork/pack/1")
    if first.move is not None:
        assert first.move.evidence == (f"{LOCAL}=unhealthy",)


def test_of_two_like_refusals_the_one_nearer_to_the_task_is_shown() -> None:
    plan = plan_of(OMEGA, "bulk_generation", sensitivity=PUBLIC, marks=("bulk",))
    assert reasons(plan)["gpt-5.1"] is ReasonCode.FRONTIER_BULK
    assert details(plan)["gpt-5.1"] == "bulk"


def test_a_budget_that_holds_exactly_the_estimate_is_enough() -> None:
    asked = {"task_class": "summarisation_formatting", "sensitivity": PUBLIC}
    estimate = plan_of(OMEGA, **asked).candidates[0].estimate_nano_usd
    assert chosen(plan_of(OMEGA, **asked, budget_left=estimate)) == [LOCAL]
    short = plan_of(OMEGA, **asked, budget_left=estimate - 1)
    assert reasons(short)[LOCAL] is ReasonCode.BUDGET
