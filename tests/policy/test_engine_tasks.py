"""Whole tasks, from the first decision to the end, in every pack: loops end, nothing is retried."""

from itertools import groupby, islice
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointwork.contract.decision import (
    DecisionInput,
    Effect,
    FailedAttempt,
    Grant,
    GrantKind,
    Plan,
)
from pointwork.contract.failures import ProviderFailureKind
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from tests.policy.random_facts import bundle_of, fact_sets, facts_of, present

TASKS = 800
POOL = 300
every_pack = pytest.mark.parametrize(("pack", "host"), present())
thorough = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def life_of(
    facts: DecisionInput, bundle: PolicyBundle, rng: Random
) -> list[tuple[DecisionInput, Plan]]:
    """Every decision of a task whose calls all fail and whose every question a person grants."""
    most = 6 * len(bundle.index.entries) + len(GrantKind) + 1
    facts = facts.model_copy(update={"failed": (), "grants": ()})
    told: list[tuple[DecisionInput, Plan]] = []
    while (plan := decide(facts, bundle)).effect is not Effect.DENY:
        told.append((facts, plan))
        assert len(told) < most, "the task does not end"
        facts = _after(facts, plan, rng)
    return [*told, (facts, plan)]


def _after(facts: DecisionInput, plan: Plan, rng: Random) -> DecisionInput:
    if plan.hold_for is not None:
        grant = Grant(
            kind=plan.hold_for,
            approval_id=f"approval/{len(facts.grants)}",
            approver="ada",
            ceiling_nano_usd=plan.task_ceiling_nano_usd,
        )
        return facts.model_copy(update={"grants": (*facts.grants, grant)})
    kind = rng.choice((None, None, *ProviderFailureKind))
    attempt = FailedAttempt(model=plan.candidates[0].model, kind=kind)
    return facts.model_copy(update={"failed": (*facts.failed, attempt)})


def check(life: list[tuple[DecisionInput, Plan]], bundle: PolicyBundle) -> None:
    """A model is tried once, or as often in a row as its class allows refused answers."""
    last, end = life[-1]
    row = bundle.pack.classes.get(end.task_class or "")
    tries = [(name, list(each)) for name, each in groupby(last.failed, lambda tried: tried.model)]
    assert len({name for name, _ in tries}) == len(tries)
    for _, each in tries:
        assert row is not None
        assert len(each) <= row.quality_failures_max
        assert len(each) == 1 or all(tried.kind is None for tried in each[:-1])
    asked = [plan.hold_for for _, plan in life if plan.hold_for is not None]
    assert len(set(asked)) == len(asked)


def check_moves(life: list[tuple[DecisionInput, Plan]], bundle: PolicyBundle) -> None:
    """Each new model after a failure is reached by a move that says from where and why."""
    for facts, plan in life:
        if plan.effect is not Effect.RUN or bundle.pack.schema_version == "pointwork/pack/1":
            continue
        first, failed = plan.candidates[0], facts.failed
        if first.move is not None:
            assert first.move.attempt == len(failed) + 1
            assert first.move.from_model == (failed[-1].model if failed else None)
            assert first.move.to_lane is first.lane
            assert first.move.trigger == first.trigger
        elif failed:
            assert first.model == failed[-1].model


@every_pack
def test_a_task_whose_every_call_fails_ends_and_goes_back_to_no_model(pack: str, host: str) -> None:
    bundle, rng = bundle_of(pack, host), Random(f"{pack}/tasks")
    longest = 0
    for facts in islice(fact_sets(rng, bundle, POOL), TASKS):
        life = life_of(facts, bundle, rng)
        check(life, bundle)
        check_moves(life, bundle)
        longest = max(longest, len(life))
    assert longest > 3


@every_pack
@thorough
@given(st.randoms(use_true_random=False))
def test_any_task_ends_and_goes_back_to_no_model(pack: str, host: str, rng: Random) -> None:
    bundle = bundle_of(pack, host)
    life = life_of(facts_of(rng, bundle), bundle, rng)
    check(life, bundle)
    check_moves(life, bundle)
