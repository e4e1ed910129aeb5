"""The optimiser's ten constraints, the nine dimensions, and the evidence of every decision."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from pointwork.contract.decision import DecisionRecord, Lane, Plan
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import GuardrailVerdict, ReceiptKind
from pointwork.contract.task import Sensitivity
from pointwork.policy.decide import decide
from pointwork.policy.engine.constraints import constraint_of
from pointwork.policy.reading.dimensions import DIMENSIONS, nine_dimensions
from pointwork.policy.reading.evidence import evidence_of, urn_of
from tests.fakes.policy_facts import NOW, Failed, Received, Situation, chosen, reasons, shipped

LAPTOP = shipped("socioprophet", "laptop")
PACK = LAPTOP.pack
ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "schemas/route-evidence.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=FormatChecker())
ONE, THREE = "llama-3.2-1b", "llama-3.2-3b"
LOCAL_FAILED = (Failed(model=ONE), Failed(model=THREE))
OUT = (Received(kind=ReceiptKind.EGRESS), Received(kind=ReceiptKind.HOSTED_FALLBACK))
PARTS = (
    "route_decision",
    "escalation_receipts",
    "budget_decision",
    "resource_snapshot",
    "quota_snapshot",
    "candidate_set",
    "runtime_health",
    "cost_class",
    "context_policy",
    "tool_policy",
    "governance_references",
)
CHEAP_ENDPOINTS = ("openai", "anthropic", "google")
STANDARD = ("deepseek-chat", "kimi-k2-thinking")


def record_of(**fields: Any) -> DecisionRecord:
    situation = Situation.model_validate({"task_class": "triage"} | fields)
    asked = situation.facts(LAPTOP)
    return DecisionRecord(
        decision_id="task-1/1",
        task_id="task-1",
        input=asked,
        plan=decide(asked, LAPTOP),
        decided_at=NOW,
    )


def evidence(**fields: Any) -> dict[str, Any]:
    found = evidence_of(record_of(**fields), None, LAPTOP)
    assert [each.message for each in VALIDATOR.iter_errors(found)] == []
    return found


def against(plan: Plan, *names: str) -> set[str]:
    """The constraints that refuse ``names``."""
    return {constraint_of(reasons(plan)[name]) for name in names}


HOSTED: dict[str, Any] = {"receipts": OUT, "failed": LOCAL_FAILED}
"""A step that the cheap lane serves."""
SLOW = dict.fromkeys((ONE, THREE), 10_001)

VIOLATIONS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...], set[Lane]]] = {
    "policy": (
        HOSTED,
        {"stage": "intake"},
        ("gpt-5.4-mini", *STANDARD),
        set(),
    ),
    "privacy": (HOSTED, {"sensitivity": Sensitivity.SENSITIVE}, ("gpt-5.4-mini",), set()),
    "safety": ({"receipts": OUT}, {"marks": ("irreversible",)}, (ONE, THREE), {Lane.STANDARD}),
    "quality_floor": (
        {"receipts": OUT},
        {"measures": {"failed_loops": Decimal(2)}},
        (ONE, THREE),
        {Lane.CHEAP},
    ),
    "budget_ceiling": (
        HOSTED,
        {"budget_spent": PACK.budgets[0].limit},
        ("gpt-5.4-mini", *STANDARD),
        set(),
    ),
    "local_resource_health": (
        {"receipts": OUT},
        {"resources": {"free_memory_mb": 1_999, "load_ratio": "0.2"}},
        (ONE, THREE),
        {Lane.CHEAP},
    ),
    "provider_quota": (
        HOSTED,
        {"quotas": dict.fromkeys(CHEAP_ENDPOINTS, 0)},
        ("gpt-5.4-mini",),
        {Lane.STANDARD},
    ),
    "provider_health": (HOSTED, {"down": CHEAP_ENDPOINTS}, ("gpt-5.4-mini",), {Lane.STANDARD}),
    "latency": ({"receipts": OUT}, {"latencies": SLOW}, (ONE, THREE), {Lane.CHEAP}),
    "deterministic_verification": (
        {"receipts": OUT},
        {"marks": ("no_deterministic_check",)},
        (ONE, THREE),
        {Lane.CHEAP},
    ),
}


@pytest.mark.req("SP-26")
@pytest.mark.parametrize("constraint", VIOLATIONS)
def test_violating_one_constraint_changes_the_lane_or_is_named_by_the_denial(
    constraint: str,
) -> None:
    before, violated, names, lanes = VIOLATIONS[constraint]
    sound = record_of(**before).plan
    assert sound.effect == "run"
    assert {each.lane for each in sound.candidates} != lanes
    plan = record_of(**before, **violated).plan
    assert {each.lane for each in plan.candidates} == lanes
    assert against(plan, *names) == {constraint}
    settled = evidence(**before, **violated)["route_decision"]["determining_constraints"]
    assert constraint in settled


def test_the_ten_constraints_are_the_optimisers_and_every_reason_has_one() -> None:
    path = ROOT / "examples/agent-execution-budget-resource-optimizer.default.json"
    listed = [each["name"] for each in json.loads(path.read_text())["constraints"]]
    assert list(VIOLATIONS) == listed
    assert {constraint_of(code) for code in ReasonCode} == set(listed)


@pytest.mark.parametrize(("ms", "is_refused"), [(9_999, False), (10_000, False), (10_001, True)])
def test_a_lanes_latency_ceiling_refuses_one_millisecond_more(ms: int, is_refused: bool) -> None:
    plan = record_of(latencies={ONE: ms}).plan
    assert (ONE not in chosen(plan)) == is_refused
    asked = record_of(latencies={ONE: 5_001}, measures={"latency_ms_max": Decimal(5_000)}).plan
    assert reasons(asked)[ONE] is ReasonCode.LATENCY


@pytest.mark.req("SP-1")
def test_every_decision_is_explained_in_each_of_the_nine_dimensions() -> None:
    evals = [{"model": ONE, "task_class": "triage", "confidence": "0.75"}]
    record = record_of(evals=evals, latencies={ONE: 900}, subject="lena", sensitivity="internal")
    assert nine_dimensions(record.input, record.plan, LAPTOP) == {
        "site": "local",
        "size": "small",
        "cost": {
            "cost_class": "lowest",
            "estimate_nano_usd": record.plan.candidates[0].estimate_nano_usd,
            "ceiling_nano_usd": 50_000_000,
        },
        "latency": {"median_ms": 900, "limit_ms": 10_000},
        "quality": {"grade": 1, "floor": 1},
        "privacy": {
            "sensitivity": "internal",
            "tier": "any",
            "egress_default": "deny",
            "egress_granted": False,
            "leaves_the_house": False,
        },
        "fallback": [],
        "personalisation": {"subject": "lena", "model": None, "lacking": ["consent"]},
        "eval_confidence": {"passed": "0.75", "least": "0.60"},
    }


SITUATIONS = st.builds(
    Situation,
    task_class=st.none() | st.sampled_from((*PACK.classes, "no_such_class")),
    marks=st.lists(st.sampled_from((*(PACK.facts.marks if PACK.facts else ()), "odd")), max_size=3),
    measures=st.dictionaries(
        st.sampled_from(("failed_loops", "context_tokens", "quality_floor", "latency_ms_max")),
        st.integers(0, 500_000).map(Decimal),
        max_size=2,
    ),
    stage=st.none() | st.sampled_from((*PACK.stages, "encore")),
    previous_lane=st.none() | st.sampled_from(list(Lane)),
    escalation_reason=st.none() | st.sampled_from((*PACK.escalation_reasons, "because")),
    tools=st.lists(st.sampled_from(("read", "write", "execute", "network", "odd")), max_size=2),
    subject=st.none() | st.just("lena"),
    sensitivity=st.none() | st.sampled_from(list(Sensitivity)),
    requested_model=st.none() | st.sampled_from((*LAPTOP.models, "no-such-model")),
    failed=st.lists(st.builds(Failed, model=st.sampled_from(tuple(LAPTOP.models))), max_size=3),
    receipts=st.lists(
        st.builds(
            Received,
            kind=st.sampled_from(list(ReceiptKind)),
            reason=st.none() | st.sampled_from(PACK.escalation_reasons),
            subject=st.none() | st.just("lena"),
            model=st.none() | st.just("llama-3.2-1b-personal"),
            expires_in_seconds=st.sampled_from((-1, 3_600)),
        ),
        max_size=5,
    ).map(tuple),
    quotas=st.none()
    | st.dictionaries(st.sampled_from(CHEAP_ENDPOINTS), st.none() | st.integers(0, 3)),
    without_keys=st.lists(st.sampled_from(CHEAP_ENDPOINTS), max_size=1).map(tuple),
    down=st.lists(st.sampled_from((*CHEAP_ENDPOINTS, "local-gpu")), max_size=2).map(tuple),
    guardrail=st.none() | st.sampled_from(list(GuardrailVerdict)),
    budget_spent=st.none() | st.integers(0, 20_000_000_000),
    budgets_missing=st.booleans(),
    without_signals=st.just(()) | st.just(("openai",)),
)


@pytest.mark.req("SP-1")
@pytest.mark.req("SP-44")
@settings(max_examples=400, deadline=None)
@given(situation=SITUATIONS)
def test_every_decision_denials_included_has_all_dimensions_and_valid_evidence(
    situation: Situation,
) -> None:
    asked = situation.facts(LAPTOP)
    plan = decide(asked, LAPTOP)
    record = DecisionRecord(
        decision_id="task-1/1", task_id="task-1", input=asked, plan=plan, decided_at=NOW
    )
    found = evidence_of(record, None, LAPTOP)
    assert [each.message for each in VALIDATOR.iter_errors(found)] == []
    assert set(PARTS) <= set(found)
    assert tuple(nine_dimensions(asked, plan, LAPTOP)) == DIMENSIONS


@pytest.mark.req("SP-32")
def test_a_denial_for_want_of_room_shows_the_resources_it_saw() -> None:
    room = {"free_memory_mb": 1_999, "load_ratio": "0.91"}
    found = evidence(resources=room)
    assert found["route_decision"]["outcome"] == "deny"
    snapshot = found["resource_snapshot"]
    assert (snapshot["free_memory_mb"], snapshot["load_ratio"]) == (1_999, 0.91)


def test_evidence_holds_a_keyed_digest_of_the_prompt_and_no_words_of_a_person() -> None:
    found = evidence(justification="The board decides on it.", subject="lena")
    text = json.dumps(found)
    assert (found["prompt_digest"], found["prompt_bytes"]) == ("a" * 64, 400)
    assert "board" not in text
    assert "lena" not in text


def test_a_missing_signal_is_named_in_the_evidence_of_the_denial() -> None:
    assert evidence(quotas=None)["route_decision"]["reason_code"] == "signal_missing:quota"


def test_a_receipt_that_is_no_urn_is_named_by_one() -> None:
    assert urn_of("receipt", "urn:srcos:receipt:a-1") == "urn:srcos:receipt:a-1"
    assert urn_of("receipt", "../a b") == "urn:pointwork:receipt:a-b"
