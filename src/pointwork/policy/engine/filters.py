"""The filters every model passes before any ordering: the same in every pack and in this order.

A filter is a pure function of the facts that yields the models it refuses, with the reason. It
runs once a decision, over all models. Price, outage or metrics never re-admit a model that a
filter refused (invariant 2), and more care or less money never admits one.
"""

from collections.abc import Callable, Iterable

from pointwork.contract.decision import GrantKind
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import ReceiptKind
from pointwork.contract.task import PrivacyTier, Sensitivity
from pointwork.policy.engine.facts import Facts
from pointwork.policy.engine.index import Entry, PackIndex
from pointwork.policy.engine.lanes import lane_refusals

Refusal = tuple[ReasonCode, str]
Refused = dict[str, list[Refusal]]
"""Reasons by model, in the filters' order. A model that is not in it is permitted."""

Found = Iterable[tuple[Entry, Refusal]]
Filter = Callable[[Facts, PackIndex], Found]

_NOTHING: tuple[tuple[Entry, Refusal], ...] = ()


def _all(entries: Iterable[Entry], code: ReasonCode, detail: str = "") -> Found:
    refusal = (code, detail)
    return [(entry, refusal) for entry in entries]


def _restricted(facts: Facts, index: PackIndex) -> Found:
    if facts.sensitivity is not Sensitivity.RESTRICTED:
        return _NOTHING
    return _all(index.outside, ReasonCode.RESTRICTED)


def _privacy_tier(facts: Facts, index: PackIndex) -> Found:
    if facts.is_local_only:
        return _all(index.outside, ReasonCode.PRIVACY_TIER, PrivacyTier.LOCAL_ONLY)
    if facts.given.request.privacy_tier is PrivacyTier.APPROVED_PRIVATE:
        barred = [each for each in index.outside if not each.approved]
        return _all(barred, ReasonCode.PRIVACY_TIER, PrivacyTier.APPROVED_PRIVATE)
    return _NOTHING


def _residency(facts: Facts, index: PackIndex) -> Found:
    allowed = set(facts.given.request.residency)
    if not allowed:
        return _NOTHING
    found = [(each, each.priced.endpoint.residency) for each in index.outside]
    return [
        (each, (ReasonCode.RESIDENCY, ", ".join(regions) or "unknown region"))
        for each, regions in found
        if not regions or not set(regions) <= allowed
    ]


def _local_required(facts: Facts, index: PackIndex) -> Found:
    """A person's override opens the house to the one model it names (OM-64, OM-67)."""
    if not facts.local_marks and not facts.is_high_volume:
        return _NOTHING
    opened = facts.override.model if facts.override else None
    outside = [each for each in index.outside if each.name != opened]
    if facts.local_marks:
        named = ", ".join(facts.local_marks)
        return [
            (e, (ReasonCode.FRONTIER_BULK if e.is_frontier else ReasonCode.LOCAL_REQUIRED, named))
            for e in outside
        ]
    return _all(outside, ReasonCode.LOCAL_FIRST_VOLUME, f"{facts.given.request.item_count} items")


def _on_host(facts: Facts, index: PackIndex) -> Found:
    return _all(index.unserved, ReasonCode.NOT_ON_HOST, facts.bundle.host.host)


def _retired(facts: Facts, index: PackIndex) -> Found:
    return [
        (each, (ReasonCode.RETIRED, f"since {each.priced.model.retired_on}"))
        for each in index.retired
    ]


def _local_not_allowed(facts: Facts, index: PackIndex) -> Found:
    """A judge is never local, nor is a High-Risk plan (CX-20, CX-104)."""
    if not needs_cloud(facts):
        return _NOTHING
    why = facts.task_class if facts.row.cloud_only else "high-risk"
    return _all([e for e in index.entries if e.is_local], ReasonCode.LOCAL_NOT_ALLOWED, why)


def needs_cloud(facts: Facts) -> bool:
    return facts.row.cloud_only or (facts.row.cloud_if_high_risk and facts.is_high_risk)


def _offline(facts: Facts, index: PackIndex) -> Found:
    """Offline is a known state of the task, not a missing signal (R-13)."""
    return _all(index.outside, ReasonCode.OFFLINE) if facts.is_offline else _NOTHING


def _frontier_purpose(facts: Facts, index: PackIndex) -> Found:
    """A class row with a purpose is the justification itself; else a person's words are needed."""
    if facts.bundle.pack.frontier_guard == "none" or facts.row.frontier_purpose is not None:
        return _NOTHING
    code, detail = ReasonCode.FRONTIER_PURPOSE, facts.task_class
    if not facts.given.request.justification.strip():
        code, detail = ReasonCode.JUSTIFICATION_MISSING, "justification"
    opened = facts.override.model if facts.override else None
    barred = {family for family in facts.bundle.pack.families if facts.purpose(family) is None}
    return _all(
        [each for each in index.frontier if each.family in barred and each.name != opened],
        code,
        detail,
    )


def _privacy(facts: Facts, index: PackIndex) -> Found:
    level, rule = facts.sensitivity, facts.bundle.pack.privacy.sensitive
    if level is None or level.rank < Sensitivity.PROPRIETARY.rank or rule == "tier_only":
        return _NOTHING
    barred = [each for each in index.outside if not each.approved]
    if rule == "data_boundary":
        granted = facts.receipt(ReceiptKind.DATA_BOUNDARY)
        return _NOTHING if granted else _all(barred, ReasonCode.DATA_BOUNDARY_MISSING, level)
    if facts.grant(GrantKind.SENSITIVE_EGRESS) and level is Sensitivity.SENSITIVE:
        return _NOTHING
    return _all(barred, ReasonCode.PRIVACY, level.value)


def _personal(facts: Facts, index: PackIndex) -> Found:
    """Consent of that user and a contract for that model, both or not at all (SP-36)."""
    if not index.personal:
        return _NOTHING
    consent = facts.given.request.subject is not None and facts.receipt(
        ReceiptKind.PERSONALISATION_CONSENT
    )
    return [
        (each, (ReasonCode.PERSONALISATION, "contract" if consent else "consent"))
        for each in index.personal
        if not consent or not facts.receipt(ReceiptKind.GOVERNANCE_CONTRACT, model=each.name)
    ]


def _egress(facts: Facts, index: PackIndex) -> Found:
    privacy = facts.bundle.pack.privacy
    if privacy.egress_default == "deny" and not facts.receipt(ReceiptKind.EGRESS):
        yield from _all(index.outside, ReasonCode.EGRESS_DENIED)
    if privacy.hosted_needs_approval and not facts.receipt(ReceiptKind.HOSTED_FALLBACK):
        yield from _all(index.outside, ReasonCode.HOSTED_NOT_APPROVED)


def _capability(facts: Facts, index: PackIndex) -> Found:
    needs = facts.needs
    if not needs:
        return _NOTHING
    return [
        (each, (ReasonCode.CAPABILITY, ", ".join(sorted(needs - each.capabilities))))
        for each in index.entries
        if not needs <= each.capabilities
    ]


def _context(facts: Facts, index: PackIndex) -> Found:
    likely, asked = facts.input_tokens_likely, facts.output_tokens_asked
    if likely + asked <= index.context_tokens_min:
        return _NOTHING  # what fits the smallest context fits all, and most texts do
    return [
        (each, (ReasonCode.CONTEXT, f"about {wanted} of {each.context_tokens} tokens"))
        for each in index.entries
        if (wanted := likely + min(asked, each.output_tokens_max)) > each.context_tokens
    ]


def _lanes(facts: Facts, index: PackIndex) -> Found:
    """Which lanes the step's stage, tools, length and stakes leave open (SP-14 to SP-20)."""
    if not facts.bundle.pack.lanes:
        return _NOTHING
    refused = lane_refusals(facts)
    return [(each, refusal) for each in index.entries for refusal in refused.get(each.lane, ())]


def _price(facts: Facts, index: PackIndex) -> Found:
    return _all(index.unpriced, ReasonCode.NO_PRICE)


def _credentials(facts: Facts, index: PackIndex) -> Found:
    signals = facts.endpoints
    keyed = {name for name, signal in signals.items() if signal.has_credentials}
    if facts.bundle.index.endpoints <= keyed:
        return _NOTHING
    return [
        (each, (ReasonCode.NO_CREDENTIALS, each.priced.endpoint.credential or each.endpoint))
        for each in index.entries
        if each.endpoint not in keyed
    ]


def _already_failed(facts: Facts, index: PackIndex) -> Found:
    left = facts.left_models
    if not left:
        return _NOTHING
    return _all([each for each in index.entries if each.name in left], ReasonCode.ALREADY_FAILED)


def _health(facts: Facts, index: PackIndex) -> Found:
    now, found = facts.given.snapshot.taken_at, {}
    for name, signal in facts.endpoints.items():
        until = signal.rate_limited_until
        if not signal.is_healthy:
            found[name] = (ReasonCode.UNHEALTHY, name)
        elif until is not None and until > now:
            found[name] = (ReasonCode.RATE_LIMITED, f"until {until:%H:%M:%S} UTC")
    if not found:
        return _NOTHING
    return [(each, found[each.endpoint]) for each in index.entries if each.endpoint in found]


def _quota(facts: Facts, index: PackIndex) -> Found:
    """An unknown quota closes the lanes that need to know it and no other (SP-42)."""
    quotas = facts.given.snapshot.quotas
    lanes = facts.bundle.pack.lanes
    known = {each.endpoint: each.remaining_requests for each in quotas or ()}
    if not lanes and not known:
        return _NOTHING
    spent = {endpoint for endpoint, left in known.items() if left == 0}
    guarded = {lane for lane, rule in lanes.items() if rule.guard.needs_known_quota}
    return [
        (each, (code, each.endpoint))
        for each in index.outside
        if (
            code := ReasonCode.QUOTA_EXHAUSTED
            if each.endpoint in spent
            else ReasonCode.QUOTA_UNKNOWN
            if each.lane in guarded and known.get(each.endpoint) is None
            else None
        )
    ]


def _resources(facts: Facts, index: PackIndex) -> Found:
    """A larger local model waits for room; without the signal it is not tried (SP-32)."""
    wanting = [(e, n) for e in index.needing_room if (n := e.priced.model.host_needs) is not None]
    if not wanting:
        return _NOTHING
    found = facts.given.snapshot.resources
    if found is None:
        return _all(index.needing_room, ReasonCode.RESOURCES, "no resource snapshot")
    have = f"{found.free_memory_mb} MB free, load {found.load_ratio}"
    return [
        (each, (ReasonCode.RESOURCES, have))
        for each, needs in wanting
        if found.free_memory_mb < needs.free_memory_mb
        or (needs.load_ratio_max is not None and found.load_ratio > needs.load_ratio_max)
    ]


def _latency(facts: Facts, index: PackIndex) -> Found:
    lanes, measured = facts.bundle.pack.lanes, facts.given.snapshot.latencies
    asked = facts.measure("latency_ms_max")
    if not measured or (not lanes and asked is None):
        return _NOTHING
    medians = {each.model: each.median_ms for each in measured}
    found = []
    for each in index.entries:
        rule = lanes.get(each.lane)
        limits = [m for m in (asked, rule.latency_ms_max if rule else None) if m is not None]
        median = medians.get(each.name)
        if median is not None and limits and median > min(limits):
            found.append((each, (ReasonCode.LATENCY, f"{median} of {min(limits)} ms")))
    return found


def _confirmed(facts: Facts, index: PackIndex) -> Found:
    if facts.bundle.pack.privacy.egress_default != "after_classification" or facts.is_confirmed:
        return _NOTHING
    if facts.grant(GrantKind.DATA_CLASSIFICATION):
        return _NOTHING
    return _all(index.outside, ReasonCode.SENSITIVITY_UNDECLARED)


def _paused(facts: Facts, index: PackIndex) -> Found:
    """Expensive models pause while a period is over its budget; cheap ones go on (JG-29)."""
    if facts.bundle.pack.on_budget != "pause_expensive":
        return _NOTHING
    over = facts.window_over_budget
    if over is None:
        return _NOTHING
    return _all([e for e in index.entries if e.is_expensive], ReasonCode.PAUSED_OVER_BUDGET, over)


def _budget(facts: Facts, index: PackIndex) -> Found:
    budgets = facts.budgets
    if facts.grant(GrantKind.BUDGET) or not budgets:
        return _NOTHING
    estimates = facts.estimates
    left = [(s.limit_nano_usd - s.committed_nano_usd, s.window) for s in budgets]
    if max(estimates.values(), default=0) <= min(left)[0]:
        return _NOTHING
    of_some = facts.windows_of_some
    return [
        (each, (ReasonCode.BUDGET, window))
        for each in index.entries
        # A free call worsens no budget, not even one that a bill has broken.
        if each.has_price
        and (cost := estimates[each.name])
        and (
            window := next(
                (
                    w
                    for rest, w in left
                    if cost > rest and (w not in of_some or each.name in of_some[w])
                ),
                None,
            )
        )
    ]


def _ceiling(facts: Facts, index: PackIndex) -> Found:
    estimates, ceilings = facts.estimates, facts.ceilings
    if max(estimates.values(), default=0) <= min(ceilings.values(), default=0):
        return _NOTHING
    return [
        (each, (ReasonCode.CEILING, f"{estimates[each.name]} of {most} nano-USD"))
        for family, most in ceilings.items()
        for each in index.by_family[family]
        if each.has_price and estimates[each.name] > most
    ]


FILTERS: tuple[Filter, ...] = (
    _restricted,
    _privacy_tier,
    _residency,
    _local_required,
    _on_host,
    _retired,
    _local_not_allowed,
    _offline,
    _frontier_purpose,
    _privacy,
    _personal,
    _egress,
    _capability,
    _lanes,
    _context,
    _price,
    _credentials,
    _already_failed,
    _health,
    _quota,
    _resources,
    _latency,
    _confirmed,
    _paused,
    _budget,
    _ceiling,
)


def refusals(facts: Facts) -> Refused:
    """Every reason against every model that some filter refuses."""
    refused: Refused = {}
    index = facts.bundle.index
    for check in FILTERS:
        for entry, refusal in check(facts, index):
            if (reasons := refused.get(entry.name)) is None:
                refused[entry.name] = [refusal]
            else:
                reasons.append(refusal)
    return refused
