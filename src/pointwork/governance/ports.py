"""The neighbours of the responsibility table, as ports (R-24).

What a neighbour owns is only read here, and only asked for; none of these ports writes a profile, a
consent, a contract, a receipt or a release. What is ours is given to them: outcomes, audit events.
Opt-in orchestration of personalisation workflows is SociOS-Linux/socios' own and has no port:
nothing here may start one (SP-48).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Protocol

from pydantic import AwareDatetime, Field

from pointwork.contract.outcome import TaskOutcome
from pointwork.contract.snapshot import EvalSignal, GuardrailSignal, Receipt
from pointwork.contract.task import Message, Name, TaskId


class LocalProfile(Message):
    """A local model profile as its owner states it."""

    urn: str
    service: Name
    """The name the host's model server knows it by."""
    laptop_safe: bool


class ModelCarry(Protocol):
    """SourceOS-Linux/sourceos-model-carry: local profiles and service refs (SP-46)."""

    def profile(self, urn: str) -> LocalProfile | None:
        """The profile; None where the owner carries none of this name."""
        ...


class GovernanceLedger(Protocol):
    """SocioProphet/model-governance-ledger: consent, contracts, receipts, evaluation (SP-47)."""

    def receipts(self, task_id: TaskId, subject: str | None, now: datetime) -> Sequence[Receipt]:
        """Receipts for this task or its user that hold now.

        Each was verified: a forged, expired or revoked one is not among them.
        """
        ...

    def evaluations(self) -> Sequence[EvalSignal]:
        """What each model passed of each class's evaluations."""
        ...


class AuditEvent(Message):
    """One record of our audit chain: names, figures and hashes, never content."""

    sequence: Annotated[int, Field(ge=1)]
    kind: Name
    task_id: TaskId | None
    occurred_at: AwareDatetime
    body: dict[str, Any]
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of this record and the hash before it, as ``pointwork.ledger.audit`` chains them."""


class AuditReceiver(Protocol):
    """SocioProphet/model-governance-ledger, where it takes our audit events (SP-47)."""

    def taken_until(self) -> int:
        """Sequence of the last event it has; 0 for none.

        Raises:
            OSError: it cannot say now.
        """
        ...

    def take(self, events: Sequence[AuditEvent]) -> None:
        """Keep events, oldest first; those it has already change nothing.

        Raises:
            OSError: they were not taken; give them again.
        """
        ...


class GuardedStep(Message):
    """What the guardrail authority is told of a step: names and figures, never content."""

    task_id: TaskId
    caller: Name
    stage: Name | None
    task_class: Name | None
    tools: tuple[Name, ...]
    escalation_reason: Name | None


class Guardrails(Protocol):
    """SocioProphet/guardrail-fabric: hooks, lane escalation and gates (SP-51)."""

    def check(self, step: GuardedStep) -> GuardrailSignal:
        """Its decision on the step. It may block or raise: ``Guarded`` bounds both."""
        ...


class Agentplane(Protocol):
    """SocioProphet/agentplane: execution-chain evidence and run/replay artifacts (SP-50)."""

    def hand_over(self, outcome: TaskOutcome, replay_bundle: bytes) -> None:
        """Give the run and its replay bundle out of our hands; the same task twice is once.

        Raises:
            OSError: it was not taken; keep it and hand it over again.
        """
        ...


class PolicyFabric(Protocol):
    """SocioProphet/policy-fabric: packaging and release review of policies (SP-52)."""

    def public_key(self, key_id: str) -> bytes | None:
        """The 32 raw bytes of an Ed25519 key that may release; None where it may not."""
        ...
