"""Who criticises and who judges: another vendor's permitted model, where the class asks for it."""

from typing import Any

import pytest
from pydantic import ValidationError

from pointwork.contract.decision import Obligation, Plan
from pointwork.contract.task import PrivacyTier, Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from tests.fakes.policy_facts import Situation, changed, shipped

CLASS = "creative_synthesis"


def with_row(pack: str = "omega", name: str = CLASS, **fields: Any) -> PolicyBundle:
    bundle = shipped(pack)
    rows = {each: row.model_dump() for each, row in bundle.pack.classes.items()}
    rows[name] |= fields
    return changed(bundle, pack={"classes": rows})


def plan(bundle: PolicyBundle, **facts: Any) -> Plan:
    values = {"task_class": CLASS, "sensitivity": Sensitivity.PUBLIC} | facts
    return decide(Situation(**values).facts(bundle), bundle)


def test_without_a_rule_nobody_looks_at_the_answer() -> None:
    found = plan(shipped())
    assert (found.critic, found.judge, found.on_judged_fail) == (None, None, "")
    assert not found.self_critique


@pytest.mark.parametrize("kind", ["critic", "judge"])
def test_the_voice_is_another_vendors_whoever_is_named_first(kind: str) -> None:
    rule: dict[str, Any] = {"families": ["claude_class", "gpt_class"]}
    fields: dict[str, Any] = {kind: rule | ({"on_fail": "deny"} if kind == "judge" else {})}
    bundle = with_row(**fields)
    found = plan(bundle)
    voice = found.judge if kind == "judge" else found.critic

    assert voice is not None
    assert voice.vendor != found.candidates[0].vendor
    assert Obligation.REDACT in found.obligations


def test_a_local_judge_is_one_only_where_the_pack_says_so() -> None:
    rule = {"families": ["local_open"], "on_fail": "deny"}
    assert plan(with_row(judge=rule)).judge is None
    assert plan(with_row(judge=rule)).on_judged_fail == "deny"
    local = plan(with_row(judge=rule | {"cloud_only": False})).judge
    assert local is not None
    assert local.model == "smollm2-135m"


def test_what_the_filters_refuse_judges_nothing() -> None:
    bundle = with_row(name="bulk_generation", judge={"families": ["gpt_class"], "on_fail": "hold"})
    found = plan(bundle, task_class="bulk_generation", privacy_tier=PrivacyTier.LOCAL_ONLY)
    assert (found.judge, found.on_judged_fail) == (None, "hold")


@pytest.mark.req("CX-81")
@pytest.mark.parametrize("name", [*shipped("codex").pack.classes])
def test_high_risk_work_of_every_role_owes_the_cloud_judge_and_the_judge_does_not(
    name: str,
) -> None:
    bundle = shipped("codex")
    found = plan(bundle, task_class=name, marks=("hr_unsafe",))
    if found.effect != "run" or found.candidates[0].kind != "llm":
        return
    if name == "judge":
        assert found.on_judged_fail == ""
        return
    assert found.on_judged_fail == "hold"
    assert found.judge is not None
    assert found.judge.site != "local"
    assert found.judge.vendor != found.candidates[0].vendor
    assert plan(bundle, task_class=name).judge is None


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"critic": {"families": ["nobody"]}}, "no family of this pack"),
        ({"critic": {"families": []}}, "at least 1"),
        ({"judge": {"families": ["gpt_class"]}}, "on_fail"),
        ({"judge": {"families": ["gpt_class"], "on_fail": "vote"}}, "'hold' or 'deny'"),
        ({"parallel": 2, "self_critique": True}, "keep one of them"),
        ({"agreement": {"numbers": {"relative": "0.1"}}}, "state how many models answer"),
        ({"parallel": 2, "agreement": {}}, "state one, or leave agreement out"),
        ({"parallel": 2, "agreement": {"numbers": {"relative": 0.1}}}, "is a float"),
        ({"parallel": 2, "agreement": {"numbers": {"relative": "1"}}}, "less than 1"),
        (
            {"parallel": 2, "agreement": {"text": {"measure": "guess", "similarity_min": "0.9"}}},
            "word_subsequence",
        ),
    ],
)
def test_a_rule_that_cannot_hold_is_refused(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        with_row(**fields)
