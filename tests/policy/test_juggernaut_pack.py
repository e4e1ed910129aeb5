"""The four routing policies of the juggernaut pack, each with its models, caps and task types."""

from decimal import Decimal
from typing import Any

import pytest

from pointwork.contract.decision import ClassSource, Direction, Effect, MoveKind, Plan, Trigger
from pointwork.contract.money import NANO_PER_USD, PriceTier
from pointwork.contract.reasons import ReasonCode
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from tests.fakes.policy_facts import Situation, changed, chosen, reasons, shipped

JUGGERNAUT = shipped("juggernaut")
PACK = JUGGERNAUT.pack
POLICIES = {
    "normal": ("gpt-4o-mini", "claude-3-5-sonnet", "0.10"),
    "deep_research": ("gpt-4o", "claude-3-opus", "1.00"),
    "code": ("gpt-4o", "claude-3-5-sonnet", "0.50"),
    "ops": ("gpt-3.5-turbo", "claude-3-haiku", "0.01"),
}
"""Primary, fallback and USD a task, by hand from the source document."""
EACH = [pytest.param(name, *row, id=name) for name, row in POLICIES.items()]
OUTPUT_TOKENS = 1000


def plan_of(bundle: PolicyBundle = JUGGERNAUT, **fields: Any) -> Plan:
    situation = Situation(**fields)
    return decide(situation.facts(bundle), bundle)


def costing(estimates_usd: dict[str, Decimal], bundle: PolicyBundle = JUGGERNAUT) -> PolicyBundle:
    """``bundle`` in which an answer of OUTPUT_TOKENS costs exactly so much, and the prompt naught.

    The other models cost a dollar more than all of these, so none of them is a cheaper way out.
    """
    dearest = max(estimates_usd.values()) + 1
    tiers = {}
    for name in bundle.models:
        nano_usd = int(estimates_usd.get(name, dearest) * NANO_PER_USD)
        output = nano_usd * 1_000_000 // OUTPUT_TOKENS
        assert output * OUTPUT_TOKENS == nano_usd * 1_000_000
        tiers[name] = (
            PriceTier(
                input_per_mtok=0,
                output_per_mtok=output,
                cached_input_per_mtok=0,
                cache_write_per_mtok=0,
            ),
        )
    return changed(bundle, models={name: {"tiers": each} for name, each in tiers.items()})


@pytest.mark.req("JG-3")
def test_the_pack_has_exactly_the_four_policies_and_a_fifth_needs_a_revision() -> None:
    assert set(PACK.classes) == set(POLICIES)
    unknown = plan_of(task_class="vision")
    assert (unknown.effect, unknown.reason) == (Effect.DENY, ReasonCode.CLASS_NOT_IN_PACK)
    fifth = PACK.classes["ops"].model_dump()
    posted = changed(JUGGERNAUT, pack={"classes": PACK.model_dump()["classes"] | {"vision": fifth}})
    assert posted.pack_sha256 != JUGGERNAUT.pack_sha256
    assert plan_of(posted, task_class="vision").effect is Effect.RUN


@pytest.mark.req("JG-6", "JG-7", "JG-8", "JG-9")
@pytest.mark.parametrize(("policy", "primary", "fallback", "cap"), EACH)
def test_a_policy_takes_its_primary_and_its_fallback_while_that_is_down(
    policy: str, primary: str, fallback: str, cap: str
) -> None:
    assert chosen(plan_of(task_class=policy)) == [primary, fallback]
    down = plan_of(task_class=policy, down=(JUGGERNAUT.models[primary].model.endpoint,))
    assert chosen(down) == [fallback]
    assert reasons(down)[primary] is ReasonCode.UNHEALTHY
    move = down.candidates[0].move
    assert move is not None
    assert (move.kind, move.trigger) == (MoveKind.FALLBACK, Trigger.NEXT_PRIORITY)
    assert (move.from_model, move.attempt) == (None, 1)
    assert move.from_lane == PACK.families[primary].lane
    assert move.to_lane == PACK.families[fallback].lane
    assert PACK.classes[policy].ceiling == int(Decimal(cap) * NANO_PER_USD)


@pytest.mark.req("JG-6", "JG-7", "JG-8", "JG-9")
@pytest.mark.parametrize(("policy", "primary", "fallback", "cap"), EACH)
def test_an_estimate_above_a_policys_cap_is_refused_on_it(
    policy: str, primary: str, fallback: str, cap: str
) -> None:
    at_cap = Decimal(cap)
    for estimate, fits in (
        (at_cap - Decimal("0.0001"), True),
        (at_cap, True),
        (at_cap + Decimal("0.0001"), False),
    ):
        bundle = costing({primary: estimate, fallback: estimate})
        plan = plan_of(bundle, task_class=policy, output_tokens=OUTPUT_TOKENS)
        if fits:
            assert chosen(plan) == [primary, fallback]
            assert plan.candidates[0].estimate_nano_usd == estimate * NANO_PER_USD
        else:
            assert plan.effect is Effect.DENY
            assert reasons(plan)[primary] is ReasonCode.CEILING
            assert reasons(plan)[fallback] is ReasonCode.CEILING


@pytest.mark.parametrize(("policy", "primary", "fallback", "cap"), EACH)
def test_a_fallback_is_held_to_the_policys_cap_as_well(
    policy: str, primary: str, fallback: str, cap: str
) -> None:
    bundle = costing({primary: Decimal(0), fallback: Decimal(cap) + Decimal("0.0001")})
    plan = plan_of(bundle, task_class=policy, output_tokens=OUTPUT_TOKENS)
    assert chosen(plan) == [primary]
    assert reasons(plan)[fallback] is ReasonCode.CEILING


def test_over_its_cap_a_task_goes_to_a_cheaper_model_of_a_cheaper_policy() -> None:
    prices = dict.fromkeys(JUGGERNAUT.models, Decimal("0.60")) | {
        "gpt-4o-mini": Decimal("0.20"),
        "gpt-3.5-turbo": Decimal("0.60"),
        "claude-3-haiku": Decimal("0.40"),
    }
    plan = plan_of(costing(prices), task_class="code", output_tokens=OUTPUT_TOKENS)
    assert chosen(plan) == ["gpt-4o-mini", "claude-3-haiku"]
    move = plan.candidates[0].move
    assert move is not None
    assert (move.kind, move.trigger) == (MoveKind.DOWNGRADE, Trigger.CEILING_OVER)
    assert move.direction is Direction.DOWN


def test_a_primary_over_its_cap_leaves_the_work_to_a_cheaper_fallback_as_a_downgrade() -> None:
    bundle = costing({"gpt-3.5-turbo": Decimal("0.02"), "claude-3-haiku": Decimal("0.01")})
    plan = plan_of(bundle, task_class="ops", output_tokens=OUTPUT_TOKENS)
    assert chosen(plan) == ["claude-3-haiku"]
    move = plan.candidates[0].move
    assert move is not None
    assert (move.kind, move.trigger) == (MoveKind.DOWNGRADE, Trigger.CEILING_OVER)
    assert move.direction is Direction.SIDEWAYS


@pytest.mark.parametrize(
    ("policy", "tokens", "temperature"),
    [
        ("normal", 4000, "0.7"),
        ("deep_research", 8000, "0.5"),
        ("code", 6000, "0.2"),
        ("ops", 1000, "0"),
    ],
)
def test_a_call_takes_the_policys_temperature_and_no_more_than_its_tokens(
    policy: str, tokens: int, temperature: str
) -> None:
    for asked, given in ((tokens - 1, tokens - 1), (tokens, tokens), (tokens + 1, tokens)):
        first = plan_of(task_class=policy, output_tokens=asked).candidates[0]
        assert first.max_output_tokens == given
        assert first.temperature == Decimal(temperature)


def test_the_switches_are_the_packs_column_of_the_table() -> None:
    assert (PACK.rank, PACK.on_quality_failure, PACK.on_ceiling) == (
        "priority",
        "down",
        "downgrade",
    )
    assert (PACK.on_budget, PACK.frontier_guard) == ("pause_expensive", "none")
    assert {each.alert_ratio for each in PACK.budgets} == {Decimal("0.80")}
    assert {each.period for each in PACK.budgets} == {"day", "week", "month"}
    privacy = PACK.privacy
    assert (privacy.egress_default, privacy.sensitive) == ("allow", "tier_only")
    assert not privacy.redact_before_egress
    assert (PACK.metrics_feedback, PACK.policy_change) == ("overlay", "live_revision")
    assert (PACK.prompt_evidence, PACK.verification) == ("metrics", ("metrics",))
    assert PACK.overlay is not None
    assert PACK.cache is not None
    assert PACK.batch is not None
    assert (PACK.holds_for, PACK.required_signals) == ((), ())
    assert not any(row.parallel for row in PACK.classes.values())


def test_every_value_the_document_leaves_open_has_its_reason() -> None:
    named = {
        "classes.max_output_tokens",
        "classes.temperature",
        "classes.complexity",
        "classes.simpler_class",
        "budgets.pause_expensive_from",
        "budgets.limit",
        "expensive",
        "task_types",
        "overlay.promote_at",
        "overlay.demote_below",
        "overlay.requests_min",
        "overlay.window_seconds",
        "overlay.cooldown_seconds",
        "cache",
        "batch",
    }
    assert named <= set(PACK.derived)


def test_only_models_from_a_dollar_a_million_input_tokens_on_are_expensive() -> None:
    for entry in JUGGERNAUT.index.entries:
        assert entry.is_expensive == (entry.input_price >= NANO_PER_USD), entry.name


def test_a_task_type_nobody_maps_stays_unknown_and_runs_nothing() -> None:
    plan = plan_of()
    assert (plan.effect, plan.reason) == (Effect.DENY, ReasonCode.CLASS_UNKNOWN)
    assert plan.class_source is ClassSource.UNKNOWN


def test_a_batch_is_of_one_policy_and_one_model() -> None:
    assert plan_of(task_class="ops").batch_key == "juggernaut/ops/gpt-3.5-turbo"
    down = plan_of(task_class="ops", down=("openrouter-openai",))
    assert down.batch_key == "juggernaut/ops/claude-3-haiku"
    simpler = plan_of(task_class="code", estimated_complexity="low")
    assert simpler.batch_key == "juggernaut/normal/gpt-4o-mini"
    alone = changed(JUGGERNAUT, pack={"batch": None})
    assert plan_of(alone, task_class="ops").batch_key == ""


@pytest.mark.parametrize(
    ("fields", "is_cached"),
    [
        ({}, True),
        ({"sensitivity": "public"}, True),
        ({"sensitivity": "internal"}, True),
        ({"sensitivity": "proprietary"}, False),
        ({"sensitivity": "sensitive"}, False),
        ({"sensitivity": "public", "detected": "sensitive"}, False),
        ({"detected": "internal"}, True),
        ({"data_classes": ("personal",)}, False),
        ({"conversation": "sensitive"}, False),
    ],
)
def test_only_answers_no_more_careful_than_internal_may_be_cached(
    fields: dict[str, Any], is_cached: bool
) -> None:
    plan = plan_of(task_class="normal", **fields)
    assert plan.cache_ttl_seconds == (3600 if is_cached else 0)
    uncached = changed(JUGGERNAUT, pack={"cache": None})
    assert plan_of(uncached, task_class="normal", **fields).cache_ttl_seconds == 0


def test_what_a_detector_found_is_not_cached_even_where_it_is_harmless() -> None:
    given = Situation(task_class="normal", sensitivity="public").facts(JUGGERNAUT)
    found = given.classification.model_validate(
        given.classification.model_dump() | {"findings": [{"kind": "name", "count": 1}]}
    )
    doubtful = given.model_copy(update={"classification": found})
    assert decide(doubtful, JUGGERNAUT).cache_ttl_seconds == 0


def test_no_other_pack_caches_or_batches() -> None:
    omega = shipped()
    plan = decide(Situation(task_class="bulk_generation").facts(omega), omega)
    assert (plan.batch_key, plan.cache_ttl_seconds) == ("", 0)
