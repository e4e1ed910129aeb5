"""What changed since a person was asked voids the question, and it is asked anew (design 7, 61)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from pointwork.contract.approval import ApprovalRequest, ApprovalVerdict
from pointwork.contract.failures import FailureType, TaskRefusedError
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.ledger.tables import ApprovalState
from pointwork.policy.bundle import PolicyBundle, PolicyLibrary
from tests.fakes.policy_facts import changed
from tests.fakes.scripted_provider import Script
from tests.workflows.stack import Stack, open_test_parts, running
from workers.policy_library import with_stored_revisions
from workers.wiring import Parts

APPROVED, REJECTED = ApprovalVerdict.APPROVED, ApprovalVerdict.REJECTED


@pytest.fixture
def parts(library: PolicyLibrary, tmp_path: Path) -> Parts:
    return open_test_parts(tmp_path, library, Script())


def with_omega(parts: Parts, bundle: PolicyBundle) -> Parts:
    """The same deployment after another version of omega was activated."""
    others = [parts.library.active(name) for name in parts.library.packs if name != "omega"]
    library = PolicyLibrary([*others, bundle], retired=parts.library.all())
    return replace(parts, library=with_stored_revisions(parts.engine, library))


@asynccontextmanager
async def deployed(
    server: WorkflowEnvironment, parts: Parts, old: Stack | None = None
) -> AsyncIterator[Stack]:
    key = old.owner_key if old else None
    async with running(server, parts, Script(), owner_key=key) as stack:
        yield stack


async def ask(stack: Stack) -> ApprovalRequest:
    task = stack.declare(task_class="high_stakes_logic", sensitivity=None)
    await stack.client.submit(Prompt.from_text("Decide this."), task)
    return await stack.open_approval(task.task_id)


async def asked_after(stack: Stack, first: ApprovalRequest) -> ApprovalRequest:
    """The next question of the same task, once it is open."""
    async with asyncio.timeout(60):
        while True:
            request = await stack.open_approval(first.task_id)
            if request.approval_id != first.approval_id:
                return request


def dearer(bundle: PolicyBundle) -> PolicyBundle:
    """Every price doubled, as when a vendor raises them while somebody thinks."""
    raised = {}
    for name, each in bundle.models.items():
        tiers = tuple(
            tier.model_copy(update={"output_per_mtok": 2 * tier.output_per_mtok})
            for tier in each.tiers
        )
        raised[name] = {"tiers": tiers}
    return changed(bundle, models=raised)


def newer(bundle: PolicyBundle) -> PolicyBundle:
    return changed(bundle, pack={"version": "1.1", "deadline_seconds": 1_800})


@pytest.mark.parametrize("change", [dearer, newer])
async def test_an_approval_given_after_prices_or_policy_changed_is_asked_for_anew(
    own_server: WorkflowEnvironment, parts: Parts, change: Callable[[PolicyBundle], PolicyBundle]
) -> None:
    before = parts.library.active("omega")
    async with deployed(own_server, parts) as stack:
        first = await ask(stack)
    after = with_omega(parts, change(before))
    async with deployed(own_server, after, stack) as stack:
        await stack.client.submit_verdict(stack.signed(first, APPROVED))
        second = await asked_after(stack, first)
        assert stack.approvals.state(first.approval_id) is ApprovalState.VOID
        assert second.policy_sha256 == before.sha256
        assert second.active_policy == after.library.active("omega").ref
        assert not stack.script.calls[first.task_id]
        with pytest.raises(TaskRefusedError, match="for another approval"):
            await stack.client.submit_verdict(stack.signed(first, APPROVED))
        await stack.client.submit_verdict(stack.signed(second, APPROVED))
        outcome = await stack.recorded(first.task_id)
        assert outcome.status is TaskStatus.SUCCEEDED
        assert outcome.approval_ids == (second.approval_id,)
        assert outcome.policy == before.ref


async def test_a_rejection_counts_whatever_changed(
    own_server: WorkflowEnvironment, parts: Parts
) -> None:
    async with deployed(own_server, parts) as stack:
        first = await ask(stack)
    after = with_omega(parts, newer(parts.library.active("omega")))
    async with deployed(own_server, after, stack) as stack:
        await stack.client.submit_verdict(stack.signed(first, REJECTED))
        outcome = await stack.recorded(first.task_id)
        assert outcome.failure is FailureType.APPROVAL_REJECTED
        assert stack.approvals.state(first.approval_id) is ApprovalState.REJECTED
