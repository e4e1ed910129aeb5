"""A critic beside the owner: it comments, it changes nothing, and it holds nothing up."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import AttemptState, TaskOutcome, TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.policy.bundle import PolicyLibrary
from tests.fakes.scripted_provider import Fails, Hangs, Says, Script, Step
from tests.workflows.stack import VOICES_PACK, Stack, open_test_parts, running
from tests.workflows.test_codex_roles import PLAN
from tests.workflows.test_route_task import scheduled

ANSWER = "Sell the house before the rates move, and write to ada@example.org."
VERDICT = {"verdict": "pass", "evidence": ["test-17"], "reasons": ["The tests pass."]}
REMARKS = {
    "risks": ["The rates may not move.", "The buyer may withdraw."],
    "contradictions": [],
    "missing_requirements": ["No date is named."],
    "guardrail_conflicts": [],
}


async def criticised(stack: Stack, *critic: Step, **declared: Any) -> TaskOutcome:
    values = {"task_class": "high_stakes_logic", "pack": VOICES_PACK} | declared
    declaration = stack.declare(**values)
    stack.script.write_at(declaration.task_id, "openai", Says(ANSWER))
    stack.script.write_at(declaration.task_id, "anthropic", *critic)
    outcome = await stack.run(declaration, "Shall we sell?")
    assert outcome.status is TaskStatus.SUCCEEDED, outcome.reason
    assert stack.client.answer_text(outcome) == ANSWER
    return outcome


@pytest.mark.req("CX-32")
async def test_a_critics_four_lists_stand_beside_the_owners_answer(stack: Stack) -> None:
    outcome = await criticised(stack, Says(json.dumps(REMARKS)))
    critique = outcome.critique

    assert critique is not None
    assert (critique.model, critique.vendor) == ("claude-sonnet-5", "anthropic")
    counts = {each.kind: each.count for each in critique.counts}
    assert counts == {kind: len(listed) for kind, listed in REMARKS.items()}
    text = stack.parts.content.answer_text(outcome.task_id, critique.remarks)
    assert json.loads(text) == REMARKS
    assert outcome.served_model == "gpt-5.1"
    assert outcome.cost_nano_usd == sum(each.cost_nano_usd for each in outcome.attempts)


@pytest.mark.req("CX-32")
@pytest.mark.parametrize(
    "said",
    [
        json.dumps(REMARKS | {"rewrite": "Keep the house."}),
        json.dumps(REMARKS | {"verdict": "fail"}),
        json.dumps({key: REMARKS[key] for key in ("risks", "contradictions")}),
        json.dumps(REMARKS | {"risks": "many"}),
        "Keep the house instead.",
    ],
    ids=["a rewrite", "a verdict", "lists missing", "no list", "prose"],
)
async def test_anything_but_the_four_lists_is_refused(stack: Stack, said: str) -> None:
    outcome = await criticised(stack, Says(said))
    assert outcome.critique is None
    assert len(outcome.attempts) == 2


@pytest.mark.req("CX-39")
@pytest.mark.parametrize("kind", [ProviderFailureKind.TIMEOUT, ProviderFailureKind.OVERLOADED])
async def test_a_critic_that_fails_changes_nothing(stack: Stack, kind: ProviderFailureKind) -> None:
    outcome = await criticised(stack, Fails(kind))
    assert outcome.critique is None
    assert [each.state for each in outcome.attempts] == [AttemptState.DONE, AttemptState.FAILED]


@pytest.mark.req("CX-39")
async def test_the_caller_has_the_answer_while_the_critic_still_thinks(stack: Stack) -> None:
    declaration = stack.declare(task_class="high_stakes_logic", pack=VOICES_PACK)
    stack.script.write_at(declaration.task_id, "openai", Says(ANSWER))
    stack.script.write_at(declaration.task_id, "anthropic", Hangs())
    await stack.client.submit(Prompt.from_text("Shall we sell?"), declaration)
    async with asyncio.timeout(60):
        await stack.script.met(declaration.task_id, 2)
        view = await stack.client.status(declaration.task_id)
    assert view.status is TaskStatus.SUCCEEDED

    await stack.client.cancel(declaration.task_id)
    outcome = await stack.recorded(declaration.task_id)
    assert outcome.status is TaskStatus.SUCCEEDED
    assert outcome.critique is None


async def test_what_leaves_to_the_critic_is_redacted_and_held_like_any_call(stack: Stack) -> None:
    outcome = await criticised(stack, Says(json.dumps(REMARKS)))
    steps = [name for name, _ in await scheduled(stack, outcome.task_id)]
    _, critic = stack.script.calls[outcome.task_id]
    sent = critic.request.prompt.text

    assert critic.endpoint == "anthropic"
    assert "Sell the house before the rates move" in sent
    assert "ada@example.org" not in sent
    assert steps.count("redact") == steps.count("budget-reserve") == 2
    assert steps.index("compose-review") > steps.index("invoke-model")
    assert critic.request.answer_schema is not None
    assert {*critic.request.answer_schema["properties"]} == {*REMARKS}


async def test_no_text_of_task_answer_or_remarks_stands_in_the_history(stack: Stack) -> None:
    outcome = await criticised(stack, Says(json.dumps(REMARKS)))
    history = await stack.temporal.get_workflow_handle(outcome.task_id).fetch_history()
    stored = history.to_json()
    for text in ("Shall we sell", "before the rates", "No date is named", "ada@example"):
        assert text not in stored


async def test_a_critic_that_the_money_left_does_not_cover_is_not_asked(stack: Stack) -> None:
    outcome = await criticised(
        stack, Says(json.dumps(REMARKS)), constraints={"max_output_tokens": 30_000}
    )
    assert outcome.critique is None
    assert len(stack.script.calls[outcome.task_id]) == 1


@pytest.mark.req("CX-39", "CX-80")
@pytest.mark.parametrize(
    ("stage", "said"),
    [("architect", PLAN), ("implementer", "A patch."), ("judge", VERDICT)],
    ids=["architect", "implementer", "judge"],
)
async def test_without_the_flag_no_critic_is_called_and_a_stage_has_one_owner_call(
    stack: Stack, stage: str, said: object
) -> None:
    task = stack.declare(pack="codex", task_class=stage)
    stack.script.write(task.task_id, Says(json.dumps(said)))
    outcome = await stack.run(task, "Rename it.")
    assert outcome.status is TaskStatus.SUCCEEDED
    assert outcome.critique is None
    assert len(stack.script.calls[task.task_id]) == 1


@pytest.mark.req("CX-39")
async def test_the_flag_puts_the_stages_critic_beside_its_owner(
    own_server: WorkflowEnvironment,
    library: PolicyLibrary,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPEC_KIT_CRITIC", "true")
    script = Script()
    parts = open_test_parts(tmp_path, library, script)
    async with running(own_server, parts, script) as stack:
        task = stack.declare(pack="codex", task_class="implementer")
        script.write_at(task.task_id, "anthropic", Says(json.dumps(REMARKS)))
        script.write_at(task.task_id, "local-gpu", Says(ANSWER))
        outcome = await stack.run(task, "Rename it.")
        others = stack.declare(pack="codex", task_class="tutor")
        other = await stack.run(others, "Explain it.")

    assert outcome.critique is not None
    assert outcome.critique.model == "claude-sonnet-5"
    assert outcome.served_model == "smollm2-135m"
    assert other.critique is None
    assert len(script.calls[other.task_id]) == 1
    parts.threads.shutdown()
    parts.engine.dispose()
