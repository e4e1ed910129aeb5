"""What waits for a person, what opens it, and what changes nothing."""

import pytest

from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.decision import GrantKind
from pointwork.contract.failures import FailureType, ProviderFailureKind, TaskRefusedError
from pointwork.contract.names import SIGNAL_VERDICT
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import DataClass, TaskDeclaration
from tests.fakes.scripted_provider import Fails, Says
from tests.workflows.stack import QUICK_PACK, Stack

EMAIL = "ann.lee@example.com"


async def submit(stack: Stack, declaration: TaskDeclaration, text: str = "Decide this.") -> str:
    return await stack.client.submit(Prompt.from_text(text), declaration)


@pytest.mark.req("OM-46")
async def test_undeclared_content_waits_for_its_classification_before_it_may_leave(
    stack: Stack,
) -> None:
    declaration = stack.declare(task_class="high_stakes_logic", sensitivity=None)
    await submit(stack, declaration)
    request = await stack.open_approval(declaration.task_id)
    assert request.asks_for is GrantKind.DATA_CLASSIFICATION
    assert not stack.script.calls[declaration.task_id]

    await stack.client.submit_verdict(stack.signed(request, ApprovalVerdict.APPROVED))
    outcome = await stack.recorded(declaration.task_id)

    assert outcome.status is TaskStatus.SUCCEEDED
    assert outcome.approval_ids == (request.approval_id,)


async def test_a_refused_approval_denies_the_task(stack: Stack) -> None:
    declaration = stack.declare(task_class="high_stakes_logic", sensitivity=None)
    await submit(stack, declaration)
    request = await stack.open_approval(declaration.task_id)
    await stack.client.submit_verdict(stack.signed(request, ApprovalVerdict.REJECTED))
    outcome = await stack.recorded(declaration.task_id)

    assert (outcome.status, outcome.failure) == (TaskStatus.DENIED, FailureType.APPROVAL_REJECTED)


async def test_silence_ends_in_expiry_which_is_not_a_denial(stack: Stack) -> None:
    declaration = stack.declare(task_class="high_stakes_logic", sensitivity=None, pack=QUICK_PACK)
    await submit(stack, declaration)
    outcome = await stack.recorded(declaration.task_id)

    assert (outcome.status, outcome.failure) == (TaskStatus.EXPIRED, FailureType.APPROVAL_EXPIRED)
    assert not stack.script.calls[declaration.task_id]


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"approver": "mallory"}, "belongs to another person"),
        ({"request_sha256": "0" * 64}, "another version of the request"),
        ({"policy_sha256": "0" * 64}, "under another policy"),
        ({"approval_id": "task-x/decision/1/approval"}, "for another approval"),
        ({"ceiling_nano_usd": 0}, "ceiling is below"),
    ],
)
async def test_a_verdict_for_anything_else_is_refused_before_it_enters_history(
    stack: Stack, changed: dict[str, object], refusal: str
) -> None:
    declaration = stack.declare(task_class="high_stakes_logic", sensitivity=None)
    await submit(stack, declaration)
    request = await stack.open_approval(declaration.task_id)
    handle = stack.temporal.get_workflow_handle(declaration.task_id)
    before = len((await handle.fetch_history()).events)
    signed = stack.signed(request, ApprovalVerdict.APPROVED, **changed)

    with pytest.raises(TaskRefusedError, match=refusal):
        await stack.client.submit_verdict(signed)
    assert len((await handle.fetch_history()).events) == before
    await stack.client.cancel(declaration.task_id)
    await stack.recorded(declaration.task_id)


async def test_nobody_approves_their_own_task(stack: Stack) -> None:
    declaration = stack.declare(task_class="high_stakes_logic", sensitivity=None, caller="owner")
    await submit(stack, declaration)
    request = await stack.open_approval(declaration.task_id)

    with pytest.raises(TaskRefusedError, match="requester of a task cannot approve it"):
        await stack.client.submit_verdict(stack.signed(request, ApprovalVerdict.APPROVED))
    await stack.client.cancel(declaration.task_id)
    await stack.recorded(declaration.task_id)


@pytest.mark.req("DC-24")
async def test_a_signed_verdict_pasted_as_a_signal_counts_and_a_forged_one_does_not(
    stack: Stack,
) -> None:
    declaration = stack.declare(task_class="high_stakes_logic", sensitivity=None)
    await submit(stack, declaration)
    request = await stack.open_approval(declaration.task_id)
    handle = stack.temporal.get_workflow_handle(declaration.task_id)
    forged = stack.signed(request, ApprovalVerdict.APPROVED).model_copy(
        update={"signature": "A" * 86 + "=="}
    )
    await handle.signal(SIGNAL_VERDICT, forged)
    assert (await stack.client.status(declaration.task_id)).status is TaskStatus.PENDING_APPROVAL

    good = stack.signed(request, ApprovalVerdict.APPROVED).model_dump(mode="json")
    await handle.signal(SIGNAL_VERDICT, good)
    outcome = await stack.recorded(declaration.task_id)

    assert outcome.status is TaskStatus.SUCCEEDED


@pytest.mark.req("OM-42", "OM-48", "OM-51")
async def test_sensitive_text_leaves_only_approved_and_redacted_and_its_answer_is_restored(
    stack: Stack,
) -> None:
    declaration = stack.declare(
        task_class="creative_synthesis", sensitivity=None, data_classes=(DataClass.PERSONAL,)
    )
    local_fails = Fails(ProviderFailureKind.INVALID_REQUEST)
    stack.script.write(declaration.task_id, local_fails, Says("Sent to <EMAIL_1>."))
    await submit(stack, declaration, f"Write a kind line to {EMAIL}.")
    request = await stack.open_approval(declaration.task_id)
    assert request.asks_for is GrantKind.SENSITIVE_EGRESS
    await stack.client.submit_verdict(stack.signed(request, ApprovalVerdict.APPROVED))
    outcome = await stack.recorded(declaration.task_id)

    local_call, cloud_call = stack.script.calls[declaration.task_id]
    assert local_call.endpoint == "local-gpu"
    assert EMAIL in local_call.request.prompt.text
    assert EMAIL not in cloud_call.request.prompt.text
    assert stack.client.answer_text(outcome) == f"Sent to {EMAIL}."
    assert [each.kind for each in outcome.redactions] == ["EMAIL"]


@pytest.mark.req("OM-45")
async def test_restricted_text_never_leaves_and_nobody_is_asked_to_let_it(stack: Stack) -> None:
    declaration = stack.declare(
        task_class="creative_synthesis", sensitivity=None, data_classes=(DataClass.RESTRICTED,)
    )
    stack.script.write(declaration.task_id, Fails(ProviderFailureKind.INVALID_REQUEST))
    outcome = await stack.run(declaration)

    assert outcome.failure is FailureType.PROVIDERS_EXHAUSTED
    assert [c.endpoint for c in stack.script.calls[declaration.task_id]] == ["local-gpu"]
