"""The rows of a pack: families, classes (or roles) with their routes, lanes and chain stages."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pointwork.contract.additive import added
from pointwork.contract.decision import CostClass, Lane, MoveKind, Trigger
from pointwork.contract.task import OUTPUT_TOKENS_MAX, Complexity, Name
from pointwork.policy.documents.agreement import AgreementRule
from pointwork.policy.documents.conditions import Condition
from pointwork.policy.documents.document import Document, Exact, Ratio, Sentence, Usd
from pointwork.policy.documents.voices import CriticRule, JudgeRule

Factor = Literal[
    "quality_per_minute", "quality_per_dollar", "latency_sensitivity", "volume_economics"
]
"""What a role table ranks by, in the words of CX-4 to CX-7."""

FrontierPurpose = Literal[
    "high_stakes_reasoning", "complex_synthesis", "critical_judgment", "capability_missing_locally"
]


class Family(Document):
    """An abstract, vendor-neutral model class (OM-26)."""

    lane: Lane
    cost_class: CostClass
    default_for: Annotated[tuple[str, ...], Field(min_length=1)]
    use_when: Annotated[tuple[str, ...], Field(min_length=1)]
    capability: Sentence
    title: str = added("")
    """What the source document calls it."""
    models: tuple[Name, ...] = added(())
    """Catalogue ids in the pack's own order; empty takes every model the catalogue puts here."""
    from_host: bool = added(False)
    """The members are the LLMs of the host profile, in its order (R-16)."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.models and self.from_host:
            msg = "models and from_host are both given; name models here or take the host's"
            raise ValueError(msg)
        return self


class Rung(Document):
    """Families of equal standing, and what opens them once the rungs before cannot serve."""

    families: Annotated[tuple[Name, ...], Field(min_length=1)]
    opens_on: Literal["any", "outage"] = "any"
    """``outage``: never because an earlier model answered badly (S-7)."""
    trigger: Trigger | None = None
    """The word for the move to this rung; None names it by what failed."""


PlainRung = Annotated[tuple[Name, ...], Field(min_length=1)]
Rungs = Annotated[tuple[PlainRung | Rung, ...], Field(min_length=1)]


def families_of(rung: PlainRung | Rung) -> tuple[str, ...]:
    return rung.families if isinstance(rung, Rung) else rung


class RouteRule(Document):
    """Where the class goes instead of its default rungs while ``when`` holds. The first counts."""

    trigger: Name
    """The rule's own name; it stands on the decision, the ledger row and the audit line."""
    kind: MoveKind
    when: Condition
    rungs: Rungs
    factor: Factor | None = None


class SessionCap(Document):
    turns_max: Annotated[int, Field(ge=1)]
    minutes_max: Annotated[int, Field(ge=1)]


class TaskClass(Document):
    """One class (or role): what it covers and the families that may serve it, rung by rung."""

    covers: Annotated[tuple[str, ...], Field(min_length=1)]
    rungs: Rungs
    """The first rung is the default; a later one opens when every model of the earlier failed."""
    quality_floor: Annotated[int, Field(ge=1, le=3)]
    needs: tuple[Name, ...] = ()
    frontier_purpose: FrontierPurpose | None = None
    derived: Sentence | None = None
    """Set where the source document leaves the row open: the reason for this reading."""
    title: str = added("")
    table: dict[Name, str] = added({})
    """Cells of the source document's own row that are words for people, by column."""
    routes: tuple[RouteRule, ...] = added(())
    factor: Factor | None = added(None)
    cloud_only: bool = added(False)
    """No local model ever serves it, whatever else holds (CX-20)."""
    cloud_if_high_risk: bool = added(False)
    """High-Risk work of this role needs a cloud model (CX-104)."""
    quality_failures_max: Annotated[int, Field(ge=1, le=5)] = added(1)
    """Refused answers after which a model is left for good; before that it may try again."""
    contract: Literal["plan", "verdict", "critic", "cited-answer"] | None = added(None)
    """Named contract the answer must satisfy; it ships with the package."""
    max_output_tokens: Annotated[int, Field(ge=1, le=OUTPUT_TOKENS_MAX)] | None = added(None)
    temperature: Annotated[Exact, Field(ge=0, le=2)] | None = added(None)
    ceiling: Usd | None = added(None)
    """Most one task may cost whichever family serves it; ``ceilings`` may differ by family."""
    complexity: Complexity | None = added(None)
    simpler_class: Name | None = added(None)
    """Where a task goes that turns out simpler than expected (JG-54)."""
    lane: Lane | None = added(None)
    session: SessionCap | None = added(None)
    in_session: bool = added(False)
    """Every call names its session: the task's conversation (CX-21)."""
    budget_gated: bool = added(False)
    """An exhausted budget makes the task wait for its owner instead of ending it (CX-20)."""
    second_opinion: Condition | None = added(None)
    review_when: Condition | None = added(None)
    """While it holds the answer is a draft until a cloud model has reviewed it (CX-44)."""
    parallel: Annotated[int, Field(ge=2, le=5)] | None = added(None)
    """How many vendors answer side by side; absent is one (OM-54)."""
    agreement: AgreementRule | None = added(None)
    """How near those answers must be to count as one; absent is equal."""
    critic: CriticRule | None = added(None)
    judge: JudgeRule | None = added(None)
    tokens_stream: bool = added(False)
    """Text may be shown as a model writes it, where no check stands between it and the caller."""
    self_critique: bool = added(False)
    """The owner drafts, questions its draft and answers: three calls of one model (CX-34)."""
    eval_confidence_min: Ratio | None = added(None)
    """Share of the class's evaluations a model must have passed, once there are any (SP-1)."""

    @property
    def families(self) -> tuple[str, ...]:
        """Every family some rung or rule of the class names, each once."""
        rungs = (*self.rungs, *(rung for rule in self.routes for rung in rule.rungs))
        return tuple(dict.fromkeys(family for rung in rungs for family in families_of(rung)))

    @model_validator(mode="after")
    def _agreement_has_answers(self) -> Self:
        if self.agreement is not None and self.parallel is None:
            msg = "agreement is stated and parallel is not; state how many models answer"
            raise ValueError(msg)
        if self.parallel and (self.critic or self.judge or self.self_critique):
            msg = "parallel is stated beside a critic, a judge or self_critique; keep one of them"
            raise ValueError(msg)
        return self


class LaneGuard(Document):
    """What opens a lane (R-4)."""

    needs_reason: bool = False
    needs_receipt: bool = False
    needs_known_quota: bool = False


class LaneRule(Document):
    """What one lane of the pack takes, may do and asks for (SP-14 to SP-20)."""

    called: Name
    """The source document's word for the lane."""
    context_tokens_max: Annotated[int, Field(ge=1)] | None = None
    tools: tuple[Name, ...] = ()
    latency_ms_max: Annotated[int, Field(ge=1)] | None = None
    opens_when: Condition | None = None
    guard: LaneGuard = LaneGuard()


class LaneFloor(Document):
    """While ``when`` holds, lanes below ``lane`` are refused for ``reason`` (SP-13, SP-26)."""

    reason: Literal["safety", "quality_floor", "verification_unavailable"]
    when: Condition
    lane: Lane


class Stage(Document):
    """One stage of an agent's chain: where it begins and how high it may go (SP-17)."""

    lane: Lane
    lane_max: Lane
    after_planning: bool = False
    """Routine work after planning: a chain that planned higher comes down here (SP-38)."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.lane.rank > self.lane_max.rank:
            msg = f"lane {self.lane} is above lane_max {self.lane_max}; exchange or correct them"
            raise ValueError(msg)
        return self
