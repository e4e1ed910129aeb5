"""A person's verdict on what a form showed them, signed with their console key."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from fastapi import Request
from pydantic import ValidationError

from pointwork.contract.approval import ApprovalRequest, ApprovalVerdict, SignedVerdict, Verdict
from pointwork.gateway.console.access import Signed
from pointwork.gateway.console.reasons import BadFormError, check_reason
from pointwork.ledger.console_keys import ConsoleKeys
from pointwork.verdicts import sign

_VALID_FOR = timedelta(minutes=10)


def sign_shown(
    request: Request,
    viewer: Signed,
    found: ApprovalRequest,
    fields: Mapping[str, str],
    verdict: ApprovalVerdict,
    *,
    choice: str | None = None,
) -> SignedVerdict:
    """The verdict on the digests and the ceiling of the form, whatever stands there by now.

    Raises:
        BadFormError: the reason is no sentence, or a field of the form is missing.
        NoConsoleKeyError: the person's key was revoked.
    """
    reason, now = check_reason(fields.get("reason", "")), datetime.now(UTC)
    try:
        unsigned = Verdict(
            approval_id=found.approval_id,
            task_id=found.task_id,
            verdict=verdict,
            approver=viewer.name,
            reason=reason,
            request_sha256=fields.get("request_sha256", ""),
            policy_sha256=fields.get("policy_sha256", ""),
            ceiling_nano_usd=int(fields.get("ceiling_nano_usd", "")),
            decided_at=now,
            expires_at=now + _VALID_FOR,
            token_id=f"console-{uuid.uuid4()}",
            choice=choice,
        )
    except (ValidationError, ValueError):
        raise BadFormError("The form is not whole; load the page anew.") from None
    keys: ConsoleKeys = request.app.state.console_keys
    key_id, private = keys.of(viewer.name, request.app.state.gateway.vault.master_keys)
    return sign(unsigned, private, key_id)
