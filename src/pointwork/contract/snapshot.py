"""Everything live that a decision reads: taken once, kept with it, and hashed where it counts."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from pointwork.contract.additive import added
from pointwork.contract.local_lane import LocalQueueSignal
from pointwork.contract.money import NanoUsd
from pointwork.contract.overlay import Overlay
from pointwork.contract.override import Override
from pointwork.contract.task import Message, Name, Sensitivity, TaskId


class PolicyRef(Message):
    """Which rules decided: the hash is pinned at the start and stands on every record."""

    pack: Name
    version: str
    pack_sha256: str
    bundle_sha256: str
    """Hash of pack, model catalogue and host profile together: all that ``decide`` reads."""


class EndpointSignal(Message):
    """The state of one access path to models at the time of the snapshot."""

    endpoint: Name
    has_credentials: bool
    is_healthy: bool = True
    rate_limited_until: AwareDatetime | None = None


class BudgetSignal(Message):
    """One budget window as it stood; the reserve step checks again, atomically."""

    window: str
    limit_nano_usd: NanoUsd
    committed_nano_usd: NanoUsd
    """Spent and reserved together."""
    is_stopped: bool = added(False)
    """The budget was exceeded, and its hard stop waits for a person to resume (OM-32, OM-33)."""


class WindowSpec(Message):
    """A budget window a hold must fit in; ``starts_at`` and ``ends_at`` bound it, half open."""

    key: str
    scope: str
    period: str
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    limit_nano_usd: NanoUsd
    limit_version: Annotated[int, Field(ge=0)] = added(0)
    """Which of the owner's settings gave the limit, later ones higher; 0 is the pack's own."""
    alert_nano_usd: NanoUsd | None = added(None)
    """Committed together from here on, people are told (JG-28); None where nobody asked."""


class QuotaSignal(Message):
    """What is left of a vendor's quota at one endpoint."""

    endpoint: Name
    remaining_requests: Annotated[int, Field(ge=0)] | None
    """None is a quota nobody could tell (SP-42)."""


class ResourceSignal(Message):
    """How much room this host has for a larger local model (SP-32)."""

    free_memory_mb: Annotated[int, Field(ge=0)]
    load_ratio: Annotated[Decimal, Field(ge=0)]
    """Running work over cores."""


class LatencySignal(Message):
    """Median time to an answer, of one model, over the last hour."""

    model: Name
    median_ms: Annotated[int, Field(ge=0)]


class EvalSignal(Message):
    """How far evaluations bear out a model for a class, 0 to 1 (SP-1)."""

    model: Name
    task_class: Name
    confidence: Annotated[Decimal, Field(ge=0, le=1)]


class ReceiptKind(StrEnum):
    """What a governing authority permits. Each is verified before it stands in a snapshot."""

    EGRESS = "egress"
    HOSTED_FALLBACK = "hosted_fallback"
    LANE_ESCALATION = "lane_escalation"
    PERSONALISATION_CONSENT = "personalisation_consent"
    GOVERNANCE_CONTRACT = "governance_contract"
    DATA_BOUNDARY = "data_boundary"


class Receipt(Message):
    """A verified permission, bound to one task or one user; a revoked one is not listed."""

    kind: ReceiptKind
    receipt_id: Annotated[str, Field(min_length=1, max_length=200)]
    issuer: Name
    task_id: TaskId | None = None
    """The task it was issued for; None where it holds for ``subject``."""
    subject: Name | None = None
    reason: Name | None = None
    """The escalation reason it was issued for."""
    model: Name | None = None
    """The personal model its contract covers."""
    expires_at: AwareDatetime


class GuardrailVerdict(StrEnum):
    ALLOW = "allow"
    DENY = "deny"
    UNAVAILABLE = "unavailable"
    """Asked, and did not answer in time or at all: the same as a denial (SP-51)."""


class GuardrailSignal(Message):
    """What the guardrail authority says of this step."""

    verdict: GuardrailVerdict
    rule: str = ""


class Snapshot(Message):
    """Everything live that a decision reads, taken once and kept with it."""

    taken_at: AwareDatetime
    policy: PolicyRef
    endpoints: tuple[EndpointSignal, ...]
    budgets: tuple[BudgetSignal, ...] = ()
    loaded_local_model: Name | None = None
    local_queues: tuple[LocalQueueSignal, ...] = added(())
    """What waits for the models of the local card (design 6)."""
    conversation_sensitivity: Sensitivity | None = None
    """The conversation's high-water mark: what any earlier task of it held."""
    overlay: Overlay | None = added(None)
    """The pack's current promote/demote overlay, where the pack has one (R-9)."""
    quotas: tuple[QuotaSignal, ...] | None = added(None)
    resources: ResourceSignal | None = added(None)
    latencies: tuple[LatencySignal, ...] | None = added(None)
    evals: tuple[EvalSignal, ...] | None = added(None)
    receipts: tuple[Receipt, ...] = added(())
    overrides: tuple[Override, ...] = added(())
    guardrail: GuardrailSignal | None = added(None)
    flags: tuple[Name, ...] = added(())
    """The pack's switches that this deployment has set against their default."""
    standing: tuple[WindowSpec, ...] = added(())
    """Budgets that the owner has set beside the pack's, or in the place of one of its limits."""
