"""What holds of every decision of the codex pack, whatever the task and the state of the world."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointwork.contract.canonical import canonical_json
from pointwork.contract.decision import DecisionInput, Effect, GrantKind, Plan, Site
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import PrivacyTier, SpecFacts
from pointwork.policy.decide import decide
from tests.fakes.policy_facts import Situation, chosen, shipped
from tests.policy.random_facts import situation

CODEX = shipped("codex", "rtx5090")
PACK = CODEX.pack
ROOT = Path(__file__).parents[2]
ROLES = tuple(PACK.classes)
KIMI_ROLES = {"librarian", "ace_curator"}
thorough = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def drawn(rng: random.Random, **fields: Any) -> DecisionInput:
    """Any task of the pack in any state of the world, with ``fields`` as given."""
    return situation(rng, CODEX).model_copy(update=fields).facts(CODEX)


@thorough
@given(st.randoms(use_true_random=False))
@pytest.mark.req("CX-20")
def test_no_local_model_ever_judges(rng: random.Random) -> None:
    plan = decide(drawn(rng, task_class="judge", marks=(), measures={}), CODEX)
    assert all(each.site is not Site.LOCAL for each in plan.candidates)
    assert plan.adviser is None


@thorough
@given(st.randoms(use_true_random=False), st.sampled_from(ROLES))
@pytest.mark.req("CX-62")
def test_kimi_serves_two_roles_and_only_where_a_rule_of_theirs_holds(
    rng: random.Random, role: str
) -> None:
    """A person's own override is set aside: it is no route of the pack."""
    plan = decide(drawn(rng, task_class=role, overrides=(), requested_model=None), CODEX)
    used = [each for each in plan.candidates if each.vendor == "moonshot"]
    assert not used or (role in KIMI_ROLES and all(each.move is not None for each in used))


@thorough
@given(st.randoms(use_true_random=False), st.sampled_from(ROLES), st.sampled_from(["task", "spec"]))
@pytest.mark.req("CX-88", "CX-103")
def test_under_local_only_no_role_has_a_model_outside_the_house(
    rng: random.Random, role: str, said_by: str
) -> None:
    fields: dict[str, Any] = {"privacy_tier": PrivacyTier.LOCAL_ONLY}
    if said_by == "spec":
        spec = SpecFacts(name="spec-1", policy_version="2.0.0", roles=ROLES, local_only=True)
        fields = {"spec": spec}
    plan = decide(drawn(rng, task_class=role, **fields), CODEX)
    assert all(each.site is Site.LOCAL for each in plan.candidates)
    assert plan.adviser is None or plan.adviser.site is Site.LOCAL


@pytest.mark.req("CX-88")
@pytest.mark.parametrize("role", ROLES)
def test_under_local_only_a_judge_and_high_risk_work_wait_and_local_roles_run(role: str) -> None:
    plan = local_only(role)
    cloud_work = {"judge", "architect"}
    assert plan.effect is (Effect.HOLD if role in cloud_work else Effect.RUN)
    risky = local_only(role, marks=("hr_security",))
    if role in {*cloud_work, "implementer"}:
        assert (risky.effect, risky.reason) == (Effect.HOLD, ReasonCode.UNSATISFIABLE_LOCAL_ONLY)
        assert risky.hold_for is GrantKind.OUTSIDE_DECISION
    else:
        assert chosen(risky) == chosen(plan)


def local_only(role: str, **fields: Any) -> Plan:
    given_ = Situation(
        task_class=role,
        conversation_id="notebook-7",
        privacy_tier=PrivacyTier.LOCAL_ONLY,
        **fields,
    )
    return decide(given_.facts(CODEX), CODEX)


@thorough
@given(st.randoms(use_true_random=False), st.sampled_from(["architect", "judge", "implementer"]))
def test_high_risk_work_that_needs_the_cloud_is_never_local(rng: random.Random, role: str) -> None:
    spec = SpecFacts(name="spec-1", policy_version="2.0.0", roles=ROLES, high_risk=True)
    plan = decide(drawn(rng, task_class=role, spec=spec), CODEX)
    assert all(each.site is not Site.LOCAL for each in plan.candidates)


@pytest.mark.req("CX-83")
def test_the_same_facts_give_the_same_bytes_a_thousand_times_and_in_another_process() -> None:
    one = drawn(random.Random(4), task_class="implementer", failed=())
    assert len({canonical_json(decide(one, CODEX)) for _ in range(1_000)}) == 1
    rng = random.Random(20260104)
    inputs = [drawn(rng) for _ in range(1_000)]
    once = [canonical_json(decide(each, CODEX)) for each in inputs]
    assert [canonical_json(decide(each, CODEX)) for each in inputs] == once
    assert len(set(once)) > 500
    documents = json.dumps([each.model_dump(mode="json") for each in inputs])
    for hash_seed in ("0", "4242"):
        other = subprocess.run(
            [sys.executable, "-m", "tests.policy.rerun_decisions", "codex", "rtx5090"],
            input=documents.encode(),
            capture_output=True,
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed},
            timeout=120,
            check=True,
        )
        assert other.stdout.splitlines() == once
