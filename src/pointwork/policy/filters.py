"""The filters every model passes before any ordering: the same in every pack and in this order.

A filter is a pure function of the facts that yields the models it refuses, with the reason. It
runs once a decision, over all models. Price, outage or metrics never re-admit a model that a
filter refused (invariant 2), and more care or less money never admits one.
"""

from collections.abc import Callable, Iterable, Sequence

from pointwork.contract.decision import GrantKind
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import ReceiptKind
from pointwork.contract.task import PrivacyTier, Sensitivity
from pointwork.policy.facts import Facts
from pointwork.policy.index import Entry
from pointwork.policy.lanes import lane_refusals

Refusal = tuple[ReasonCode, str]
Refused = dict[str, list[Refusal]]
"""Reasons by model, in the filters' order. A model that is not in it is permitted."""

Filter = Callable[[Facts, Sequence[Entry]], Iterable[tuple[Entry, ReasonCode, str]]]

_NOTHING: tuple[tuple[Entry, ReasonCode, str], ...] = ()


def _all(
    entries: Iterable[Entry], code: ReasonCode, detail: str = ""
) -> list[tuple[Entry, ReasonCode, str]]:
    return [(entry, code, detail) for entry in entries]


def _outside(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if not entry.is_local]


def _restricted(facts: Facts, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ReasonCode, str]]:
    if facts.sensitivity is not Sensitivity.RESTRICTED:
        return _NOTHING
    return _all(_outside(entries), ReasonCode.RESTRICTED)


def _privacy_tier(
    facts: Facts, entries: Sequence[Entry]
) -> Iterable[tuple[Entry, ReasonCode, str]]:
    if facts.is_local_only:
        return _all(_outside(entries), ReasonCode.PRIVACY_TIER, PrivacyTier.LOCAL_ONLY)
    if facts.given.request.privacy_tier is PrivacyTier.APPROVED_PRIVATE:
        barred = [each for each in _outside(entries) if not each.approved]
        return _all(barred, ReasonCode.PRIVACY_TIER, PrivacyTier.APPROVED_PRIVATE)
    return _NOTHING


def _residency(facts: Facts, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ReasonCode, str]]:
    allowed = set(facts.given.request.residency)
    if not allowed:
        return _NOTHING
    found = [(each, each.priced.endpoint.residency) for each in _outside(entries)]
    return [
        (each, ReasonCode.RESIDENCY, ", ".join(regions) or "unknown region")
        for each, regions in found
        if not regions or not set(regions) <= allowed
    ]


def _local_required(
    facts: Facts, entries: Sequence[Entry]
) -> Iterable[tuple[Entry, ReasonCode, str]]:
    """A person's override opens the house to the one model it names (OM-64, OM-67)."""
    if not facts.local_marks and not facts.is_high_volume:
        return _NOTHING
    opened = facts.override.model if facts.override else None
    outside = [each for each in _outside(entries) if each.name != opened]
    if facts.local_marks:
        named = ", ".join(facts.local_marks)
        return [
            (e, ReasonCode.FRONTIER_BULK if e.is_frontier else ReasonCode.LOCAL_REQUIRED, named)
            for e in outside
        ]
    return _all(outside, ReasonCode.LOCAL_FIRST_VOLUME, f"{facts.given.request.item_count} items")


def _on_host(facts: Facts, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ReasonCode, str]]:
    absent = [each for each in entries if not each.on_host]
    return _all(absent, ReasonCode.NOT_ON_HOST, facts.bundle.host.host) if absent else _NOTHING


def _retired(facts: Facts, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ReasonCode, str]]:
    return [
        (each, ReasonCode.RETIRED, f"since {each.priced.model.retired_on}")
        for each in entries
        if each.is_retired
    ]


def _local_not_allowed(
    facts: Facts, entries: Sequence[Entry]
) -> Iterable[tuple[Entry, ReasonCode, str]]:
    """A judge is never local, nor is a High-Risk plan (CX-20, CX-104)."""
    if not needs_cloud(facts):
        return _NOTHING
    why = facts.task_class if facts.row.cloud_only else "high-risk"
    return _all([e for e in entries if e.is_local], ReasonCode.LOCAL_NOT_ALLOWED, why)


def needs_cloud(facts: Facts) -> bool:
    return facts.row.cloud_only or (facts.row.cloud_if_high_risk and facts.is_high_risk)


def _offline(facts: Facts, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ReasonCode, str]]:
    """Offline is a known state of the task, not a missing signal (R-13)."""
    return _all(_outside(entries), ReasonCode.OFFLINE) if facts.is_offline else _NOTHING


def _frontier_purpose(
    facts: Facts, entries: Sequence[Entry]
) -> Iterable[tuple[Entry, ReasonCode, str]]:
    """A class row with a purpose is the justification itself; else a person's words are needed."""
    if facts.bundle.pack.frontier_guard == "none" or facts.row.frontier_purpose is not None:
        return _NOTHING
    code, detail = ReasonCode.FRONTIER_PURPOSE, facts.task_class
    if not facts.given.request.justification.strip():
        code, detail = ReasonCode.JUSTIFICATION_MISSING, "justification"
    opened = facts.override.model if facts.override else None
    return [
        (each, code, detail)
        for each in entries
        if each.is_frontier and facts.purpose(each.family) is None and each.name != opened
    ]


def _privacy(facts: Facts, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ReasonCode, str]]:
    level, rule = facts.sensitivity, facts.bundle.pack.privacy.sensitive
    if level is None or level.rank < Sensitivity.PROPRIETARY.rank or rule == "tier_only":
        return _NOTHING
    barred = [each for each in _outside(entries) if not each.approved]
    if rule == "data_boundary":
        granted = facts.receipt(ReceiptKind.DATA_BOUNDARY)
        return _NOTHING if granted else _all(barred, ReasonCode.DATA_BOUNDARY_MISSING, level)
    if facts.grant(GrantKind.SENSITIVE_EGRESS) and level is Sensitivity.SENSITIVE:
        return _NOTHING
    return _all(barred, ReasonCode.PRIVACY, level.value)


def _personal(facts: Facts, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ReasonCode, str]]:
    """Consent of that user and a contract for that model, both or not at all (SP-36)."""
    personal = [each for each in entries if each.is_personal]
    if not personal:
        return _NOTHING
    consent = facts.given.request.subject is not None and facts.receipt(
        ReceiptKind.PERSONALISATION_CONSENT
    )
    return [
        (each, ReasonCode.PERSONALISATION, "contract" if consent else "consent")
        for each in personal
        if not consent or not facts.receipt(ReceiptKind.GOVERNANCE_CONTRACT, model=each.name)
    ]


def _egress(facts: Facts, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ReasonCode, str]]:
    privacy = facts.bundle.pack.privacy
    if privacy.egress_default == "deny" and not facts.receipt(ReceiptKind.EGRESS):
        yield from _all(_outside(entries), ReasonCode.EGRESS_DENIED)
    if privacy.hosted_needs_approval and not facts.receipt(ReceiptKind.HOSTED_FALLBACK):
        yield from _all(_outside(entries), ReasonCode.HOSTED_NOT_APPROVED)


def _capability(facts: Facts, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ReasonCode, str]]:
    needs = facts.needs
    if not needs:
        return _NOTHING
    return [
        (each, ReasonCode.CAPABILITY, ", ".join(sorted(needs - each.capabilities)))
        for each in entries
        if not needs <= each.capabilities
    ]


def _context(facts: Facts, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ReasonCode, str]]:
    likely, asked = facts.input_tokens_likely, facts.output_tokens_asked
    return [
        (each, ReasonCode.CONTEXT, f"about {wanted} of {each.context_tokens} tokens")
        for each in entries
        if (wanted := likely + min(asked, each.output_tokens_max)) > each.context_tokens
    ]


def _lanes(facts: Facts, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ReasonCode, str]]:
    """Which lanes the step's stage, tools, length and stakes leave open (SP-14 to SP-20)."""
    if not facts.bundle.pack.lanes:
        return _NOTHING
    refused = lane_refusals(facts)
    return [(each, *refusal) for each in entries for refusal in refused.get(each.lane, ())]


def _price(facts: Facts, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ReasonCode, str]]:
    return _all([each for each in entries if not each.has_price], ReasonCode.NO_PRICE)


def _credentials(facts: Facts, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ReasonCode, str]]:
    signals = facts.endpoints
    keyed = {name for name, signal in signals.items() if signal.has_credentials}
    if facts.bundle.index.endpoints <= keyed:
        return _NOTHING
    return [
        (each, ReasonCode.NO_CREDENTIALS, each.priced.endpoint.credential or each.endpoint)
        for each in entries
        if each.endpoint not in keyed
    ]


def _already_failed(
    facts: Facts, entries: Sequence[Entry]
) -> Iterable[tuple[Entry, ReasonCode, str]]:
    left = facts.left_models
    if not left:
        return _NOTHING
    return _all([each for each in entries if each.name in left], ReasonCode.ALREADY_FAILED)


def _health(facts: Facts, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ReasonCode, str]]:
    now, found = facts.given.snapshot.taken_at, {}
    for name, signal in facts.endpoints.items():
        until = signal.rate_limited_until
        if not signal.is_healthy:
            found[name] = (ReasonCode.UNHEALTHY, name)
        elif until is not None and until > now:
            found[name] = (ReasonCode.RATE_LIMITED, f"until {until:%H:%M:%S} UTC")
    if not found:
        return _NOTHING
    return [(each, *found[each.endpoint]) for each in entries if each.endpoint in found]


def _quota(facts: Facts, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ReasonCode, str]]:
    """An unknown quota closes the lanes that need to know it and no other (SP-42)."""
    quotas = facts.given.snapshot.quotas
    lanes = facts.bundle.pack.lanes
    known = {each.endpoint: each.remaining_requests for each in quotas or ()}
    if not lanes and not known:
        return _NOTHING
    spent = {endpoint for endpoint, left in known.items() if left == 0}
    guarded = {lane for lane, rule in lanes.items() if rule.guard.needs_known_quota}
    return [
        (each, code, each.endpoint)
        for each in entries
        if not each.is_local
        and (
            code := ReasonCode.QUOTA_EXHAUSTED
            if each.endpoint in spent
            else ReasonCode.QUOTA_UNKNOWN
            if each.lane in guarded and known.get(each.endpoint) is None
            else None
        )
    ]


def _resources(facts: Facts, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ReasonCode, str]]:
    """A larger local model waits for room; without the signal it is not tried (SP-32)."""
    wanting = [(e, needs) for e in entries if (needs := e.priced.model.host_needs) is not None]
    if not wanting:
        return _NOTHING
    found = facts.given.snapshot.resources
    if found is None:
        return [(each, ReasonCode.RESOURCES, "no resource snapshot") for each, _ in wanting]
    have = f"{found.free_memory_mb} MB free, load {found.load_ratio}"
    return [
        (each, ReasonCode.RESOURCES, have)
        for each, needs in wanting
        if found.free_memory_mb < needs.free_memory_mb
        or (needs.load_ratio_max is not None and found.load_ratio > needs.load_ratio_max)
    ]


def _latency(facts: Facts, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ReasonCode, str]]:
    lanes, measured = facts.bundle.pack.lanes, facts.given.snapshot.latencies
    asked = facts.measure("latency_ms_max")
    if not measured or (not lanes and asked is None):
        return _NOTHING
    medians = {each.model: each.median_ms for each in measured}
    found = []
    for each in entries:
        rule = lanes.get(each.lane)
        limits = [m for m in (asked, rule.latency_ms_max if rule else None) if m is not None]
        median = medians.get(each.name)
        if median is not None and limits and median > min(limits):
            found.append((each, ReasonCode.LATENCY, f"{median} of {min(limits)} ms"))
    return found


def _confirmed(facts: Facts, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ReasonCode, str]]:
    if facts.bundle.pack.privacy.egress_default != "after_classification" or facts.is_confirmed:
        return _NOTHING
    if facts.grant(GrantKind.DATA_CLASSIFICATION):
        return _NOTHING
    return _all(_outside(entries), ReasonCode.SENSITIVITY_UNDECLARED)


def _paused(facts: Facts, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ReasonCode, str]]:
    """Expensive models pause while a period is over its budget; cheap ones go on (JG-29)."""
    if facts.bundle.pack.on_budget != "pause_expensive":
        return _NOTHING
    over = facts.window_over_budget
    if over is None:
        return _NOTHING
    return _all([e for e in entries if e.is_expensive], ReasonCode.PAUSED_OVER_BUDGET, over)


def _budget(facts: Facts, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ReasonCode, str]]:
    budgets = facts.given.snapshot.budgets
    if facts.grant(GrantKind.BUDGET) or not budgets:
        return _NOTHING
    estimates = facts.estimates
    left = [(s.limit_nano_usd - s.committed_nano_usd, s.window) for s in budgets]
    if max(estimates.values(), default=0) <= min(left)[0]:
        return _NOTHING
    return [
        (each, ReasonCode.BUDGET, window)
        for each in entries
        if each.has_price
        and (window := next((w for rest, w in left if estimates[each.name] > rest), None))
    ]


def _ceiling(facts: Facts, entries: Sequence[Entry]) -> Iterable[tuple[Entry, ReasonCode, str]]:
    estimates, ceilings = facts.estimates, facts.ceilings
    return [
        (e, ReasonCode.CEILING, f"{estimates[e.name]} of {ceilings[e.family]} nano-USD")
        for e in entries
        if e.has_price and estimates[e.name] > ceilings[e.family]
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


def refusals(facts: Facts, entries: Sequence[Entry]) -> Refused:
    """Every reason against every model that some filter refuses."""
    refused: Refused = {}
    for check in FILTERS:
        for entry, code, detail in check(facts, entries):
            refused.setdefault(entry.name, []).append((code, detail))
    return refused
