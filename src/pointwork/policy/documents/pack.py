"""One immutable version of one rule set."""

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from pointwork.contract.additive import added
from pointwork.contract.budget_windows import BudgetPeriod, BudgetScope
from pointwork.contract.decision import GrantKind, Lane
from pointwork.contract.task import Name, Sensitivity
from pointwork.policy.documents.approval_times import ApprovalTimes
from pointwork.policy.documents.cache_rules import CacheRules
from pointwork.policy.documents.document import ChangeHeader, Document, Ratio, Sentence, Usd
from pointwork.policy.documents.likely_output import LikelyOutput
from pointwork.policy.documents.routes import Family, LaneFloor, LaneRule, Stage, TaskClass
from pointwork.policy.engine.overlay import OverlayRules
from pointwork.policy.specs.high_risk import HighRiskGroup
from pointwork.policy.specs.pipeline import Pipeline
from pointwork.policy.specs.spec_block import SpecRules

SignalName = Literal["budget", "quota", "resources", "latency", "provider_health", "guardrail"]

DERIVED_MEASURES = frozenset({"context_tokens", "items", "quality_failures", "failed_loops"})
"""Measures the engine takes itself; ``failed_loops`` adds this task's to those the caller names."""

HOLDS_DEFAULT = (GrantKind.COST, GrantKind.DATA_CLASSIFICATION, GrantKind.SENSITIVE_EGRESS)


class BudgetLimit(Document):
    scope: BudgetScope = "pack"
    period: BudgetPeriod
    limit: Usd
    pause_expensive_from: Usd | None = added(None)
    """The seed's budget: from here on expensive models pause, and cheap ones go on to ``limit``."""
    alert_ratio: Ratio | None = added(None)
    """Share of the budget at which people are told that it is nearly spent (JG-28)."""

    @model_validator(mode="after")
    def _pause_is_below(self) -> Self:
        if self.pause_expensive_from is not None and self.pause_expensive_from > self.limit:
            msg = "pause_expensive_from is above limit and would never be reached; lower it"
            raise ValueError(msg)
        return self

    @property
    def budget(self) -> int:
        """What people call the budget, in nano-USD: where models pause, else the limit."""
        return self.limit if self.pause_expensive_from is None else self.pause_expensive_from


class Retry(Document):
    """Transport retries of one call; they are no attempts in the sense of escalation (R-28)."""

    transport_retries_max: Annotated[int, Field(ge=0, le=10)] = 2
    backoff_seconds: Annotated[int, Field(ge=0, le=600)] = 2
    retry_after_seconds_max: Annotated[int, Field(ge=0, le=3600)] = 60


class ApprovedModel(Document):
    """A private model that sensitive content may go to, and who said so (OM-43)."""

    model: Name
    approver: Name
    approved_on: date


class Privacy(Document):
    egress_default: Literal["deny", "allow", "after_classification"]
    sensitive_route: tuple[Name, ...] = ()
    """Families that serve sensitive content, whatever the class (OM-21, OM-40)."""
    redact_before_egress: bool
    approved_private_models: tuple[ApprovedModel, ...] = ()
    sensitive: Literal["house_or_approved", "tier_only", "data_boundary"] = added(
        "house_or_approved"
    )
    """What binds sensitive content: its house, the task's own tier alone, or a boundary (R-2)."""
    hosted_needs_approval: bool = added(False)
    """A model outside the house needs a policy approval on record (SP-35)."""

    @property
    def approved(self) -> frozenset[str]:
        return frozenset(each.model for each in self.approved_private_models)


class Caller(Document):
    sensitivity_floor: Sensitivity


class MeasureRule(Document):
    unit: Name
    meaning: Sentence


class Vocabulary(Document):
    """The facts a task of this pack may state. One it does not list is refused, not ignored."""

    marks: dict[Name, Sentence]
    measures: dict[Name, MeasureRule]


class ChangeEntry(Document):
    """A line of the source document's own change log."""

    version: Name
    on: date
    what: Sentence


class FeatureFlag(Document):
    """A switch of the deployment that the source document names, with its default (CX-37)."""

    default: bool
    meaning: Sentence
    warning: str = ""
    """Logged once where the flag is set against its default (CX-38)."""
    recommended: bool = True


class BatchRules(Document):
    """Like tasks wait a little for each other and share one model (JG-55)."""

    items_max: Annotated[int, Field(ge=2, le=1_000)]
    wait_seconds_max: Annotated[int, Field(ge=1, le=3_600)]


class Pack(Document):
    """One immutable version of one rule set."""

    schema_version: Literal["pointwork/pack/1", "pointwork/pack/2"]
    """Decisions of a pack/2 document carry typed moves; new documents are pack/2."""
    pack: Name
    version: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+){1,2}$")]
    effective: date
    supersedes: str | None
    objectives: Annotated[tuple[str, ...], Field(min_length=1)]
    change: ChangeHeader
    timezone: str
    rank: Literal["cheapest_sufficient", "role_table", "priority", "cheapest_safe_lane"]
    """The one of the four orderings that ranks what the filters left over (R-1)."""
    families: dict[Name, Family]
    classes: dict[Name, TaskClass]
    task_types: dict[Name, Name] = Field(default_factory=dict)
    local_marks: tuple[Name, ...] = ()
    """Marks that force a local model (OM-64 to OM-66)."""
    mark_routes: dict[Name, Name] = Field(default_factory=dict)
    """Marks that put one family first (OM-25)."""
    high_volume_items: Annotated[int, Field(ge=1)] | None = None
    large_context_tokens: Annotated[int, Field(ge=1)] | None = None
    large_context_family: Name | None = None
    local_family: Name | None = None
    ceilings: dict[Name, dict[Name, Usd]] = Field(default_factory=dict)
    ceiling_near_ratio: Ratio | None = None
    """At 1 nothing would ever be near, and the change to a cheaper model is compulsory (OM-34)."""
    budgets: tuple[BudgetLimit, ...]
    hard_stop: bool
    privacy: Privacy
    approvals: ApprovalTimes
    retry: Retry = Retry()
    callers: dict[Name, Caller] = Field(default_factory=dict)
    vendors_min: Annotated[int, Field(ge=1)]
    deadline_seconds: Annotated[int, Field(ge=1)]
    derived: dict[str, Sentence] = Field(default_factory=dict)
    """Values the source document leaves open, each with the reason for the value chosen."""
    mode: str = added("")
    """The source document's own statement of its philosophy (CX-3)."""
    created: date | None = added(None)
    updated: date | None = added(None)
    status: Literal["active", "superseded"] = added("active")
    changelog: tuple[ChangeEntry, ...] = added(())
    facts: Vocabulary | None = added(None)
    high_risk_marks: tuple[Name, ...] = added(())
    """Any of these, or a spec or caller that says so, makes a task High-Risk."""
    offline_mark: Name | None = added(None)
    on_ceiling: Literal["downgrade_or_approval", "downgrade", "block"] = added(
        "downgrade_or_approval"
    )
    on_budget: Literal["downgrade", "pause_expensive", "block", "deny"] = added("downgrade")
    frontier_guard: Literal["purpose", "none"] = added("purpose")
    """``purpose``: a frontier model needs one of the class's purposes or words for it (R-4)."""
    on_quality_failure: Literal["up", "down"] = added("up")
    holds_for: tuple[GrantKind, ...] = added(HOLDS_DEFAULT)
    """What a person may lift while a task waits; anything else denies at once (R-6)."""
    downgrade_classes: tuple[Name, ...] = added(())
    """The order in which cheaper models are looked for, dearest class first (S-12)."""
    lanes: dict[Lane, LaneRule] = added({})
    lane_floors: tuple[LaneFloor, ...] = added(())
    stages: dict[Name, Stage] = added({})
    escalation_reasons: tuple[Name, ...] = added(())
    guarded_tools: tuple[Name, ...] = added(())
    """Kinds of tool that need the guardrail authority's word, not only its silence (SP-51)."""
    required_signals: tuple[SignalName, ...] = added(())
    """A task is denied while one of these is missing (SP-41)."""
    responsibilities: dict[str, Sentence] = added({})
    """Who owns what beside the router; each owner is reached through a port (R-24)."""
    verification: tuple[Literal["deterministic", "compare", "judge", "critic", "metrics"], ...] = (
        added(())
    )
    adviser_families: tuple[Name, ...] = added(())
    """Who may give a second opinion, first choice first (CX-33)."""
    spec: SpecRules | None = added(None)
    pipeline: Pipeline | None = added(None)
    high_risk_groups: dict[Name, HighRiskGroup] = added({})
    flags: dict[Name, FeatureFlag] = added({})
    overlay: OverlayRules | None = added(None)
    cache: CacheRules | None = added(None)
    batch: BatchRules | None = added(None)
    release_required: bool = added(False)
    """Whether a production deployment takes only a signed release of this pack (SP-52)."""
    prompt_evidence: Literal["identifier", "artifacts", "metrics", "hash_only"] = added(
        "identifier"
    )
    likely_output: LikelyOutput | None = added(None)
    """Where it stands, a decision states the likely cost beside the worst case (OM-77)."""
    balance_min: Ratio | None = added(None)
    """The least normalised entropy of its classes' use that counts as balanced: 1 is all alike, 0
    is one alone (JG-62)."""
    metrics_feedback: Literal["proposal", "not_read", "overlay", "eval_confidence"] = added(
        "proposal"
    )
    policy_change: Literal["owner_approval", "live_revision", "release_review"] = added(
        "owner_approval"
    )

    @property
    def reads_complexity(self) -> bool:
        """Whether how complex a task looks changes anything here."""
        routes_by_it = any(row.complexity is not None for row in self.classes.values())
        return routes_by_it or self.likely_output is not None

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
        used += [("large_context_family", f) for f in (self.large_context_family,) if f]
        used += [("adviser_families", family) for family in self.adviser_families]
        used += [
            (f"classes.{name}.{kind}.families", family)
            for name, row in self.classes.items()
            for kind, rule in (("critic", row.critic), ("judge", row.judge))
            for family in (rule.families if rule else ())
        ]
        used += [("local_family", f) for f in (self.local_family,) if f]
        used += [(f"ceilings.{name}", f) for name, row in self.ceilings.items() for f in row]
        for place, family in used:
            if family not in self.families:
                msg = f"{place}: {family!r} is no family of this pack; define it under families"
                raise ValueError(msg)
        for word, name in self.task_types.items():
            if name not in self.classes:
                msg = f"task_types.{word}: {name!r} is no class of this pack; name one of classes"
                raise ValueError(msg)
        for name, row in self.classes.items():
            if row.simpler_class is not None and row.simpler_class not in self.classes:
                msg = f"classes.{name}.simpler_class: {row.simpler_class!r} is no class; name one"
                raise ValueError(msg)
        for name in self.downgrade_classes:
            if name not in self.classes:
                msg = f"downgrade_classes: {name!r} is no class of this pack; name one of classes"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _a_model_has_one_family(self) -> Self:
        """Else a refusal of the one family would let the model in by the other."""
        seen: dict[str, str] = {}
        for name, family in self.families.items():
            for model in family.models:
                if model in seen:
                    msg = f"families.{name}.models: {model!r} is in {seen[model]!r} too; keep one"
                    raise ValueError(msg)
                seen[model] = name
        hosts = [name for name, family in self.families.items() if family.from_host]
        if len(hosts) > 1:
            msg = f"families.{hosts[1]}.from_host: {hosts[0]!r} takes the host's models; keep one"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _facts_are_declared(self) -> Self:
        if self.facts is None:
            return self
        for place, kind, name in self._facts_read():
            known = self.facts.marks if kind == "mark" else self.facts.measures
            if name not in known and name not in DERIVED_MEASURES:
                msg = f"{place}: {kind} {name!r} is not under facts.{kind}s; declare or correct it"
                raise ValueError(msg)
        return self

    def _facts_read(self) -> Iterator[tuple[str, str, str]]:
        for name, row in self.classes.items():
            rules = {f"classes.{name}.routes.{rule.trigger}": rule.when for rule in row.routes}
            rules |= {
                f"classes.{name}.{field}": condition
                for field, condition in (
                    ("second_opinion", row.second_opinion),
                    ("review_when", row.review_when),
                    ("critic.when", row.critic.when if row.critic else None),
                    ("judge.when", row.judge.when if row.judge else None),
                )
                if condition is not None
            }
            for place, condition in rules.items():
                yield from ((place, *each) for each in condition.names)
        for number, floor in enumerate(self.lane_floors):
            yield from ((f"lane_floors.{number}", *each) for each in floor.when.names)
        for lane, rule in self.lanes.items():
            names = rule.opens_when.names if rule.opens_when else ()
            yield from ((f"lanes.{lane}.opens_when", *each) for each in names)
        for mark in (*self.local_marks, *self.mark_routes, *self.high_risk_marks):
            yield "marks of the pack", "mark", mark
        if self.offline_mark:
            yield "offline_mark", "mark", self.offline_mark

    @model_validator(mode="after")
    def _cheapest_sufficient_is_whole(self) -> Self:
        """The change to a cheaper model near a ceiling has no switch (OM-34), nor local-first."""
        if self.rank == "cheapest_sufficient":
            for field in ("ceiling_near_ratio", "high_volume_items", "local_family"):
                if getattr(self, field) is None:
                    msg = (
                        f"{field}: missing, and a pack ranked cheapest_sufficient needs it; add it"
                    )
                    raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _lanes_are_ruled(self) -> Self:
        """The lane ordering needs every lane of its families, and every class a first lane."""
        if self.rank != "cheapest_safe_lane":
            return self
        for name, family in self.families.items():
            if family.lane not in self.lanes:
                msg = f"lanes: no rule for lane {family.lane!r} of families.{name}; add one"
                raise ValueError(msg)
        for name, row in self.classes.items():
            if row.lane is None:
                msg = f"classes.{name}.lane: missing, and this pack ranks by lane; name a lane"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _no_gate_is_keyed_on_agreement(self) -> Self:
        """Several models at once, only where the pack verifies by comparing (CX-30, GR-001)."""
        for name, row in self.classes.items():
            if row.parallel and self.verification and "compare" not in self.verification:
                msg = (
                    f"classes.{name}.parallel: this pack's verification does not name compare, so "
                    "no step waits until models agree; leave parallel out"
                )
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _every_class_has_ceilings(self) -> Self:
        """A class without a ceiling would have no most it may cost (OM-27)."""
        for name, row in self.classes.items():
            if name not in self.ceilings and row.ceiling is None:
                msg = f"ceilings: no ceiling for class {name!r}; add one for each of its families"
                raise ValueError(msg)
            if row.ceiling is not None:
                continue
            routed = {*row.families, *self.privacy.sensitive_route, *self.mark_routes.values()}
            if missing := sorted(routed - set(self.ceilings[name])):
                msg = f"ceilings.{name}: no ceiling for family {missing[0]!r}; add one in USD"
                raise ValueError(msg)
        if unknown := sorted(set(self.ceilings) - set(self.classes)):
            msg = f"ceilings.{unknown[0]}: {unknown[0]!r} is no class of this pack; correct it"
            raise ValueError(msg)
        return self
