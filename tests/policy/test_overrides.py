"""A person's override puts one model first, for whom and as long as it says, and opens no more."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointwork.contract.decision import Direction, Effect, MoveKind, Plan, Site, Trigger
from pointwork.contract.override import Override, OverrideDuration, OverrideScope
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import PrivacyTier, Sensitivity
from pointwork.policy.decide import decide
from pointwork.policy.engine.overrides import in_force
from pointwork.policy.proving.situation import NOW, TASK_ID
from tests.fakes.policy_facts import Situation, chosen, reasons, shipped

OMEGA = shipped()
DAY = timedelta(days=1)
SUMMARY = {"task_class": "summarisation_formatting", "sensitivity": Sensitivity.PUBLIC}


def override(**changed: Any) -> Override:
    """The dear model first for this one task, acknowledged, until somebody revokes it."""
    values: dict[str, Any] = {
        "override_id": "override-1",
        "model": "claude-sonnet-5",
        "scope": OverrideScope.TASK,
        "task_id": TASK_ID,
        "conversation": "thread-9",
        "starts_at": NOW - DAY,
        "duration": OverrideDuration.INDEFINITE,
        "reason": "The local model lost three of these in a row.",
        "approver": "ada",
        "cost_impact_nano_usd": 5_000_000,
        "acknowledged_at": NOW - DAY,
    }
    return Override(**(values | changed))


def plan_with(*overrides: Override, **fields: Any) -> Plan:
    situation = Situation(**(SUMMARY | fields), overrides=overrides)
    return decide(situation.facts(OMEGA), OMEGA)


def goes_first(*overrides: Override, **fields: Any) -> bool:
    return chosen(plan_with(*overrides, **fields))[0] == "claude-sonnet-5"


def test_the_named_model_goes_first_and_the_move_says_why() -> None:
    plan = plan_with(override())
    first = plan.candidates[0]
    assert (first.model, first.trigger) == ("claude-sonnet-5", Trigger.OVERRIDE)
    assert first.move is not None
    assert (first.move.kind, first.move.direction) == (MoveKind.ESCALATION, Direction.UP)
    assert plan.override_id == "override-1"
    assert plan.justification == "The local model lost three of these in a row."
    assert chosen(plan)[1] == "smollm2-135m"


@pytest.mark.req("OM-72")
@pytest.mark.parametrize(
    ("changed", "fields", "holds"),
    [
        ({"duration": "single_use", "used_by": None}, {}, True),
        ({"duration": "single_use", "used_by": TASK_ID}, {}, True),
        ({"scope": "session", "duration": "single_use", "used_by": "task-0"}, {}, False),
        ({"scope": "session", "duration": "session"}, {}, True),
        ({"scope": "session", "duration": "session", "session_ended_at": NOW}, {}, False),
        ({"scope": "session"}, {"conversation_id": "thread-8"}, False),
        ({"duration": "time_limited", "ends_at": NOW + DAY}, {}, True),
        ({"duration": "time_limited", "ends_at": NOW}, {}, False),
        ({"duration": "time_limited", "ends_at": None}, {}, False),
        ({"scope": "period", "ends_at": NOW + DAY}, {"conversation_id": None}, True),
        ({"scope": "period", "ends_at": NOW - DAY}, {}, False),
        ({"scope": "period", "ends_at": None}, {}, False),
        ({"duration": "indefinite"}, {}, True),
        ({"duration": "indefinite", "revoked_at": NOW}, {}, False),
        ({"task_id": "task-0"}, {}, False),
        ({"starts_at": NOW + DAY}, {}, False),
        ({"starts_at": NOW}, {}, True),
        ({"acknowledged_at": None}, {}, False),
    ],
)
def test_it_ends_by_scope_or_by_duration_whichever_comes_first(
    changed: dict[str, Any], fields: dict[str, Any], holds: bool
) -> None:
    assert goes_first(override(**changed), **({"conversation_id": "thread-9"} | fields)) is holds


@given(st.sampled_from(list(OverrideScope)), st.sampled_from(list(OverrideDuration)))
def test_once_over_it_stays_over(scope: OverrideScope, duration: OverrideDuration) -> None:
    held = override(scope=scope, duration=duration, ends_at=NOW + DAY)
    request = Situation(**SUMMARY, conversation_id="thread-9").facts(OMEGA).request
    moments: list[datetime] = [NOW + DAY * days for days in (0, 0.5, 1, 1.5, 30)]
    states = [in_force(held, request, moment) for moment in moments]
    assert states == sorted(states, reverse=True)


def test_of_several_the_latest_counts() -> None:
    later = override(override_id="override-2", model="gpt-5.1", starts_at=NOW - DAY / 2)
    assert chosen(plan_with(override(), later))[0] == "gpt-5.1"


def test_it_lets_bulk_work_out_and_nothing_else_does() -> None:
    bulk = {"task_class": "bulk_generation", "marks": ("bulk",)}
    assert chosen(plan_with(**bulk)) == ["smollm2-135m"]
    plan = plan_with(override(model="grok-4.5"), **bulk)
    assert chosen(plan)[0] == "grok-4.5"
    assert reasons(plan)["gpt-5.1"] is ReasonCode.FRONTIER_BULK


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"sensitivity": Sensitivity.RESTRICTED}, ReasonCode.RESTRICTED),
        ({"privacy_tier": PrivacyTier.LOCAL_ONLY}, ReasonCode.PRIVACY_TIER),
        ({"residency": ("EU",)}, ReasonCode.RESIDENCY),
        ({"sensitivity": Sensitivity.SENSITIVE}, ReasonCode.PRIVACY),
        ({"without_keys": ("anthropic",)}, ReasonCode.NO_CREDENTIALS),
        ({"down": ("anthropic",)}, ReasonCode.UNHEALTHY),
        ({"output_tokens": 65_000}, ReasonCode.CEILING),
    ],
)
def test_it_opens_no_privacy_no_purse_and_no_closed_endpoint(
    fields: dict[str, Any], reason: ReasonCode
) -> None:
    plan = plan_with(override(), **fields)
    assert "claude-sonnet-5" not in chosen(plan)
    assert reasons(plan)["claude-sonnet-5"] in (reason, ReasonCode.FRONTIER_PURPOSE)
    if plan.effect is Effect.RUN:
        assert plan.candidates[0].trigger != Trigger.OVERRIDE
        assert not plan.override_id


@pytest.mark.parametrize(
    ("fields", "original"),
    [
        ({}, "smollm2-135m"),
        ({"marks": ("bulk",)}, "smollm2-135m"),
        ({"task_class": "creative_synthesis", "marks": ("bulk",)}, "smollm2-135m"),
        ({"task_class": "perception_multimodal", "marks": ("bulk",), "image": True}, "denied"),
    ],
)
def test_the_plan_names_the_route_it_departs_from(fields: dict[str, Any], original: str) -> None:
    plan, default = plan_with(override(), **fields), plan_with(**fields)
    assert (plan.override_id, plan.candidates[0].model) == ("override-1", "claude-sonnet-5")
    assert plan.default_route == original
    assert original in (*chosen(default), "denied")


def test_one_that_names_the_default_route_changes_nothing() -> None:
    """Nothing is claimed or recorded for it, and the plan is the default one to the byte."""
    same = override(model="smollm2-135m")
    assert plan_with(same) == plan_with()
    logic = {"task_class": "high_stakes_logic"}
    first = chosen(plan_with(**logic))[0]
    assert plan_with(override(model=first), **logic) == plan_with(**logic)


def test_a_wish_that_the_pack_grants_is_not_denied_because_an_override_is_not_to_be_had() -> None:
    wish = {"task_class": "high_stakes_logic", "requested_model": "gpt-5.1"}
    spent = {"without_keys": ("anthropic",)}
    default = plan_with(**wish, **spent)
    plan = plan_with(override(), **wish, **spent)
    assert (plan.effect, chosen(plan)) == (default.effect, chosen(default))


def test_where_it_may_not_go_the_plan_says_which_rule_keeps_it_out() -> None:
    plan = plan_with(override(), output_tokens=65_000)
    assert reasons(plan)["claude-sonnet-5"] is ReasonCode.CEILING


def test_its_answer_is_never_an_earlier_one() -> None:
    bundle = shipped("juggernaut")
    facts = Situation(task_class="normal", sensitivity=Sensitivity.PUBLIC)
    default = decide(facts.facts(bundle), bundle)
    assert default.cache_ttl_seconds
    dear = next(e.model for e in default.candidates if e.model != default.candidates[0].model)
    with_it = facts.model_copy(update={"overrides": (override(model=dear),)})
    plan = decide(with_it.facts(bundle), bundle)
    assert (plan.candidates[0].model, plan.cache_ttl_seconds) == (dear, 0)


def test_only_a_language_model_goes_first() -> None:
    bundle = shipped("codex")
    for name, row in bundle.pack.classes.items():
        facts = Situation(task_class=name, sensitivity=Sensitivity.PUBLIC)
        with_it = facts.model_copy(update={"overrides": (override(model="bge-m3"),)})
        plan = decide(with_it.facts(bundle), bundle)
        assert not plan.override_id, row


def test_an_override_of_a_model_the_pack_does_not_have_changes_nothing() -> None:
    plan = plan_with(override(model="no-such-model"))
    assert plan.candidates[0].site is Site.LOCAL
    assert not plan.override_id


@pytest.mark.req("OM-9")
def test_a_frontier_call_needs_words_and_its_words_stand_on_the_plan() -> None:
    wish = {"task_class": "exploratory_reasoning", "requested_model": "gpt-5.1"}
    silent = plan_with(**wish)
    assert (silent.effect, silent.reason) == (Effect.DENY, ReasonCode.JUSTIFICATION_MISSING)
    words = "The board decides on it tomorrow."
    said = plan_with(task_class="high_stakes_logic", justification=words)
    assert (said.effect, said.justification) == (Effect.RUN, words)
