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
    ) -> bool: ...
    def keys(self) -> list[ApproverKey]: ...


class ApprovalActivities:
    def __init__(self, approvals: Approvals) -> None:
        self._approvals = approvals

    @activity.defn(name=ActivityName.HUMAN_APPROVAL)
    def human_approval(self, step: ApprovalStep) -> OpenApproval:
        """Open, remind, escalate or close, each idempotent; returns who may answer.

        A verdict that the ledger does not take changes nothing: ``is_refused`` says so.
        """
        request, now, is_taken = step.request, datetime.now(UTC), True
        match step.action:
            case ApprovalAction.OPEN:
                self._approvals.open(request, now)
            case ApprovalAction.CLOSE:
                is_taken = self._approvals.close(
                    request.approval_id,
                    step.verdict,
                    step.approver,
                    step.token_id,
                    now,
                    step.selection,
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
        is_refused = step.verdict is not None and not is_taken
        keys = tuple(self._approvals.keys())
        return OpenApproval(request=request, keys=keys, is_refused=is_refused)
