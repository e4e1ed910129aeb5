"""The filters every model passes before ranking, the same in every pack and in this order.

Each filter is a pure function of the facts and one model and gives the reason it refuses, or None.
Price, outage or metrics never re-admit a model that a filter refused (invariant 2).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from pointwork.contract.decision import (
    DecisionInput,
    EndpointSignal,
    GrantKind,
    ReasonCode,
    Site,
)
from pointwork.contract.money import worst_case_nano_usd
from pointwork.contract.task import DataClass, PrivacyTier, Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.document import FrontierPurpose, PricedModel, TaskClass
from pointwork.policy.estimate import (
    input_tokens_bound,
    input_tokens_likely,
    output_tokens_bound,
)
from pointwork.policy.sensitivity import (
    effective_data_classes,
    effective_sensitivity,
    is_confirmed,
)

Refusal = tuple[ReasonCode, str]


@dataclass(frozen=True)
class Facts:
    """What the filters compare, worked out once for a decision."""

    given: DecisionInput
    bundle: PolicyBundle
    task_class: str
    row: TaskClass
    rungs: tuple[tuple[str, ...], ...]
    quality_floor: int

    @cached_property
    def sensitivity(self) -> Sensitivity | None:
        return effective_sensitivity(self.given, self.bundle.pack)

    @cached_property
    def data_classes(self) -> tuple[DataClass, ...]:
        return effective_data_classes(self.given)

    @cached_property
    def is_confirmed(self) -> bool:
        return is_confirmed(self.given, self.bundle.pack)

    @cached_property
    def needs(self) -> frozenset[str]:
        image = {"vision"} if self.given.classification.has_image else set()
        schema = {"json_schema"} if self.given.request.answer_schema else set()
        return frozenset({*self.row.needs, *image, *schema})

    @cached_property
    def local_marks(self) -> tuple[str, ...]:
        return tuple(m for m in self.given.request.marks if m in self.bundle.pack.local_marks)

    @cached_property
    def endpoints(self) -> dict[str, EndpointSignal]:
        return {signal.endpoint: signal for signal in self.given.snapshot.endpoints}

    @cached_property
    def failed_models(self) -> frozenset[str]:
        return frozenset(each.model for each in self.given.failed)

    def grant(self, kind: GrantKind) -> bool:
        return any(each.kind is kind for each in self.given.grants)

    @cached_property
    def cost_grant_nano_usd(self) -> int:
        """The ceiling a person approved for this task; 0 where nobody did."""
        ceilings = [g.ceiling_nano_usd for g in self.given.grants if g.kind is GrantKind.COST]
        return max(ceilings, default=0)

    def purpose(self, family: str) -> FrontierPurpose | None:
        """What a frontier model of ``family`` is used for here; None where it may not be (OM-7).

        A mark that routes to a family asks for what no local model has: news, for one (S-1).
        """
        routed = {self.bundle.pack.mark_routes.get(mark) for mark in self.given.request.marks}
        if self.row.frontier_purpose is None and family in routed:
            return "capability_missing_locally"
        return self.row.frontier_purpose

    def rung_of(self, family: str) -> int | None:
        found = (index for index, rung in enumerate(self.rungs) if family in rung)
        return next(found, None)

    def estimate(self, priced: PricedModel) -> int:
        return worst_case_nano_usd(
            priced.tiers,
            input_tokens_max=input_tokens_bound(self.given.classification),
            output_tokens_max=output_tokens_bound(self.given.request, priced.model),
        )

    def ceiling(self, family: str) -> int:
        cell = self.bundle.pack.ceilings[self.task_class].get(family, 0)
        return max(cell, self.cost_grant_nano_usd)


Filter = Callable[[Facts, str, PricedModel], Refusal | None]


def _on_host(facts: Facts, name: str, priced: PricedModel) -> Refusal | None:
    if priced.endpoint.adapter == "local" and name not in facts.bundle.host.local_models:
        return ReasonCode.NOT_ON_HOST, facts.bundle.host.host
    return None


def _local_required(facts: Facts, name: str, priced: PricedModel) -> Refusal | None:
    if priced.endpoint.site is Site.LOCAL:
        return None
    if facts.local_marks:
        code = ReasonCode.FRONTIER_BULK if priced.model.is_frontier else ReasonCode.LOCAL_REQUIRED
        return code, ", ".join(facts.local_marks)
    if facts.given.request.item_count >= facts.bundle.pack.high_volume_items:
        return ReasonCode.LOCAL_FIRST_VOLUME, f"{facts.given.request.item_count} items"
    return None


def _in_route(facts: Facts, name: str, priced: PricedModel) -> Refusal | None:
    if facts.rung_of(priced.model.family) is not None:
        return None
    if priced.model.is_frontier and facts.row.frontier_purpose is None:
        bulk = facts.row.rungs == ((facts.bundle.pack.local_family,),)
        return (ReasonCode.FRONTIER_BULK if bulk else ReasonCode.FRONTIER_PURPOSE), facts.task_class
    return ReasonCode.NOT_IN_ROUTE, priced.model.family


def _frontier_purpose(facts: Facts, name: str, priced: PricedModel) -> Refusal | None:
    """A class row with a purpose is the justification itself; else a person's words are needed."""
    if not priced.model.is_frontier or facts.purpose(priced.model.family) is not None:
        return None
    if not facts.given.request.justification.strip():
        return ReasonCode.JUSTIFICATION_MISSING, "justification"
    return ReasonCode.FRONTIER_PURPOSE, facts.task_class


def _restricted(facts: Facts, name: str, priced: PricedModel) -> Refusal | None:
    if priced.endpoint.site is not Site.LOCAL and facts.sensitivity is Sensitivity.RESTRICTED:
        return ReasonCode.RESTRICTED, ""
    return None


def _privacy_tier(facts: Facts, name: str, priced: PricedModel) -> Refusal | None:
    tier, site = facts.given.request.privacy_tier, priced.endpoint.site
    if tier is PrivacyTier.LOCAL_ONLY and site is not Site.LOCAL:
        return ReasonCode.PRIVACY_TIER, tier
    if tier is PrivacyTier.APPROVED_PRIVATE and not _is_house_or_approved(facts, name, priced):
        return ReasonCode.PRIVACY_TIER, tier
    return None


def _residency(facts: Facts, name: str, priced: PricedModel) -> Refusal | None:
    allowed, regions = facts.given.request.residency, priced.endpoint.residency
    if not allowed or priced.endpoint.site is Site.LOCAL:
        return None
    if not regions or not set(regions) <= set(allowed):
        return ReasonCode.RESIDENCY, ", ".join(regions) or "unknown region"
    return None


def _privacy(facts: Facts, name: str, priced: PricedModel) -> Refusal | None:
    level = facts.sensitivity
    if level is None or level.rank < Sensitivity.PROPRIETARY.rank:
        return None
    if _is_house_or_approved(facts, name, priced):
        return None
    granted = facts.grant(GrantKind.SENSITIVE_EGRESS) and level is Sensitivity.SENSITIVE
    return None if granted else (ReasonCode.PRIVACY, level.value)


def _is_house_or_approved(facts: Facts, name: str, priced: PricedModel) -> bool:
    if priced.endpoint.site is Site.LOCAL:
        return True
    approved = name in facts.bundle.pack.privacy.approved_private_models
    return priced.endpoint.site is Site.PRIVATE and approved


def _confirmed(facts: Facts, name: str, priced: PricedModel) -> Refusal | None:
    if priced.endpoint.site is Site.LOCAL:
        return None
    match facts.bundle.pack.privacy.egress_default:
        case "allow":
            return None
        case "deny":
            return ReasonCode.PRIVACY, "egress is denied by default"
        case _:
            granted = facts.is_confirmed or facts.grant(GrantKind.DATA_CLASSIFICATION)
            return None if granted else (ReasonCode.SENSITIVITY_UNDECLARED, "")


def _capability(facts: Facts, name: str, priced: PricedModel) -> Refusal | None:
    missing = sorted(facts.needs - set(priced.model.capabilities))
    return (ReasonCode.CAPABILITY, ", ".join(missing)) if missing else None


def _context(facts: Facts, name: str, priced: PricedModel) -> Refusal | None:
    wanted = input_tokens_likely(facts.given.classification)
    wanted += output_tokens_bound(facts.given.request, priced.model)
    room = priced.model.context_tokens
    return (ReasonCode.CONTEXT, f"about {wanted} of {room} tokens") if wanted > room else None


def _quality(facts: Facts, name: str, priced: PricedModel) -> Refusal | None:
    quality, floor = priced.model.quality, facts.quality_floor
    return (ReasonCode.QUALITY_FLOOR, f"{quality} of {floor}") if quality < floor else None


def _price(facts: Facts, name: str, priced: PricedModel) -> Refusal | None:
    return None if priced.tiers else (ReasonCode.NO_PRICE, "")


def _credentials(facts: Facts, name: str, priced: PricedModel) -> Refusal | None:
    signal = facts.endpoints.get(priced.model.endpoint)
    if signal is None or not signal.has_credentials:
        return ReasonCode.NO_CREDENTIALS, priced.endpoint.credential or priced.model.endpoint
    return None


def _health(facts: Facts, name: str, priced: PricedModel) -> Refusal | None:
    signal = facts.endpoints.get(priced.model.endpoint)
    if signal is None:
        return None
    if not signal.is_healthy:
        return ReasonCode.UNHEALTHY, signal.endpoint
    until = signal.rate_limited_until
    if until is not None and until > facts.given.snapshot.taken_at:
        return ReasonCode.RATE_LIMITED, f"until {until:%H:%M:%S} UTC"
    return None


def _already_failed(facts: Facts, name: str, priced: PricedModel) -> Refusal | None:
    return (ReasonCode.ALREADY_FAILED, "") if name in facts.failed_models else None


def _budget(facts: Facts, name: str, priced: PricedModel) -> Refusal | None:
    if not priced.tiers:
        return None
    estimate = facts.estimate(priced)
    for signal in facts.given.snapshot.budgets:
        if signal.committed_nano_usd + estimate > signal.limit_nano_usd:
            return ReasonCode.BUDGET, signal.window
    return None


def _ceiling(facts: Facts, name: str, priced: PricedModel) -> Refusal | None:
    if not priced.tiers:
        return None
    estimate, ceiling = facts.estimate(priced), facts.ceiling(priced.model.family)
    if estimate > ceiling:
        return ReasonCode.CEILING, f"{estimate} of {ceiling} nano-USD"
    return None


_FILTERS: tuple[Filter, ...] = (
    _restricted,
    _privacy_tier,
    _residency,
    _local_required,
    _on_host,
    _in_route,
    _frontier_purpose,
    _privacy,
    _capability,
    _quality,
    _context,
    _price,
    _credentials,
    _already_failed,
    _health,
    _confirmed,
    _budget,
    _ceiling,
)


def refusals(facts: Facts, name: str, priced: PricedModel) -> tuple[Refusal, ...]:
    """Every reason that refuses the model, in the filters' order; empty where it is permitted."""
    found = (check(facts, name, priced) for check in _FILTERS)
    return tuple(refusal for refusal in found if refusal is not None)
