"""What was known, what was decided, and why each other model was not chosen."""

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.money import NanoUsd, PriceTier
from pointwork.contract.names import TaskQueue
from pointwork.contract.task import (
    ContentRef,
    DataClass,
    Message,
    Name,
    Sensitivity,
    TaskRequest,
)


class ClassSource(StrEnum):
    """Where the task's class comes from (R-27)."""

    DECLARED = "declared"
    MAPPED = "mapped"
    INFERRED = "inferred"
    UNKNOWN = "unknown"


class Site(StrEnum):
    """Where a model runs, seen from the house."""

    LOCAL = "local"
    PRIVATE = "private"
    PUBLIC_API = "public_api"


class CostClass(StrEnum):
    LOWEST = "lowest"
    LOW = "low"
    MEDIUM = "medium"
    MEDIUM_HIGH = "medium_high"
    HIGH = "high"
    HIGHEST = "highest"


class Lane(StrEnum):
    """Cost-and-authority rungs, cheapest first (requirements 7.2)."""

    NONE = "none"
    LOCAL = "local"
    CHEAP = "cheap"
    STANDARD = "standard"
    HIGH = "high"
    PREMIUM = "premium"


class FindingCount(Message):
    """How often one kind of sensitive text was found; the text itself is never kept."""

    kind: str
    count: Annotated[int, Field(ge=1)]


class Classification(Message):
    """What ``classify`` found: facts about the text, never the text."""

    task_class: Name | None
    class_source: ClassSource
    margin: float | None = None
    """Distance between the classifier's first and second choice, 0 to 1; None if it did not run."""
    suggested_class: Name | None = None
    """The classifier's first choice where the margin was too small to act on it."""
    detected_sensitivity: Sensitivity | None = None
    """None where no detector found anything: that is silence, not a proof of harmlessness."""
    detected_data_classes: tuple[DataClass, ...] = ()
    findings: tuple[FindingCount, ...] = ()
    detectors: tuple[str, ...] = ()
    """Names and versions of the detectors that ran."""
    scanned_bytes: Annotated[int, Field(ge=0)] = 0
    input_bytes: Annotated[int, Field(ge=0)]
    input_tokens_max: Annotated[int, Field(ge=0)]
    """An upper bound: a byte-level tokenizer never makes more tokens than bytes."""
    has_image: bool = False


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


class Snapshot(Message):
    """Everything live that a decision reads, taken once and kept with it."""

    taken_at: AwareDatetime
    policy: PolicyRef
    endpoints: tuple[EndpointSignal, ...]
    budgets: tuple[BudgetSignal, ...] = ()
    loaded_local_model: Name | None = None
    conversation_sensitivity: Sensitivity | None = None
    """The conversation's high-water mark: what any earlier task of it held."""


class FailedAttempt(Message):
    """A completed try that did not give the answer; a binding is never revisited within a task."""

    model: Name
    kind: ProviderFailureKind | None = None
    """None where the model answered and a check refused the answer."""
    transport_retries: Annotated[int, Field(ge=0)] = 0


class GrantKind(StrEnum):
    """What a person's approval opens, and nothing beyond it."""

    COST = "cost"
    DATA_CLASSIFICATION = "data_classification"
    SENSITIVE_EGRESS = "sensitive_egress"


class Grant(Message):
    """A person's approval as the decision sees it."""

    kind: GrantKind
    approval_id: str
    approver: Name
    ceiling_nano_usd: NanoUsd


class DecisionInput(Message):
    """The whole input of ``decide`` besides the policy bundle, kept to decide again."""

    request: TaskRequest
    classification: Classification
    snapshot: Snapshot
    failed: tuple[FailedAttempt, ...] = ()
    grants: tuple[Grant, ...] = ()


class ReasonCode(StrEnum):
    """Why a model was refused, or a task held or denied. Each has one sentence."""

    CLASS_UNKNOWN = "class_unknown"
    CLASS_NOT_IN_PACK = "class_not_in_pack"
    NOT_IN_ROUTE = "not_in_route"
    LOCAL_REQUIRED = "local_required"
    LOCAL_FIRST_VOLUME = "local_first_volume"
    FRONTIER_BULK = "frontier_bulk"
    FRONTIER_PURPOSE = "frontier_purpose"
    JUSTIFICATION_MISSING = "justification_missing"
    PRIVACY = "privacy"
    PRIVACY_TIER = "privacy_tier"
    RESTRICTED = "restricted"
    SENSITIVITY_UNDECLARED = "sensitivity_undeclared"
    RESIDENCY = "residency"
    CAPABILITY = "capability"
    QUALITY_FLOOR = "quality_floor"
    CONTEXT = "context"
    NO_CREDENTIALS = "no_credentials"
    UNHEALTHY = "unhealthy"
    RATE_LIMITED = "rate_limited"
    NO_PRICE = "no_price"
    NOT_ON_HOST = "not_on_host"
    ALREADY_FAILED = "already_failed"
    OVER_PROVISIONED = "over_provisioned"
    NO_PRIOR_FAILURE = "no_prior_failure"
    CEILING = "ceiling"
    CEILING_NEAR = "ceiling_near"
    BUDGET = "budget"
    NOT_REQUESTED = "not_requested"
    NO_CANDIDATE = "no_candidate"
    CANDIDATES_EXHAUSTED = "candidates_exhausted"

    @property
    def sentence(self) -> str:
        return _REASON_SENTENCES[self]


_REASON_SENTENCES: dict[ReasonCode, str] = {
    ReasonCode.CLASS_UNKNOWN: "The task's class is unknown, and no model runs without one.",
    ReasonCode.CLASS_NOT_IN_PACK: "The declared class is not one of this pack's classes.",
    ReasonCode.NOT_IN_ROUTE: "The pack's route for this class does not name this model's family.",
    ReasonCode.LOCAL_REQUIRED: "A mark on the task requires a local model.",
    ReasonCode.LOCAL_FIRST_VOLUME: "At this volume the pack requires a local model.",
    ReasonCode.FRONTIER_BULK: "A frontier model is never used for bulk work.",
    ReasonCode.FRONTIER_PURPOSE: "The class is none of the purposes frontier models are kept for.",
    ReasonCode.JUSTIFICATION_MISSING: "A frontier model needs a justification and none was given.",
    ReasonCode.PRIVACY: "The content's data class may not leave the house to this model.",
    ReasonCode.PRIVACY_TIER: "The task's privacy tier does not reach this model's site.",
    ReasonCode.RESTRICTED: "Restricted content makes no external call, with or without approval.",
    ReasonCode.SENSITIVITY_UNDECLARED: "Nobody confirmed the data class, so content stays local.",
    ReasonCode.RESIDENCY: "The model is not processed in a region the task allows.",
    ReasonCode.CAPABILITY: "The model lacks a capability the task needs.",
    ReasonCode.QUALITY_FLOOR: "The model is below the quality the class asks for.",
    ReasonCode.CONTEXT: "The text and the answer together exceed the model's context.",
    ReasonCode.NO_CREDENTIALS: "No key for this endpoint is configured.",
    ReasonCode.UNHEALTHY: "The endpoint is not answering.",
    ReasonCode.RATE_LIMITED: "The endpoint asked callers to wait.",
    ReasonCode.NO_PRICE: "The model has no price, so its cost cannot be bounded.",
    ReasonCode.NOT_ON_HOST: "The model is not served by this host.",
    ReasonCode.ALREADY_FAILED: "The model was already tried in this task.",
    ReasonCode.OVER_PROVISIONED: "A cheaper sufficient model is available.",
    ReasonCode.NO_PRIOR_FAILURE: "A dearer model needs a recorded failure of a cheaper one.",
    ReasonCode.CEILING: "The worst-case cost exceeds the class's ceiling for this family.",
    ReasonCode.CEILING_NEAR: "The worst-case cost is near the ceiling and a cheaper model exists.",
    ReasonCode.BUDGET: "What is left of a budget does not cover the worst-case cost.",
    ReasonCode.NOT_REQUESTED: "The task asked for another model.",
    ReasonCode.NO_CANDIDATE: "No model of the catalogue is permitted for this task.",
    ReasonCode.CANDIDATES_EXHAUSTED: "Every permitted model was tried and failed.",
}


class Trigger(StrEnum):
    """Why a candidate stands where it does; every move between models has one (invariant 6)."""

    DEFAULT = "default"
    CHEAPER_FAILED = "cheaper_failed"
    OUTAGE = "outage"
    SAME_VENDOR_FALLBACK = "same_vendor_fallback"
    CEILING_NEAR = "ceiling_near"
    CEILING_OVER = "ceiling_over"
    BUDGET_LOW = "budget_low"
    REQUESTED = "requested"


class Direction(StrEnum):
    UP = "up"
    DOWN = "down"
    SIDEWAYS = "sideways"


class Candidate(Message):
    """A permitted model with everything the call needs, so that the call reads no policy."""

    model: Name
    """The catalogue's id for the binding."""
    served_as: Name
    """The id the endpoint knows the model by."""
    vendor: Name
    endpoint: Name
    family: Name
    lane: Lane
    site: Site
    cost_class: CostClass
    task_queue: TaskQueue
    trigger: Trigger
    estimate_nano_usd: NanoUsd
    """Worst case of one call: every byte a token, every allowed output token spent."""
    ceiling_nano_usd: NanoUsd
    max_output_tokens: Annotated[int, Field(ge=1)]
    timeout_seconds: Annotated[int, Field(ge=1)]
    prices: Annotated[tuple[PriceTier, ...], Field(min_length=1)]
    price_version: str


class Rejection(Message):
    """A model that was not chosen, and the rule that refused it."""

    model: Name
    reason: ReasonCode
    detail: str = ""
    """Figures or names the rule compared; never content."""


class Obligation(StrEnum):
    """What must happen besides the call."""

    REDACT = "redact"
    VERIFY_SCHEMA = "verify_schema"
    WARN_DOWNGRADE = "warn_downgrade"
    LOG_RESTRICTED = "log_restricted"


class Effect(StrEnum):
    RUN = "run"
    HOLD = "hold"
    DENY = "deny"


class WindowSpec(Message):
    """A budget window a hold must fit in; ``starts_at`` and ``ends_at`` bound it, half open."""

    key: str
    scope: str
    period: str
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    limit_nano_usd: NanoUsd


class Plan(Message):
    """The decision: what to do, in which order, under which conditions, and why not otherwise."""

    effect: Effect
    reason: ReasonCode | None = None
    """Why the task is held or denied; None where it runs."""
    hold_for: GrantKind | None = None
    """The approval that would let a held task run."""
    task_class: Name | None
    class_source: ClassSource
    sensitivity: Sensitivity | None
    data_classes: tuple[DataClass, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    rejected: tuple[Rejection, ...] = ()
    obligations: tuple[Obligation, ...] = ()
    windows: tuple[WindowSpec, ...] = ()
    task_ceiling_nano_usd: NanoUsd = 0
    """The most all calls of the task may hold together."""
    justification: str = ""
    policy: PolicyRef


class DecisionRecord(Message):
    """One decision with all it read, as the ledger keeps it: enough to decide again."""

    decision_id: str
    task_id: str
    input: DecisionInput
    plan: Plan
    decided_at: AwareDatetime


class RedactionSummary(Message):
    """What was replaced before the text left: kinds and counts, never the text."""

    content: ContentRef
    """The redacted prompt, sealed beside the original."""
    placeholders: ContentRef
    """The sealed mapping from placeholder to original, which never leaves the house."""
    counts: tuple[FindingCount, ...]
    rules: tuple[str, ...]
