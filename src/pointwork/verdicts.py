"""Signing and checking a person's verdict: Ed25519 over canonical JSON, no options.

A verdict does not name its algorithm, so that nobody can name another.
"""

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pointwork.contract.approval import (
    CLOCK_SKEW,
    ApprovalRequest,
    ApprovalVerdict,
    ApproverKey,
    SignedVerdict,
    Verdict,
)
from pointwork.contract.canonical import canonical_json
from pointwork.contract.decision import GrantKind


class VerdictRefusedError(ValueError):
    """The verdict changes nothing; the text says which rule it breaks."""


def sign(verdict: Verdict, key: Ed25519PrivateKey, key_id: str) -> SignedVerdict:
    signature = key.sign(canonical_json(verdict))
    return SignedVerdict(
        verdict=verdict, key_id=key_id, signature=base64.b64encode(signature).decode()
    )


def check(
    signed: SignedVerdict, request: ApprovalRequest, keys: Sequence[ApproverKey], now: datetime
) -> None:
    """Refuse a verdict that is not for exactly this request, by a person who may answer it.

    Raises:
        VerdictRefusedError: wrong key, signature, request, policy, ceiling, person or time.
    """
    _check_person(signed, request, keys)
    _check_subject(signed.verdict, request)
    _check_choice(signed.verdict, request)
    _check_times(signed.verdict, request, now)


def _check_person(
    signed: SignedVerdict, request: ApprovalRequest, keys: Sequence[ApproverKey]
) -> None:
    key = next((each for each in keys if each.key_id == signed.key_id), None)
    if key is None:
        raise VerdictRefusedError(f"key {signed.key_id!r} may not answer this approval")
    if key.approver != signed.verdict.approver:
        raise VerdictRefusedError(f"key {signed.key_id!r} belongs to another person")
    _check_signature(signed, key)
    if signed.verdict.approver == request.requester:
        raise VerdictRefusedError("the requester of a task cannot approve it; ask another person")
    if key.barred:
        raise VerdictRefusedError(key.barred)


def _check_subject(verdict: Verdict, request: ApprovalRequest) -> None:
    if (verdict.approval_id, verdict.task_id) != (request.approval_id, request.task_id):
        raise VerdictRefusedError("the verdict is for another approval")
    if verdict.request_sha256 != request.request_sha256:
        raise VerdictRefusedError("the verdict is for another version of the request")
    if verdict.policy_sha256 != request.policy_sha256:
        raise VerdictRefusedError("the verdict was given under another policy")
    if verdict.ceiling_nano_usd < request.ceiling_nano_usd:
        raise VerdictRefusedError("the approved ceiling is below what the task may cost")
    if not verdict.reason.strip():
        raise VerdictRefusedError("the verdict gives no reason; say in words why")


def _check_times(verdict: Verdict, request: ApprovalRequest, now: datetime) -> None:
    if not request.opened_at - CLOCK_SKEW <= verdict.decided_at <= now + CLOCK_SKEW:
        raise VerdictRefusedError("the verdict is dated before the approval, or after now")
    if now >= min(verdict.expires_at, request.expires_at):
        raise VerdictRefusedError("the verdict or the approval has expired")


def _check_choice(verdict: Verdict, request: ApprovalRequest) -> None:
    """A choice is settled by one of its options, and nothing else names an option (OM-63)."""
    letters = tuple(each.letter for each in request.options)
    chooses = verdict.verdict is ApprovalVerdict.APPROVED
    if request.asks_for is not GrantKind.CHOICE or not chooses:
        if verdict.choice is not None:
            raise VerdictRefusedError("nothing is to be chosen here; leave choice out")
    elif verdict.choice not in letters:
        named = ", ".join(letters)
        raise VerdictRefusedError(f"the verdict chooses none of the answers; name one of {named}")


def _check_signature(signed: SignedVerdict, key: ApproverKey) -> None:
    try:
        signature = base64.b64decode(signed.signature, validate=True)
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.public_key))
        public.verify(signature, canonical_json(signed.verdict))
    except (InvalidSignature, binascii.Error, ValueError):
        raise VerdictRefusedError("the signature does not match the verdict") from None
