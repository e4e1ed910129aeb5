"""Quality is held by tests, gates and the judge: what they say blocks, whatever a model thinks."""

from decimal import Decimal
from typing import Any

import pytest

from pointwork.contract.decision import Plan
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import GateResult
from pointwork.policy.decide import decide
from tests.fakes.policy_facts import Situation, shipped

CODEX = shipped("codex", "rtx5090")
TESTS, CONSTITUTION = "compiler_and_tests", "constitution"


def plan_of(role: str, *results: tuple[str, str, bool], **facts: Any) -> Plan:
    said = tuple(GateResult(stage=s, gate=gate, passed=passed) for s, gate, passed in results)
    return decide(Situation(task_class=role, gate_results=said, **facts).facts(CODEX), CODEX)


@pytest.mark.req("CX-36")
@pytest.mark.parametrize("confidence", ["0", "0.5", "1"])
def test_failing_tests_block_the_judge_however_sure_the_model_was(confidence: str) -> None:
    sure = {"confidence": Decimal(confidence)}
    failed = plan_of("judge", ("implementer", TESTS, False), measures=sure)
    assert (failed.effect, failed.reason) == ("deny", ReasonCode.GATE_FAILED)
    assert {each.detail for each in failed.rejected} == {f"implementer.{TESTS}"}
    assert plan_of("judge", ("implementer", TESTS, True), measures=sure).effect == "run"


@pytest.mark.req("CX-36")
@pytest.mark.parametrize(
    ("stage", "role"),
    [("stage0", "architect"), ("stage0", "judge"), ("architect", "implementer")],
)
def test_a_failed_constitution_gate_blocks_every_later_stage(stage: str, role: str) -> None:
    assert plan_of(role, (stage, CONSTITUTION, False)).reason is ReasonCode.GATE_FAILED


def test_of_two_results_of_one_gate_the_failure_counts() -> None:
    for results in ((True, False), (False, True)):
        said = [("implementer", TESTS, each) for each in results]
        assert plan_of("judge", *said).reason is ReasonCode.GATE_FAILED


@pytest.mark.parametrize("role", ["implementer", "architect", "librarian"])
def test_who_made_what_failed_may_work_on_it_again_and_so_may_those_outside(role: str) -> None:
    assert plan_of(role, ("implementer", TESTS, False)).effect == "run"


def test_no_approval_lets_work_pass_a_gate_that_failed() -> None:
    plan = plan_of("judge", ("implementer", TESTS, False))
    assert (plan.hold_for, plan.candidates) == (None, ())


@pytest.mark.parametrize(
    ("stage", "gate"), [("judge", TESTS), ("implementer", "tests"), ("nobody", CONSTITUTION)]
)
def test_a_result_of_a_gate_that_there_is_not_runs_nothing(stage: str, gate: str) -> None:
    plan = plan_of("implementer", (stage, gate, True))
    assert plan.reason is ReasonCode.FACT_UNKNOWN
    assert {each.detail for each in plan.rejected} == {f"{stage}.{gate}"}


def test_a_pack_without_a_pipeline_knows_no_gate() -> None:
    omega = shipped()
    said = (GateResult(stage="implementer", gate=TESTS, passed=True),)
    situation = Situation(task_class="red_team", gate_results=said)
    assert decide(situation.facts(omega), omega).reason is ReasonCode.FACT_UNKNOWN
