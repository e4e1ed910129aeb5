"""The inputs of the activities: one named message each, so that fields can be added compatibly."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from pointwork.contract.additive import added
from pointwork.contract.approval import ApprovalRequest, ApprovalVerdict
from pointwork.contract.branches import BRANCHES_MAX, Agreement, BranchOption, Selection
from pointwork.contract.decision import DecisionRecord, Plan
from pointwork.contract.money import NanoUsd
from pointwork.contract.outcome import Invocation, Invoke, TaskOutcome
from pointwork.contract.task import ContentRef, Message, Name, TaskRequest


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
    secrets_only: bool = added(False)
    """Replace credentials and leave identifiers, where the pack does not redact those (R-30)."""


class Compare(Message):
    """Compare answers given side by side, in the order in which people see them."""

    comparison_id: str
    decision_id: str
    options: Annotated[tuple[BranchOption, ...], Field(min_length=2, max_length=BRANCHES_MAX)]
    agreement: Agreement | None = added(None)
    """How near they must be to count as one; None is equal."""


class Verify(Message):
    """Check an answer against the caller's own schema, and the contract the pack names.

    With ``compare`` it is the first of several answers, which are compared and not checked.
    """

    task_id: str
    answer: ContentRef
    answer_schema: ContentRef | None = None
    contract: Name | None = added(None)
    sources: tuple[Name, ...] = added(())
    """What a cited answer may cite."""
    compare: Compare | None = added(None)


class ReviewKind(StrEnum):
    """What a model is asked about an answer."""

    CRITIC = "critic"
    JUDGE = "judge"
    QUESTION = "question"
    """The model that drafted the answer questions it (CX-34)."""
    FINAL = "final"
    """The same model answers, with its draft and its questions before it."""


class Compose(Message):
    """Put a task and answers to it together into a prompt, where text may be read."""

    task_id: str
    kind: ReviewKind
    content: ContentRef
    answers: Annotated[tuple[ContentRef, ...], Field(min_length=1, max_length=2)]
    """The answer; with FINAL the draft and then the questions."""


class Composed(Message):
    """The sealed prompt, and the most tokens a call of it can be charged for."""

    content: ContentRef
    input_tokens_max: Annotated[int, Field(ge=0)]


class FindCached(Message):
    """Look for the answer to an equal request."""

    request: TaskRequest
    plan: Plan
    has_findings: bool


class KeepAnswer(Message):
    """Let an answer serve equal requests for a while."""

    find: FindCached
    invocation: Invocation


class ApprovalAction(StrEnum):
    OPEN = "open"
    COUNT = "count"
    """One of several approvals that are needed."""
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
    selection: Selection | None = added(None)
    """With the approval of a choice: what the person chose."""
    key_id: str | None = added(None)
    reason: str = added("")
    """What the person wrote; it is on the record, like the verdict."""


class LogOutcome(Message):
    outcome: TaskOutcome
    record: DecisionRecord | None = None
    """The last decision where no reservation stored it."""


class BudgetRefusal(Message):
    """Detail of the ``ApplicationError`` of a refused hold."""

    window: str
    amount_nano_usd: NanoUsd
