"""What a policy pack, the model catalogue and a host profile may say. Unknown keys are refused."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pointwork.contract.decision import CostClass, Lane, Site
from pointwork.contract.money import NANO_PER_USD, NanoUsd, PriceTier
from pointwork.contract.names import TaskQueue
from pointwork.contract.task import Name, Sensitivity

IS_DOCUMENT = "is_document"
"""Key of the validation context that tells what a person wrote from a bundle read back."""


class Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _usd_to_nano(value: object, info: ValidationInfo) -> object:
    """``"0.25"`` to nano-USD. A YAML float would already have lost the exact amount.

    A plain integer is nano-USD, which only a bundle read back may hold: a person means dollars.
    """
    is_document = bool(info.context and info.context.get(IS_DOCUMENT))
    if isinstance(value, int) and not isinstance(value, bool) and not is_document:
        return value
    remedy = 'write it in USD as a quoted string such as "0.25"'
    if not isinstance(value, str):
        msg = f"{value!r:.60} is not an amount; {remedy}"
        raise ValueError(msg)  # noqa: TRY004 - pydantic turns ValueError into a field error
    try:
        nano = Decimal(value) * NANO_PER_USD
    except ArithmeticError as error:
        msg = f"{value!r:.60} is not an amount; {remedy}"
        raise ValueError(msg) from error
    if not nano.is_finite() or nano < 0 or nano != nano.to_integral_value():
        msg = f"{value!r:.60} is not an amount of whole nano-USD of at least zero; {remedy}"
        raise ValueError(msg)
    return int(nano)


Usd = Annotated[NanoUsd, BeforeValidator(_usd_to_nano)]
"""Written in the document as a quoted USD string, held in Python as nano-USD."""

Sentence = Annotated[str, Field(min_length=3, max_length=2_000)]


class ExpectedImpact(Document):
    quality: Sentence
    cost: Sentence
    privacy: Sentence
    reliability: Sentence


class ChangeHeader(Document):
    """Why this version exists: the seven things each change records (OM-84), and its approver."""

    what: Sentence
    why: Sentence
    affects: Sentence
    expected_impact: ExpectedImpact
    rollback_target: str | None
    approver: Name


class Family(Document):
    """An abstract, vendor-neutral model class (OM-26)."""

    lane: Lane
    cost_class: CostClass
    default_for: Annotated[tuple[str, ...], Field(min_length=1)]
    use_when: Annotated[tuple[str, ...], Field(min_length=1)]
    capability: Sentence


FrontierPurpose = Literal[
    "high_stakes_reasoning", "complex_synthesis", "critical_judgment", "capability_missing_locally"
]


class TaskClass(Document):
    """One class of tasks: what it covers and the families that may serve it, rung by rung."""

    covers: Annotated[tuple[str, ...], Field(min_length=1)]
    rungs: Annotated[
        tuple[Annotated[tuple[Name, ...], Field(min_length=1)], ...], Field(min_length=1)
    ]
    """The first rung is the default; a later one opens when every model of the earlier failed."""
    quality_floor: Annotated[int, Field(ge=1, le=3)]
    needs: tuple[Name, ...] = ()
    frontier_purpose: FrontierPurpose | None = None
    derived: Sentence | None = None
    """Set where the source document leaves the row open: the reason for this reading."""

    @property
    def families(self) -> tuple[str, ...]:
        return tuple(family for rung in self.rungs for family in rung)


class BudgetLimit(Document):
    scope: Literal["pack", "caller", "vendor", "model"] = "pack"
    period: Literal["day", "week", "month"]
    limit: Usd


class ApprovalTimes(Document):
    """Silence ends in denial: remind, then escalate, then expire (design 7)."""

    remind_after_seconds: Annotated[int, Field(ge=1)]
    escalate_after_seconds: Annotated[int, Field(ge=1)]
    expire_after_seconds: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not (
            self.remind_after_seconds < self.escalate_after_seconds < self.expire_after_seconds
        ):
            msg = (
                "remind_after_seconds, escalate_after_seconds and expire_after_seconds are "
                f"{self.remind_after_seconds}, {self.escalate_after_seconds} and "
                f"{self.expire_after_seconds}; let them rise in this order"
            )
            raise ValueError(msg)
        return self


class Retry(Document):
    """Transport retries of one call; they are no attempts in the sense of escalation (R-28)."""

    transport_retries_max: Annotated[int, Field(ge=0, le=10)] = 2
    backoff_seconds: Annotated[int, Field(ge=0, le=600)] = 2
    retry_after_seconds_max: Annotated[int, Field(ge=0, le=3600)] = 60


class Privacy(Document):
    egress_default: Literal["deny", "allow", "after_classification"]
    sensitive_route: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Families that serve sensitive content, whatever the class (OM-21, OM-40)."""
    redact_before_egress: bool
    approved_private_models: tuple[Name, ...] = ()


class Caller(Document):
    sensitivity_floor: Sensitivity


class Pack(Document):
    """One immutable version of one rule set."""

    schema_version: Literal["pointwork/pack/1"]
    pack: Name
    version: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+){1,2}$")]
    effective: date
    supersedes: str | None
    objectives: Annotated[tuple[str, ...], Field(min_length=1)]
    change: ChangeHeader
    timezone: str
    rank: Literal["cheapest_sufficient"]
    families: dict[Name, Family]
    classes: dict[Name, TaskClass]
    task_types: dict[Name, Name] = {}
    local_marks: tuple[Name, ...]
    """Marks that force a local model (OM-64 to OM-66)."""
    mark_routes: dict[Name, Name] = {}
    """Marks that put one family first (OM-25)."""
    high_volume_items: Annotated[int, Field(ge=1)]
    large_context_tokens: Annotated[int, Field(ge=1)]
    large_context_family: Name
    local_family: Name
    ceilings: dict[Name, dict[Name, Usd]]
    ceiling_near_ratio: Annotated[Decimal, Field(gt=0, lt=1)]
    """At 1 nothing would ever be near, and the change to a cheaper model is compulsory (OM-34)."""
    budgets: tuple[BudgetLimit, ...]
    hard_stop: bool
    privacy: Privacy
    approvals: ApprovalTimes
    retry: Retry = Retry()
    callers: dict[Name, Caller] = {}
    vendors_min: Annotated[int, Field(ge=1)]
    deadline_seconds: Annotated[int, Field(ge=1)]
    derived: dict[str, Sentence] = {}
    """Values the source document leaves open, each with the reason for the value chosen."""

    @field_validator("ceiling_near_ratio", mode="before")
    @classmethod
    def _quoted_ratio(cls, value: object) -> object:
        if isinstance(value, float):
            msg = f'{value!r} is a float; quote it, as in "0.80"'
            raise ValueError(msg)  # noqa: TRY004 - pydantic turns ValueError into a field error
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            msg = f"{value!r} is not an IANA time zone; write one such as UTC or Europe/Berlin"
            raise ValueError(msg) from error
        return value

    @model_validator(mode="after")
    def _names_resolve(self) -> Self:
        used = [
            (f"classes.{name}.rungs", f) for name, row in self.classes.items() for f in row.families
        ]
        used += [("privacy.sensitive_route", family) for family in self.privacy.sensitive_route]
        used += [(f"mark_routes.{mark}", family) for mark, family in self.mark_routes.items()]
        used += [("large_context_family", self.large_context_family)]
        used += [("local_family", self.local_family)]
        used += [(f"ceilings.{name}", f) for name, row in self.ceilings.items() for f in row]
        for place, family in used:
            if family not in self.families:
                msg = f"{place}: {family!r} is no family of this pack; define it under families"
                raise ValueError(msg)
        for word, name in self.task_types.items():
            if name not in self.classes:
                msg = f"task_types.{word}: {name!r} is no class of this pack; name one of classes"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _every_class_has_ceilings(self) -> Self:
        """A class without a ceiling would have no most it may cost (OM-27)."""
        for name, row in self.classes.items():
            if name not in self.ceilings:
                msg = f"ceilings: no ceiling for class {name!r}; add one for each of its families"
                raise ValueError(msg)
            routed = {*row.families, *self.privacy.sensitive_route, *self.mark_routes.values()}
            if missing := sorted(routed - set(self.ceilings[name])):
                msg = f"ceilings.{name}: no ceiling for family {missing[0]!r}; add one in USD"
                raise ValueError(msg)
        if unknown := sorted(set(self.ceilings) - set(self.classes)):
            msg = f"ceilings.{unknown[0]}: {unknown[0]!r} is no class of this pack; correct it"
            raise ValueError(msg)
        return self


class Endpoint(Document):
    """An access path to models; an administrator lists it, a task never names one."""

    adapter: Literal["openai", "anthropic", "google_genai", "local"]
    base_url: str | None = None
    """None where the endpoint is a process on this host."""
    site: Site
    residency: tuple[Name, ...] = ()
    """Regions the endpoint processes in; empty is unknown and meets no residency limit."""
    credential: Name | None = None
    """Name of the setting that holds the key; None where the endpoint takes none."""
    dialect: Name | None = None
    task_queue: TaskQueue = TaskQueue.INVOKE


class GenaiPrice(Document):
    """Look the price up in the pinned price library."""

    source: Literal["genai-prices"]
    provider: Name
    model: Name
    as_of: date
    """The day whose prices apply: the library's vary by date and hour, a bundle's hash must not."""


class StatedPrice(Document):
    """A price stated here, with where it comes from and when."""

    source: Sentence
    as_of: date
    tiers: Annotated[tuple[PriceTier, ...], Field(min_length=1)]


def _price_kind(value: object) -> str:
    source = value.get("source") if isinstance(value, dict) else getattr(value, "source", None)
    return "library" if source == "genai-prices" else "stated"


Price = Annotated[
    Annotated[GenaiPrice, Tag("library")] | Annotated[StatedPrice, Tag("stated")],
    Discriminator(_price_kind),
]


class Model(Document):
    """A concrete binding: model id, vendor, endpoint, and what it can do."""

    served_as: Name
    vendor: Name
    """The maker of the model; the endpoint is the access path (R-19)."""
    family: Name
    endpoint: Name
    lane: Lane
    quality: Annotated[int, Field(ge=1, le=3)]
    """1 simple text work, 2 general work, 3 deep reasoning and judgment."""
    is_frontier: bool
    context_tokens: Annotated[int, Field(ge=1)]
    output_tokens_max: Annotated[int, Field(ge=1)]
    capabilities: tuple[Name, ...]
    timeout_seconds: Annotated[int, Field(ge=1, le=7200)]
    price: Price | None = None
    """None is a model that is never called: without a price its cost has no bound."""


class Catalogue(Document):
    schema_version: Literal["pointwork/models/1"]
    endpoints: dict[Name, Endpoint]
    models: dict[Name, Model]

    @model_validator(mode="after")
    def _endpoints_resolve(self) -> Self:
        for name, model in self.models.items():
            if model.endpoint not in self.endpoints:
                msg = f"models.{name}.endpoint: {model.endpoint!r} is not under endpoints; add it"
                raise ValueError(msg)
        return self


class HostProfile(Document):
    """What one machine serves itself."""

    schema_version: Literal["pointwork/host/1"]
    host: Name
    local_models: tuple[Name, ...]
    """Catalogue ids this host can load; the first is its default."""
    parallel_requests: Annotated[int, Field(ge=1, le=64)] = 1


class PricedModel(Document):
    """A catalogue model with its price looked up: what a decision reads."""

    model: Model
    endpoint: Endpoint
    tiers: tuple[PriceTier, ...] = ()
    price_version: str = ""
