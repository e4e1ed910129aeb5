"""Librarian and Curator of the codex pack, the only roles that use Kimi, and only by escalation."""

from typing import Any

import pytest

from pointwork.contract.decision import Direction, Effect, Lane, Move, MoveKind, Plan, Trigger
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import PrivacyTier
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from tests.fakes.policy_facts import Failed, Situation, changed, chosen, reasons, shipped

CODEX = shipped("codex", "rtx5090")
PACK = CODEX.pack
QWEN = "qwen3-coder-30b-a3b"
INSTRUCT, THINKING, TURBO = "Kimi-K2-Instruct-0905", "kimi-k2-thinking", "kimi-k2-thinking-turbo"
K2 = (INSTRUCT, THINKING, TURBO)
LEGACY = "moonshot-v1-128k"
KIMI = {*K2, LEGACY}
DOWN = ProviderFailureKind.OVERLOADED
PREDICATES: dict[str, dict[str, Any]] = {
    "context_over_100k": {"measures": {"context_tokens": 100_001}},
    "contradictions_detected": {"marks": ("contradictions_detected",)},
    "tool_heavy": {"marks": ("tool_heavy",)},
    "full_sweep": {"marks": ("full_sweep",)},
    "low_synth_confidence": {"measures": {"local_synth_confidence": "0.69"}},
}
"""The Librarian's five, each alone, by hand from the policy."""


def plan_of(role: str = "librarian", bundle: PolicyBundle = CODEX, **fields: Any) -> Plan:
    return decide(Situation(task_class=role, **fields).facts(bundle), bundle)


def move_of(plan: Plan) -> Move:
    move = plan.candidates[0].move
    assert move is not None
    return move


def assert_escalates(plan: Plan, model: str, trigger: str) -> None:
    move = move_of(plan)
    assert chosen(plan) == [model]
    assert (move.kind, move.trigger, move.direction) == (
        MoveKind.ESCALATION,
        trigger,
        Direction.UP,
    )
    assert (move.from_lane, move.to_lane, move.attempt) == (Lane.LOCAL, Lane.STANDARD, 1)
    assert move.evidence


@pytest.mark.req("CX-18")
def test_routine_cleanup_is_local_and_a_slow_local_model_opens_no_kimi() -> None:
    assert chosen(plan_of()) == [QWEN]
    table = PACK.classes["librarian"].table
    assert (table["default"], table["fallback"]) == (
        "local 8-14B synth",
        "Kimi K2, by escalation only",
    )
    slow: list[dict[str, Any]] = [
        {"latencies": {QWEN: 3_600_000}},
        {"down": ("local-gpu",)},
        {"failed": (Failed(model=QWEN),)},
        {"failed": (Failed(model=QWEN, kind=ProviderFailureKind.TIMEOUT),)},
        {"marks": ("speed",)},
        {"marks": ("deep_reasoning",)},
        {"marks": ("high_volume", "tight_loop")},
    ]
    for fields in slow:
        plan = plan_of(**fields)
        assert not KIMI & set(chosen(plan))
        assert {reasons(plan)[name] for name in KIMI} == {ReasonCode.ESCALATION_ONLY}


@pytest.mark.req("CX-53")
def test_over_100_000_tokens_the_librarian_escalates() -> None:
    for tokens in (99_999, 100_000):
        assert chosen(plan_of(measures={"context_tokens": tokens})) == [QWEN]
        assert chosen(plan_of(input_bytes=3 * tokens)) == [QWEN]
    plan = plan_of(measures={"context_tokens": 100_001})
    assert_escalates(plan, INSTRUCT, "context_over_100k")
    assert_escalates(plan_of(input_bytes=300_001), INSTRUCT, "context_over_100k")


@pytest.mark.parametrize(
    ("mark", "model"),
    [
        pytest.param(
            "contradictions_detected", INSTRUCT, marks=pytest.mark.req("CX-54"), id="CX-54"
        ),
        pytest.param("tool_heavy", THINKING, marks=pytest.mark.req("CX-55"), id="CX-55"),
        pytest.param("full_sweep", INSTRUCT, marks=pytest.mark.req("CX-56"), id="CX-56"),
    ],
)
def test_each_predicate_alone_escalates_the_librarian(mark: str, model: str) -> None:
    assert chosen(plan_of()) == [QWEN]
    assert_escalates(plan_of(marks=(mark,)), model, mark)


@pytest.mark.req("CX-57")
def test_a_synthesis_confidence_below_the_threshold_escalates_and_at_it_does_not() -> None:
    for confidence in ("0.70", "0.71"):
        assert chosen(plan_of(measures={"local_synth_confidence": confidence})) == [QWEN]
    for confidence in ("0.699999", "0"):
        plan = plan_of(measures={"local_synth_confidence": confidence})
        assert_escalates(plan, INSTRUCT, "low_synth_confidence")


@pytest.mark.req("CX-58")
@pytest.mark.parametrize("trigger", sorted(set(PREDICATES) - {"tool_heavy"}))
def test_an_escalation_without_a_hint_goes_to_the_instruct_model(trigger: str) -> None:
    assert_escalates(plan_of(**PREDICATES[trigger]), INSTRUCT, trigger)


@pytest.mark.req("CX-59")
@pytest.mark.parametrize("trigger", sorted(set(PREDICATES) - {"tool_heavy"}))
def test_many_tools_or_deep_reasoning_go_to_the_thinking_model(trigger: str) -> None:
    assert_escalates(plan_of(marks=("tool_heavy",)), THINKING, "tool_heavy")
    hinted = with_mark(PREDICATES[trigger], "deep_reasoning")
    assert_escalates(plan_of(**hinted), THINKING, "deep_reasoning")
    tools = with_mark(PREDICATES[trigger], "tool_heavy")
    assert_escalates(plan_of(**tools), THINKING, "tool_heavy")


def with_mark(fields: dict[str, Any], mark: str) -> dict[str, Any]:
    return fields | {"marks": (*fields.get("marks", ()), mark)}


@pytest.mark.req("CX-60")
@pytest.mark.parametrize("trigger", PREDICATES)
def test_haste_goes_to_the_turbo_model_which_costs_more(trigger: str) -> None:
    plan = plan_of(**with_mark(PREDICATES[trigger], "speed"))
    assert_escalates(plan, TURBO, "speed")
    assert len(move_of(plan).evidence) == 2
    (fast,), (plain,) = CODEX.models[TURBO].tiers, CODEX.models[THINKING].tiers
    assert fast.input_per_mtok > plain.input_per_mtok
    assert fast.output_per_mtok > plain.output_per_mtok


@pytest.mark.req("CX-61")
@pytest.mark.parametrize(
    ("role", "mark"),
    [
        ("librarian", "full_sweep"),
        ("librarian", "tool_heavy"),
        ("ace_curator", "interesting_failure"),
    ],
)
def test_the_legacy_model_serves_once_every_k2_model_is_unavailable(role: str, mark: str) -> None:
    retired = changed(CODEX, models={name: {"retired_on": "2026-01-01"} for name in K2})
    gone = plan_of(role, retired, marks=(mark,))
    failed = plan_of(role, marks=(mark,), failed=tuple(Failed(model=n, kind=DOWN) for n in K2))
    for plan, direction in ((gone, Direction.UP), (failed, Direction.SIDEWAYS)):
        move = move_of(plan)
        assert chosen(plan) == [LEGACY]
        assert (move.kind, move.trigger) == (MoveKind.FALLBACK, Trigger.PROVIDER_OUTAGE)
        assert (move.direction, move.to_lane) == (direction, Lane.STANDARD)
    assert move_of(failed).from_model == TURBO
    for left in K2:
        others = tuple(Failed(model=name, kind=DOWN) for name in K2 if name != left)
        assert chosen(plan_of(role, marks=(mark,), failed=others)) == [left]
    refused = plan_of(role, marks=(mark,), failed=tuple(Failed(model=name) for name in K2))
    assert refused.effect is Effect.DENY
    assert reasons(refused)[LEGACY] is ReasonCode.OUTAGE_ONLY


@pytest.mark.req("CX-23")
def test_routine_curation_is_local_and_only_an_interesting_failure_opens_kimi() -> None:
    marks = set(PACK.facts.marks if PACK.facts else ()) - {"interesting_failure"}
    assert len(marks) > 20
    for mark in sorted(marks):
        assert chosen(plan_of("ace_curator", marks=(mark,))) == [QWEN]
    for fields in (*PREDICATES.values(), {"down": ("local-gpu",)}, {}):
        assert not KIMI & set(chosen(plan_of("ace_curator", **fields)))
    plan = plan_of("ace_curator", marks=("interesting_failure",))
    assert_escalates(plan, INSTRUCT, "interesting_failure")


@pytest.mark.req("CX-62")
@pytest.mark.parametrize("role", sorted(set(PACK.classes) - {"librarian", "ace_curator"}))
def test_no_other_role_uses_kimi(role: str) -> None:
    marks = tuple(PACK.facts.marks if PACK.facts else ())
    fixtures: list[dict[str, Any]] = [{"marks": (mark,)} for mark in marks]
    fixtures += [*PREDICATES.values(), {"marks": marks}]
    clouds = ("openai", "anthropic", "deepseek", "google", "local-gpu")
    fixtures += [{"down": clouds[:count]} for count in range(len(clouds) + 1)]
    for fields in fixtures:
        plan = plan_of(role, conversation_id="notebook-7", **fields)
        assert not KIMI & set(chosen(plan))
        assert {reasons(plan)[name] for name in KIMI} == {ReasonCode.NOT_IN_ROUTE}


@pytest.mark.parametrize("confined", [{"privacy_tier": PrivacyTier.LOCAL_ONLY}, {"offline": True}])
def test_a_sweep_that_may_not_leave_the_house_is_local_and_says_why(
    confined: dict[str, Any],
) -> None:
    fields = {"privacy_tier": PrivacyTier.ANY} | confined
    is_offline = fields.pop("offline", False)
    plan = plan_of(marks=("full_sweep", *(("offline",) if is_offline else ())), **fields)
    assert chosen(plan) == [QWEN]
    assert move_of(plan).kind is MoveKind.FALLBACK
    assert move_of(plan).trigger == ("offline" if is_offline else "privacy_tier")
