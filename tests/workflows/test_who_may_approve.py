"""Nobody lets their own task go on, by whatever account; several persons are several (60, 64)."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

import pytest

from pointwork.contract.approval import ApprovalRequest, ApprovalVerdict
from pointwork.contract.failures import FailureType, TaskRefusedError
from pointwork.contract.identity import IdentityKind, Role
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.prompt import Prompt
from tests.workflows.people import Signer, introduce, signer
from tests.workflows.stack import PAIR_PACK, Stack

APPROVED, REJECTED = ApprovalVerdict.APPROVED, ApprovalVerdict.REJECTED
RACES = 20


async def held(stack: Stack, **declared: object) -> ApprovalRequest:
    """A task of content nobody declared, which waits for its classification."""
    task = stack.declare(task_class="high_stakes_logic", sensitivity=None, **declared)
    await stack.client.submit(Prompt.from_text("Decide this."), task)
    return await stack.open_approval(task.task_id)


async def end(stack: Stack, task_id: str) -> None:
    await stack.client.cancel(task_id)
    await stack.recorded(task_id)


def own(prefix: str) -> str:
    return f"{prefix}-{uuid4().hex[:8]}"


def as_oneself(stack: Stack) -> tuple[str, Signer]:
    person = signer(stack)
    return person.name, person


def by_a_second_account(stack: Stack) -> tuple[str, Signer]:
    first = introduce(stack, own("ada"), subject=own("sub"))
    return first.name, signer(stack, subject=first.subject)


def as_a_member_of_the_group(stack: Stack) -> tuple[str, Signer]:
    group = introduce(stack, own("team"), kind=IdentityKind.GROUP, roles=())
    return group.name, signer(stack, belongs_to=(group.name,))


def with_a_lent_key(stack: Stack) -> tuple[str, Signer]:
    lender = introduce(stack, own("ada"))
    return lender.name, signer(stack, delegated_by=lender.name)


def as_a_service(stack: Stack) -> tuple[str, Signer]:
    return "test-service", signer(stack, kind=IdentityKind.SERVICE)


def who_operates_the_service(stack: Stack) -> tuple[str, Signer]:
    person = signer(stack)
    service = own("svc")
    introduce(stack, service, kind=IdentityKind.SERVICE, belongs_to=(person.name,), roles=())
    return service, person


def without_the_role(stack: Stack) -> tuple[str, Signer]:
    return "test-service", signer(stack, roles=(Role.AUDITOR, Role.SUBMITTER))


@pytest.mark.parametrize(
    ("approver", "says"),
    [
        (as_oneself, "requester of a task cannot approve it"),
        (by_a_second_account, "is the same person as"),
        (as_a_member_of_the_group, "which asks; ask another person"),
        (with_a_lent_key, "was lent by"),
        (as_a_service, "only a person approves"),
        (who_operates_the_service, "operates"),
        (without_the_role, "neither the role approver nor owner"),
    ],
)
async def test_nobody_approves_what_they_asked_for_by_any_account(
    stack: Stack, approver: Callable[[Stack], tuple[str, Signer]], says: str
) -> None:
    caller, person = approver(stack)
    request = await held(stack, caller=caller)
    with pytest.raises(TaskRefusedError, match=says):
        await stack.client.submit_verdict(person.signed(request, APPROVED))
    assert (await stack.client.status(request.task_id)).status is TaskStatus.PENDING_APPROVAL
    await end(stack, request.task_id)


async def test_another_person_approves_what_a_service_or_a_group_asked_for(stack: Stack) -> None:
    group = introduce(stack, own("team"), kind=IdentityKind.GROUP, roles=())
    member, outsider = signer(stack, belongs_to=(group.name,)), signer(stack)
    service = own("svc")
    introduce(stack, service, kind=IdentityKind.SERVICE, belongs_to=(group.name,), roles=())
    request = await held(stack, caller=service)
    with pytest.raises(TaskRefusedError, match="operates"):
        await stack.client.submit_verdict(member.signed(request, APPROVED))
    await stack.client.submit_verdict(outsider.signed(request, APPROVED))
    assert (await stack.recorded(request.task_id)).status is TaskStatus.SUCCEEDED


async def test_a_key_revoked_while_a_task_waits_counts_no_more(stack: Stack) -> None:
    person = signer(stack)
    request = await held(stack)
    stack.approvals.revoke_key(person.key_id, request.opened_at)
    await stack.client.submit_verdict(person.signed(request, APPROVED))
    async with asyncio.timeout(60):
        while True:
            with suppress(TaskRefusedError):
                await stack.client.submit_verdict(stack.signed(request, REJECTED))
                break
    outcome = await stack.recorded(request.task_id)
    assert outcome.failure is FailureType.APPROVAL_REJECTED
    [given] = stack.approvals.verdicts(request.approval_id)
    assert given.approver == "owner"


async def test_two_persons_are_two_and_one_with_two_accounts_is_one(stack: Stack) -> None:
    subject = own("sub")
    first, again = signer(stack, subject=subject), signer(stack, subject=subject)
    request = await held(stack, pack=PAIR_PACK)
    assert request.approvers_min == 2
    await stack.client.submit_verdict(first.signed(request, APPROVED))
    for person in (first, again):
        with pytest.raises(TaskRefusedError, match="another person is needed"):
            await stack.client.submit_verdict(person.signed(request, APPROVED))
    assert (await stack.client.status(request.task_id)).status is TaskStatus.PENDING_APPROVAL
    await stack.client.submit_verdict(stack.signed(request, APPROVED))
    assert (await stack.recorded(request.task_id)).status is TaskStatus.SUCCEEDED
    given = stack.approvals.verdicts(request.approval_id)
    assert [each.approver for each in given] == [first.name, "owner"]
    assert {each.reason for each in given} == {"looked at it and agree"}


async def test_one_rejection_ends_it_however_many_approved(stack: Stack) -> None:
    for_it, against_it = signer(stack), signer(stack)
    request = await held(stack, pack=PAIR_PACK)
    await stack.client.submit_verdict(for_it.signed(request, APPROVED))
    await stack.client.submit_verdict(against_it.signed(request, REJECTED))
    outcome = await stack.recorded(request.task_id)
    assert outcome.failure is FailureType.APPROVAL_REJECTED


async def test_of_two_who_race_the_first_verdict_wins_and_the_other_changes_nothing(
    stack: Stack,
) -> None:
    yes, no = signer(stack), signer(stack)

    async def race() -> None:
        request = await held(stack)
        sent = await asyncio.gather(
            stack.client.submit_verdict(yes.signed(request, APPROVED)),
            stack.client.submit_verdict(no.signed(request, REJECTED)),
            return_exceptions=True,
        )
        outcome = await stack.recorded(request.task_id)
        [given] = stack.approvals.verdicts(request.approval_id)
        is_approved = outcome.status is TaskStatus.SUCCEEDED
        assert given.verdict == (APPROVED if is_approved else REJECTED)
        assert sent[0 if is_approved else 1] is None
        assert sent.count(None) == 1

    for _ in range(RACES):
        await race()
