"""Persons beside the stack's owner, each with a key, and accounts that are no persons."""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pointwork.contract.approval import (
    ApprovalRequest,
    ApprovalVerdict,
    ApproverKey,
    SignedVerdict,
)
from pointwork.contract.identity import Identity, IdentityKind, Role
from pointwork.ledger.identities import Identities
from pointwork.verdicts import sign
from tests.workflows.stack import Stack, verdict_on


@dataclass(frozen=True)
class Signer:
    """Somebody with a key that the ledger knows."""

    name: str
    key_id: str
    key: Ed25519PrivateKey

    def signed(
        self, request: ApprovalRequest, verdict: ApprovalVerdict, **changed: Any
    ) -> SignedVerdict:
        """This person's verdict on ``request``; ``changed`` spoils a field of it."""
        given = verdict_on(request, verdict, **({"approver": self.name} | changed))
        return sign(given, self.key, self.key_id)


def introduce(stack: Stack, name: str, **known: Any) -> Identity:
    """An account; a person with the role approver, unless said otherwise."""
    fields: dict[str, Any] = {
        "name": name,
        "subject": name,
        "kind": IdentityKind.PERSON,
        "roles": (Role.APPROVER,),
        "created_at": datetime.now(UTC),
    }
    identity = Identity(**(fields | known))
    Identities(stack.parts.engine).add(identity, "owner")
    return identity


def signer(stack: Stack, *, delegated_by: str | None = None, **known: Any) -> Signer:
    """A new account with a key of its own; its name is made up where none is given."""
    name = known.pop("name", f"person-{uuid4().hex[:8]}")
    introduce(stack, name, **known)
    key, key_id = Ed25519PrivateKey.generate(), f"{name}-1"
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    approver = ApproverKey(
        key_id=key_id, approver=name, public_key=public, delegated_by=delegated_by
    )
    stack.approvals.add_key(approver, datetime.now(UTC))
    return Signer(name, key_id, key)
