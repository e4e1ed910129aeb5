"""Selecting a model in the six steps of Milestone 6, each of them on the selection's record."""

from typing import Any

import pytest

from pointwork.contract.canonical import canonical_json, sha256_hex
from pointwork.contract.decision import ClassSource, Effect, Trigger
from pointwork.contract.overlay import Overlay, OverlayPlace
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import Complexity
from pointwork.juggernaut.model_selector import SelectionRecord, SelectionStep, select
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from tests.fakes.policy_facts import NOW, Situation, changed, shipped

JUGGERNAUT = shipped("juggernaut")
SIX = list(SelectionStep)
MAPPED = {
    "investigate_error": "code",
    "deploy_code": "code",
    "analyze_logs": "normal",
    "fix_bug": "code",
    "simple_query": "ops",
    "health_check": "ops",
    "repair": "code",
    "error_analysis": "normal",
    "investigation": "code",
    "code_analysis": "code",
    "report": "normal",
}
"""Policy by task type, by hand from the source document."""


def selected(
    task_type: str,
    complexity: Complexity | None = None,
    *,
    policies: tuple[PolicyBundle, ...] = (JUGGERNAUT,),
    **world: Any,
) -> SelectionRecord:
    given = Situation(**world).facts(policies[0])
    return select(
        task_type,
        complexity,
        policies=policies,
        request=given.request,
        snapshot=given.snapshot,
        input_tokens_max=400,
        failed=given.failed,
    )


def found(record: SelectionRecord, step: SelectionStep) -> tuple[str, ...]:
    return next(each.found for each in record.steps if each.step is step)


@pytest.mark.req("JG-16", "JG-17", "JG-18", "JG-19", "JG-20", "JG-65", "JG-66", "JG-67")
@pytest.mark.parametrize(("task_type", "policy"), list(MAPPED.items()))
def test_a_task_type_selects_its_policy(task_type: str, policy: str) -> None:
    record = selected(task_type)
    assert record.policy == policy
    assert record.decision is not None
    assert record.decision.plan.class_source is ClassSource.MAPPED
    assert record.selected is not None


def test_the_map_holds_these_task_types_and_no_others() -> None:
    assert JUGGERNAUT.pack.task_types == MAPPED


@pytest.mark.req("JG-1")
@pytest.mark.parametrize(
    ("task_type", "complexity", "policies", "is_cheap"),
    [
        ("simple_query", Complexity.LOW, {"ops"}, True),
        ("fix_bug", Complexity.HIGH, {"code", "deep_research"}, False),
    ],
)
def test_simple_work_goes_to_a_cheap_model_and_complex_code_to_an_expensive_one_under_their_caps(
    task_type: str, complexity: Complexity, policies: set[str], is_cheap: bool
) -> None:
    record = selected(task_type, complexity)
    assert record.policy in policies
    model = record.selected
    assert model is not None
    assert JUGGERNAUT.index.by_name[model.model].is_expensive != is_cheap
    assert 0 < model.estimate_nano_usd <= model.ceiling_nano_usd
    assert model.ceiling_nano_usd == JUGGERNAUT.pack.classes[record.policy].ceiling
    tracked = found(record, SelectionStep.TRACKING)
    assert tracked[0].startswith("estimated_cost=$")
    assert record.snapshot_sha256
    assert f"snapshot={record.snapshot_sha256}" in found(record, SelectionStep.PERFORMANCE)


@pytest.mark.req("JG-10")
@pytest.mark.parametrize("policies", [(JUGGERNAUT,), ()])
def test_type_and_complexity_are_on_record_before_any_policy_is_looked_up(
    policies: tuple[PolicyBundle, ...],
) -> None:
    """With no policy at hand they are there all the same."""
    given = Situation().facts(JUGGERNAUT)
    record = select(
        "fix_bug",
        Complexity.HIGH,
        policies=policies,
        request=given.request,
        snapshot=given.snapshot,
    )
    first, second = record.steps[:2]
    assert first.step is SelectionStep.TYPE_AND_COMPLEXITY
    assert first.found == ("task_type=fix_bug", "complexity=high")
    assert second.step is SelectionStep.POLICY
    assert (record.task_type, record.complexity) == ("fix_bug", Complexity.HIGH)


def test_the_six_steps_stand_in_their_order() -> None:
    assert [each.step for each in selected("fix_bug").steps] == SIX


@pytest.mark.req("JG-11")
def test_an_inactive_policy_is_skipped_with_its_reason() -> None:
    old = changed(JUGGERNAUT, pack={"version": "5.9.0", "status": "superseded"})
    record = selected("fix_bug", policies=(old, JUGGERNAUT))
    assert record.policy == "code"
    assert record.decision is not None
    assert record.decision.plan.policy == JUGGERNAUT.ref
    policy = found(record, SelectionStep.POLICY)
    assert policy[:3] == (
        "skipped=juggernaut 5.9.0 (superseded)",
        "policy=code",
        "version=6.0.0",
    )


@pytest.mark.req("JG-11")
def test_where_every_policy_is_inactive_nothing_is_selected() -> None:
    old = changed(JUGGERNAUT, pack={"status": "superseded"})
    record = selected("fix_bug", policies=(old,))
    assert (record.policy, record.decision, record.selected) == (None, None, None)
    skipped = "skipped=juggernaut 6.0.0 (superseded)"
    assert found(record, SelectionStep.POLICY) == (skipped, "policy=none")


@pytest.mark.req("JG-12")
@pytest.mark.parametrize(
    ("world", "reason"),
    [
        ({"down": ("openrouter-openai",)}, ReasonCode.UNHEALTHY),
        ({"limited_seconds": {"openrouter-openai": 1}}, ReasonCode.RATE_LIMITED),
        ({"quotas": {"openrouter-openai": 0}}, ReasonCode.QUOTA_EXHAUSTED),
        ({"without_keys": ("openrouter-openai",)}, ReasonCode.NO_CREDENTIALS),
    ],
)
def test_an_unavailable_or_limited_primary_is_rejected_and_the_fallback_chosen(
    world: dict[str, Any], reason: ReasonCode
) -> None:
    record = selected("fix_bug", **world)
    assert f"gpt-4o={reason}" in found(record, SelectionStep.AVAILABILITY)
    assert record.selected is not None
    assert record.selected.model == "claude-3-5-sonnet"
    assert record.selected.trigger is Trigger.NEXT_PRIORITY


def test_a_limit_that_ends_now_no_longer_rejects() -> None:
    record = selected("fix_bug", limited_seconds={"openrouter-openai": 0})
    assert record.selected is not None
    assert record.selected.model == "gpt-4o"


def test_a_paused_model_is_told_with_the_policy_and_before_availability() -> None:
    record = selected("fix_bug", budget_spent=11_000_000_000)
    assert "gpt-4o=paused_over_budget" in found(record, SelectionStep.POLICY)
    assert not any("paused" in each for each in found(record, SelectionStep.AVAILABILITY))


@pytest.mark.req("JG-13")
def test_the_record_stores_the_hash_of_the_snapshot_whose_metrics_it_considered() -> None:
    before = selected("fix_bug")
    moved = Overlay(
        pack="juggernaut",
        version=1,
        parent=None,
        created_at=NOW,
        reason="measured results of one day",
        windows_sha256="c0ffee" * 10 + "c0ff",
        places=(
            OverlayPlace(task_class="code", model="gpt-4o", shift=-1),
            OverlayPlace(task_class="code", model="claude-3-5-sonnet", shift=1),
        ),
    )
    after = selected("fix_bug", overlay=moved)
    for record, order in (
        (before, "order=gpt-4o, claude-3-5-sonnet"),
        (after, "order=claude-3-5-sonnet, gpt-4o"),
    ):
        assert record.decision is not None
        snapshot = record.decision.input.snapshot
        assert record.decision.snapshot_sha256 == sha256_hex(canonical_json(snapshot))
        assert found(record, SelectionStep.PERFORMANCE)[-1] == order
    assert before.snapshot_sha256 != after.snapshot_sha256
    assert "overlay=1" in found(after, SelectionStep.PERFORMANCE)


@pytest.mark.req("JG-14")
def test_of_two_available_models_priority_one_is_chosen() -> None:
    record = selected("analyze_logs")
    assert record.decision is not None
    listed = [each.model for each in record.decision.plan.candidates]
    assert listed == ["gpt-4o-mini", "claude-3-5-sonnet"]
    choice = found(record, SelectionStep.CHOICE)
    assert choice == ("model=gpt-4o-mini", "provider=openai", "trigger=default")


def test_a_task_type_nobody_maps_is_denied_with_its_reason() -> None:
    record = selected("dance")
    assert record.policy is None
    assert record.decision is not None
    plan = record.decision.plan
    assert (plan.effect, plan.reason) == (Effect.DENY, ReasonCode.CLASS_UNKNOWN)
    assert found(record, SelectionStep.CHOICE) == ("model=none", "reason=class_unknown")
    assert record.selected is None


def test_the_selection_is_the_decision_of_the_engine_and_nothing_else() -> None:
    record = selected("fix_bug", Complexity.LOW, down=("openrouter-openai",))
    assert record.decision is not None
    assert record.decision.plan == decide(record.decision.input, JUGGERNAUT)
    assert SelectionRecord.model_validate_json(record.model_dump_json()) == record
