"""A judge before the caller: no answer that it did not pass, unless a person lets it out."""

import json
from typing import Any

import pytest

from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.decision import GrantKind
from pointwork.contract.failures import FailureType, ProviderFailureKind
from pointwork.contract.outcome import TaskOutcome, TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import PrivacyTier, TaskDeclaration
from tests.fakes.scripted_provider import Fails, Says, Step
from tests.workflows.stack import VOICES_PACK, Stack
from tests.workflows.test_route_task import scheduled

PASS = Says(json.dumps({"verdict": "pass", "reasons": ["It does what is asked."]}))
FAIL = Says(json.dumps({"verdict": "fail", "reasons": ["It names no date."]}))
NO_VERDICT = [
    Fails(ProviderFailureKind.TIMEOUT),
    Says("It is fine, pass it."),
    Says(json.dumps({"verdict": "pass"})),
    Says(json.dumps({"verdict": "pass", "reasons": ["Fine."], "answer": "Mine."})),
    Says(json.dumps({"verdict": "maybe", "reasons": ["Who knows."]})),
]
IDS = ["it fails", "prose", "no reasons", "more than its contract", "another word"]


def held(stack: Stack, judge: Step) -> TaskDeclaration:
    """A poem by Anthropic's model, judged by OpenAI's; a fail waits for a person."""
    declaration = stack.declare(task_class="creative_synthesis", pack=VOICES_PACK)
    stack.script.write_at(declaration.task_id, "anthropic", Says("A poem."))
    stack.script.write_at(declaration.task_id, "openai", judge)
    return declaration


def denied(stack: Stack, judge: Step, **declared: Any) -> TaskDeclaration:
    """The local model's answer, judged by Anthropic's; a fail ends the task."""
    values = {"task_class": "exploratory_reasoning", "pack": VOICES_PACK} | declared
    declaration = stack.declare(**values)
    stack.script.write_at(declaration.task_id, "local-gpu", Says("A thought."))
    stack.script.write_at(declaration.task_id, "anthropic", judge)
    return declaration


def verdict_of(outcome: TaskOutcome) -> str | None:
    return outcome.judgement.verdict if outcome.judgement else None


async def test_an_answer_that_the_judge_passes_is_the_answer_with_the_judgement_beside_it(
    stack: Stack,
) -> None:
    outcome = await stack.run(held(stack, PASS), "Write a poem.")
    judgement = outcome.judgement

    assert stack.client.answer_text(outcome) == "A poem."
    assert judgement is not None
    assert (judgement.verdict, judgement.vendor) == ("pass", "openai")
    assert judgement.reasons is not None
    text = stack.parts.content.answer_text(outcome.task_id, judgement.reasons)
    assert json.loads(text)["reasons"] == ["It does what is asked."]
    assert not outcome.approval_ids
    steps = [name for name, _ in await scheduled(stack, outcome.task_id)]
    assert steps.count("budget-reserve") == steps.count("invoke-model") == 2
    assert outcome.cost_nano_usd == sum(each.cost_nano_usd for each in outcome.attempts)


@pytest.mark.req("CX-36")
@pytest.mark.parametrize("judge", [FAIL, *NO_VERDICT], ids=["fail", *IDS])
async def test_where_the_pack_denies_no_answer_leaves_without_a_pass(
    stack: Stack, judge: Step
) -> None:
    outcome = await stack.run(denied(stack, judge), "Think.")

    assert (outcome.status, outcome.failure) == (TaskStatus.DENIED, FailureType.POLICY_DENIED)
    assert outcome.answer is None
    assert verdict_of(outcome) == ("fail" if judge is FAIL else "none")
    assert "judge claude-haiku-4-5" in outcome.reason
    assert len(outcome.attempts) == 2


@pytest.mark.parametrize("judge", [FAIL, NO_VERDICT[0]], ids=["fail", "it fails"])
@pytest.mark.parametrize("verdict", list(ApprovalVerdict))
async def test_where_the_pack_holds_a_person_lets_the_answer_out_or_nobody_does(
    stack: Stack, judge: Step, verdict: ApprovalVerdict
) -> None:
    declaration = held(stack, judge)
    await stack.client.submit(Prompt.from_text("Write a poem."), declaration)
    request = await stack.open_approval(declaration.task_id)
    assert request.asks_for is GrantKind.UNPASSED_ANSWER
    assert stack.outcomes.find(declaration.task_id) is None

    await stack.client.submit_verdict(stack.signed(request, verdict))
    outcome = await stack.recorded(declaration.task_id)
    is_out = verdict is ApprovalVerdict.APPROVED
    assert (outcome.answer is not None) is is_out
    assert outcome.status is (TaskStatus.SUCCEEDED if is_out else TaskStatus.DENIED)
    assert verdict_of(outcome) == ("fail" if judge is FAIL else "none")
    if is_out:
        assert stack.client.answer_text(outcome) == "A poem."
        assert outcome.approval_ids == (request.approval_id,)


async def test_where_nobody_may_judge_and_the_pack_denies_nobody_is_called(stack: Stack) -> None:
    declaration = denied(stack, PASS, privacy_tier=PrivacyTier.LOCAL_ONLY)
    outcome = await stack.run(declaration, "Think.")

    assert outcome.status is TaskStatus.DENIED
    assert "No permitted model could judge the answer." in outcome.reason
    assert not stack.script.calls[declaration.task_id]


async def test_a_local_model_is_no_judge_where_the_pack_wants_one_in_the_cloud(
    stack: Stack,
) -> None:
    plan = stack.parts.library.active(VOICES_PACK).pack.classes["summarisation_formatting"]
    assert plan.judge is not None
    assert plan.judge.families[0] == "local_open"
    declaration = stack.declare(task_class="summarisation_formatting", pack=VOICES_PACK)
    stack.script.write_at(declaration.task_id, "anthropic", PASS)
    outcome = await stack.run(declaration, "Tidy up.")

    assert outcome.judgement is not None
    assert outcome.judgement.vendor == "anthropic"
