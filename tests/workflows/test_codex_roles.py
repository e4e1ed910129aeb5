"""Codex roles in running tasks: contracts of answers, drafts, outages, specs."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.decision import GrantKind, MoveKind, Obligation, Site, Trigger
from pointwork.contract.failures import FailureType, ProviderFailureKind
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import Lane, PrivacyTier, SpecFacts, TaskDeclaration
from pointwork.ledger.logline import render_log_line
from pointwork.ledger.signals import SignalStore
from tests.fakes.scripted_provider import Fails, Says
from tests.workflows.stack import Stack

PLAN = {
    "steps": ["Split the module.", "Move the parser out."],
    "files": ["src/parser.rs"],
    "risks": ["The public API may move."],
    "confidence": 0.8,
}
DOWN = Fails(ProviderFailureKind.OVERLOADED)


def role(stack: Stack, task_class: str, **declared: Any) -> TaskDeclaration:
    return stack.declare(pack="codex", task_class=task_class, **declared)


def models_called(stack: Stack, task_id: str) -> list[str]:
    return [call.request.model for call in stack.script.calls[task_id]]


async def test_a_plan_that_keeps_its_contract_is_the_architects_answer(stack: Stack) -> None:
    task = role(stack, "architect")
    stack.script.write(task.task_id, Says(json.dumps(PLAN)))
    outcome = await stack.run(task, "Plan the split.")

    assert outcome.status is TaskStatus.SUCCEEDED, outcome.reason
    assert outcome.served_model == "claude-sonnet-5"
    (call,) = stack.script.calls[task.task_id]
    assert call.request.answer_schema is not None
    assert "confidence" in call.request.answer_schema["required"]


@pytest.mark.req("CX-16", "CX-91")
@pytest.mark.parametrize(
    "answer",
    ["First split the module.", json.dumps(PLAN | {"confidence": 1.2}), json.dumps({"steps": []})],
    ids=["prose", "confidence over 1", "nothing planned"],
)
async def test_an_answer_without_a_valid_plan_fails_the_step(stack: Stack, answer: str) -> None:
    task = role(stack, "architect")
    stack.script.write(task.task_id, *([Says(answer)] * 6))
    outcome = await stack.run(task, "Plan the split.")

    assert outcome.status is TaskStatus.FAILED
    assert outcome.failure is FailureType.PROVIDERS_EXHAUSTED
    # DeepSeek stands in for an outage, never for a bad answer.
    assert models_called(stack, task.task_id) == ["claude-sonnet-5", "gpt-5.1"]


async def test_with_both_planners_out_deepseek_answers_and_the_record_names_the_outage(
    stack: Stack,
) -> None:
    task = role(stack, "architect")
    stack.script.write(task.task_id, DOWN, DOWN, Says(json.dumps(PLAN)))
    outcome = await stack.run(task, "Plan the split.")

    assert outcome.served_model == "deepseek-r2"
    assert outcome.served_as == "deepseek-reasoner"
    assert outcome.fallbacks[-1].trigger == Trigger.PROVIDER_OUTAGE


@pytest.mark.req("CX-44")
async def test_a_fast_draft_is_not_final_until_a_cloud_model_has_reviewed_it(
    stack: Stack,
) -> None:
    draft = role(stack, "architect", marks=("fast_draft",))
    stack.script.write(draft.task_id, Says(json.dumps(PLAN)))
    drafted = await stack.run(draft, "Draft a plan.")
    assert drafted.served_model == "smollm2-135m"
    assert drafted.is_draft
    assert not stack.outcomes.is_final(draft.task_id)

    failed = role(stack, "architect", reviews=draft.task_id)
    stack.script.write(failed.task_id, *([Says("no plan")] * 6))
    await stack.run(failed, "Review the draft.")
    assert not stack.outcomes.is_final(draft.task_id)

    review = role(stack, "architect", reviews=draft.task_id)
    stack.script.write(review.task_id, Says(json.dumps(PLAN)))
    reviewed = await stack.run(review, "Review the draft.")
    assert not reviewed.is_draft
    assert stack.outcomes.is_final(draft.task_id)
    assert stack.outcomes.is_final(review.task_id)


@pytest.mark.req("CX-19")
async def test_the_tutors_local_model_down_gives_haiku_and_says_so(stack: Stack) -> None:
    task = role(stack, "tutor")
    down = Fails(ProviderFailureKind.LOCAL_MODEL_UNAVAILABLE)
    stack.script.write(task.task_id, down, Says("What do you think it does?"))
    outcome = await stack.run(task, "Explain the borrow checker.")

    assert outcome.served_model == "claude-haiku-4-5"
    (fallback,) = outcome.fallbacks
    assert (fallback.from_model, fallback.trigger) == ("smollm2-135m", Trigger.LOCAL_UNAVAILABLE)
    assert render_log_line(outcome).endswith(" yes")


@pytest.mark.parametrize(
    ("evidence", "status"),
    [(["test-17"], TaskStatus.SUCCEEDED), ([], TaskStatus.FAILED)],
    ids=["with evidence", "without"],
)
@pytest.mark.req("CX-20")
async def test_a_verdict_counts_only_with_evidence(
    stack: Stack, evidence: list[str], status: TaskStatus
) -> None:
    task = role(stack, "judge")
    verdict = {"verdict": "pass", "evidence": evidence, "reasons": ["The tests pass."]}
    stack.script.write(task.task_id, *([Says(json.dumps(verdict))] * 6))
    outcome = await stack.run(task, "Judge it.")
    assert outcome.status is status
    assert stack.script.calls[task.task_id][0].request.effort == "high"


@pytest.mark.req("CX-21", "CX-87")
@pytest.mark.parametrize(
    ("cited", "passes"), [("notes-1", True), ("notes-9", False)], ids=["given", "invented"]
)
async def test_a_citation_of_a_source_nobody_gave_fails_the_step(
    stack: Stack, cited: str, passes: bool
) -> None:
    task = role(stack, "stage0_synth", conversation="session-1", sources=("notes-1", "notes-2"))
    answer = {"answer": f"The parser is slow [{cited}].", "citations": [cited]}
    stack.script.write(task.task_id, *([Says(json.dumps(answer))] * 4))
    outcome = await stack.run(task, "Why is it slow?")
    assert (outcome.served_model == "notebooklm") is passes


@pytest.mark.req("CX-100")
@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"policy_version": "2.0.0", "roles": ("judge",)}, "role_not_in_spec"),
        ({"policy_version": "2.0.0", "infrastructure_only": True}, "spec_infrastructure_only"),
        ({"policy_version": ""}, "spec_policy_missing"),
        ({"policy_version": "1.0.0", "roles": ("tutor",)}, "spec_policy_missing"),
    ],
)
async def test_a_spec_that_says_no_or_cites_nothing_calls_no_model(
    stack: Stack, spec: dict[str, Any], reason: str
) -> None:
    task = role(stack, "tutor", spec=SpecFacts(name="specs/9.md", **spec))
    outcome = await stack.run(task, "Coach me.")

    assert outcome.status is TaskStatus.DENIED
    assert reason in outcome.reason
    assert not stack.script.calls[task.task_id]


async def test_a_spec_that_says_yes_lets_the_role_run(stack: Stack) -> None:
    spec = SpecFacts(name="specs/9.md", policy_version="2.0.0", roles=("tutor",))
    outcome = await stack.run(role(stack, "tutor", spec=spec), "Coach me.")
    assert outcome.status is TaskStatus.SUCCEEDED


async def test_local_only_sends_no_byte_to_the_cloud_from_any_role(stack: Stack) -> None:
    for name in stack.parts.library.active("codex").pack.classes:
        if name in ("judge", "architect"):
            continue  # they wait for a person instead; see the decision tests
        task = role(stack, name, privacy_tier=PrivacyTier.LOCAL_ONLY, conversation="s")
        await stack.run(task, "Do it.")
        assert {call.endpoint for call in stack.script.calls[task.task_id]} <= {"local-gpu"}


JUDGED = {"pass": ["It compiles."], "fail": ["It leaks."]}


def judged(verdict: str) -> Says:
    return Says(json.dumps({"verdict": verdict, "reasons": JUDGED[verdict]}))


@pytest.mark.req("CX-81")
async def test_high_risk_work_is_done_when_a_judge_in_the_cloud_has_passed_it(
    stack: Stack,
) -> None:
    task = role(stack, "implementer", marks=("hr_unsafe",))
    stack.script.write(task.task_id, Says("A patch."), judged("pass"))
    outcome = await stack.run(task, "Change the FFI.")
    plan = stack.outcomes.decisions(task.task_id)[0].plan

    assert Obligation.CLOUD_JUDGE in plan.obligations
    assert outcome.status is TaskStatus.SUCCEEDED
    assert outcome.judgement is not None
    assert plan.judge is not None
    assert (outcome.judgement.verdict, plan.judge.site) == ("pass", Site.PUBLIC_API)
    assert outcome.judgement.vendor != outcome.attempts[0].vendor


@pytest.mark.req("CX-81")
@pytest.mark.parametrize("verdict", [judged("fail"), DOWN, Says("Fine.")], ids=["fail", "out", "?"])
@pytest.mark.parametrize("name", ["implementer", "architect"])
async def test_high_risk_work_without_that_verdict_waits_for_a_person(
    stack: Stack, name: str, verdict: Says | Fails
) -> None:
    task = role(stack, name, marks=("hr_unsafe",))
    stack.script.write(task.task_id, Says(json.dumps(PLAN)), verdict)
    await stack.client.submit(Prompt.from_text("Change the FFI."), task)
    request = await stack.open_approval(task.task_id)
    assert request.asks_for is GrantKind.UNPASSED_ANSWER

    await stack.client.submit_verdict(stack.signed(request, ApprovalVerdict.REJECTED))
    outcome = await stack.recorded(task.task_id)
    assert (outcome.status, outcome.answer) == (TaskStatus.DENIED, None)


@pytest.mark.req("CX-33")
@pytest.mark.parametrize(
    ("fact", "calls"),
    [
        ({}, 1),
        ({"measures": {"confidence": "0.59"}}, 2),
        ({"measures": {"confidence": "0.60"}}, 1),
        ({"measures": {"failed_loops": 2}}, 2),
        ({"measures": {"failed_loops": 1}}, 1),
        ({"marks": ("user_requested_second_opinion",)}, 2),
    ],
    ids=["none", "unsure", "sure enough", "two failed loops", "one failed loop", "asked for"],
)
async def test_each_trigger_alone_gets_one_second_opinion_that_changes_no_answer(
    stack: Stack, fact: dict[str, Any], calls: int
) -> None:
    task = role(stack, "architect", **fact)
    own, other = json.dumps(PLAN), json.dumps(PLAN | {"confidence": 0.1})
    stack.script.write(task.task_id, Says(own), Says(other))
    outcome = await stack.run(task, "Plan the split.")

    assert len(stack.script.calls[task.task_id]) == calls
    assert outcome.answer is not None
    assert stack.parts.content.answer_text(task.task_id, outcome.answer) == own
    assert outcome.served_model == "claude-sonnet-5"
    assert not outcome.fallbacks
    assert (outcome.advice is not None) is (calls == 2)
    if outcome.advice is not None:
        assert outcome.advice.vendor != "anthropic"
        said = stack.parts.content.answer_text(task.task_id, outcome.advice.answer)
        assert said == other


async def test_an_adviser_that_fails_costs_the_owner_nothing_but_the_record(
    stack: Stack,
) -> None:
    task = role(stack, "architect", marks=("user_requested_second_opinion",))
    stack.script.write(task.task_id, Says(json.dumps(PLAN)), DOWN)
    outcome = await stack.run(task, "Plan the split.")

    assert outcome.status is TaskStatus.SUCCEEDED
    assert outcome.advice is None
    assert [each.failure for each in outcome.attempts] == [None, ProviderFailureKind.OVERLOADED]


@pytest.mark.req("CX-92")
async def test_a_move_before_the_first_try_is_on_the_record_with_its_rule_and_figures(
    stack: Stack,
) -> None:
    task = role(stack, "implementer", measures={"failed_loops": 2})
    outcome = await stack.run(task, "Fix the loop.")

    (moved,) = outcome.moves
    assert (moved.to_model, moved.move.kind) == ("deepseek-chat", MoveKind.ESCALATION)
    assert moved.move.trigger == "two_failed_loops"
    assert moved.move.evidence == ("failed_loops=2 at least 2",)
    assert (moved.move.from_lane, moved.move.to_lane) == (Lane.LOCAL, Lane.STANDARD)
    assert moved.move.attempt == 1
    assert outcome.policy is not None
    assert len(outcome.policy.pack_sha256) == 64
    assert not outcome.used_fallback


@pytest.mark.req("CX-84")
async def test_a_fallback_known_before_the_first_try_is_not_silent(stack: Stack) -> None:
    signals, now = SignalStore(stack.parts.engine), datetime.now(UTC)
    for _ in range(5):
        kind = ProviderFailureKind.LOCAL_MODEL_UNAVAILABLE
        signals.record_endpoint("local-gpu", False, kind, None, now)
    outcome = await stack.run(role(stack, "tutor"), "Coach me.")

    assert outcome.served_model == "claude-haiku-4-5"
    (moved,) = outcome.moves
    assert (moved.move.kind, moved.move.trigger) == (
        MoveKind.FALLBACK,
        Trigger.LOCAL_UNAVAILABLE,
    )
    assert outcome.used_fallback
    assert render_log_line(outcome).endswith(" yes")
