"""Waiting for a person: ask, remind, escalate, and take silence for a no."""

import asyncio
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from workflows import calls
from workflows.branches import selection_of
from workflows.completion import finish

with workflow.unsafe.imports_passed_through():
    from pointwork.contract.approval import (
        ApprovalRequest,
        ApprovalVerdict,
        OpenApproval,
        SignedVerdict,
        Verdict,
    )
    from pointwork.contract.canonical import canonical_json, sha256_hex
    from pointwork.contract.decision import DecisionRecord
    from pointwork.contract.steps import ApprovalAction, ApprovalStep
    from pointwork.policy.documents.pack import ApprovalTimes
    from pointwork.verdicts import VerdictRefusedError, check

VERDICT_REFUSED = "VERDICT_REFUSED"


def approval_request(record: DecisionRecord, times: ApprovalTimes) -> ApprovalRequest:
    """What a person is asked, bound by digest to everything they are shown."""
    plan = record.plan
    if plan.hold_for is None or plan.reason is None:
        msg = f"decision {record.decision_id} holds without naming the approval it waits for"
        raise ValueError(msg)
    return ApprovalRequest(
        approval_id=f"{record.decision_id}/approval",
        task_id=record.task_id,
        requester=record.input.request.caller,
        asks_for=plan.hold_for,
        reason=plan.reason,
        ceiling_nano_usd=plan.task_ceiling_nano_usd,
        policy_sha256=plan.policy.bundle_sha256,
        request_sha256=sha256_hex(canonical_json(record)),
        opened_at=record.decided_at,
        expires_at=record.decided_at + timedelta(seconds=times.expire_after_seconds),
        windows=plan.stopped_by,
    )


class ApprovalDesk:
    """At most one approval is open at a time; the first valid verdict ends it."""

    def __init__(self) -> None:
        self._open: OpenApproval | None = None
        self._verdict: Verdict | None = None

    @property
    def open_request(self) -> ApprovalRequest | None:
        return self._open.request if self._open else None

    def check(self, signed: SignedVerdict, now: datetime) -> None:
        """Refuse a verdict before it enters history.

        Raises:
            ApplicationError: VERDICT_REFUSED, with the rule that refuses it.
        """
        if self._open is None or self._verdict is not None:
            raise _refused("no approval is open for this task")
        try:
            check(signed, self._open.request, self._open.keys, now)
        except VerdictRefusedError as error:
            raise _refused(str(error)) from None

    def take(self, signed: SignedVerdict) -> None:
        self._verdict = signed.verdict

    async def ask(self, request: ApprovalRequest, times: ApprovalTimes) -> Verdict | None:
        """The verdict, or None where nobody gave one in time.

        One that the ledger refuses, because its token was used before, changes nothing: the
        request waits on.
        """
        self._verdict = None
        self._open = await calls.human_approval(_step(ApprovalAction.OPEN, request))
        stages = [
            (ApprovalAction.REMIND, times.remind_after_seconds),
            (ApprovalAction.ESCALATE, times.escalate_after_seconds),
            (None, times.expire_after_seconds),
        ]
        try:
            while True:
                verdict = await self._verdict_in_time(request, stages)
                closed = await calls.human_approval(_closing(request, verdict))
                if verdict is None or not closed.is_refused:
                    return verdict
                self._verdict = None
        except (asyncio.CancelledError, ActivityError):
            # The task is cancelled or out of time: nobody is to be asked any longer.
            await finish(calls.human_approval(_closing(request, None)))
            raise
        finally:
            self._open = None

    async def _verdict_in_time(
        self, request: ApprovalRequest, stages: list[tuple[ApprovalAction | None, int]]
    ) -> Verdict | None:
        """Wait stage by stage; ``stages`` keeps those still to come."""
        while stages:
            action, at_seconds = stages[0]
            if await self._decided_by(request.opened_at + timedelta(seconds=at_seconds)):
                break
            stages.pop(0)
            if action is not None:
                await calls.human_approval(_step(action, request))
        return self._verdict

    async def _decided_by(self, moment: datetime) -> bool:
        try:
            await workflow.wait_condition(
                lambda: self._verdict is not None,
                timeout=max(moment - workflow.now(), timedelta(seconds=0)),
                timeout_summary="waits for a person's verdict",
            )
        except TimeoutError:
            return False
        return True


def is_approved(verdict: Verdict) -> bool:
    return verdict.verdict is ApprovalVerdict.APPROVED


def _step(action: ApprovalAction, request: ApprovalRequest) -> ApprovalStep:
    return ApprovalStep(action=action, request=request)


def _closing(request: ApprovalRequest, verdict: Verdict | None) -> ApprovalStep:
    return ApprovalStep(
        action=ApprovalAction.CLOSE,
        request=request,
        verdict=verdict.verdict if verdict else None,
        approver=verdict.approver if verdict else None,
        token_id=verdict.token_id if verdict else None,
        selection=selection_of(request, verdict) if verdict else None,
    )


def _refused(reason: str) -> ApplicationError:
    return ApplicationError(reason, type=VERDICT_REFUSED, non_retryable=True)
