"""``human-approval``: tells people that a task waits for them. The waiting is the workflow's."""

import logging
from datetime import UTC, datetime
from typing import Protocol

from temporalio import activity

from pointwork.contract.approval import (
    ApprovalRequest,
    ApprovalVerdict,
    ApproverKey,
    OpenApproval,
)
from pointwork.contract.branches import Selection
from pointwork.contract.names import ActivityName
from pointwork.contract.notice import NoticeKind
from pointwork.contract.snapshot import PolicyRef
from pointwork.contract.steps import ApprovalAction, ApprovalStep

_log = logging.getLogger(__name__)


class Approvals(Protocol):
    def open(self, request: ApprovalRequest, now: datetime) -> None: ...
    def close(
        self,
        approval_id: str,
        verdict: ApprovalVerdict | None,
        approver: str | None,
        token_id: str | None,
        now: datetime,
        selection: Selection | None = None,
        *,
        key_id: str | None = None,
        reason: str = "",
    ) -> bool: ...
    def count(
        self,
        approval_id: str,
        approver: str,
        token_id: str,
        now: datetime,
        *,
        key_id: str | None,
        reason: str,
    ) -> bool: ...
    def keys(self, requester: str | None = None) -> list[ApproverKey]: ...


class Succession(Protocol):
    def superseded_by(self, bundle_sha256: str) -> PolicyRef | None:
        """The version of the same pack that is active now, where it is another."""
        ...


class Notices(Protocol):
    def send(self, request: ApprovalRequest, kind: NoticeKind) -> None:
        """Tell people. It neither raises nor waits for long."""
        ...


class ApprovalActivities:
    def __init__(self, approvals: Approvals, succession: Succession, notices: Notices) -> None:
        self._approvals = approvals
        self._succession = succession
        self._notices = notices

    @activity.defn(name=ActivityName.HUMAN_APPROVAL)
    def human_approval(self, step: ApprovalStep) -> OpenApproval:
        """Open, count, remind, escalate or close, each idempotent; returns who may answer.

        A verdict that the ledger does not take changes nothing: ``is_refused`` says so. Where
        policy, models or prices changed since it was asked, the approval ends void instead, and
        ``superseded_by`` says by which version (design 7); a rejection counts all the same.
        """
        request, now, is_taken = step.request, datetime.now(UTC), True
        changed = self._change(step)
        match step.action:
            case ApprovalAction.OPEN if changed is not None:
                pass
            case _ if changed is not None:
                self._approvals.close(request.approval_id, None, None, None, now)
            case ApprovalAction.OPEN:
                self._approvals.open(request, now)
            case ApprovalAction.COUNT:
                is_taken = self._approvals.count(
                    request.approval_id,
                    step.approver or "",
                    step.token_id or "",
                    now,
                    key_id=step.key_id,
                    reason=step.reason,
                )
            case ApprovalAction.CLOSE:
                is_taken = self._approvals.close(
                    request.approval_id,
                    step.verdict,
                    step.approver,
                    step.token_id,
                    now,
                    step.selection,
                    key_id=step.key_id,
                    reason=step.reason,
                )
            case ApprovalAction.REMIND | ApprovalAction.ESCALATE:
                pass
        _log.info(
            "approval %s: %s for task %s (%s, up to %d nano-USD, until %s)",
            step.action,
            request.approval_id,
            request.task_id,
            request.reason,
            request.ceiling_nano_usd,
            request.expires_at.isoformat(),
        )
        if changed is None:
            self._tell(step, now)
        return OpenApproval(
            request=request,
            keys=tuple(self._approvals.keys(request.requester)),
            is_refused=step.verdict is not None and not is_taken,
            superseded_by=changed,
        )

    def _tell(self, step: ApprovalStep, now: datetime) -> None:
        match step.action:
            case ApprovalAction.OPEN:
                self._notices.send(step.request, NoticeKind.OPENED)
            case ApprovalAction.REMIND:
                self._notices.send(step.request, NoticeKind.REMINDER)
            case ApprovalAction.ESCALATE:
                self._notices.send(step.request, NoticeKind.ESCALATION)
            case ApprovalAction.CLOSE if step.verdict is None and now >= step.request.expires_at:
                self._notices.send(step.request, NoticeKind.EXPIRED)
            case _:
                pass

    def _change(self, step: ApprovalStep) -> PolicyRef | None:
        """The version that took over since the request was made, where that voids this step."""
        is_over = step.action is ApprovalAction.CLOSE and step.verdict is None
        if is_over or step.verdict is ApprovalVerdict.REJECTED:
            return None
        active = self._succession.superseded_by(step.request.policy_sha256)
        return active if active != step.request.active_policy else None
