"""A person's decision: bound to what was shown, signed, single-use, never the requester's own."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, model_validator

from pointwork.contract.additive import added
from pointwork.contract.branches import BRANCHES_MAX, BranchOption, Comparison, Letter
from pointwork.contract.decision import GrantKind
from pointwork.contract.money import NanoUsd
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import PolicyRef
from pointwork.contract.task import Message, Name, TaskId

APPROVERS_MAX = 5
CLOCK_SKEW = timedelta(minutes=2)
"""By how much the clock of who signs may be ahead, or behind the moment of asking."""


class ApprovalVerdict(StrEnum):
    APPROVED = "approved"
    REJECTED = "rejected"


class ApprovalRequest(Message):
    """What a person is asked, and everything a verdict must match."""

    approval_id: str
    task_id: TaskId
    requester: Name
    asks_for: GrantKind
    reason: ReasonCode
    ceiling_nano_usd: NanoUsd
    """The most the task may cost under this approval."""
    policy_sha256: str
    request_sha256: str
    """Digest of what was shown: the request, the plan and its prices, answers to choose from."""
    opened_at: AwareDatetime
    expires_at: AwareDatetime
    options: Annotated[tuple[BranchOption, ...], Field(max_length=BRANCHES_MAX)] = added(())
    """The answers to choose from, in an order the task's id gives (OM-62)."""
    comparison: Comparison | None = added(None)
    """Where the options differ (OM-57)."""
    windows: tuple[str, ...] = added(())
    """The budget windows whose hard stop a person is asked to lift for this task (OM-33)."""
    approvers_min: Annotated[int, Field(ge=1, le=APPROVERS_MAX)] = added(1)
    """How many persons must approve; one who rejects is enough to end it."""
    active_policy: PolicyRef | None = added(None)
    """The version that is active now, where it is not the one the task began with and keeps."""

    @model_validator(mode="after")
    def _options_are_compared_answers(self) -> Self:
        letters = tuple(each.letter for each in self.options)
        compared = self.comparison.letters if self.comparison else ()
        if letters != compared or (letters and self.asks_for is not GrantKind.CHOICE):
            msg = "options are the compared answers of a choice; give both, and asks_for choice"
            raise ValueError(msg)
        return self


class Verdict(Message):
    """A person's answer, before it is signed."""

    approval_id: str
    task_id: TaskId
    verdict: ApprovalVerdict
    approver: Name
    reason: Annotated[str, Field(min_length=8, max_length=500)]
    request_sha256: str
    policy_sha256: str
    ceiling_nano_usd: NanoUsd
    decided_at: AwareDatetime
    expires_at: AwareDatetime
    token_id: str
    """Single use: the same token changes nothing a second time."""
    choice: Letter | None = added(None)
    """The answer chosen, where the approval is a choice."""


class SignedVerdict(Message):
    """A verdict with an Ed25519 signature over its canonical JSON (RFC 8785)."""

    verdict: Verdict
    key_id: str
    signature: str
    """Base64, 64 bytes decoded."""


class ApproverKey(Message):
    """A public key that may sign verdicts; it travels with the request, for replay."""

    key_id: str
    approver: Name
    public_key: str
    """Base64 of the 32 raw bytes."""
    subject: str = added("")
    """Who the approver is, where not the one with that name: quorum counts persons."""
    barred: str = added("")
    """Why this key may not answer this request; empty where it may."""
    delegated_by: Name | None = added(None)
    """Who lent the key; theirs are no requests for it to answer either."""

    @property
    def person(self) -> str:
        return self.subject or self.approver


class OpenApproval(Message):
    """What ``human-approval`` returns after it told people: the request and who may answer."""

    request: ApprovalRequest
    keys: tuple[ApproverKey, ...]
    is_refused: bool = added(False)
    """The ledger did not take the verdict, because its token was used before: it waits on."""
    superseded_by: PolicyRef | None = added(None)
    """Policy, models or prices changed since it was asked: it is void, and is asked anew."""
