"""What opens a lane of the socioprophet pack: grants, approvals, receipts, consent and signals."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pointwork.contract.decision import Direction, Lane, MoveKind, Obligation, Plan, Trigger
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import ReceiptKind, ResourceSignal
from pointwork.contract.task import PrivacyTier, Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from tests.fakes.policy_facts import Failed, Received, Situation, changed, chosen, reasons, shipped

LAPTOP = shipped("socioprophet", "laptop")
PACK = LAPTOP.pack
ROOT = Path(__file__).parents[2]
ONE, THREE, OWN = "llama-3.2-1b", "llama-3.2-3b", "llama-3.2-1b-personal"
EGRESS = Received(kind=ReceiptKind.EGRESS)
APPROVAL = Received(kind=ReceiptKind.HOSTED_FALLBACK)
OUT = (EGRESS, APPROVAL)
BOTH_REFUSED = (Failed(model=ONE), Failed(model=THREE))
LITTLE_ROOM = ResourceSignal(free_memory_mb=5_999, load_ratio=Decimal("0.2"))
STEP = Situation(task_class="triage")


def plan_of(bundle: PolicyBundle = LAPTOP, **fields: Any) -> Plan:
    varied = Situation.model_validate(STEP.model_dump(exclude_unset=True) | fields)
    return decide(varied.facts(bundle), bundle)


def lanes(plan: Plan) -> set[Lane]:
    return {each.lane for each in plan.candidates}


@pytest.mark.req("SP-6")
def test_the_examples_base_binding_resolves_to_a_local_profile_of_the_catalogue() -> None:
    bindings = binding_document()["bindings"]
    base = next(each for each in bindings if each["kind"] == "base_local_profile")
    found = [m for m in LAPTOP.models.values() if m.model.profile == base["profile"]]
    assert [(each.model.served_as, each.endpoint.site) for each in found] == [(ONE, "local")]


@pytest.mark.req("SP-7")
@pytest.mark.parametrize("reference", ["governance_contract_ref", "consent_ref"])
def test_a_personal_binding_without_its_reference_is_invalid(reference: str) -> None:
    schema = json.loads((ROOT / "schemas/local-personal-route-binding.schema.json").read_text())
    validator, document = Draft202012Validator(schema), binding_document()
    assert validator.is_valid(document)
    personal = next(e for e in document["bindings"] if e["kind"] == "personalization_artifact")
    del personal[reference]
    assert not validator.is_valid(document)


def binding_document() -> dict[str, Any]:
    path = ROOT / "examples/local-personal-route-binding.llama32.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.req("SP-8")
@pytest.mark.parametrize(
    "insufficient",
    [
        {"failed": (Failed(model=ONE),)},
        {"measures": {"quality_floor": Decimal(2)}},
        {"evals": [{"model": THREE, "task_class": "triage", "confidence": "0.9"}]},
    ],
)
def test_when_the_1b_is_insufficient_and_there_is_room_the_3b_is_chosen(
    insufficient: dict[str, Any],
) -> None:
    plan = plan_of(**insufficient)
    assert chosen(plan) == [THREE]


@pytest.mark.req("SP-32")
@pytest.mark.parametrize(
    ("memory_mb", "load", "has_room"),
    [(5_999, "0.80", False), (6_000, "0.80", True), (6_001, "0.79", True), (6_000, "0.81", False)],
)
def test_the_3b_serves_a_quality_miss_only_while_the_machine_has_room(
    memory_mb: int, load: str, has_room: bool
) -> None:
    room = ResourceSignal(free_memory_mb=memory_mb, load_ratio=Decimal(load))
    plan = plan_of(failed=(Failed(model=ONE),), resources=room)
    if has_room:
        assert chosen(plan) == [THREE]
        move = plan.candidates[0].move
        assert move is not None
        assert (move.kind, move.direction, move.attempt) == ("fallback", "sideways", 2)
        assert (move.from_model, move.trigger) == (ONE, Trigger.CHEAPER_FAILED)
    else:
        assert (plan.effect, reasons(plan)[THREE]) == ("deny", ReasonCode.RESOURCES)
        detail = next(each.detail for each in plan.rejected if each.model == THREE)
        assert detail == f"{memory_mb} MB free, load {load}"
    assert chosen(plan_of(resources=room))[0] == ONE, "the default needs less room"


@pytest.mark.req("SP-9")
@pytest.mark.req("SP-35")
def test_after_local_failures_a_hosted_model_serves_only_with_an_approval_on_record() -> None:
    denied = plan_of(failed=BOTH_REFUSED, receipts=(EGRESS,))
    assert (denied.effect, denied.reason) == ("deny", ReasonCode.HOSTED_NOT_APPROVED)
    plan = plan_of(failed=BOTH_REFUSED, receipts=OUT)
    assert lanes(plan) == {Lane.CHEAP}
    move = plan.candidates[0].move
    assert move is not None
    assert (move.kind, move.trigger) == (MoveKind.ESCALATION, Trigger.LANE_UP)
    assert (move.direction, move.from_model, move.attempt) == (Direction.UP, THREE, 3)


@pytest.mark.req("SP-34")
def test_without_an_egress_grant_no_candidate_is_outside_the_house() -> None:
    denied = plan_of(failed=BOTH_REFUSED, receipts=(APPROVAL,))
    assert (denied.effect, denied.reason, denied.candidates) == ("deny", "egress_denied", ())
    hosted = {each.name for each in LAPTOP.index.entries if not each.is_local}
    refused = reasons(plan_of(marks=("irreversible",), receipts=(APPROVAL,)))
    assert {refused[name] for name in hosted} == {ReasonCode.EGRESS_DENIED}


@pytest.mark.parametrize(
    ("local", "hosted"), [("1b", "3b"), ("down", "hosted"), ("down", "denied")]
)
def test_an_outage_goes_to_the_3b_then_to_an_approved_hosted_model_else_nowhere(
    local: str, hosted: str
) -> None:
    if local == "1b":
        plan = plan_of(failed=(Failed(model=ONE, kind=ProviderFailureKind.OVERLOADED),))
        assert chosen(plan) == [THREE]
        return
    plan = plan_of(down=("local-gpu",), receipts=OUT if hosted == "hosted" else ())
    if hosted == "denied":
        assert (plan.effect, plan.reason) == ("deny", ReasonCode.EGRESS_DENIED)
        return
    move = plan.candidates[0].move
    assert move is not None
    assert (move.kind, move.trigger) == (MoveKind.FALLBACK, Trigger.LOCAL_UNAVAILABLE)


@pytest.mark.req("SP-36")
@pytest.mark.parametrize("consent", [True, False])
@pytest.mark.parametrize("contract", [True, False])
def test_a_personal_artifact_needs_its_users_consent_and_a_contract(
    consent: bool, contract: bool
) -> None:
    kept = (("personalisation_consent", None, consent), ("governance_contract", OWN, contract))
    receipts = tuple(
        Received(kind=ReceiptKind(kind), subject="lena", model=model)
        for kind, model, is_there in kept
        if is_there
    )
    plan = plan_of(subject="lena", receipts=receipts)
    if consent and contract:
        assert chosen(plan) == [OWN, ONE, THREE]
        assert OWN not in chosen(plan_of(subject="ada", receipts=receipts)), "another user's"
        assert chosen(plan_of(subject="lena"))[0] == ONE, "revoked: the next decision forgets it"
    else:
        assert chosen(plan) == [ONE, THREE]
        assert reasons(plan)[OWN] is ReasonCode.PERSONALISATION


@pytest.mark.req("SP-37")
@pytest.mark.parametrize("reason", [True, False])
@pytest.mark.parametrize("receipt", [True, False])
@pytest.mark.parametrize("lane", [Lane.HIGH, Lane.PREMIUM])
def test_a_guarded_lane_opens_only_to_a_reason_on_the_list_with_its_receipt(
    reason: bool, receipt: bool, lane: Lane
) -> None:
    shown = Received(kind=ReceiptKind.LANE_ESCALATION, reason="safety_critical")
    failed = tuple(Failed(model=e.name) for e in LAPTOP.index.entries if e.lane is Lane.HIGH)
    plan = plan_of(
        marks=("safety_critical",),
        escalation_reason="safety_critical" if reason else None,
        receipts=(*OUT, shown) if receipt else OUT,
        failed=failed if lane is Lane.PREMIUM else (),
    )
    assert lanes(plan) == ({lane} if reason and receipt else set())
    if not (reason and receipt):
        names = {each.name for each in LAPTOP.index.entries if each.lane is lane}
        assert {reasons(plan)[name] for name in names} == {ReasonCode.LANE_GUARD}


def test_a_receipt_for_another_reason_opens_nothing() -> None:
    shown = Received(kind=ReceiptKind.LANE_ESCALATION, reason="governance_request")
    asked: dict[str, Any] = {"marks": ("safety_critical",)}
    asked["escalation_reason"] = "safety_critical"
    assert plan_of(**asked, receipts=(*OUT, shown)).effect == "deny"


@pytest.mark.req("SP-38")
@pytest.mark.parametrize(
    "stage", [name for name, each in PACK.stages.items() if each.after_planning]
)
def test_after_a_plan_on_high_end_a_routine_step_comes_down_with_an_event(stage: str) -> None:
    plan = plan_of(stage=stage, previous_lane=Lane.HIGH, receipts=OUT)
    assert all(each.lane.rank <= Lane.STANDARD.rank for each in plan.candidates)
    move = plan.candidates[0].move
    assert move is not None
    assert (move.kind, move.trigger) == (MoveKind.DE_ESCALATION, "de_escalated")
    assert (move.direction, move.from_lane, move.attempt) == (Direction.DOWN, Lane.HIGH, 1)
    same = plan_of(stage=stage, previous_lane=Lane.LOCAL)
    assert same.candidates[0].move is None


@pytest.mark.req("SP-41")
@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("budget", {"budgets_missing": True}),
        ("quota", {"quotas": None}),
        ("resources", {"resources": None}),
        ("latency", {"latencies": None}),
        ("provider_health", {"without_signals": ("anthropic",)}),
    ],
)
def test_a_missing_required_signal_denies_by_its_name(name: str, missing: dict[str, Any]) -> None:
    assert name in PACK.required_signals
    plan = plan_of(**missing)
    assert (plan.effect, plan.reason) == ("deny", ReasonCode.SIGNAL_MISSING)
    assert {each.detail for each in plan.rejected} == {name}
    assert plan_of().effect == "run"


@pytest.mark.req("SP-42")
def test_an_unknown_quota_shuts_high_end_and_pro_and_no_other_lane() -> None:
    unknown = dict.fromkeys(LAPTOP.index.hosted_endpoints)
    receipt = Received(kind=ReceiptKind.LANE_ESCALATION, reason="repeated_failure")
    rest: dict[str, Any] = {
        "escalation_reason": "repeated_failure",
        "receipts": (*OUT, receipt),
        "measures": {"failed_loops": Decimal(2)},
    }
    with_known, without = plan_of(**rest), plan_of(**rest, quotas=unknown)
    assert chosen(with_known) == chosen(without), "lower lanes are not affected"
    assert lanes(without) == {Lane.CHEAP}
    guarded = {e.name for e in LAPTOP.index.entries if e.lane.rank >= Lane.HIGH.rank}
    assert {reasons(without)[name] for name in guarded} == {ReasonCode.QUOTA_UNKNOWN}
    stakes = rest | {"marks": ("safety_critical",)}
    assert plan_of(**stakes).effect == "run"
    assert plan_of(**stakes, quotas=unknown).effect == "deny"


def downgrading() -> dict[str, Any]:
    """A step for the cheap lane: the 1B is not good enough, and there is no room for the 3B."""
    return {
        "measures": {"quality_floor": Decimal(2)},
        "resources": LITTLE_ROOM,
        "receipts": OUT,
    }


def spent_but(left: int) -> dict[str, Any]:
    return {"budget_spent": min(each.limit for each in PACK.budgets) - left}


@pytest.mark.parametrize("setting", ["downgrade", "deny"])
def test_with_the_budget_used_up_the_setting_denies_or_takes_a_lower_lane(setting: str) -> None:
    bundle = changed(LAPTOP, pack={"on_budget": setting})
    whole = plan_of(bundle, **downgrading())
    assert lanes(whole) == {Lane.CHEAP}
    local = plan_of().candidates[0].estimate_nano_usd
    plan = plan_of(bundle, **downgrading(), **spent_but(local))
    if setting == "deny":
        assert (plan.effect, plan.reason) == ("deny", ReasonCode.BUDGET)
        return
    assert chosen(plan) == [ONE]
    assert Obligation.WARN_DOWNGRADE in plan.obligations
    move = plan.candidates[0].move
    assert move is not None
    assert (move.kind, move.trigger, move.direction) == ("downgrade", "budget_low", "down")
    assert (move.from_lane, move.to_lane) == (Lane.CHEAP, Lane.LOCAL)
    nothing = plan_of(bundle, **downgrading(), **spent_but(local - 1))
    assert (nothing.effect, nothing.reason) == ("deny", ReasonCode.BUDGET)


def test_a_spent_budget_never_buys_a_lane_that_the_stakes_forbid() -> None:
    plan = plan_of(marks=("irreversible",), receipts=OUT, **spent_but(100_000))
    assert plan.effect == "deny"
    assert reasons(plan)[ONE] is ReasonCode.SAFETY


@pytest.mark.parametrize("level", [Sensitivity.PROPRIETARY, Sensitivity.SENSITIVE])
def test_sensitive_content_leaves_with_a_grant_and_a_data_boundary_and_never_without(
    level: Sensitivity,
) -> None:
    boundary = Received(kind=ReceiptKind.DATA_BOUNDARY)
    rest: dict[str, Any] = {"sensitivity": level, "failed": BOTH_REFUSED}
    without = plan_of(**rest, receipts=OUT)
    assert reasons(without)["gpt-5.4-mini"] is ReasonCode.DATA_BOUNDARY_MISSING
    plan = plan_of(**rest, receipts=(*OUT, boundary))
    assert lanes(plan) == {Lane.CHEAP}
    assert Obligation.REDACT in plan.obligations
    assert plan_of(**rest, receipts=(boundary,)).reason is ReasonCode.EGRESS_DENIED


@pytest.mark.parametrize(
    "tier", [{"sensitivity": "restricted"}, {"privacy_tier": PrivacyTier.LOCAL_ONLY}]
)
def test_no_receipt_lifts_restricted_or_local_only(tier: dict[str, Any]) -> None:
    every = tuple(Received(kind=kind) for kind in ReceiptKind)
    plan = plan_of(failed=BOTH_REFUSED, receipts=every, **tier)
    assert (plan.effect, plan.candidates) == ("deny", ())


def test_an_expired_receipt_opens_nothing() -> None:
    old = tuple(each.model_copy(update={"expires_in_seconds": 0}) for each in OUT)
    assert plan_of(failed=BOTH_REFUSED, receipts=old).reason is ReasonCode.EGRESS_DENIED
