"""Whom a budget concerns, and what the hard stop holds (OM-32, OM-33; issue 4)."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from random import Random
from typing import Any

import pytest

from pointwork.contract.budget_windows import BudgetSetting
from pointwork.contract.decision import DecisionInput, Effect, GrantKind, Obligation, Plan
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import BudgetSignal, WindowSpec
from pointwork.contract.task import Sensitivity, TaskRequest
from pointwork.policy.bundle import PolicyBundle, PolicyLibrary
from pointwork.policy.decide import decide
from pointwork.policy.engine.windows import standing_windows, subjects_of
from tests.fakes.policy_facts import (
    NOW,
    Granted,
    Situation,
    changed,
    chosen,
    free,
    reasons,
    shipped,
)
from tests.policy.random_facts import bundle_of, fact_sets
from workers.adapters import LibraryPolicy

TODAY = "2026-03-04"
DAY = f"omega/pack/omega/day/{TODAY}"
LIMIT = 20_000_000_000
CLASS = "creative_synthesis"
"""Which models of several vendors may do, where money is short."""
DEAREST_SCOPES = ("vendor", "model", "class", "caller", "worker")


def task(**declared: Any) -> Situation:
    values = {"task_class": CLASS, "sensitivity": Sensitivity.PUBLIC, "worker": "night-shift"}
    return Situation(**(values | declared))


def setting(
    scope: str, subject: str, limit: int = LIMIT, version: int = 1, **changed: Any
) -> BudgetSetting:
    values: dict[str, Any] = {
        "version": version,
        "pack": "omega",
        "scope": scope,
        "subject": subject,
        "period": "day",
        "limit_nano_usd": limit,
        "set_by": "ada",
        "reason": "the quarter is closing",
        "set_at": NOW,
    }
    return BudgetSetting(**(values | changed))


def read(spec: WindowSpec, left: int, *, is_stopped: bool = False) -> BudgetSignal:
    return BudgetSignal(
        window=spec.key,
        limit_nano_usd=spec.limit_nano_usd,
        committed_nano_usd=spec.limit_nano_usd - left,
        is_stopped=is_stopped,
    )


def under(
    situation: Situation,
    *settings: BudgetSetting,
    left: int = 0,
    bundle: PolicyBundle | None = None,
) -> DecisionInput:
    """The task as the worker sees it, whose set budgets have ``left`` and whose others have all."""
    bundle = bundle or shipped()
    facts = situation.facts(bundle)
    policy = LibraryPolicy(PolicyLibrary([bundle]))
    standing = policy.standing(facts.request, settings, NOW)
    windows = {each.key: each for each in policy.windows(facts.request, NOW)}
    windows |= {each.key: each for each in standing}
    set_keys = {each.key for each in standing}
    subjects = {each.subject for each in settings}
    signals = tuple(
        read(
            spec,
            left
            if key in set_keys and spec.scope.partition("/")[2] in subjects
            else spec.limit_nano_usd,
        )
        for key, spec in sorted(windows.items())
    )
    return with_snapshot(facts, budgets=signals, standing=standing)


def with_snapshot(facts: DecisionInput, **update: Any) -> DecisionInput:
    return facts.model_copy(update={"snapshot": facts.snapshot.model_copy(update=update)})


def stopped(facts: DecisionInput, *keys: str) -> DecisionInput:
    """The same, with the hard stop standing over those windows, or over all."""
    budgets = tuple(
        each.model_copy(update={"is_stopped": not keys or each.window in keys})
        for each in facts.snapshot.budgets
    )
    return with_snapshot(facts, budgets=budgets)


def vendors_of(plan: Plan) -> list[str]:
    return [each.vendor for each in plan.candidates]


def test_a_spent_budget_of_a_vendor_refuses_that_vendors_models_and_no_others() -> None:
    usual = decide(under(task()), shipped())
    first = usual.candidates[0].vendor
    plan = decide(under(task(), setting("vendor", first)), shipped())
    assert first in vendors_of(usual)
    assert plan.effect is Effect.RUN
    assert first not in vendors_of(plan)
    index = shipped().index
    of_budget = {name for name, code in reasons(plan).items() if code is ReasonCode.BUDGET}
    assert of_budget
    assert {index.by_name[name].vendor for name in of_budget} == {first}
    key = f"omega/vendor/{first}/day/{TODAY}"
    assert {each.detail for each in plan.rejected if each.model in of_budget} == {key}
    assert key in {each.key for each in plan.windows}


def test_a_spent_budget_of_a_model_refuses_that_model_and_no_other() -> None:
    usual = decide(under(task()), shipped())
    first = chosen(usual)[0]
    plan = decide(under(task(), setting("model", first)), shipped())
    assert plan.effect is Effect.RUN
    assert reasons(plan)[first] is ReasonCode.BUDGET
    refused = {name for name, code in reasons(plan).items() if code is ReasonCode.BUDGET}
    assert refused == {first}


@pytest.mark.parametrize(
    ("scope", "subject"), [("class", CLASS), ("caller", "billing"), ("worker", "night-shift")]
)
def test_a_spent_budget_of_its_class_caller_or_worker_refuses_a_task_every_charged_model(
    scope: str, subject: str
) -> None:
    bundle = changed(shipped(), pack={"hard_stop": False})
    plan = decide(under(task(), setting(scope, subject), bundle=bundle), bundle)
    estimates = {each.model: each.estimate_nano_usd for each in plan.candidates}
    assert set(estimates.values()) <= {0}
    assert ReasonCode.BUDGET in reasons(plan).values()


@pytest.mark.parametrize(
    ("scope", "subject"),
    [("class", "bulk_generation"), ("caller", "tutor"), ("worker", "day-shift")],
)
def test_a_spent_budget_of_another_class_caller_or_worker_is_not_the_tasks(
    scope: str, subject: str
) -> None:
    """Every class's window is read, because the class is not known yet when they are."""
    facts = under(task(), setting(scope, subject))
    windows = {each.window for each in facts.snapshot.budgets}
    assert (f"omega/{scope}/{subject}/day/{TODAY}" in windows) == (scope == "class")
    plan, usual = decide(facts, shipped()), decide(under(task()), shipped())
    assert chosen(plan) == chosen(usual)
    assert plan.windows == usual.windows
    assert decide(stopped(facts, f"omega/{scope}/{subject}/day/{TODAY}"), shipped()) == plan


def test_an_owners_limit_stands_in_the_place_of_the_packs_own() -> None:
    plan = decide(under(task(), setting("pack", "omega", 7, 3), left=7), shipped())
    specs = {each.key: each for each in decide(under(task()), shipped()).windows}
    assert specs[DAY].limit_nano_usd == LIMIT
    assert plan.reason is ReasonCode.HARD_STOP
    facts = under(task(), setting("pack", "omega", 2 * LIMIT, 3), left=LIMIT)
    spec = next(each for each in decide(facts, shipped()).windows if each.key == DAY)
    assert (spec.limit_nano_usd, spec.limit_version) == (2 * LIMIT, 3)


def test_a_budget_over_every_pack_is_one_of_the_tasks_windows() -> None:
    everywhere = setting("pack", "all", pack="all")
    plan = decide(under(task(), everywhere, left=LIMIT), shipped())
    assert f"all/pack/all/day/{TODAY}" in {each.key for each in plan.windows}
    spent = decide(under(task(), everywhere), shipped())
    assert (spent.effect, spent.stopped_by) == (Effect.HOLD, (f"all/pack/all/day/{TODAY}",))


def test_a_budget_over_every_pack_has_utc_days_whatever_the_packs_own_zone() -> None:
    pack = changed(shipped(), pack={"timezone": "Pacific/Kiritimati"}).pack
    moment = datetime(2026, 3, 4, 23, 0, tzinfo=UTC)
    settings = [setting("pack", "all", pack="all"), setting("pack", "omega", version=2)]
    found = standing_windows(pack, settings, moment, subjects_of("billing"))
    assert [each.key for each in found] == [
        "all/pack/all/day/2026-03-04",
        "omega/pack/omega/day/2026-03-05",
    ]


@pytest.mark.req("JG-28")
@pytest.mark.parametrize("scope", DEAREST_SCOPES)
def test_a_call_that_nears_an_owners_limit_obliges_to_tell_people(scope: str) -> None:
    plan = decide(under(task()), shipped())
    first = plan.candidates[0]
    subject = {
        "vendor": first.vendor,
        "model": first.model,
        "class": CLASS,
        "caller": "billing",
        "worker": "night-shift",
    }[scope]
    told = setting(scope, subject, alert_ratio=Decimal("0.8"))
    for left, is_near in ((LIMIT // 5, True), (LIMIT // 2, False)):
        found = decide(under(task(), told, left=left), shipped())
        assert chosen(found)[0] == first.model
        assert (Obligation.ALERT_BUDGET in found.obligations) == is_near


@pytest.mark.req("JG-28")
@pytest.mark.parametrize("scope", ["vendor", "model"])
def test_a_call_is_not_told_of_for_another_vendors_or_models_budget(scope: str) -> None:
    entries = shipped().index.entries
    usual = decide(under(task()), shipped())
    first = usual.candidates[0]
    subject = next(
        e.vendor if scope == "vendor" else e.name
        for e in entries
        if e.vendor != first.vendor and e.name != first.model
    )
    told = setting(scope, subject, alert_ratio=Decimal("0.1"))
    plan = decide(under(task(), told, left=LIMIT // 100), shipped())
    assert chosen(plan)[0] == first.model
    assert Obligation.ALERT_BUDGET not in plan.obligations


def test_the_required_budget_signal_is_of_the_owners_windows_too() -> None:
    bundle = shipped("socioprophet", "laptop")
    assert "budget" in bundle.pack.required_signals
    name = next(iter(bundle.pack.classes))
    situation = Situation(task_class=name, caller="billing", budget_spent=0)
    standing = standing_windows(
        bundle.pack,
        [setting("caller", "billing", pack=bundle.pack.pack)],
        NOW,
        subjects_of("billing"),
    )
    without = with_snapshot(situation.facts(bundle), standing=standing)
    plan = decide(without, bundle)
    assert (plan.effect, plan.reason) == (Effect.DENY, ReasonCode.SIGNAL_MISSING)
    read_too = (*without.snapshot.budgets, read(standing[0], LIMIT))
    assert decide(with_snapshot(without, budgets=read_too), bundle).reason is not (
        ReasonCode.SIGNAL_MISSING
    )


@pytest.mark.req("OM-32")
@pytest.mark.parametrize("task_class", list(shipped().pack.classes))
def test_a_stop_that_stands_holds_every_task_a_free_one_too(task_class: str) -> None:
    facts = stopped(under(task(task_class=task_class), left=LIMIT), DAY)
    running = decide(under(task(task_class=task_class), left=LIMIT), shipped())
    plan = decide(facts, shipped())
    if running.effect is Effect.RUN:
        assert (plan.effect, plan.reason) == (Effect.HOLD, ReasonCode.HARD_STOP)
        assert (plan.hold_for, plan.stopped_by) == (GrantKind.BUDGET, (DAY,))
        assert plan.candidates == ()
        assert len(plan.rejected) == len(shipped().models)
    else:
        assert plan == running


@pytest.mark.req("OM-32")
def test_a_free_task_runs_until_the_budget_is_stopped() -> None:
    bundle, situation = free(shipped(), "smollm2-135m"), task(task_class="summarisation_formatting")
    facts = under(situation, setting("vendor", "openai"), bundle=bundle)
    running = decide(facts, bundle)
    assert running.effect is Effect.RUN
    assert [each.estimate_nano_usd for each in running.candidates] == [0]
    assert decide(stopped(facts, DAY), bundle).reason is ReasonCode.HARD_STOP


@pytest.mark.req("OM-32")
def test_a_free_task_is_held_too_where_no_charged_call_is_paid_for() -> None:
    bundle, situation = free(shipped(), "smollm2-135m"), task(task_class="summarisation_formatting")
    plan = decide(under(situation, setting("pack", "omega"), bundle=bundle), bundle)
    assert (plan.effect, plan.stopped_by) == (Effect.HOLD, (DAY,))


@pytest.mark.req("OM-32")
def test_a_budget_that_pays_for_no_charged_call_stops_although_no_stop_stands_yet() -> None:
    facts = under(task(), setting("pack", "omega"))
    plan = decide(facts, shipped())
    assert (plan.effect, plan.reason) == (Effect.HOLD, ReasonCode.HARD_STOP)
    assert plan.stopped_by == (DAY,)
    assert set(reasons(plan).values()) & {ReasonCode.HARD_STOP, ReasonCode.BUDGET}


@pytest.mark.req("OM-33")
def test_a_person_lets_one_task_pass_the_stop() -> None:
    granted = task(grants=(Granted(kind=GrantKind.BUDGET, ceiling=LIMIT),))
    usual = decide(under(task(), left=LIMIT), shipped())
    spent = under(granted, setting("pack", "omega"))
    for facts in (spent, stopped(spent)):
        plan = decide(facts, shipped())
        assert (plan.effect, chosen(plan)) == (Effect.RUN, chosen(usual))
    for kind in set(GrantKind) - {GrantKind.BUDGET}:
        other = task(grants=(Granted(kind=kind, ceiling=LIMIT),))
        held = decide(stopped(under(other, left=LIMIT)), shipped())
        assert held.reason is ReasonCode.HARD_STOP


@pytest.mark.req("OM-32")
def test_without_the_hard_stop_a_spent_budget_downgrades() -> None:
    bundle = changed(shipped(), pack={"hard_stop": False})
    usual = decide(under(task(), bundle=bundle), bundle)
    cost = min(each.estimate_nano_usd for each in usual.candidates)
    day = setting("pack", "omega")
    plan = decide(stopped(under(task(), day, left=max(0, cost - 1), bundle=bundle)), bundle)
    assert plan.stopped_by == ()
    assert plan.reason is not ReasonCode.HARD_STOP
    assert all(each.estimate_nano_usd < cost for each in plan.candidates)
    assert ReasonCode.BUDGET in reasons(plan).values()


@pytest.mark.req("OM-32")
def test_what_no_budget_could_change_is_told_before_the_stop() -> None:
    """Restricted content that no model of the house can read is denied, stop or no stop."""
    situation = task(
        task_class="high_stakes_logic",
        sensitivity=Sensitivity.RESTRICTED,
        requested_model=next(
            e.name for e in shipped().index.entries if not e.is_local and e.has_price
        ),
    )
    facts = under(situation, setting("pack", "omega"))
    plan = decide(stopped(facts), shipped())
    assert plan.effect is Effect.DENY
    assert plan.reason is ReasonCode.RESTRICTED
    assert plan.stopped_by == ()


@pytest.mark.req("OM-32")
@pytest.mark.parametrize("scope", ["vendor", "model"])
def test_a_budget_of_vendors_or_models_never_stops_a_task(scope: str) -> None:
    """Even where each of them is spent: what remains runs, or the task is denied."""
    facts = stopped(under(task(), *_for_all(scope)))
    of_scope = [each for each in facts.snapshot.budgets if f"/{scope}/" in each.window]
    assert of_scope
    only = stopped(facts, *(each.window for each in of_scope))
    plan = decide(only, shipped())
    assert plan.stopped_by == ()
    assert plan.reason is not ReasonCode.HARD_STOP
    assert all(each.estimate_nano_usd == 0 for each in plan.candidates)


def _for_all(scope: str) -> list[BudgetSetting]:
    entries = shipped().index.entries
    names = {each.vendor if scope == "vendor" else each.name for each in entries}
    return [setting(scope, name, version=n) for n, name in enumerate(sorted(names), 1)]


def test_a_stop_is_never_lifted_by_the_facts_of_a_task() -> None:
    """Of 3,000 random tasks none runs while the day's budget is stopped, but with a grant."""
    bundle, seen = bundle_of("omega", "embedded"), set()
    signal = BudgetSignal(window=DAY, limit_nano_usd=LIMIT, committed_nano_usd=0, is_stopped=True)
    for facts in islice(fact_sets(Random("stops"), bundle, 300), 3_000):
        plan = decide(with_snapshot(facts, budgets=(signal,)), bundle)
        granted = any(each.kind is GrantKind.BUDGET for each in facts.grants)
        assert plan.effect is not Effect.RUN or granted
        assert (plan.reason is ReasonCode.HARD_STOP) == (plan.stopped_by == (DAY,))
        seen.add((plan.effect, plan.reason is ReasonCode.HARD_STOP))
    assert {(Effect.HOLD, True), (Effect.DENY, False), (Effect.RUN, False)} <= seen


def test_whom_a_task_can_be_charged_for_is_read_before_its_class_and_model_are_known() -> None:
    bundle = shipped()
    policy = LibraryPolicy(PolicyLibrary([bundle]))
    request: TaskRequest = task().facts(bundle).request
    settings = [
        setting(scope, "*", version=number)
        for number, scope in enumerate(("caller", "class", "worker", "vendor", "model"), 1)
    ]
    found = {each.scope for each in policy.standing(request, settings, NOW)}
    entries = bundle.index.entries
    assert found == {
        "caller/billing",
        "worker/night-shift",
        *(f"class/{name}" for name in bundle.pack.classes),
        *(f"vendor/{each.vendor}" for each in entries),
        *(f"model/{each.name}" for each in entries),
    }
    assert policy.standing(request, [], NOW) == ()
