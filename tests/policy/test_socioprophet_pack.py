"""The socioprophet pack: lanes, classes, stages, reasons, limits and gates as its contracts say."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pointwork.contract.decision import Direction, Lane, MoveKind, Plan, Trigger
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import ReceiptKind
from pointwork.contract.task import Risk
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.policy.documents.conditions import Condition
from pointwork.policy.reading.evidence import LANE_WORDS
from tests.fakes.policy_facts import Received, Situation, chosen, reasons, shipped

LAPTOP = shipped("socioprophet", "laptop")
PACK = LAPTOP.pack
EXAMPLES = Path(__file__).parents[2] / "examples"
ONE, THREE = "llama-3.2-1b", "llama-3.2-3b"
OUT = (Received(kind=ReceiptKind.EGRESS), Received(kind=ReceiptKind.HOSTED_FALLBACK))
"""What lets a prompt leave for a hosted model: a grant and an approval."""
STEP = Situation(task_class="triage")


def escalated(reason: str) -> dict[str, Any]:
    """A reason and its receipt, beside what a hosted lane needs."""
    receipt = Received(kind=ReceiptKind.LANE_ESCALATION, reason=reason)
    return {"escalation_reason": reason, "receipts": (*OUT, receipt)}


def plan_of(situation: Situation = STEP, bundle: PolicyBundle = LAPTOP, **fields: Any) -> Plan:
    varied = Situation.model_validate(situation.model_dump(exclude_unset=True) | fields)
    return decide(varied.facts(bundle), bundle)


def example(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXAMPLES / name).read_text())
    return found


POLICY = example("agent-execution-model-routing-policy.default.json")
OPTIMISER = example("agent-execution-budget-resource-optimizer.default.json")
CALLED = {rule.called: lane for lane, rule in PACK.lanes.items()}


@pytest.mark.req("SP-13")
def test_pack_and_contract_have_the_operating_rule_in_the_sources_words() -> None:
    rule = "Use the cheapest lane that can safely complete the next irreversible decision."
    assert (PACK.mode, POLICY["operating_rule"]) == (rule, rule)
    assert PACK.rank == "cheapest_safe_lane"


@pytest.mark.req("SP-13")
@pytest.mark.parametrize(
    "stakes",
    [{"marks": ("irreversible",)}, {"risk": Risk.HIGH}, {"stage": "irreversible_decision"}],
)
def test_an_irreversible_step_gets_the_lowest_lane_that_is_safe_for_it(
    stakes: dict[str, Any],
) -> None:
    assert chosen(plan_of(receipts=OUT)) == [ONE, THREE]
    plan = plan_of(receipts=OUT, **stakes)
    assert {each.lane for each in plan.candidates} == {Lane.STANDARD}
    for name in (ONE, THREE, "gpt-5.4-mini", "claude-haiku-4-5"):
        assert reasons(plan)[name] is ReasonCode.SAFETY
    move = plan.candidates[0].move
    assert move is not None
    assert (move.kind, move.direction) == (MoveKind.ESCALATION, Direction.UP)
    assert (move.trigger, move.from_lane, move.to_lane) == ("lane_up", "local", "standard")
    assert move.attempt == 1
    assert move.evidence[0].startswith("safety: ")


@pytest.mark.req("SP-14")
def test_the_lanes_are_the_contracts_six_in_their_order_of_cost() -> None:
    words = ["no-model", "local-cheap", "cheap", "standard", "high-end", "pro"]
    assert [PACK.lanes[lane].called for lane in Lane] == words
    assert list(LANE_WORDS.values()) == words
    assert [each["name"] for each in POLICY["lanes"]] == words


@pytest.mark.req("SP-15")
def test_a_step_with_a_deterministic_solver_has_no_model_among_its_candidates() -> None:
    plan = plan_of(marks=("deterministic_solver",))
    assert [(each.model, each.lane, each.kind) for each in plan.candidates] == [
        ("stage0-retrieval", "none", "retrieval")
    ]
    assert plan.candidates[0].estimate_nano_usd == 0
    without = plan_of()
    assert "stage0-retrieval" not in chosen(without)
    assert reasons(without)["stage0-retrieval"] is ReasonCode.LANE_CLOSED


@pytest.mark.req("SP-16")
def test_each_class_has_the_default_lane_of_the_contract() -> None:
    listed = {each["name"]: CALLED[each["default_lane"]] for each in POLICY["task_classes"]}
    assert {name: row.lane for name, row in PACK.classes.items()} == listed
    assert {stage for each in POLICY["task_classes"] for stage in each["chain_stages"]} == set(
        PACK.stages
    )


@pytest.mark.req("SP-17")
def test_each_stage_has_the_default_and_the_maximum_lane_of_the_contract() -> None:
    listed = {
        each["name"]: (CALLED[each["default_lane"]], CALLED[each["maximum_lane"]])
        for each in POLICY["chain_stages"]
    }
    assert {name: (each.lane, each.lane_max) for name, each in PACK.stages.items()} == listed


@pytest.mark.req("SP-17")
@pytest.mark.parametrize("stage", PACK.stages)
def test_a_stage_never_goes_past_its_maximum_lane(stage: str) -> None:
    top = PACK.stages[stage].lane_max
    plan = plan_of(stage=stage, marks=("safety_critical",), **escalated("safety_critical"))
    allowed = {Lane.HIGH} if top.rank >= Lane.HIGH.rank else set()
    assert {each.lane for each in plan.candidates} == allowed
    if not allowed:
        assert reasons(plan)["claude-sonnet-5"] is ReasonCode.LANE_ABOVE_STAGE


def test_a_stage_that_the_pack_does_not_name_is_denied() -> None:
    assert plan_of(stage="encore").reason is ReasonCode.STAGE_UNKNOWN


@pytest.mark.req("SP-18")
def test_the_reasons_for_escalation_are_the_contracts_and_any_other_is_refused() -> None:
    listed = tuple(each["name"] for each in POLICY["escalation"]["reasons"])
    assert listed == PACK.escalation_reasons
    for reason in listed:
        assert plan_of(**escalated(reason)).reason is None
    plan = plan_of(**escalated("because_we_can"))
    assert (plan.effect, plan.reason) == ("deny", ReasonCode.ESCALATION_REASON_UNKNOWN)


@pytest.mark.req("SP-19")
@pytest.mark.parametrize("lane", [lane for lane in Lane if PACK.lanes[lane].context_tokens_max])
def test_a_lane_takes_its_limit_of_tokens_and_refuses_one_more(lane: Lane) -> None:
    """Read and written tokens count together; the refusal says how many of how many."""
    limit = PACK.lanes[lane].context_tokens_max or 0
    models = [each.name for each in LAPTOP.index.entries if each.lane is lane]
    for tokens, is_refused in ((limit - 1, False), (limit, False), (limit + 1, True)):
        step = STEP.model_copy(update={"output_tokens": 500})
        measures = {"context_tokens": Decimal(tokens - 500)}
        plan = plan_of(step, measures=measures, **escalated("context_exceeds_local"))
        refused = [each for each in plan.rejected if each.model in models]
        over = {each.model for each in refused if each.reason is ReasonCode.LANE_CONTEXT}
        assert bool(over) == is_refused, (lane, tokens)
        for each in refused:
            if each.reason is ReasonCode.LANE_CONTEXT:
                assert each.detail == f"{tokens} of {limit} tokens"


@pytest.mark.req("SP-20")
@pytest.mark.parametrize("tool", ["read", "test", "write", "execute", "network"])
def test_a_lane_without_the_right_to_a_tool_is_closed_to_a_step_that_wants_it(tool: str) -> None:
    plan = plan_of(tools=(tool,), marks=("deterministic_solver",), **escalated("safety_critical"))
    with_right = {lane for lane, rule in PACK.lanes.items() if tool in rule.tools}
    refused = {each.model for each in plan.rejected if each.reason is ReasonCode.LANE_TOOLS}
    for each in LAPTOP.index.entries:
        if each.lane not in with_right and not each.is_personal:
            assert each.name in refused
    assert {each.lane for each in plan.candidates} == {min(with_right, key=lambda a: a.rank)}


@pytest.mark.req("SP-20")
@pytest.mark.parametrize("tool", PACK.guarded_tools)
def test_a_tool_that_writes_or_reaches_out_needs_the_guardrails_word(tool: str) -> None:
    heard = plan_of(tools=(tool,), **escalated("safety_critical"))
    assert heard.effect == "run"
    unheard = plan_of(tools=(tool,), guardrail=None, **escalated("safety_critical"))
    assert unheard.effect == "deny"
    named = {"write", "network"}
    assert set(PACK.guarded_tools) == named
    assert POLICY["tool_policy"]["on_no_decision"] == "deny"


@pytest.mark.req("SP-20")
def test_tools_of_a_prompt_whose_rights_nobody_states_may_do_anything() -> None:
    stated = plan_of(tools=("read",), offers_tools=True, **escalated("safety_critical"))
    assert stated.effect == "run"
    unstated = plan_of(offers_tools=True, **escalated("safety_critical"))
    assert unstated.effect == "deny"
    shut = {each.detail for each in unstated.rejected if each.reason is ReasonCode.LANE_TOOLS}
    assert "execute, network, test, write" in shut


def test_lanes_limits_rights_and_guards_are_the_contracts_own() -> None:
    for each in POLICY["lanes"]:
        rule, needs = PACK.lanes[CALLED[each["name"]]], each["requires"]
        assert rule.context_tokens_max == each["context_tokens_max"]
        assert list(rule.tools) == each["tool_rights"]
        assert rule.latency_ms_max == OPTIMISER["latency_ceilings_ms"][each["name"]]
        assert rule.guard.needs_reason == needs["escalation_reason"]
        assert rule.guard.needs_receipt == needs["receipt"]
        assert rule.guard.needs_known_quota == needs["known_quota"]
        hosted = each["site"] == "hosted"
        assert needs["egress_grant"] == needs["policy_approval"] == hosted
        entries = [e for e in LAPTOP.index.entries if e.lane is CALLED[each["name"]]]
        assert {e.is_local for e in entries} == {not hosted}
    guarded = [rule.called for rule in PACK.lanes.values() if rule.guard.needs_receipt]
    assert guarded == POLICY["escalation"]["guarded_lanes"]


def test_defaults_de_escalation_and_verification_are_the_contracts_own() -> None:
    assert POLICY["defaults"] == {"order": "local_first", "prompt_egress": "deny"}
    assert (PACK.privacy.egress_default, PACK.privacy.hosted_needs_approval) == ("deny", True)
    coming_down = POLICY["de_escalation"]
    stages = {name: each for name, each in PACK.stages.items() if each.after_planning}
    assert set(stages) == set(coming_down["applies_to"])
    top = CALLED[coming_down["maximum_lane"]]
    assert all(each.lane_max.rank <= top.rank for each in stages.values())
    assert coming_down["event"] == Trigger.DE_ESCALATED
    assert PACK.verification == (POLICY["verification"]["default"],)
    assert PACK.prompt_evidence == POLICY["evidence"]["prompt_evidence"]
    irreversible = {each["name"] for each in POLICY["chain_stages"] if each["irreversible"]}
    safety = next(each.when for each in PACK.lane_floors if each.reason == "safety")
    assert {each.stage for each in safety.any_of if each.stage} == irreversible
    assert Condition(high_risk=True) in safety.any_of


def test_signals_floors_and_thresholds_are_the_optimisers_own() -> None:
    assert list(PACK.required_signals) == [each["name"] for each in OPTIMISER["required_signals"]]
    assert {each["on_missing"] for each in OPTIMISER["required_signals"]} == {"deny"}
    assert PACK.on_budget == OPTIMISER["on_budget_exhausted"]
    floors = {
        each["task_class"]: Decimal(str(each["evaluation_pass_ratio_min"]))
        for each in OPTIMISER["quality_floors"]
    }
    assert {name: row.eval_confidence_min for name, row in PACK.classes.items()} == floors
    by_urn = {each.model.profile: each.model for each in LAPTOP.models.values()}
    for each in OPTIMISER["local_profiles"]:
        needs = by_urn[each["profile"]].host_needs
        assert needs is not None
        assert needs.free_memory_mb == each["free_memory_mb_min"]
        load = each.get("load_ratio_max")
        assert needs.load_ratio_max == (None if load is None else Decimal(str(load)))


def test_the_switches_are_the_packs_column_of_the_table() -> None:
    assert (PACK.on_quality_failure, PACK.on_ceiling) == ("up", "downgrade")
    assert PACK.on_budget == "downgrade"
    assert (PACK.privacy.sensitive, PACK.privacy.redact_before_egress) == ("data_boundary", True)
    assert (PACK.metrics_feedback, PACK.policy_change) == ("eval_confidence", "release_review")
    assert (PACK.holds_for, PACK.cache, PACK.batch, PACK.overlay) == ((), None, None, None)
    assert PACK.release_required
    assert all(row.parallel is None for row in PACK.classes.values())


@pytest.mark.req("SP-31")
@pytest.mark.parametrize(
    "purpose", ["router", "triage", "summarization", "summarisation", "summarize"]
)
def test_router_triage_and_summarisation_resolve_to_the_laptop_safe_profile(purpose: str) -> None:
    plan = plan_of(task_class=PACK.task_types[purpose])
    model = LAPTOP.models[plan.candidates[0].model].model
    assert model.profile == "urn:srcos:model-profile:local-llama32-1b"


@pytest.mark.req("SP-33")
@pytest.mark.parametrize("name", [name for name in PACK.classes if name != "irreversible_decision"])
@pytest.mark.parametrize("receipts", [(), OUT])
def test_without_hints_a_task_stays_without_a_model_or_on_this_machine(
    name: str, receipts: tuple[Received, ...]
) -> None:
    plan = plan_of(task_class=name, receipts=receipts)
    assert {each.lane for each in plan.candidates} == {Lane.LOCAL}
    assert plan.candidates[0].move is None
    solved = plan_of(task_class=name, receipts=receipts, marks=("deterministic_solver",))
    assert {each.lane for each in solved.candidates} == {Lane.NONE}


@pytest.mark.req("SP-33")
def test_an_irreversible_decision_begins_locally_once_evaluations_bear_a_local_model_out() -> None:
    name = "irreversible_decision"
    assert plan_of(task_class=name).reason is ReasonCode.EGRESS_DENIED
    passed = [{"model": THREE, "task_class": name, "confidence": "0.95"}]
    assert chosen(plan_of(task_class=name, evals=passed)) == [THREE]


@pytest.mark.parametrize(
    ("confidence", "is_refused"), [("0.59", True), ("0.60", False), ("1", False)]
)
def test_a_model_below_the_classs_evaluation_floor_is_refused(
    confidence: str, is_refused: bool
) -> None:
    evals = [
        {"model": ONE, "task_class": "triage", "confidence": confidence},
        {"model": THREE, "task_class": "triage", "confidence": "0.9"},
    ]
    plan = plan_of(evals=evals)
    assert chosen(plan) == ([THREE] if is_refused else [ONE, THREE])
    one_alone = plan_of(evals=evals[:1], receipts=OUT)
    assert THREE not in chosen(one_alone), "never evaluated, so it passed nothing"


def test_a_fact_that_the_pack_does_not_declare_is_refused() -> None:
    assert plan_of(marks=("irreversable",)).reason is ReasonCode.FACT_UNKNOWN
    assert plan_of(measures={"latency": Decimal(1)}).reason is ReasonCode.FACT_UNKNOWN


def test_every_owner_of_the_responsibility_table_is_named_with_what_it_owns() -> None:
    assert [each.split("/")[1] for each in PACK.responsibilities] == [
        "sourceos-model-carry",
        "model-governance-ledger",
        "socios",
        "model-router",
        "agentplane",
        "guardrail-fabric",
        "policy-fabric",
    ]
