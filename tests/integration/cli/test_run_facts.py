"""What a person states on the command line reaches the decision of any pack."""

import json
from pathlib import Path

import pytest

from pointwork.contract.decision import DecisionInput
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import TaskRequest
from tests.fakes.scripted_provider import Says
from tests.integration.cli.conftest import CallAside
from tests.workflows.stack import Stack


async def decided(stack: Stack, task_id: str) -> DecisionInput:
    await stack.recorded(task_id)
    return stack.outcomes.decisions(task_id)[0].input


@pytest.mark.req("CX-93")
async def test_a_spec_and_a_diff_make_a_codex_task(
    stack: Stack, pointwork: CallAside, repository: Path
) -> None:
    verdict = {"verdict": "pass", "reasons": ["It does what is asked."]}
    stack.script.write("facts-1", Says("Done."), Says(json.dumps(verdict)))
    spec = repository / "examples" / "specs" / "full.md"
    diff = (
        *(repository, "tests", "policy", "diffs"),
        *("hr_tooling", "hits-an-edit-under-policies.diff"),
    )
    done = await pointwork(
        *("run", "Make the change.", "--id", "facts-1", "--sensitivity", "public"),
        *("--pack", "codex", "--class", "implementer", "--spec", spec, "--diff", Path(*diff)),
        *("--mark", "first_pass", "--measure", "failed_loops=1", "--no-wait", "--json"),
    )
    assert done.err == ""
    given = (await decided(stack, "facts-1")).request
    assert given.spec is not None
    assert (given.spec.name, given.spec.roles) == ("full", ("architect", "implementer", "judge"))
    assert {"first_pass", "hr_tooling"} <= set(given.marks)
    assert given.measures["failed_loops"] == 1
    assert given.measures["diff_lines"] > 0


async def test_the_facts_of_a_chain_make_a_socioprophet_task(
    stack: Stack, pointwork: CallAside
) -> None:
    await pointwork(
        *("run", "Next step.", "--id", "facts-2", "--sensitivity", "public"),
        *("--pack", "socioprophet", "--class", _a_class(stack, "socioprophet")),
        *("--stage", _a_stage(stack), "--previous-lane", "standard", "--subject", "user-1"),
        *("--tool", "read", "--escalation-reason", "irreversible_decision"),
        *("--no-wait", "--json"),
    )
    given = (await decided(stack, "facts-2")).request
    assert given.stage == _a_stage(stack)
    assert given.previous_lane == "standard"
    assert (given.tools, given.subject) == (("read",), "user-1")
    assert given.escalation_reason == "irreversible_decision"


async def test_what_a_gate_said_is_declared_and_stops_the_next_stage(
    stack: Stack, pointwork: CallAside
) -> None:
    await pointwork(
        *("run", "Judge it.", "--id", "facts-4", "--pack", "codex", "--class", "judge"),
        *("--sensitivity", "public", "--gate", "implementer.compiler_and_tests=fail"),
        *("--gate", "implementer.constitution=pass", "--no-wait", "--json"),
    )
    outcome = await stack.recorded("facts-4")
    [record] = stack.outcomes.decisions("facts-4")
    assert [(e.name, e.passed) for e in record.input.request.gate_results] == [
        ("implementer.compiler_and_tests", False),
        ("implementer.constitution", True),
    ]
    assert record.plan.reason is ReasonCode.GATE_FAILED
    assert outcome.attempts == ()


async def test_complexity_review_corpus_and_sources_are_declared(
    stack: Stack, pointwork: CallAside
) -> None:
    await pointwork(
        *("run", "Summarise.", "--id", "facts-3", "--class", "summarisation_formatting"),
        *("--sensitivity", "public", "--complexity", "low", "--reviews", "facts-1"),
        *("--corpus", "docs", "--source", "b", "--source", "a", "--no-wait", "--json"),
    )
    given: TaskRequest = (await decided(stack, "facts-3")).request
    assert given.complexity == "low"
    assert (given.reviews, given.corpus, given.sources) == ("facts-1", "docs", ("a", "b"))


def _a_class(stack: Stack, pack: str) -> str:
    return next(iter(stack.parts.library.active(pack).pack.classes))


def _a_stage(stack: Stack) -> str:
    return next(iter(stack.parts.library.active("socioprophet").pack.stages))
