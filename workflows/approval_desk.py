"""Waiting for a person: ask, remind, escalate, and take silence for a no."""

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from workflows import calls
from workflows.branches import selection_of
from workflows.completion import finish

with workflow.unsafe.imports_passed_through():
    from pydantic import ValidationError

    from pointwork.contract.approval import (
        ApprovalRequest,
        ApprovalVerdict,
        OpenApproval,
        SignedVerdict,
        Verdict,
    )
    from pointwork.contract.canonical import canonical_json, sha256_hex
    from pointwork.contract.decision import DecisionRecord
    from pointwork.contract.snapshot import PolicyRef
    from pointwork.contract.steps import ApprovalAction, ApprovalStep
    from pointwork.policy.documents.approval_times import ApprovalTimes
    from pointwork.verdicts import VerdictRefusedError, check

VERDICT_REFUSED = "VERDICT_REFUSED"
_FIELDS_MAX, _FIELDS_CHARACTERS_MAX = 5, 200
PATCH_VERDICTS_KEPT = "approvals-keep-verdicts"
"""Since then the ledger keeps each verdict's key and reason, and counts several."""


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
        approvers_min=times.approvers_for(plan.hold_for),
    )


@dataclass(frozen=True)
class Answered:
    """How an approval ended: the request as it stood last, and the verdict, if one was given."""

    request: ApprovalRequest
    verdict: Verdict | None


class ApprovalDesk:
    """At most one approval is open at a time; the first terminal verdict ends it."""

    def __init__(self) -> None:
        self._open: OpenApproval | None = None
        self._arrived: list[SignedVerdict] = []
        """Valid ones that the ledger has not taken yet, the first one first."""
        self._approved_by: list[str] = []
        """The persons whose yes the ledger has counted."""

    @property
    def open_request(self) -> ApprovalRequest | None:
        return self._open.request if self._open else None

    def check(self, signed: SignedVerdict, now: datetime) -> None:
        """Refuse a verdict before it enters history.

        Raises:
            ApplicationError: VERDICT_REFUSED, with the rule that refuses it.
        """
        if self._open is None:
            raise _refused("no approval is open for this task")
        if self._is_decided(self._open.request):
            raise _refused("another verdict is being recorded; see how it ends")
        try:
            check(signed, self._open.request, self._open.keys, now)
        except VerdictRefusedError as error:
            raise _refused(str(error)) from None
        said = {*self._approved_by, *(self._person(each) for each in self._arrived)}
        if is_approved(signed.verdict) and self._person(signed) in said:
            approver = signed.verdict.approver
            raise _refused(f"{approver} has approved already; another person is needed")

    def take(self, signed: SignedVerdict) -> None:
        self._arrived.append(signed)

    async def ask(self, request: ApprovalRequest, times: ApprovalTimes) -> Answered:
        """Wait for the verdict; there is none where nobody gave one in time.

        One that the ledger refuses, because its token was used before, changes nothing: the
        request waits on. Where policy, models or prices changed, it is asked anew (design 7).
        """
        asked, times_asked = request, 1
        while True:
            try:
                answered = await self._ask_once(asked, times)
            finally:
                self._open = None
            if isinstance(answered, Answered):
                return answered
            times_asked += 1
            asked = _renewed(request, times_asked, answered, times)

    async def _ask_once(
        self, request: ApprovalRequest, times: ApprovalTimes
    ) -> Answered | PolicyRef:
        """How it ended, or the policy version that voids it."""
        self._arrived, self._approved_by = [], []
        self._open = await calls.human_approval(_step(ApprovalAction.OPEN, request))
        if self._open.superseded_by is not None:
            return self._open.superseded_by
        stages = [
            (ApprovalAction.REMIND, times.remind_after_seconds),
            (ApprovalAction.ESCALATE, times.escalate_after_seconds),
            (None, times.expire_after_seconds),
        ]
        try:
            while True:
                changed = await self._wait(request, stages)
                if changed is not None:
                    return changed
                signed = self._arrived[0] if self._arrived else None
                is_last = signed is None or self._is_decided(request, [signed])
                action = ApprovalAction.CLOSE if is_last else ApprovalAction.COUNT
                taken = await calls.human_approval(_taking(action, request, signed))
                if taken.superseded_by is not None:
                    return taken.superseded_by
                if signed is None:
                    return Answered(request, None)
                person, self._open = self._person(signed), taken
                self._arrived.pop(0)
                if taken.is_refused:
                    continue
                if is_last:
                    return Answered(request, signed.verdict)
                self._approved_by.append(person)
        except (asyncio.CancelledError, ActivityError):
            # The task is cancelled or out of time: nobody is to be asked any longer.
            await finish(calls.human_approval(_step(ApprovalAction.CLOSE, request)))
            raise

    async def _wait(
        self, request: ApprovalRequest, stages: list[tuple[ApprovalAction | None, int]]
    ) -> PolicyRef | None:
        """Wait for a verdict, stage by stage; ``stages`` keeps those still to come."""
        while stages and not self._arrived:
            action, at_seconds = stages[0]
            if await self._arrived_by(request.opened_at + timedelta(seconds=at_seconds)):
                break
            stages.pop(0)
            if action is not None:
                # Who may answer is read anew: people come and go while a task waits for weeks.
                self._open = await calls.human_approval(_step(action, request))
                if self._open.superseded_by is not None:
                    return self._open.superseded_by
        return None

    async def _arrived_by(self, moment: datetime) -> bool:
        try:
            await workflow.wait_condition(
                lambda: bool(self._arrived),
                timeout=max(moment - workflow.now(), timedelta(seconds=0)),
                timeout_summary="waits for a person's verdict",
            )
        except TimeoutError:
            return False
        return True

    def _is_decided(
        self, request: ApprovalRequest, arrived: list[SignedVerdict] | None = None
    ) -> bool:
        """Whether those who approved are enough with what arrived, or somebody rejected."""
        verdicts = [each.verdict for each in (self._arrived if arrived is None else arrived)]
        if any(not is_approved(each) for each in verdicts):
            return True
        return len(self._approved_by) + len(verdicts) >= request.approvers_min

    def _person(self, signed: SignedVerdict) -> str:
        keys = self._open.keys if self._open else ()
        found = [each.person for each in keys if each.key_id == signed.key_id]
        return found[0] if found else signed.verdict.approver


def read_verdict(given: object) -> SignedVerdict:
    """The signed verdict that somebody sent: an object, or its JSON as text.

    Raises:
        ApplicationError: VERDICT_REFUSED, naming the field that is wrong and not its value.
    """
    try:
        if isinstance(given, str):
            return SignedVerdict.model_validate_json(given)
        # As JSON, so that times and enums are read as they are written.
        return SignedVerdict.model_validate_json(json.dumps(given))
    except ValidationError as error:
        fields = [".".join(map(str, each["loc"])) for each in error.errors(include_input=False)]
        named = ", ".join(fields[:_FIELDS_MAX])[:_FIELDS_CHARACTERS_MAX]
        raise _refused(f"this is no signed verdict; correct {named or 'its JSON'}") from None
    except (TypeError, ValueError, RecursionError):
        raise _refused("this is no signed verdict") from None


def claimed_approver(given: object) -> str | None:
    """Whom what was sent claims to come from, for the record."""
    verdict = given.get("verdict") if isinstance(given, dict) else None
    name = verdict.get("approver") if isinstance(verdict, dict) else None
    return name[:_FIELDS_CHARACTERS_MAX] if isinstance(name, str) else None


def is_approved(verdict: Verdict) -> bool:
    return verdict.verdict is ApprovalVerdict.APPROVED


def _step(action: ApprovalAction, request: ApprovalRequest) -> ApprovalStep:
    return ApprovalStep(action=action, request=request)


def _taking(
    action: ApprovalAction, request: ApprovalRequest, signed: SignedVerdict | None
) -> ApprovalStep:
    """What the ledger is told of a verdict, or of there being none."""
    if signed is None:
        return _step(action, request)
    verdict = signed.verdict
    step = ApprovalStep(
        action=action,
        request=request,
        verdict=verdict.verdict,
        approver=verdict.approver,
        token_id=verdict.token_id,
        selection=selection_of(request, verdict),
    )
    if not workflow.patched(PATCH_VERDICTS_KEPT):
        return step
    return step.model_copy(update={"key_id": signed.key_id, "reason": verdict.reason})


def _renewed(
    request: ApprovalRequest, times_asked: int, active: PolicyRef, times: ApprovalTimes
) -> ApprovalRequest:
    """The same question under an id and times of its own, saying what is active now.

    The task keeps the version it began with; who approves sees that there is a newer one.
    """
    now = workflow.now()
    return request.model_copy(
        update={
            "approval_id": f"{request.approval_id}/{times_asked}",
            "opened_at": now,
            "expires_at": now + timedelta(seconds=times.expire_after_seconds),
            "active_policy": active,
        }
    )


def _refused(reason: str) -> ApplicationError:
    return ApplicationError(reason, type=VERDICT_REFUSED, non_retryable=True)
