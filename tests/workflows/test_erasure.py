"""A task whose content is erased while it runs ends at once, in a word of the contract."""

from datetime import UTC, datetime

import pytest

from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.failures import FailureType, ProviderFailureKind, TaskFailedError
from pointwork.contract.outcome import AttemptState, TaskOutcome, TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import DataClass
from pointwork.ledger.audit import AuditChain
from pointwork.ledger.erasure import Eraser, TaskRunningError
from pointwork.ledger.invariants import check
from pointwork.ledger.vault import ContentUnavailableError
from tests.fakes.scripted_provider import Fails, Meets, Says
from tests.workflows.stack import SIDE_BY_SIDE_PACK, Stack


def erase(stack: Stack, task_id: str, *, force: bool) -> None:
    eraser = Eraser(stack.parts.engine, stack.parts.store)
    eraser.erase(
        [task_id], datetime.now(UTC), by="owner", reason="asked for", even_if_running=force
    )


def is_unavailable(stack: Stack, outcome: TaskOutcome) -> bool:
    assert [v for v in check(stack.parts.engine) if outcome.task_id in str(v)] == []
    assert AuditChain(stack.parts.engine).verify().holds
    return (outcome.status, outcome.failure, outcome.reason) == (
        TaskStatus.FAILED,
        FailureType.CONTENT_UNAVAILABLE,
        FailureType.CONTENT_UNAVAILABLE.sentence,
    )


async def test_a_task_that_waits_for_a_person_fails_with_its_own_word_when_it_goes_on(
    stack: Stack,
) -> None:
    declaration = stack.declare(
        task_class="creative_synthesis", sensitivity=None, data_classes=(DataClass.PERSONAL,)
    )
    refused = Fails(ProviderFailureKind.INVALID_REQUEST)
    stack.script.write(declaration.task_id, refused)
    await stack.client.submit(Prompt.from_text("Write to ada@example.com"), declaration)
    request = await stack.open_approval(declaration.task_id)
    with pytest.raises(TaskRunningError):
        erase(stack, declaration.task_id, force=False)
    erase(stack, declaration.task_id, force=True)
    await stack.client.submit_verdict(stack.signed(request, ApprovalVerdict.APPROVED))
    outcome = await stack.recorded(declaration.task_id)
    assert is_unavailable(stack, outcome)
    assert len(stack.script.calls[declaration.task_id]) == 1
    with pytest.raises(TaskFailedError) as failed:
        await stack.client.result(declaration.task_id)
    assert failed.value.failure is FailureType.CONTENT_UNAVAILABLE


async def test_a_call_that_is_under_way_is_paid_and_its_answer_is_not_kept(stack: Stack) -> None:
    declaration = stack.declare()
    task_id = declaration.task_id
    stack.script.write(task_id, Meets(2, Says("What nobody will read.")))
    await stack.client.submit(Prompt.from_text("tidy up"), declaration)
    await stack.script.called(task_id)
    erase(stack, task_id, force=True)
    stack.script.calls[task_id].append(stack.script.calls[task_id][0])
    outcome = await stack.recorded(task_id)
    assert is_unavailable(stack, outcome)
    assert outcome.answer is None
    (attempt,) = outcome.attempts
    assert attempt.state is AttemptState.DONE


async def test_answers_side_by_side_end_the_same_way(stack: Stack) -> None:
    declaration = stack.declare(pack=SIDE_BY_SIDE_PACK, task_class="exploratory_reasoning")
    task_id = declaration.task_id
    stack.script.write(task_id, *(Meets(3, Says("An answer.")) for _ in range(2)))
    await stack.client.submit(Prompt.from_text("What do you make of it?"), declaration)
    await stack.script.met(task_id, 2)
    erase(stack, task_id, force=True)
    stack.script.calls[task_id].append(stack.script.calls[task_id][0])
    assert is_unavailable(stack, await stack.recorded(task_id))


async def test_a_task_that_ended_keeps_its_outcome_and_loses_its_answer(stack: Stack) -> None:
    declaration = stack.declare()
    outcome = await stack.run(declaration)
    assert stack.client.answer_text(outcome) == "A plain answer."
    erase(stack, declaration.task_id, force=False)
    assert stack.outcomes.find(declaration.task_id) == outcome
    with pytest.raises(ContentUnavailableError, match="was erased"):
        stack.client.answer_text(outcome)
    assert AuditChain(stack.parts.engine).verify().holds
