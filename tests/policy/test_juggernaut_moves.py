"""How a juggernaut task leaves its primary: cheaper after a bad answer, over budget, if simpler."""

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointwork.contract.decision import Direction, Effect, MoveKind, Obligation, Plan, Trigger
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.overlay import Overlay, OverlayPlace
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import BudgetSignal
from pointwork.contract.task import Complexity, Lane
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.policy.engine.windows import windows_at
from tests.fakes.policy_facts import NOW, Failed, Situation, changed, chosen, reasons, shipped

JUGGERNAUT = shipped("juggernaut")
MODELS = tuple(JUGGERNAUT.models)
POLICIES = tuple(JUGGERNAUT.pack.classes)
EXPENSIVE = {e.name for e in JUGGERNAUT.index.entries if e.is_expensive}
OUTAGE = ProviderFailureKind.OVERLOADED


def plan_of(bundle: PolicyBundle = JUGGERNAUT, **fields: Any) -> Plan:
    situation = Situation(**fields)
    return decide(situation.facts(bundle), bundle)


def price_of(model: str) -> int:
    """What a thousand tokens each way cost by the catalogue."""
    entry = JUGGERNAUT.index.by_name[model]
    return entry.estimate(1000, 1000)


@pytest.mark.req("JG-53")
def test_a_bad_answer_of_an_expensive_model_leads_to_a_cheaper_one() -> None:
    plan = plan_of(task_class="deep_research", failed=(Failed(model="gpt-4o"),))
    assert chosen(plan) == ["gpt-4o-mini", "gpt-3.5-turbo", "claude-3-haiku"]
    assert all(price_of(model) < price_of("gpt-4o") for model in chosen(plan))
    move = plan.candidates[0].move
    assert move is not None
    assert (move.kind, move.trigger) == (MoveKind.DOWNGRADE, Trigger.EXPENSIVE_FAILED)
    assert (move.direction, move.attempt) == (Direction.DOWN, 2)
    assert (move.from_model, move.from_lane, move.to_lane) == ("gpt-4o", Lane.HIGH, Lane.STANDARD)
    assert Obligation.WARN_DOWNGRADE in plan.obligations


def test_an_outage_of_an_expensive_model_leads_to_the_listed_fallback_though_it_is_dearer() -> None:
    plan = plan_of(task_class="deep_research", failed=(Failed(model="gpt-4o", kind=OUTAGE),))
    assert chosen(plan) == ["claude-3-opus"]
    move = plan.candidates[0].move
    assert move is not None
    assert (move.kind, move.trigger) == (MoveKind.FALLBACK, Trigger.NEXT_PRIORITY)
    assert (move.direction, move.attempt, move.from_model) == (Direction.UP, 2, "gpt-4o")


def test_an_outage_on_the_way_down_never_leads_up_again() -> None:
    failed = (Failed(model="gpt-4o"), Failed(model="gpt-4o-mini", kind=OUTAGE))
    plan = plan_of(task_class="deep_research", failed=failed)
    assert chosen(plan) == ["gpt-3.5-turbo", "claude-3-haiku"]
    assert plan.candidates[0].trigger is Trigger.NEXT_PRIORITY
    assert reasons(plan)["claude-3-opus"] is ReasonCode.NOT_IN_ROUTE


def test_a_pack_that_does_not_go_down_takes_its_next_number_after_a_bad_answer() -> None:
    bundle = changed(JUGGERNAUT, pack={"on_quality_failure": "up"})
    plan = plan_of(bundle, task_class="deep_research", failed=(Failed(model="gpt-4o"),))
    assert chosen(plan) == ["claude-3-opus"]


def _failures() -> st.SearchStrategy[tuple[Failed, ...]]:
    one = st.builds(
        Failed,
        model=st.sampled_from((*MODELS, "retired-model")),
        kind=st.none() | st.sampled_from(list(ProviderFailureKind)),
    )
    return st.lists(one, max_size=5).map(tuple)


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(POLICIES),
    _failures(),
    st.integers(0, 60_000),
    st.sampled_from([None, "9.00", "11.00", "12.49"]),
)
def test_no_candidate_is_as_dear_as_a_model_that_answered_badly_nor_tried_again(
    policy: str, failed: tuple[Failed, ...], input_bytes: int, spent: str | None
) -> None:
    situation = Situation.model_validate(
        {"task_class": policy, "input_bytes": input_bytes, "budget_spent": spent},
    ).model_copy(update={"failed": failed})
    plan = decide(situation.facts(JUGGERNAUT), JUGGERNAUT)
    estimates = {
        entry.name: entry.estimate(
            input_bytes, min(512, JUGGERNAUT.pack.classes[policy].max_output_tokens or 512)
        )
        for entry in JUGGERNAUT.index.entries
    }
    bad = [estimates[f.model] for f in failed if f.kind is None and f.model in estimates]
    for candidate in plan.candidates:
        assert candidate.model not in {f.model for f in failed}
        assert not bad or candidate.estimate_nano_usd < min(bad)
    names = chosen(plan)
    assert sorted({*names, *reasons(plan)}) == sorted(MODELS)
    assert not set(names) & set(reasons(plan))


@pytest.mark.req("JG-54")
@pytest.mark.parametrize(
    ("policy", "found", "goes_to", "first"),
    [
        ("deep_research", Complexity.MEDIUM, "code", "gpt-4o"),
        ("deep_research", Complexity.LOW, "normal", "gpt-4o-mini"),
        ("code", Complexity.LOW, "normal", "gpt-4o-mini"),
    ],
)
def test_a_task_simpler_than_expected_goes_to_a_cheaper_policy(
    policy: str, found: Complexity, goes_to: str, first: str
) -> None:
    classes = JUGGERNAUT.pack.classes
    before = plan_of(task_class=policy, output_tokens=8000)
    plan = plan_of(task_class=policy, output_tokens=8000, estimated_complexity=found)
    assert (plan.task_class, plan.complexity) == (goes_to, found)
    assert chosen(plan)[0] == first
    assert plan.candidates[0].estimate_nano_usd < before.candidates[0].estimate_nano_usd
    assert (classes[goes_to].ceiling or 0) < (classes[policy].ceiling or 0)
    assert plan.task_ceiling_nano_usd == classes[goes_to].ceiling
    move = plan.candidates[0].move
    assert move is not None
    assert (move.kind, move.trigger) == (MoveKind.DOWNGRADE, Trigger.SIMPLER_THAN_EXPECTED)
    assert (move.from_model, move.from_lane, move.attempt) == (None, Lane.HIGH, 1)
    assert move.direction is (Direction.SIDEWAYS if first == "gpt-4o" else Direction.DOWN)


@pytest.mark.parametrize(
    ("policy", "expected", "found"),
    [
        ("deep_research", None, Complexity.HIGH),
        ("deep_research", None, None),
        ("code", None, Complexity.MEDIUM),
        ("code", None, Complexity.HIGH),
        ("code", Complexity.LOW, Complexity.LOW),
        ("normal", Complexity.HIGH, Complexity.LOW),
        ("ops", Complexity.HIGH, Complexity.LOW),
    ],
)
def test_a_task_no_simpler_than_expected_or_without_a_cheaper_policy_stays(
    policy: str, expected: Complexity | None, found: Complexity | None
) -> None:
    plan = plan_of(task_class=policy, complexity=expected, estimated_complexity=found)
    assert plan.task_class == policy
    assert plan.candidates[0].trigger is Trigger.DEFAULT


def test_policies_that_point_at_each_other_end_the_search() -> None:
    classes = JUGGERNAUT.pack.model_dump()["classes"]
    classes["normal"] |= {"simpler_class": "code", "complexity": "high"}
    bundle = changed(JUGGERNAUT, pack={"classes": classes})
    plan = plan_of(bundle, task_class="code", estimated_complexity=Complexity.LOW)
    assert plan.task_class == "normal"


@pytest.mark.req("JG-29", "JG-57")
@pytest.mark.parametrize("policy", ["deep_research", "code"])
def test_over_budget_expensive_models_pause_and_the_work_continues_on_a_cheaper_one(
    policy: str,
) -> None:
    under = plan_of(task_class=policy, budget_spent="9.999999999")
    assert chosen(under)[0] == "gpt-4o"
    over = plan_of(task_class=policy, budget_spent="10.00")
    assert {m for m, r in reasons(over).items() if r is ReasonCode.PAUSED_OVER_BUDGET} == EXPENSIVE
    assert chosen(over) == ["gpt-4o-mini", "gpt-3.5-turbo", "claude-3-haiku"]
    move = over.candidates[0].move
    assert move is not None
    assert (move.kind, move.trigger) == (MoveKind.DOWNGRADE, Trigger.BUDGET_LOW)
    assert (move.direction, move.from_lane, move.to_lane) == (
        Direction.DOWN,
        Lane.HIGH,
        Lane.STANDARD,
    )
    assert Obligation.WARN_DOWNGRADE in over.obligations


@pytest.mark.req("JG-29")
@pytest.mark.parametrize(("policy", "first"), [("ops", "gpt-3.5-turbo"), ("normal", "gpt-4o-mini")])
def test_over_budget_cheap_primaries_still_run(policy: str, first: str) -> None:
    over = plan_of(task_class=policy, budget_spent="11.00")
    assert chosen(over)[0] == first
    assert over.candidates[0].trigger is Trigger.DEFAULT
    assert not set(chosen(over)) & EXPENSIVE


@pytest.mark.req("JG-29")
@pytest.mark.parametrize("period", ["day", "week", "month"])
def test_a_new_period_unpauses(period: str) -> None:
    """The budgets of the period before are over; those of the new one are untouched."""
    days = {"day": 1, "week": 7, "month": 31}[period]
    budget = next(each.budget for each in JUGGERNAUT.pack.budgets if each.period == period)
    windows = windows_at(JUGGERNAUT.pack, NOW, caller="billing")
    (window,) = [each for each in windows if each.period == period]
    spent = BudgetSignal(
        window=window.key,
        limit_nano_usd=window.limit_nano_usd,
        committed_nano_usd=budget,
    )
    given = Situation(task_class="code").facts(JUGGERNAUT)
    for later, is_paused in ((timedelta(0), True), (timedelta(days=days), False)):
        snapshot = given.snapshot.model_copy(update={"taken_at": NOW + later, "budgets": (spent,)})
        plan = decide(given.model_copy(update={"snapshot": snapshot}), JUGGERNAUT)
        assert (chosen(plan)[0] != "gpt-4o") == is_paused


def test_at_the_limit_nothing_runs_and_nobody_is_asked() -> None:
    plan = plan_of(task_class="ops", budget_spent="12.50")
    assert (plan.effect, plan.reason, plan.hold_for) == (Effect.DENY, ReasonCode.BUDGET, None)


@pytest.mark.parametrize("policy", POLICIES)
def test_no_task_of_the_pack_ever_waits_for_a_person(policy: str) -> None:
    for fields in (
        {"budget_spent": "12.50"},
        {"input_bytes": 300_000},
        {"sensitivity": "restricted"},
        {"sensitivity": "sensitive", "detected": "sensitive"},
        {"down": ("openrouter-openai", "openrouter-anthropic")},
    ):
        assert plan_of(task_class=policy, **fields).effect is not Effect.HOLD


def overlay(*places: tuple[str, str, int]) -> Overlay:
    return Overlay(
        pack="juggernaut",
        version=1,
        parent=None,
        created_at=NOW,
        reason="measured results of one day",
        windows_sha256="c0ffee" * 10 + "c0ff",
        places=tuple(OverlayPlace(task_class=c, model=m, shift=s) for c, m, s in places),
    )


@pytest.mark.req("JG-13")
def test_an_overlay_exchanges_neighbours_of_one_policy_and_of_no_other() -> None:
    moved = overlay(("code", "gpt-4o", -1), ("code", "claude-3-5-sonnet", 1))
    plan = plan_of(task_class="code", overlay=moved)
    assert chosen(plan) == ["claude-3-5-sonnet", "gpt-4o"]
    assert plan.candidates[0].trigger is Trigger.DEFAULT
    assert chosen(plan_of(task_class="deep_research", overlay=moved))[0] == "gpt-4o"
    assert chosen(plan_of(task_class="code")) == ["gpt-4o", "claude-3-5-sonnet"]


@pytest.mark.req("JG-13")
@pytest.mark.parametrize("shifts", list(permutations((-1, 1, 0), 2)))
def test_no_overlay_adds_or_removes_a_model_or_opens_what_a_filter_refuses(
    shifts: tuple[int, int],
) -> None:
    named = zip(("gpt-4o", "claude-3-5-sonnet"), shifts, strict=True)
    moved = overlay(
        *(("code", model, shift) for model, shift in named if shift),
        ("code", "claude-3-opus", 1),
    )
    plan = plan_of(task_class="code", overlay=moved)
    assert sorted(chosen(plan)) == ["claude-3-5-sonnet", "gpt-4o"]
    assert reasons(plan)["claude-3-opus"] is ReasonCode.NOT_IN_ROUTE
    down = plan_of(task_class="code", overlay=moved, down=("openrouter-anthropic",))
    assert chosen(down) == ["gpt-4o"]
