"""What was known, what was decided, and why each other model was not chosen."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from pointwork.contract.additive import added
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.money import NanoUsd, PriceTier
from pointwork.contract.names import TaskQueue
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import PolicyRef, Snapshot
from pointwork.contract.snapshot import WindowSpec as WindowSpec
from pointwork.contract.task import (
    Complexity,
    ContentRef,
    DataClass,
    Message,
    Name,
    Sensitivity,
    TaskRequest,
)
from pointwork.contract.task import Lane as Lane


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


ModelKind = Literal["llm", "embedding", "vision", "retrieval"]
"""What answers: an LLM, or one of the three that are scheduled apart from LLMs (R-17)."""


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
    has_tools: bool = added(False)
    """Whether the prompt offers tools or holds calls of them."""
    complexity: Complexity | None = added(None)
    """Estimated from the text's shape; None where nothing estimated it."""
    marks: tuple[Name, ...] = added(())
    """Marks found in the text itself, such as the High-Risk groups a diff touches (CX-93)."""


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
    BUDGET = "budget"
    OUTSIDE_DECISION = "outside_decision"
    """A person decides outside the router; nothing is opened, the wait is only ended (R-14)."""
    CHOICE = "choice"
    """A person chooses between answers that differ; nothing is opened or spent (OM-59)."""
    UNPASSED_ANSWER = "unpassed_answer"
    """A person lets out an answer that no judge passed; nothing is spent (CX-36)."""
    OVERRIDE = "override"
    """A person acknowledges what an override would cost; no task waits for it (OM-73)."""


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
    PROVIDER_OUTAGE = "provider_outage"
    FIRST_RUNG_OUT = "first_rung_out"
    NEXT_PRIORITY = "next_priority"
    EXPENSIVE_FAILED = "expensive_failed"
    SIMPLER_THAN_EXPECTED = "simpler_than_expected"
    LANE_UP = "lane_up"
    DE_ESCALATED = "de_escalated"
    LOCAL_UNAVAILABLE = "local_unavailable"
    OVERRIDE = "override"
    PARALLEL = "parallel"
    """Answers beside the first candidate because the class asks for it; no move (OM-52)."""


TriggerName = Annotated[Trigger | Name, Field(union_mode="left_to_right")]
"""One of the engine's triggers, or the name of a pack's own route rule (such as high_risk)."""


class Direction(StrEnum):
    UP = "up"
    DOWN = "down"
    SIDEWAYS = "sideways"


class MoveKind(StrEnum):
    """The four ways a task leaves the model it would have used (R-5)."""

    ESCALATION = "escalation"
    FALLBACK = "fallback"
    DOWNGRADE = "downgrade"
    DE_ESCALATION = "de_escalation"


class Move(Message):
    """Why a task goes to another model than its route begins with: typed, never silent."""

    kind: MoveKind
    trigger: TriggerName
    direction: Direction
    from_model: Name | None
    """The model tried last; None where the task leaves its default route before any try."""
    from_lane: Lane
    to_lane: Lane
    attempt: Annotated[int, Field(ge=1)]
    """Number of the try this move leads to."""
    evidence: tuple[str, ...] = ()
    """What the rule compared, as ``name=value`` (CX-92); never content."""


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
    trigger: TriggerName
    estimate_nano_usd: NanoUsd
    """Worst case of one call: every byte a token, every allowed output token spent."""
    ceiling_nano_usd: NanoUsd
    max_output_tokens: Annotated[int, Field(ge=1)]
    timeout_seconds: Annotated[int, Field(ge=1)]
    prices: Annotated[tuple[PriceTier, ...], Field(min_length=1)]
    price_version: str
    move: Move | None = added(None)
    temperature: Annotated[Decimal, Field(ge=0, le=2)] | None = added(None)
    """The pack's own, which goes before the caller's; None leaves the caller's."""
    kind: ModelKind = added("llm")
    effort: Literal["low", "medium", "high"] | None = added(None)
    """Reasoning effort to ask the endpoint for."""
    likely_nano_usd: NanoUsd | None = added(None)
    """What one call probably costs, by tier, tokens and complexity (OM-77); held is the worst case.
    None where the pack does not say, or nobody estimated the complexity."""
    substitution: str = added("")
    """What the binding stands in for, where the pack's name for it is no live model (S-6)."""


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
    REDACT_SECRETS = "redact_secrets"
    VERIFY_CONTRACT = "verify_contract"
    CLOUD_REVIEW = "cloud_review"
    """The answer is a draft until a cloud model has reviewed it (CX-44)."""
    CLOUD_JUDGE = "cloud_judge"
    """High-Risk work is not done before a judge in the cloud has looked at it (CX-81)."""
    SECOND_OPINION = "second_opinion"
    ALERT_BUDGET = "alert_budget"
    COMPARE = "compare"


class ParallelShortfall(StrEnum):
    """What answering side by side lacks; it runs all the same (OM-53)."""

    SINGLE_VENDOR = "single_vendor_parallel"
    """Every model that answers is one vendor's."""
    FEWER_VENDORS = "fewer_vendors_parallel"
    """Some vendor answers more than once."""
    FEWER_MODELS = "fewer_models_parallel"
    """Fewer models are permitted than the class asks for."""


class Effect(StrEnum):
    RUN = "run"
    HOLD = "hold"
    DENY = "deny"


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
    factor: str = added("")
    """The ranking factor that the pack's route names (CX-4 to CX-7)."""
    complexity: Complexity | None = added(None)
    contract: Name | None = added(None)
    """The named contract the answer must satisfy, such as a plan or a verdict."""
    adviser: Candidate | None = added(None)
    """Who gives the second opinion, which binds nobody (CX-33)."""
    critic: Candidate | None = added(None)
    """Who comments on the owner's answer and never changes it (CX-32)."""
    judge: Candidate | None = added(None)
    """Who passes the owner's answer or does not (CX-36)."""
    on_judged_fail: Literal["", "hold", "deny"] = added("")
    """What becomes of an answer that no judge passed; empty where none is owed."""
    self_critique: bool = added(False)
    """Draft, questions and answer are three calls of the one model (CX-34)."""
    branches: Annotated[int, Field(ge=1, le=5)] = added(1)
    """How many candidates, from the first on, answer side by side (OM-52)."""
    parallel_shortfall: ParallelShortfall | None = added(None)
    batch_key: str = added("")
    """Tasks of one key may share a model's batch (JG-55)."""
    cache_ttl_seconds: Annotated[int, Field(ge=0)] = added(0)
    """How long the answer may serve an equal request; 0 is not at all (JG-56)."""
    tokens_stream: bool = added(False)
    """The answer may be shown as it is written: nothing after it could refuse it (JG-42)."""
    override_id: str = added("")
    default_route: str = added("")
    """What the task would have used without the override: a model, or ``held`` or ``denied``."""
    stopped_by: tuple[str, ...] = added(())
    """The budget windows whose hard stop holds the task (OM-32)."""

    @property
    def beside(self) -> tuple[Candidate, ...]:
        """Every model the plan may ask besides the candidates."""
        voices = (self.adviser, self.critic, self.judge)
        return tuple(each for each in voices if each is not None)


class DecisionRecord(Message):
    """One decision with all it read, as the ledger keeps it: enough to decide again."""

    decision_id: str
    task_id: str
    input: DecisionInput
    plan: Plan
    decided_at: AwareDatetime
    snapshot_sha256: str = added("")
    """Hash of the snapshot, where its metrics moved the order (JG-13)."""


class RedactionSummary(Message):
    """What was replaced before the text left: kinds and counts, never the text."""

    content: ContentRef
    """The redacted prompt, sealed beside the original."""
    placeholders: ContentRef
    """The sealed mapping from placeholder to original, which never leaves the house."""
    counts: tuple[FindingCount, ...]
    rules: tuple[str, ...]
    data_classes: tuple[DataClass, ...] = added(())
    """What the reading for names and addresses found the text to be (design 4)."""
    read_bytes: int | None = added(None)
    """How much was read for names, in bytes of UTF-8; None where it was not."""
