"""Edges of the engine that no shipped pack's case stands on."""

from decimal import Decimal
from typing import Any

import pytest

from pointwork.contract.decision import Effect, FailedAttempt, Plan, Trigger
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import EvalSignal, ReceiptKind
from pointwork.contract.task import PrivacyTier, Sensitivity, SpecFacts
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


def test_a_wish_that_is_denied_leaves_every_other_refusal_as_it_was() -> None:
    asked = {"task_class": "summarisation_formatting", "sensitivity": PUBLIC}
    plain = plan_of(OMEGA, **asked, without_keys=("xai",))
    wished = plan_of(OMEGA, **asked, without_keys=("xai",), requested_model="gpt-5.1")
    assert wished.effect is Effect.DENY
    assert reasons(wished)["grok-4.5"] is reasons(plain)["grok-4.5"]
    assert reasons(wished)[LOCAL] is ReasonCode.NOT_REQUESTED


@pytest.mark.parametrize(("of_class", "passes"), [("synthesis", True), ("review", False)])
def test_evaluations_of_another_class_say_nothing(of_class: str, passes: bool) -> None:
    bundle = shipped("socioprophet")
    passed = EvalSignal(model=LOCAL, task_class=of_class, confidence=Decimal(1))
    poor = EvalSignal(model=LOCAL, task_class="planning", confidence=Decimal(0))
    plan = plan_of(bundle, "synthesis", evals=(passed, poor), sensitivity=PUBLIC)
    graded = plan_of(bundle, "synthesis", sensitivity=PUBLIC)
    assert (LOCAL in chosen(plan)) is (passes or LOCAL in chosen(graded))


@pytest.mark.parametrize("out", ["without_keys", "down"])
def test_planners_that_cannot_be_reached_leave_the_plan_to_the_outage_fallback(out: str) -> None:
    plan = plan_of(CODEX, "architect", **{out: ("anthropic", "openai")})
    assert chosen(plan) == ["deepseek-r2"]
    assert plan.candidates[0].trigger == Trigger.PROVIDER_OUTAGE


def test_a_class_outside_the_order_of_downgrades_still_finds_a_cheaper_model() -> None:
    order = ("code", "normal", "ops")
    bundle = changed(shipped("juggernaut"), pack={"downgrade_classes": order})
    plan = plan_of(bundle, "deep_research", failed=(Failed(model="gpt-4o"),))
    assert plan.candidates[0].trigger == Trigger.EXPENSIVE_FAILED
    assert "gpt-4o-mini" in chosen(plan)


@pytest.mark.parametrize(("most_ms", "serves"), [(899, False), (900, True), (None, True)])
def test_a_task_in_a_hurry_is_refused_slower_models_in_a_pack_without_lanes(
    most_ms: int | None, serves: bool
) -> None:
    measures = {} if most_ms is None else {"latency_ms_max": most_ms}
    plan = plan_of(
        OMEGA,
        "high_stakes_logic",
        sensitivity=PUBLIC,
        latencies={"gpt-5.1": 900},
        measures=measures,
    )
    assert ("gpt-5.1" in chosen(plan)) is serves
    if not serves:
        assert reasons(plan)["gpt-5.1"] is ReasonCode.LATENCY


@pytest.mark.parametrize(("cited", "said"), [("", "cites none"), ("1.0.0", "cites 1.0.0")])
def test_a_spec_is_told_what_it_cites(cited: str, said: str) -> None:
    spec = SpecFacts(name="specs/9.md", policy_version=cited, roles=("tutor",))
    plan = plan_of(CODEX, "tutor", spec=spec)
    assert plan.reason is ReasonCode.SPEC_POLICY_MISSING
    assert details(plan)[LOCAL] == f"{said}, not 2.0.0"
