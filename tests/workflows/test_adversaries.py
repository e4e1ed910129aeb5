"""Who would talk a task out of the house: a lying classifier, or one person alone."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from activities.classify import ClassInference
from pointwork.contract.approval import (
    ApprovalRequest,
    ApprovalVerdict,
    SignedVerdict,
    Verdict,
)
from pointwork.contract.decision import GrantKind
from pointwork.contract.failures import FailureType, ProviderFailureKind, TaskRefusedError
from pointwork.contract.names import SIGNAL_VERDICT
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import Sensitivity
from pointwork.policy.bundle import PolicyLibrary
from pointwork.verdicts import sign
from tests.fakes.liars import Raises, Says
from tests.fakes.scripted_provider import Fails, Script
from tests.unit.privacy.canaries import CREDENTIALS, PERSONAL
from tests.workflows.stack import OWNER, OWNER_KEY_ID, Stack, open_test_parts, running

LOCAL, CLOUD = "summarisation_formatting", "high_stakes_logic"
MAIL_TEXT = "Write what you make of it to ada@example.org."

Starts = Callable[[ClassInference], AbstractAsyncContextManager[Stack]]


@pytest.fixture
def starts(own_server: WorkflowEnvironment, library: PolicyLibrary, tmp_path: Path) -> Starts:
    """A stack of its own for each classifier that a test brings."""

    @asynccontextmanager
    async def start(inference: ClassInference) -> AsyncIterator[Stack]:
        script = Script()
        parts = replace(open_test_parts(tmp_path, library, script), inference=inference)
        async with running(own_server, parts, script) as stack:
            yield stack
        parts.threads.shutdown()
        parts.engine.dispose()

    return start


async def test_a_classifier_that_calls_everything_public_and_cloudy_sends_no_finding_out(
    starts: Starts,
) -> None:
    """The class it names runs outside only; what the detectors found keeps each task here."""
    async with starts(Says(CLOUD)) as stack:
        for canary in (*CREDENTIALS[::16], *PERSONAL[::12]):
            task = stack.declare(task_class=None, sensitivity=Sensitivity.PUBLIC)
            outcome = await stack.run(task, f"This is public. {canary.text}")
            assert outcome.status is TaskStatus.SUCCEEDED
            (call,) = stack.script.calls[task.task_id]
            assert call.endpoint == "local-gpu"
            assert canary.value in call.request.prompt.text


async def test_nor_does_it_send_out_what_nobody_has_declared(starts: Starts) -> None:
    async with starts(Says(CLOUD)) as stack:
        task = stack.declare(task_class=None, sensitivity=None)
        await stack.client.submit(Prompt.from_text("Is a tree a graph?"), task)
        request = await stack.open_approval(task.task_id)
        assert request.asks_for is GrantKind.DATA_CLASSIFICATION
        assert not stack.script.calls[task.task_id]
        await stack.client.cancel(task.task_id)
        await stack.recorded(task.task_id)


@pytest.mark.parametrize(
    "inference",
    [Raises(TimeoutError), Says(""), Says("bulk_generation, red_team"), Says("no_such_class")],
)
async def test_a_classifier_that_fails_or_talks_nonsense_denies_the_task_at_once(
    starts: Starts, inference: ClassInference
) -> None:
    async with starts(inference) as stack:
        outcome = await stack.run(stack.declare(task_class=None), "Is a tree a graph?")
        assert (outcome.status, outcome.failure) == (TaskStatus.DENIED, FailureType.POLICY_DENIED)
        assert "class" in outcome.reason
        assert not stack.script.calls[outcome.task_id]


def verdict_of(request: ApprovalRequest, **fields: Any) -> Verdict:
    """The owner's approval, with ``fields`` that no client would let through."""
    now = datetime.now(UTC)
    return Verdict.model_construct(
        **{
            "approval_id": request.approval_id,
            "task_id": request.task_id,
            "verdict": ApprovalVerdict.APPROVED,
            "approver": OWNER,
            "reason": "looked at it and agree",
            "request_sha256": request.request_sha256,
            "policy_sha256": request.policy_sha256,
            "ceiling_nano_usd": request.ceiling_nano_usd,
            "decided_at": now,
            "expires_at": now + timedelta(minutes=5),
            "token_id": f"token/{request.task_id}",
            **fields,
        }
    )


async def waiting(stack: Stack, kind: GrantKind, caller: str) -> ApprovalRequest:
    """A task that would leave the house if a person said so: its local model has failed, if any."""
    task = stack.declare(task_class=CLOUD, sensitivity=LEVEL_OF[kind], caller=caller)
    if kind is GrantKind.SENSITIVE_EGRESS:
        stack.script.write(task.task_id, Fails(ProviderFailureKind.INVALID_REQUEST))
    await stack.client.submit(Prompt.from_text("Is a tree a graph?"), task)
    request = await stack.open_approval(task.task_id)
    assert request.asks_for is kind
    return request


LEVEL_OF = {GrantKind.SENSITIVE_EGRESS: Sensitivity.SENSITIVE, GrantKind.DATA_CLASSIFICATION: None}
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
ALONE: dict[str, tuple[str, dict[str, Any]]] = {
    "their own task": (OWNER, {}),
    "without a reason": ("tester", {"reason": ""}),
    "with a blank reason": ("tester", {"reason": " " * 20}),
    "after the verdict expired": ("tester", {"expires_at": LONG_AGO}),
    "in another's name": ("tester", {"approver": "mallory"}),
}


@pytest.mark.req("DC-24")
@pytest.mark.parametrize("as_signal", [False, True])
@pytest.mark.parametrize("kind", [GrantKind.SENSITIVE_EGRESS, GrantKind.DATA_CLASSIFICATION])
@pytest.mark.parametrize("how", ALONE)
async def test_nobody_opens_a_way_out_alone_without_a_reason_or_for_ever(
    stack: Stack, how: str, kind: GrantKind, as_signal: bool
) -> None:
    caller, fields = ALONE[how]
    request = await waiting(stack, kind, caller)
    signed = signed_by_owner(stack, verdict_of(request, **fields))
    if as_signal:
        handle = stack.temporal.get_workflow_handle(request.task_id)
        await handle.signal(SIGNAL_VERDICT, signed)
    else:
        with pytest.raises(TaskRefusedError):
            await stack.client.submit_verdict(signed)
    view = await stack.client.status(request.task_id)
    assert (view.status, view.approval_id) == (TaskStatus.PENDING_APPROVAL, request.approval_id)
    await stack.client.cancel(request.task_id)
    outcome = await stack.recorded(request.task_id)
    assert outcome.status is TaskStatus.CANCELLED
    assert outcome.approval_ids == ()
    assert called(stack, request) <= {"local-gpu"}


@pytest.mark.parametrize("kind", [GrantKind.SENSITIVE_EGRESS, GrantKind.DATA_CLASSIFICATION])
async def test_another_person_with_a_reason_and_in_time_does(stack: Stack, kind: GrantKind) -> None:
    """And the record calls the content what it was before."""
    request = await waiting(stack, kind, "tester")
    await stack.client.submit_verdict(signed_by_owner(stack, verdict_of(request)))
    outcome = await stack.recorded(request.task_id)
    assert outcome.status is TaskStatus.SUCCEEDED
    assert len(called(stack, request) - {"local-gpu"}) == 1
    assert outcome.sensitivity is LEVEL_OF[kind]


def called(stack: Stack, request: ApprovalRequest) -> set[str]:
    return {call.endpoint for call in stack.script.calls[request.task_id]}


def signed_by_owner(stack: Stack, verdict: Verdict) -> SignedVerdict:
    signed = sign(verdict, stack.owner_key, OWNER_KEY_ID)
    return SignedVerdict.model_construct(
        verdict=verdict, key_id=OWNER_KEY_ID, signature=signed.signature
    )
