"""A person's decision: bound to what was shown, signed, single-use, never the requester's own."""

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from pointwork.contract.decision import GrantKind
from pointwork.contract.money import NanoUsd
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import Message, Name, TaskId


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
    """Digest of what was shown: the request, the plan and its prices."""
    opened_at: AwareDatetime
    expires_at: AwareDatetime


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


class OpenApproval(Message):
    """What ``human-approval`` returns after it told people: the request and who may answer."""

    request: ApprovalRequest
    keys: tuple[ApproverKey, ...]
