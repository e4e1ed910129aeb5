"""Answers that differ: nothing is picked, merged or averaged; a person chooses or nobody does."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity

from pointwork.contract.approval import ApprovalRequest, ApprovalVerdict
from pointwork.contract.branches import Comparison
from pointwork.contract.decision import GrantKind
from pointwork.contract.failures import FailureType, ProviderFailureKind, TaskRefusedError
from pointwork.contract.names import SIGNAL_VERDICT, ActivityName, TaskQueue
from pointwork.contract.outcome import BranchState, CheckResult, TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.contract.steps import Verify
from pointwork.ledger.audit import AuditChain
from pointwork.ledger.tables import ApprovalState
from pointwork.policy.bundle import PolicyLibrary
from tests.fakes.scripted_provider import Fails, Says, Script
from tests.temporal_server import dev_server
from tests.workflows.stack import (
    OWNER,
    QUICK_CHOICE_PACK,
    SIDE_BY_SIDE_PACK,
    Stack,
    open_test_parts,
    running,
)

ANSWERS = {"openai": "Postgres.", "anthropic": "SQLite.", "google": "Postgres, then SQLite."}
APPROVED, REJECTED = ApprovalVerdict.APPROVED, ApprovalVerdict.REJECTED


async def disagree(stack: Stack, **declared: Any) -> ApprovalRequest:
    """A task whose three vendors answer differently, and the choice it then waits for."""
    return await stack.open_approval(await ask_three(stack, **declared))


async def ask_three(stack: Stack, **declared: Any) -> str:
    values = {"task_class": "high_stakes_logic", "pack": SIDE_BY_SIDE_PACK} | declared
    declaration = stack.declare(**values)
    for vendor, text in ANSWERS.items():
        stack.script.write_at(declaration.task_id, vendor, Says(text))
    await stack.client.submit(Prompt.from_text("Which database?"), declaration)
    return declaration.task_id


async def end(stack: Stack, request: ApprovalRequest) -> None:
    await stack.client.cancel(request.task_id)
    await stack.recorded(request.task_id)


def text_of(stack: Stack, request: ApprovalRequest, letter: str) -> str:
    (option,) = [each for each in request.options if each.letter == letter]
    return stack.parts.content.answer_text(request.task_id, option.answer)


@pytest.mark.req("OM-57")
async def test_the_request_holds_every_answer_and_the_comparison(stack: Stack) -> None:
    request = await disagree(stack)
    shown = {text_of(stack, request, each.letter) for each in request.options}

    assert request.asks_for is GrantKind.CHOICE
    assert [each.letter for each in request.options] == ["A", "B", "C"]
    assert shown == {*ANSWERS.values()}
    assert request.comparison is not None
    assert request.comparison.differences == ("line 1",)

    signed = stack.signed(request, APPROVED, choice="B")
    await stack.client.submit_verdict(signed)
    outcome = await stack.recorded(request.task_id)
    (row,) = selections(stack, request.task_id)

    assert outcome.selection is not None
    assert outcome.selection.comparison_id == request.comparison.comparison_id
    assert row["comparison_id"] == request.comparison.comparison_id


def selections(stack: Stack, task_id: str) -> list[dict[str, Any]]:
    return records_of(stack, task_id, "selection")


def records_of(stack: Stack, task_id: str, kind: str) -> list[dict[str, Any]]:
    return [
        each.body
        for each in AuditChain(stack.parts.engine).records(100_000)
        if each.task_id == task_id and each.kind == kind
    ]


@pytest.mark.req("OM-60", "OM-63")
@pytest.mark.parametrize("letter", ["A", "B", "C"])
async def test_the_answer_is_the_chosen_one_byte_for_byte_and_the_record_says_who_chose(
    stack: Stack, letter: str
) -> None:
    request = await disagree(stack)
    signed = stack.signed(request, APPROVED, choice=letter)
    await stack.client.submit_verdict(signed)
    outcome = await stack.recorded(request.task_id)
    option = next(each for each in request.options if each.letter == letter)

    assert outcome.status is TaskStatus.SUCCEEDED
    assert stack.client.answer_text(outcome) in ANSWERS.values()
    assert stack.client.answer_text(outcome) == text_of(stack, request, letter)
    assert (outcome.answer, outcome.served_model) == (option.answer, option.model)
    selection = outcome.selection
    assert selection is not None
    assert (selection.approver, selection.choice) == (OWNER, letter)
    assert selection.chosen_at == signed.verdict.decided_at
    assert selection.reason == signed.verdict.reason
    assert [each.letter for each in outcome.branches].count(letter) == 1
    assert all(each.cost_nano_usd > 0 for each in outcome.branches)
    assert outcome.cost_nano_usd == sum(each.cost_nano_usd for each in outcome.branches)
    (row,) = selections(stack, request.task_id)
    assert (row["approver"], row["choice"]) == (OWNER, letter)


@pytest.mark.req("OM-59")
async def test_silence_ends_the_task_unresolved_at_its_stated_expiry(stack: Stack) -> None:
    outcome = await stack.recorded(await ask_three(stack, pack=QUICK_CHOICE_PACK))
    (opened,) = records_of(stack, outcome.task_id, "approval_opened")
    request = stack.approvals.find(opened["approval_id"])

    assert request is not None
    assert (outcome.status, outcome.failure) == (TaskStatus.EXPIRED, FailureType.APPROVAL_EXPIRED)
    assert outcome.finished_at >= request.expires_at
    assert outcome.reason.endswith("The answers differ and nobody chose one.")
    assert outcome.answer is None
    assert outcome.selection is None
    assert [each.state for each in outcome.branches] == [BranchState.ANSWERED] * 3
    assert outcome.cost_nano_usd > 0


@pytest.mark.req("OM-59")
async def test_a_person_who_rejects_every_answer_leaves_the_task_without_one(stack: Stack) -> None:
    request = await disagree(stack)
    await stack.client.submit_verdict(stack.signed(request, REJECTED))
    outcome = await stack.recorded(request.task_id)

    assert (outcome.status, outcome.failure) == (TaskStatus.DENIED, FailureType.APPROVAL_REJECTED)
    assert outcome.answer is None
    assert outcome.comparison is not None


@pytest.mark.req("OM-63")
@pytest.mark.parametrize(
    ("verdict", "choice", "refusal"),
    [
        (APPROVED, None, "chooses none of the answers; name one of A, B, C"),
        (APPROVED, "D", "chooses none of the answers; name one of A, B, C"),
        (REJECTED, "A", "nothing is to be chosen"),
    ],
)
async def test_a_verdict_without_a_fitting_choice_is_refused_before_it_enters_history(
    stack: Stack, verdict: ApprovalVerdict, choice: str | None, refusal: str
) -> None:
    request = await disagree(stack)
    with pytest.raises(TaskRefusedError, match=refusal):
        await stack.client.submit_verdict(stack.signed(request, verdict, choice=choice))
    assert (await stack.client.status(request.task_id)).status is TaskStatus.PENDING_APPROVAL
    await end(stack, request)


async def test_a_choice_on_an_approval_of_another_kind_is_refused(stack: Stack) -> None:
    declaration = stack.declare(task_class="high_stakes_logic", sensitivity=None)
    await stack.client.submit(Prompt.from_text("Decide this."), declaration)
    request = await stack.open_approval(declaration.task_id)

    with pytest.raises(TaskRefusedError, match="nothing is to be chosen"):
        await stack.client.submit_verdict(stack.signed(request, APPROVED, choice="A"))
    await end(stack, request)


async def test_who_submitted_the_task_does_not_choose_its_answer(stack: Stack) -> None:
    request = await disagree(stack, caller=OWNER)
    with pytest.raises(TaskRefusedError, match="requester of a task cannot approve it"):
        await stack.client.submit_verdict(stack.signed(request, APPROVED, choice="A"))
    await end(stack, request)


async def test_a_choice_pasted_as_a_signal_counts(stack: Stack) -> None:
    request = await disagree(stack)
    signed = stack.signed(request, APPROVED, choice="C").model_dump(mode="json")
    await stack.temporal.get_workflow_handle(request.task_id).signal(SIGNAL_VERDICT, signed)
    outcome = await stack.recorded(request.task_id)

    assert stack.client.answer_text(outcome) == text_of(stack, request, "C")


async def test_a_token_that_was_used_before_chooses_nothing_and_the_task_waits_on(
    stack: Stack,
) -> None:
    first = await disagree(stack)
    used = stack.signed(first, APPROVED, choice="A")
    await stack.client.submit_verdict(used)
    await stack.recorded(first.task_id)

    second = await disagree(stack)
    again = stack.signed(second, APPROVED, choice="A", token_id=used.verdict.token_id)
    await stack.client.submit_verdict(again)
    async with asyncio.timeout(60):
        while not refused_closings(stack, second.approval_id):
            await asyncio.sleep(0.02)
    assert selections(stack, second.task_id) == []

    # The refused verdict is out of the way once the workflow has read the ledger's answer.
    async with asyncio.timeout(60):
        while True:
            try:
                await stack.client.submit_verdict(stack.signed(second, APPROVED, choice="B"))
            except TaskRefusedError:
                await asyncio.sleep(0.02)
            else:
                break
    outcome = await stack.recorded(second.task_id)
    assert outcome.selection is not None
    assert outcome.selection.choice == "B"


def refused_closings(stack: Stack, approval_id: str) -> list[str]:
    return [
        each.body["fault"]
        for each in AuditChain(stack.parts.engine).records(100_000)
        if each.kind == "approval_refused" and each.body["approval_id"] == approval_id
    ]


async def test_two_equal_answers_of_three_do_not_outvote_the_third(stack: Stack) -> None:
    declaration = stack.declare(task_class="high_stakes_logic", pack=SIDE_BY_SIDE_PACK)
    for vendor, text in {"openai": "No.", "anthropic": "Yes.", "google": "Yes."}.items():
        stack.script.write_at(declaration.task_id, vendor, Says(text))
    await stack.client.submit(Prompt.from_text("Shall we?"), declaration)
    request = await stack.open_approval(declaration.task_id)

    assert len(request.options) == 3
    await end(stack, request)


async def test_a_model_that_failed_is_no_option(stack: Stack) -> None:
    declaration = stack.declare(task_class="high_stakes_logic", pack=SIDE_BY_SIDE_PACK)
    task_id = declaration.task_id
    stack.script.write_at(task_id, "openai", Fails(ProviderFailureKind.INVALID_REQUEST))
    stack.script.write_at(task_id, "anthropic", Says("Yes."))
    stack.script.write_at(task_id, "google", Says("No."))
    await stack.client.submit(Prompt.from_text("Shall we?"), declaration)
    request = await stack.open_approval(task_id)

    assert {each.model for each in request.options} == {"claude-sonnet-5", "gemini-3.1-pro"}
    await end(stack, request)


async def test_a_task_cancelled_while_its_answers_wait_has_no_answer(stack: Stack) -> None:
    request = await disagree(stack)
    await stack.client.cancel(request.task_id)
    outcome = await stack.recorded(request.task_id)

    assert outcome.status is TaskStatus.CANCELLED
    assert outcome.answer is None
    assert len(outcome.branches) == 3
    assert stack.approvals.state(request.approval_id) is ApprovalState.VOID


async def test_no_answer_stands_in_the_history_of_a_choice(stack: Stack) -> None:
    request = await disagree(stack)
    await stack.client.submit_verdict(stack.signed(request, APPROVED, choice="A"))
    await stack.recorded(request.task_id)
    history = await stack.temporal.get_workflow_handle(request.task_id).fetch_history()

    raw = history.to_json()
    assert not [text for text in ANSWERS.values() if text in raw]


def letters_of(requests: Sequence[ApprovalRequest]) -> set[tuple[str, ...]]:
    return {tuple(each.model for each in request.options) for request in requests}


@pytest.mark.req("OM-62")
async def test_the_order_of_the_answers_is_the_task_ids_and_no_models_rank(stack: Stack) -> None:
    tasks = [f"order-{number}" for number in range(12)]
    requests = await asyncio.gather(*(disagree(stack, task_id=each) for each in tasks))
    first = {request.options[0].model for request in requests}

    assert len(letters_of(requests)) > 1
    assert len(first) == 3
    await asyncio.gather(*(end(stack, each) for each in requests))


@activity.defn(name=ActivityName.PARALLEL_VERIFY)
async def sure_of_itself(step: Verify) -> CheckResult:
    """A comparison that scores the answers, names the best and lets it pass."""
    assert step.compare is not None
    comparison = Comparison(
        comparison_id=step.compare.comparison_id,
        kind="text",
        agree=False,
        letters=tuple(each.letter for each in step.compare.options),
        differences=("line 1",),
        differences_count=1,
    )
    detail = "score A 0.99, B 0.12, C 0.10; best A"
    return CheckResult(passed=True, check="compare", detail=detail, comparison=comparison)


@pytest.mark.req("OM-61")
async def test_a_comparison_with_scores_still_ends_in_a_persons_hands(
    library: PolicyLibrary, tmp_path: Path
) -> None:
    script = Script()
    parts = open_test_parts(tmp_path, library, script)
    standins = {TaskQueue.VERIFY: [sure_of_itself]}
    async with dev_server() as server, running(server, parts, script, standins) as scoring:
        request = await disagree(scoring)
        assert (await scoring.client.status(request.task_id)).waits_for == GrantKind.CHOICE
        await scoring.client.submit_verdict(scoring.signed(request, REJECTED))
        outcome = await scoring.recorded(request.task_id)
    assert outcome.answer is None
    assert outcome.selection is None
    parts.threads.shutdown()
    parts.engine.dispose()
