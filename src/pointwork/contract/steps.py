"""The inputs of the activities: one named message each, so that fields can be added compatibly."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from pointwork.contract.approval import ApprovalRequest, ApprovalVerdict
from pointwork.contract.decision import DecisionRecord
from pointwork.contract.money import NanoUsd
from pointwork.contract.outcome import Invoke, TaskOutcome
from pointwork.contract.task import ContentRef, Message, Name


class Reserve(Message):
    """Record the decision and hold the worst case of its first candidate, in one transaction."""

    record: DecisionRecord
    part_id: str
    """Idempotency key of this part of the task's hold: one part, one chargeable call."""
    invoke: Invoke
    expires_in_seconds: Annotated[int, Field(ge=1)]


class Redact(Message):
    task_id: str
    content: ContentRef


class Verify(Message):
    """Check an answer against the schema the caller sealed with the task."""

    task_id: str
    answer: ContentRef
    answer_schema: ContentRef


class ApprovalAction(StrEnum):
    OPEN = "open"
    REMIND = "remind"
    ESCALATE = "escalate"
    CLOSE = "close"


class ApprovalStep(Message):
    """Tell people about a decision that waits for them, or record how it ended."""

    action: ApprovalAction
    request: ApprovalRequest
    verdict: ApprovalVerdict | None = None
    """With CLOSE; None where the approval expired or the task was cancelled."""
    approver: Name | None = None
    token_id: str | None = None


class LogOutcome(Message):
    outcome: TaskOutcome
    record: DecisionRecord | None = None
    """The last decision where no reservation stored it."""


class BudgetRefusal(Message):
    """Detail of the ``ApplicationError`` of a refused hold."""

    window: str
    amount_nano_usd: NanoUsd
