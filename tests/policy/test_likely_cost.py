"""What a call probably costs stands beside what is held for it."""

from typing import Any

import pytest
from pydantic import ValidationError

from pointwork.contract.decision import Candidate
from pointwork.contract.task import Complexity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.policy.documents.likely_output import LikelyOutput
from tests.fakes.policy_facts import Situation, changed, shipped

OMEGA = shipped()


def candidates(bundle: PolicyBundle = OMEGA, **fields: Any) -> tuple[Candidate, ...]:
    facts = {
        "task_class": "high_stakes_logic",
        "sensitivity": "public",
        "estimated_complexity": "medium",
    }
    return decide(Situation(**(facts | fields)).facts(bundle), bundle).candidates


@pytest.mark.req("OM-77")
def test_tier_tokens_and_complexity_each_change_the_likely_cost() -> None:
    first, another = candidates()[0], candidates(task_class="creative_synthesis")[0]
    assert first.likely_nano_usd is not None
    assert first.prices != another.prices
    assert first.likely_nano_usd != another.likely_nano_usd

    for more in (candidates(output_tokens=900)[0], candidates(input_bytes=4_000)[0]):
        assert more.likely_nano_usd is not None
        assert more.likely_nano_usd > first.likely_nano_usd

    likely = [candidates(estimated_complexity=each)[0].likely_nano_usd or 0 for each in Complexity]
    assert likely == sorted(set(likely))


@pytest.mark.parametrize("complexity", Complexity)
def test_what_is_held_is_the_worst_case_however_simple_the_task_looks(
    complexity: Complexity,
) -> None:
    for task_class in OMEGA.pack.classes:
        without = candidates(task_class=task_class, estimated_complexity=None)
        found = candidates(task_class=task_class, estimated_complexity=complexity)
        assert [each.estimate_nano_usd for each in found] == [
            each.estimate_nano_usd for each in without
        ]
        for each in found:
            assert each.likely_nano_usd is not None
            assert each.likely_nano_usd <= each.estimate_nano_usd


def test_where_nobody_estimated_the_complexity_or_the_pack_is_silent_nothing_is_guessed() -> None:
    assert {each.likely_nano_usd for each in candidates(estimated_complexity=None)} == {None}
    silent = changed(OMEGA, pack={"likely_output": None})
    assert {each.likely_nano_usd for each in candidates(silent)} == {None}


def test_shares_that_fall_as_the_work_gets_harder_are_refused() -> None:
    with pytest.raises(ValidationError, match="write them rising"):
        LikelyOutput.model_validate({"low": "0.5", "medium": "0.4", "high": "0.9"})
