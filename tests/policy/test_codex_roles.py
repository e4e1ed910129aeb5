"""The roles of the codex pack beside Implementer, Librarian and Curator: who serves them, when."""

import json
from typing import Any

import pytest

from pointwork.contract.decision import (
    Direction,
    Effect,
    GrantKind,
    Lane,
    Move,
    MoveKind,
    Obligation,
    Plan,
    Site,
    Trigger,
)
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import PrivacyTier, SpecFacts
from pointwork.executors.citations import check_citations
from pointwork.executors.json_contracts import check_contract
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.policy.documents.load import load_library
from pointwork.providers.origin import Origin
from tests.fakes.policy_facts import POLICIES, Failed, Granted, Situation, chosen, reasons, shipped

CODEX = shipped("codex", "rtx5090")
PACK = CODEX.pack
QWEN = "qwen3-coder-30b-a3b"
PLANNERS = ["claude-sonnet-5", "gpt-5.1"]
JUDGES = ["gpt-5.1-high", "claude-opus-5"]
DOWN = ProviderFailureKind.OVERLOADED
LOCAL_ONLY = PrivacyTier.LOCAL_ONLY
GPU_DOWN: dict[str, Any] = {"down": ("local-gpu",)}


def plan_of(role: str, bundle: PolicyBundle = CODEX, **fields: Any) -> Plan:
    session = {"conversation_id": "notebook-7"} | fields
    return decide(Situation(task_class=role, **session).facts(bundle), bundle)


def out(*models: str) -> dict[str, Any]:
    return {"failed": tuple(Failed(model=name, kind=DOWN) for name in models)}


def move_of(plan: Plan) -> Move:
    move = plan.candidates[0].move
    assert move is not None
    return move


def shape(plan: Plan) -> tuple[str, str, str]:
    move = move_of(plan)
    return move.kind, move.trigger, move.direction


@pytest.mark.req("CX-43")
@pytest.mark.parametrize("marks", [(), ("ambiguous",), ("hr_data",), ("high_volume", "speed")])
def test_a_plan_begins_in_the_cloud_without_any_trigger(marks: tuple[str, ...]) -> None:
    first = plan_of("architect", marks=marks).candidates[0]
    assert (first.model, first.site) == ("claude-sonnet-5", Site.PUBLIC_API)
    assert (first.trigger, first.move) == (Trigger.DEFAULT, None)


@pytest.mark.req("CX-4")
def test_deep_reasoning_goes_to_the_cloud_for_its_quality_per_minute() -> None:
    plan = plan_of("architect", marks=("deep_reasoning",))
    assert plan.candidates[0].site is Site.PUBLIC_API
    assert plan.factor == "quality_per_minute"


@pytest.mark.req("CX-15")
@pytest.mark.parametrize(
    ("role", "mark"),
    [("architect", "deep_reasoning"), ("implementer", "multi_file_architectural")],
)
def test_deep_planning_and_refactors_over_several_files_go_to_the_cloud(
    role: str, mark: str
) -> None:
    assert plan_of(role, marks=(mark,)).candidates[0].site is Site.PUBLIC_API


@pytest.mark.req("CX-16")
def test_planners_are_sonnet_and_gpt_and_with_both_down_deepseek() -> None:
    plan = plan_of("architect")
    assert chosen(plan) == PLANNERS
    assert [each.vendor for each in plan.candidates] == ["anthropic", "openai"]
    assert PACK.classes["architect"].table["fallback"] == "DeepSeek R2"
    for state in (out(*PLANNERS), {"down": ("anthropic", "openai")}):
        fallback = plan_of("architect", **state)
        assert chosen(fallback) == ["deepseek-r2"]
        assert shape(fallback) == (MoveKind.FALLBACK, Trigger.PROVIDER_OUTAGE, Direction.DOWN)
    move = move_of(plan_of("architect", **out(*PLANNERS)))
    assert (move.from_model, move.from_lane, move.to_lane) == ("gpt-5.1", Lane.HIGH, Lane.STANDARD)
    assert move.attempt == 3


@pytest.mark.req("CX-16")
@pytest.mark.parametrize("confidence", [None, -0.01, 1.01, "high", 0, 0.5, 1])
def test_a_plan_without_a_confidence_from_0_to_1_fails_its_contract(confidence: object) -> None:
    plan = plan_of("architect")
    assert Obligation.VERIFY_CONTRACT in plan.obligations
    assert plan.contract == "plan"
    document: dict[str, object] = {"steps": ["Move it."], "files": [], "risks": []}
    if confidence is not None:
        document["confidence"] = confidence
    is_good = isinstance(confidence, int | float) and 0 <= confidence <= 1
    assert check_contract(plan.contract, json.dumps(document)).passed is is_good
    assert not check_contract(plan.contract, "I am sure: move it.").passed


@pytest.mark.parametrize(
    ("mark", "kind"),
    [
        ("fast_draft", MoveKind.DE_ESCALATION),
        ("offline", MoveKind.FALLBACK),
        ("batch_planning", MoveKind.DE_ESCALATION),
    ],
)
def test_a_local_planner_needs_one_of_three_conditions(mark: str, kind: MoveKind) -> None:
    """The decision part of CX-44; that a draft ends only with its review is the workflow's."""
    assert plan_of("architect").candidates[0].site is Site.PUBLIC_API
    plan = plan_of("architect", marks=(mark,))
    assert chosen(plan) == [QWEN]
    assert shape(plan) == (kind, mark, Direction.DOWN)
    assert (Obligation.CLOUD_REVIEW in plan.obligations) is (mark == "fast_draft")


@pytest.mark.req("CX-19")
def test_the_tutor_is_local_in_every_fixture() -> None:
    marks = [(), *((mark,) for mark in (PACK.facts.marks if PACK.facts else ()))]
    assert len(marks) > 20
    for each in marks:
        assert chosen(plan_of("tutor", marks=each)) == [QWEN]
    for tier in PrivacyTier:
        assert chosen(plan_of("tutor", privacy_tier=tier)) == [QWEN]
    for spent in ("0", "24.90"):
        assert chosen(plan_of("tutor", budget_spent=spent)) == [QWEN]


@pytest.mark.req("CX-19")
def test_with_the_local_model_down_haiku_teaches_and_the_move_is_on_record() -> None:
    plan = plan_of("tutor", **GPU_DOWN)
    assert chosen(plan) == ["claude-haiku-4-5"]
    assert shape(plan) == (MoveKind.FALLBACK, Trigger.LOCAL_UNAVAILABLE, Direction.UP)
    assert (move_of(plan).from_lane, move_of(plan).to_lane) == (Lane.LOCAL, Lane.CHEAP)
    assert plan_of("tutor", privacy_tier=LOCAL_ONLY, **GPU_DOWN).effect is Effect.DENY


@pytest.mark.req("CX-19")
@pytest.mark.parametrize(("name", "limit"), [("session_turns", 40), ("session_minutes", 60)])
def test_a_session_over_its_cap_is_closed(name: str, limit: int) -> None:
    cap = PACK.classes["tutor"].session
    assert cap is not None
    assert limit in (cap.turns_max, cap.minutes_max)
    for value, is_open in ((limit - 1, True), (limit, True), (limit + 1, False)):
        plan = plan_of("tutor", measures={name: value})
        assert (plan.effect is Effect.RUN) is is_open
        assert is_open or plan.reason is ReasonCode.SESSION_OVER


@pytest.mark.req("CX-20")
def test_judges_are_gpt_high_and_opus_with_sonnet_and_deepseek_behind() -> None:
    plan = plan_of("judge")
    assert chosen(plan) == JUDGES
    assert plan.candidates[0].effort == "high"
    sonnet = plan_of("judge", **out(*JUDGES))
    assert chosen(sonnet) == ["claude-sonnet-5"]
    assert shape(sonnet) == (MoveKind.FALLBACK, Trigger.PROVIDER_OUTAGE, Direction.DOWN)
    deepseek = plan_of("judge", down=("openai", "anthropic"))
    assert chosen(deepseek) == ["deepseek-r2"]
    assert shape(deepseek) == (MoveKind.FALLBACK, Trigger.PROVIDER_OUTAGE, Direction.DOWN)


@pytest.mark.req("CX-20")
def test_a_verdict_without_a_budget_waits_for_its_owner() -> None:
    held = plan_of("judge", budget_spent="25.00")
    assert (held.effect, held.reason) == (Effect.HOLD, ReasonCode.BUDGET)
    assert held.hold_for is GrantKind.BUDGET
    granted: dict[str, Any] = {"grants": (Granted(kind=GrantKind.BUDGET),)}
    assert chosen(plan_of("judge", budget_spent="25.00", **granted)) == JUDGES
    assert plan_of("architect", budget_spent="25.00").effect is Effect.DENY


@pytest.mark.req("CX-20")
@pytest.mark.parametrize("evidence", [["run-7"], [], None, "run-7"])
def test_a_verdict_without_evidence_fails_its_contract(evidence: object) -> None:
    plan = plan_of("judge")
    assert Obligation.VERIFY_CONTRACT in plan.obligations
    document: dict[str, object] = {"verdict": "pass", "reasons": ["The tests pass."]}
    if evidence is not None:
        document["evidence"] = evidence
    assert check_contract(plan.contract or "", json.dumps(document)).passed is (
        evidence == ["run-7"]
    )


@pytest.mark.req("CX-21")
def test_a_synthesis_carries_a_session_and_citations() -> None:
    plan = plan_of("stage0_synth")
    assert chosen(plan) == ["notebooklm"]
    assert plan.candidates[0].vendor == "google"
    assert Obligation.VERIFY_CONTRACT in plan.obligations
    without = plan_of("stage0_synth", conversation_id=None)
    assert (without.effect, without.reason) == (Effect.DENY, ReasonCode.SESSION_MISSING)
    assert plan.contract == "cited-answer"
    for citations, passes in ((["doc-1"], True), ([], False), (["doc-9"], False)):
        text = json.dumps({"answer": "It closes at nine.", "citations": citations})
        found = check_contract(plan.contract, text).passed
        assert (found and check_citations(text, ["doc-1"]).passed) is passes


@pytest.mark.req("CX-21")
def test_with_the_synthesiser_out_the_local_one_answers_and_the_move_is_on_record() -> None:
    for state in (out("notebooklm"), {"down": ("google",)}):
        plan = plan_of("stage0_synth", **state)
        assert chosen(plan) == [QWEN]
        assert shape(plan) == (MoveKind.FALLBACK, Trigger.PROVIDER_OUTAGE, Direction.DOWN)
        assert Obligation.VERIFY_CONTRACT in plan.obligations
    assert move_of(plan_of("stage0_synth", **out("notebooklm"))).from_model == "notebooklm"


@pytest.mark.req("CX-10")
@pytest.mark.parametrize(
    ("role", "fields"),
    [
        ("architect", {}),
        ("architect", {"marks": ("high_volume",)}),
        ("judge", {}),
        ("stage0_synth", {}),
        ("implementer", {"measures": {"scope_lines": 501}}),
        ("implementer", {"marks": ("ambiguous",)}),
        ("implementer", {"marks": ("hr_tooling",)}),
    ],
)
def test_a_task_for_which_nothing_speaks_for_local_goes_to_the_cloud(
    role: str, fields: dict[str, Any]
) -> None:
    plan = plan_of(role, **fields)
    assert all(each.site is Site.PUBLIC_API for each in plan.candidates)
    assert plan.effect is Effect.RUN


@pytest.mark.req("CX-67")
def test_deepseek_is_a_public_api_at_its_own_address_under_every_host() -> None:
    for host in ("embedded", "laptop", "rtx5090"):
        models = load_library(POLICIES, host).active("codex").models.values()
        found = [each for each in models if each.model.vendor == "deepseek"]
        assert found
        for each in found:
            assert each.endpoint.site is Site.PUBLIC_API
            assert Origin.of(str(each.endpoint.base_url)) == Origin.of("https://api.deepseek.com")
            assert each.endpoint.adapter == "openai"


@pytest.mark.req("CX-66")
def test_deepseek_serves_architect_and_judge_only_in_an_outage() -> None:
    for role, own in (("architect", PLANNERS), ("judge", JUDGES)):
        healthy = plan_of(role)
        assert not {"deepseek-r2", "deepseek-chat"} & set(chosen(healthy))
        badly = plan_of(role, failed=tuple(Failed(model=name) for name in own))
        assert (badly.effect, badly.candidates) == (Effect.DENY, ())
        assert reasons(badly)["deepseek-r2"] is ReasonCode.OUTAGE_ONLY
        down = plan_of(role, down=("openai", "anthropic"))
        assert move_of(down).trigger is Trigger.PROVIDER_OUTAGE


@pytest.mark.req("CX-104")
@pytest.mark.parametrize("role", ["architect", "judge"])
@pytest.mark.parametrize("mark", ["formatting", "fast_draft", "batch_planning", "tight_loop"])
def test_a_high_risk_spec_has_a_cloud_architect_and_a_cloud_judge_or_waits(
    role: str, mark: str
) -> None:
    spec = SpecFacts(
        name="spec-1", policy_version="2.0.0", roles=("architect", "judge"), high_risk=True
    )
    plan = plan_of(role, spec=spec, marks=(mark,))
    assert plan.effect is Effect.RUN
    assert {each.site for each in plan.candidates} == {Site.PUBLIC_API}
    assert Obligation.CLOUD_JUDGE in plan.obligations
    confined: list[dict[str, Any]] = [
        {"spec": spec.model_copy(update={"local_only": True}), "marks": (mark,)},
        {"spec": spec, "marks": ("offline", mark)},
    ]
    for fields in confined:
        held = plan_of(role, **fields)
        assert (held.effect, held.reason) == (Effect.HOLD, ReasonCode.UNSATISFIABLE_LOCAL_ONLY)
        assert held.hold_for is GrantKind.OUTSIDE_DECISION
    routine = spec.model_copy(update={"high_risk": False})
    drafted = plan_of("architect", spec=routine, marks=("fast_draft",))
    assert chosen(drafted) == [QWEN]


OPINION_ROLES = ("architect", "implementer")


@pytest.mark.parametrize("role", OPINION_ROLES)
@pytest.mark.parametrize(
    "asked",
    [
        {"measures": {"confidence": "0.59"}},
        {"measures": {"failed_loops": 2}},
        {"marks": ("user_requested_second_opinion",)},
    ],
)
def test_each_of_three_conditions_alone_asks_one_adviser_of_another_vendor(
    role: str, asked: dict[str, Any]
) -> None:
    """The decision part of CX-33; that one call is made and binds nobody is the workflow's."""
    plan = plan_of(role, **asked)
    assert Obligation.SECOND_OPINION in plan.obligations
    assert plan.adviser is not None
    assert plan.adviser.site is Site.PUBLIC_API
    assert plan.adviser.vendor != plan.candidates[0].vendor


@pytest.mark.parametrize("role", OPINION_ROLES)
def test_without_any_of_them_nobody_is_asked(role: str) -> None:
    for measures in ({}, {"confidence": "0.60"}, {"failed_loops": 1}):
        plan = plan_of(role, measures=measures)
        assert plan.adviser is None
        assert Obligation.SECOND_OPINION not in plan.obligations
