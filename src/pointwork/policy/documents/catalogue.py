"""What the model catalogue and a host profile may say."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Discriminator, Field, Tag, model_validator

from pointwork.contract.additive import added
from pointwork.contract.addresses import is_house_address
from pointwork.contract.decision import Lane, ModelKind, Site
from pointwork.contract.money import PriceTier
from pointwork.contract.names import TaskQueue
from pointwork.contract.task import Name
from pointwork.policy.documents.document import Document, Exact, Sentence
from pointwork.policy.documents.host import WaitBounds
from pointwork.policy.documents.runtime import HostRuntime

IMAGE_TOKENS_MAX = 6_000
"""What every estimate holds for one image, whichever model it goes to."""


class Endpoint(Document):
    """An access path to models; an administrator lists it, a task never names one."""

    adapter: Literal[
        "openai", "openai_embeddings", "anthropic", "google_genai", "local", "deterministic"
    ]
    """``deterministic`` is the house's own code: no model answers there (SP-15)."""
    base_url: str | None = None
    """None where the endpoint is a process on this host."""
    site: Site
    residency: tuple[Name, ...] = ()
    """Regions the endpoint processes in; empty is unknown and meets no residency limit."""
    credential: Name | None = None
    """Name of the setting that holds the key; None where the endpoint takes none."""
    dialect: Name | None = None
    task_queue: TaskQueue = TaskQueue.INVOKE
    dimensions: Annotated[int, Field(ge=1, le=16_384)] | None = added(None)
    """Length of the vectors of an embeddings endpoint."""
    revision: Name | None = added(None)
    """What the endpoint serves under its model's name; part of the vectors' space (CX-24)."""
    lookup: Literal["openrouter_generation", "openai_stored"] | None = added(None)
    """Where the vendor's own record of a call can be asked for; None where it keeps none.

    A look-up whose name ends in ``_stored`` makes the vendor keep every prompt and answer.
    """

    @property
    def is_own(self) -> bool:
        """Whether a worker of this house answers itself, without another's API."""
        return self.adapter in ("local", "deterministic")


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


class LocalWeights(Document):
    """What a local model's weights are and take up (CX-77, CX-78)."""

    parameters_billion: Exact
    activated_billion: Exact | None = None
    quantisation: Sentence
    vram_mb: Annotated[int, Field(ge=1)]
    kv_reserve_mb: Annotated[int, Field(ge=0)] = 0
    """Room kept for the key-value cache beside the weights."""


class HostNeeds(Document):
    """The room a local model wants before it may be chosen (SP-32)."""

    free_memory_mb: Annotated[int, Field(ge=0)]
    load_ratio_max: Annotated[Exact, Field(gt=0)] | None = added(None)
    """Running work over cores; None where load does not matter."""


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
    kind: ModelKind = added("llm")
    size: Literal["none", "small", "large"] = added("large")
    effort: Literal["low", "medium", "high"] | None = added(None)
    """Reasoning effort the endpoint is asked for; None leaves the vendor's own."""
    is_expensive: bool = added(False)
    """Whether it pauses while a period is over its budget (JG-29)."""
    retired_on: date | None = added(None)
    substitution: Sentence | None = added(None)
    """What this binding stands in for, and why (S-6, R-33)."""
    profile: Annotated[str, Field(pattern=r"^urn:[a-z0-9:_-]+$")] | None = added(None)
    """The URN of the imported local profile, owned elsewhere and only read here (SP-4)."""
    personal: bool = added(False)
    """A per-user personalisation artifact: consent and contract are needed for it (SP-36)."""
    weights: LocalWeights | None = added(None)
    host_needs: HostNeeds | None = added(None)
    image_tokens_max: Annotated[int, Field(ge=1, le=IMAGE_TOKENS_MAX)] | None = added(None)
    """The most its vendor charges for one image, as the adapter sends it."""


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

    @model_validator(mode="after")
    def _local_endpoints_are_in_the_house(self) -> Self:
        """What is sent there is neither redacted nor held back, so no name may lead it away."""
        for name, endpoint in self.endpoints.items():
            if endpoint.site is not Site.LOCAL or endpoint.base_url is None:
                continue
            if not _is_in_house(endpoint.base_url):
                msg = (
                    f"endpoints.{name}.base_url: a local endpoint is reached at localhost or at a "
                    "loopback or private address; give that, or another site"
                )
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _images_have_a_bound(self) -> Self:
        for name, model in self.models.items():
            is_charged = not self.endpoints[model.endpoint].is_own
            if is_charged and "vision" in model.capabilities and model.image_tokens_max is None:
                msg = (
                    f"models.{name}.image_tokens_max is missing, so an image's cost has no bound; "
                    "state the vendor's most for one image, or leave vision out of capabilities"
                )
                raise ValueError(msg)
        return self


def _is_in_house(base_url: str) -> bool:
    try:
        host = urlsplit(base_url).hostname or ""
    except ValueError:
        return False
    return host == "localhost" or is_house_address(host)


class VramSlice(Document):
    """A fixed share of the card for a model that is not an LLM (R-17)."""

    model: Name
    vram_mb: Annotated[int, Field(ge=1)]
    task_queue: TaskQueue


class Gpu(Document):
    """The card on record; a start-up probe compares it with the real one (CX-75)."""

    name: Sentence
    vram_mb: Annotated[int, Field(ge=1)]
    driver: Name
    cuda: Name
    llm_models_max: Literal[1] = 1
    """At most one LLM is in memory at a time; fixed slices are counted apart (CX-8, R-17)."""
    slices: tuple[VramSlice, ...] = ()

    @model_validator(mode="after")
    def _slices_fit(self) -> Self:
        taken = sum(each.vram_mb for each in self.slices)
        if taken >= self.vram_mb:
            msg = f"gpu.slices take {taken} of {self.vram_mb} MB and leave no room; shrink them"
            raise ValueError(msg)
        return self


class HostProfile(Document):
    """What one machine serves itself. Read-only: Pointwork never writes a profile (SP-4)."""

    schema_version: Literal["pointwork/host/1"]
    host: Name
    local_models: tuple[Name, ...]
    """Catalogue ids this host can load, its default first; the others are alternatives."""
    parallel_requests: Annotated[int, Field(ge=1, le=64)] = 1
    gpu: Gpu | None = added(None)
    wait_bounds: WaitBounds = added(WaitBounds())
    runtime: HostRuntime = added(HostRuntime())
    personal_models: tuple[Name, ...] = added(())
    """Per-user artifacts this host can load; no family takes them by itself (SP-36)."""

    @property
    def served(self) -> tuple[str, ...]:
        """Everything the host serves: LLMs, personal ones, and the models of its fixed slices."""
        slices = self.gpu.slices if self.gpu else ()
        return (*self.local_models, *self.personal_models, *(each.model for each in slices))

    @model_validator(mode="after")
    def _runtime_serves_the_models(self) -> Self:
        self.runtime.check_models(self.local_models)
        if self.runtime.kind == "vllm" and self.gpu is None:
            msg = "runtime.kind is vllm and the host has no gpu; state the card, or use llama_cpp"
            raise ValueError(msg)
        return self


@dataclass(frozen=True)
class VramPlan:
    """How one LLM shares the card with the fixed slices, all in MB."""

    model: str
    total_mb: int
    slices_mb: int
    weights_mb: int
    kv_reserve_mb: int

    @property
    def headroom_mb(self) -> int:
        return self.total_mb - self.slices_mb - self.weights_mb - self.kv_reserve_mb

    @property
    def fits(self) -> bool:
        return self.headroom_mb >= 0


def vram_plan(gpu: Gpu, name: str, weights: LocalWeights) -> VramPlan:
    """What is left of ``gpu`` with the model ``name`` loaded beside the fixed slices (CX-77)."""
    return VramPlan(
        model=name,
        total_mb=gpu.vram_mb,
        slices_mb=sum(each.vram_mb for each in gpu.slices),
        weights_mb=weights.vram_mb,
        kv_reserve_mb=weights.kv_reserve_mb,
    )


class PricedModel(Document):
    """A catalogue model with its price looked up: what a decision reads."""

    model: Model
    endpoint: Endpoint
    tiers: tuple[PriceTier, ...] = ()
    price_version: str = ""
