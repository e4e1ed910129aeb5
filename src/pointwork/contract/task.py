"""What a service asks for: the task, its content's reference, and what it declares about itself."""

import uuid
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from pointwork.contract.additive import added

TASK_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._@/:-]{0,127}$"
DESCRIPTION_CHARACTERS_MAX = 200
CONTENT_BYTES_MAX = 1_500_000
OUTPUT_TOKENS_MAX = 65_536
PRIORITY_STANDARD = 3

TaskId = Annotated[str, Field(pattern=TASK_ID_PATTERN)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Measure = Annotated[
    Decimal, Field(ge=0, le=10**12, max_digits=18, decimal_places=6, allow_inf_nan=False)
]


class Message(BaseModel):
    """Base of every message: immutable, and closed to misspelt keys."""

    # A refused value may be content; it must not be quoted in an error that reaches a log.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Sensitivity(StrEnum):
    """How far content may travel, from least to most careful. It only ever rises (design 4)."""

    PUBLIC = "public"
    INTERNAL = "internal"
    PROPRIETARY = "proprietary"
    SENSITIVE = "sensitive"
    RESTRICTED = "restricted"

    @property
    def rank(self) -> int:
        return _SENSITIVITIES[self]

    @staticmethod
    def highest(*levels: "Sensitivity | None") -> "Sensitivity | None":
        """The most careful of ``levels``; None where none is given."""
        given = [level for level in levels if level is not None]
        return max(given, key=lambda level: level.rank) if given else None


_SENSITIVITIES = {level: rank for rank, level in enumerate(Sensitivity)}


class DataClass(StrEnum):
    """What the content is (Omega section 5)."""

    CUSTOMER = "customer"
    PERSONAL = "personal"
    CREDENTIAL = "credential"
    PROPRIETARY = "proprietary"
    RESTRICTED = "restricted"

    @property
    def sensitivity(self) -> Sensitivity:
        match self:
            case DataClass.RESTRICTED:
                return Sensitivity.RESTRICTED
            case DataClass.PROPRIETARY:
                return Sensitivity.PROPRIETARY
            case _:
                return Sensitivity.SENSITIVE


class PrivacyTier(StrEnum):
    """Where content may go at all; a tier given on a task binds in every pack (R-2)."""

    ANY = "any"
    APPROVED_PRIVATE = "approved_private"
    LOCAL_ONLY = "local_only"


class Risk(StrEnum):
    ROUTINE = "routine"
    HIGH = "high"


class Lane(StrEnum):
    """Cost-and-authority rungs, cheapest first (requirements 7.2)."""

    NONE = "none"
    LOCAL = "local"
    CHEAP = "cheap"
    STANDARD = "standard"
    HIGH = "high"
    PREMIUM = "premium"

    @property
    def rank(self) -> int:
        return _LANES[self]


_LANES = {lane: rank for rank, lane in enumerate(Lane)}


class Complexity(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    @property
    def rank(self) -> int:
        return list(Complexity).index(self)


class SpecFacts(Message):
    """What a specification says of model use, as `pointwork spec check` reads it (CX-99)."""

    name: Name
    policy_version: Annotated[str, Field(max_length=32)] = ""
    """The version of the model policy the spec cites; empty where it cites none."""
    roles: Annotated[tuple[Name, ...], Field(max_length=32)] = ()
    """The roles the spec says YES to."""
    local_only: bool = False
    high_risk: bool = False
    infrastructure_only: bool = False


class ContentRef(Message):
    """A reference to sealed content in the vault; workflows carry this and never the text."""

    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """HMAC-SHA256 of the content under the task's own key, in hex."""
    bytes: Annotated[int, Field(ge=0)]
    media_type: str


class Constraints(Message):
    """Limits the caller sets on the answer."""

    max_output_tokens: Annotated[int, Field(strict=True, ge=1, le=OUTPUT_TOKENS_MAX)] = 512
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.2
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    deadline_seconds: Annotated[int, Field(ge=1, le=30 * 24 * 3600)] | None = None
    """How long after its start the task may still run; None leaves the pack's own limit."""


class GateResult(Message):
    """What a gate said of a stage's work: a compiler and its tests, a constitution, an audit."""

    stage: Name
    gate: Name
    passed: bool

    @property
    def name(self) -> str:
        return f"{self.stage}.{self.gate}"


class TaskDeclaration(Message):
    """What a caller says of a task. ``task_id`` is their idempotency key and the workflow's id."""

    task_id: TaskId
    caller: Name
    description: Annotated[str, Field(max_length=DESCRIPTION_CHARACTERS_MAX)] = ""
    """An identifier or redacted summary; it is stored in plain text, so no content goes here."""
    pack: Name = "omega"
    task_class: Name | None = None
    task_type: Name | None = None
    """The caller's own word for the kind of task, which the pack's map turns into a class."""
    marks: Annotated[tuple[Name, ...], Field(max_length=32)] = ()
    item_count: Annotated[int, Field(ge=1, le=10_000_000)] = 1
    sensitivity: Sensitivity | None = None
    data_classes: Annotated[tuple[DataClass, ...], Field(fail_fast=True)] = ()
    privacy_tier: PrivacyTier = PrivacyTier.ANY
    residency: Annotated[tuple[Name, ...], Field(max_length=16)] = ()
    """Regions content may be processed in; empty sets no limit."""
    risk: Risk = Risk.ROUTINE
    requested_model: Name | None = None
    """A wish for one model. A request is a request, not a right: policy still decides."""
    justification: Annotated[str, Field(max_length=500)] = ""
    """Why a frontier model is needed (OM-9). Stored in plain text on the ledger row."""
    constraints: Constraints = Constraints()
    priority: Annotated[int, Field(ge=1, le=5)] = PRIORITY_STANDARD
    """1 is served first (Temporal's task-queue priority)."""
    conversation: Name | None = None
    complexity: Complexity | None = added(None)
    """How hard the caller expects the task to be; classify estimates it anew (JG-10, JG-54)."""
    measures: Annotated[dict[Name, Measure], Field(max_length=32)] = added({})
    """Measured facts about the task, by the names the pack declares, each in its own unit."""
    stage: Name | None = added(None)
    """The chain stage this step belongs to (SP-17)."""
    previous_lane: Lane | None = added(None)
    """The lane the chain's last step ran on, for de-escalation after planning (SP-38)."""
    escalation_reason: Name | None = added(None)
    tools: Annotated[tuple[Name, ...], Field(max_length=16)] = added(())
    """Kinds of tool the step wants to use: read, write, execute, network, test (SP-20)."""
    subject: Name | None = added(None)
    """The user a personalised model would serve (SP-36)."""
    spec: SpecFacts | None = added(None)
    corpus: Name | None = added(None)
    """The local corpus that retrieval without a model searches (CX-22)."""
    sources: Annotated[tuple[Name, ...], Field(max_length=256)] = added(())
    """Ids of the sources the text gives; an answer may cite these and no other (GR-008)."""
    reviews: TaskId | None = added(None)
    """The task whose draft this one reviews (CX-44)."""
    gate_results: Annotated[tuple[GateResult, ...], Field(max_length=32)] = added(())
    """What the gates of the stages before said of the work this task builds on (CX-36)."""
    worker: Name | None = added(None)
    """Which worker of the caller's engine asks: costs and budgets are kept for each (JG-25)."""

    @field_validator("description", "justification")
    @classmethod
    def _one_printable_line(cls, value: str) -> str:
        if not value.isprintable():
            msg = "holds a line break or a control character; give one printable line"
            raise ValueError(msg)
        return value

    @field_validator("marks", "data_classes", "residency", "tools", "sources")
    @classmethod
    def _sorted_and_unique(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(set(value)))

    @model_validator(mode="after")
    def _class_is_declared_once(self) -> Self:
        if self.task_class is not None and self.task_type is not None:
            msg = "task_class and task_type are both given; declare one of them"
            raise ValueError(msg)
        return self


class TaskRequest(TaskDeclaration):
    """One unit of work as a workflow sees it: declarations and references (DC-18)."""

    content: ContentRef
    answer_schema: ContentRef | None = None
    """JSON Schema that the answer must satisfy, sealed like the content."""
    submitted_at: AwareDatetime


def new_task_id(now: datetime) -> str:
    """An id for a caller that brings none: sortable by second, unguessable after it."""
    return f"task-{now:%Y%m%d%H%M%S}-{uuid.uuid4().hex[:12]}"
