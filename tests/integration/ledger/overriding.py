"""Overrides to put into a ledger, and decisions that one has moved."""

import base64
import uuid
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pointwork.contract.approval import (
    ApprovalRequest,
    ApprovalVerdict,
    ApproverKey,
    SignedVerdict,
    Verdict,
)
from pointwork.contract.decision import DecisionRecord, Trigger
from pointwork.contract.outcome import Invoke, Reservation
from pointwork.contract.override import Override, OverrideDuration, OverrideScope
from pointwork.contract.override_request import OverrideRequest, OverrideState
from pointwork.ledger.approvals import ApprovalBook
from pointwork.ledger.budgets import BudgetBook
from pointwork.ledger.overrides import OverrideBook
from pointwork.ledger.signals import SignalStore
from pointwork.verdicts import sign
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, UNLIMITED, decision, invoke

DAY = timedelta(days=1)
DEAR, CHEAP = "dear-cloud", "small-local"
REASON = "The local model lost three of these in a row."
BY_REVIEWER = ("grace", "that is convenience, not a justification")
SINGLE: dict[str, Any] = {"duration": OverrideDuration.SINGLE_USE}
OF_SESSION: dict[str, Any] = {
    "scope": OverrideScope.SESSION,
    "duration": OverrideDuration.SESSION,
    "conversation": "thread-9",
    "ends_at": None,
}
OF_TASK: dict[str, Any] = {
    "scope": OverrideScope.TASK,
    "duration": OverrideDuration.INDEFINITE,
    "task_id": "t-1",
    "ends_at": None,
}


def asked(override_id: str = "override-1", **changed: Any) -> OverrideRequest:
    """The dear model for every task of a day, until revoked, asked for by a service."""
    values: dict[str, Any] = {
        "override_id": override_id,
        "pack": "omega",
        "model": DEAR,
        "scope": OverrideScope.PERIOD,
        "starts_at": NOW,
        "ends_at": NOW + DAY,
        "duration": OverrideDuration.INDEFINITE,
        "reason": REASON,
        "requester": "billing",
        "cost_impact_nano_usd": 5_000_000,
        "cost_basis": "$0.0050 more a task, for 1 task",
        "policy_sha256": "b" * 64,
    }
    return OverrideRequest(**(values | changed))


def in_force(book: OverrideBook, approvals: ApprovalBook, request: OverrideRequest) -> None:
    """Ask, and have ada acknowledge the cost."""
    book.ask(request, NOW + DAY, NOW)
    approval_id, token = f"override/{request.override_id}", uuid.uuid4().hex
    assert approvals.close(approval_id, ApprovalVerdict.APPROVED, "ada", token, NOW)


def read_overrides(
    signals: SignalStore,
    task_id: str,
    conversation: str | None = None,
    *,
    pack: str = "omega",
    at: datetime = NOW,
) -> tuple[Override, ...]:
    return signals.read(
        window_keys=(),
        endpoints=(),
        conversation=conversation,
        queue="gpu-5090",
        now=at,
        overrides_of=(pack, task_id),
    ).overrides


def ids(
    ledger: Ledger, task_id: str = "t-1", conversation: str | None = None, **at: Any
) -> set[str]:
    """Which overrides a task would read."""
    found = read_overrides(ledger.signals, task_id, conversation, **at)
    return {each.override_id for each in found}


def state(book: OverrideBook, at: datetime = NOW) -> OverrideState:
    return book.find("override-1", at).state


def told(ledger: Ledger) -> list[str]:
    """What the chain tells, by kind."""
    return [each.kind for each in ledger.chain.records(100)]


def overridden(
    task_id: str, override_id: str = "override-1", conversation: str | None = None
) -> DecisionRecord:
    """A decision that the override moved from the cheap model to the dear one."""
    return decision(
        task_id,
        conversation=conversation,
        candidates=(moved(task_id).candidate,),
        override_id=override_id,
        default_route=CHEAP,
    )


def moved(task_id: str) -> Invoke:
    call = invoke(task_id, model=DEAR)
    chosen = call.candidate.model_copy(update={"trigger": Trigger.OVERRIDE})
    return call.model_copy(update={"candidate": chosen})


def hold(
    budgets: BudgetBook, record: DecisionRecord, at: datetime = NOW, ceiling: int = UNLIMITED
) -> Reservation:
    """Hold the money of the call that the override brought, as the reserve activity does."""
    return budgets.reserve(
        record=record,
        part_id=f"{record.task_id}/1",
        task_id=record.task_id,
        invoke=moved(record.task_id),
        amount_nano_usd=100,
        task_ceiling_nano_usd=ceiling,
        windows=(),
        price_version="test-1",
        expires_in_seconds=3600,
        now=at,
    )


class Person:
    """Somebody with a key that may sign verdicts."""

    def __init__(self, approvals: ApprovalBook, name: str) -> None:
        self.name, self._key = name, Ed25519PrivateKey.generate()
        public = base64.b64encode(self._key.public_key().public_bytes_raw()).decode()
        key = ApproverKey(key_id=f"{name}-1", approver=name, public_key=public)
        approvals.add_key(key, NOW)

    def signed(self, request: ApprovalRequest, **changed: Any) -> SignedVerdict:
        """The person's yes; ``changed`` spoils a field of it."""
        values: dict[str, Any] = {
            "approval_id": request.approval_id,
            "task_id": request.task_id,
            "verdict": ApprovalVerdict.APPROVED,
            "approver": self.name,
            "reason": "looked at the cost and agree",
            "request_sha256": request.request_sha256,
            "policy_sha256": request.policy_sha256,
            "ceiling_nano_usd": request.ceiling_nano_usd,
            "decided_at": NOW,
            "expires_at": NOW + DAY,
            "token_id": uuid.uuid4().hex,
        }
        return sign(Verdict(**(values | changed)), self._key, f"{self.name}-1")
