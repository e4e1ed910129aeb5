"""The eleven parts of evidence that every decision leaves, denials included (SP-44).

A projection of the ledger's one record (R-22). It holds digests, names and figures, never text
(SP-45), and is valid against ``schemas/route-evidence.schema.json``.
"""

import re
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from pointwork.contract.canonical import canonical_json, sha256_hex
from pointwork.contract.decision import Candidate, DecisionInput, DecisionRecord, Effect, Rejection
from pointwork.contract.outcome import TaskOutcome
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import EndpointSignal, ReceiptKind
from pointwork.contract.task import Lane
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.engine.constraints import constraint_of
from pointwork.policy.engine.facts import Facts, receipts_in_force
from pointwork.policy.engine.lanes import tokens_needed
from pointwork.policy.engine.ranking import MONEY

LANE_WORDS = {
    Lane.NONE: "no-model",
    Lane.LOCAL: "local-cheap",
    Lane.CHEAP: "cheap",
    Lane.STANDARD: "standard",
    Lane.HIGH: "high-end",
    Lane.PREMIUM: "pro",
}
"""The contract's words for the lanes (requirements 7.2)."""

TOOL_RIGHTS = ("read", "test", "write", "execute", "network")
UNCLASSIFIED, OUTSIDE_CHAIN = "unclassified", "outside_chain"
_URN = re.compile(r"urn:[a-z0-9][a-z0-9-]{1,31}(:[A-Za-z0-9][A-Za-z0-9._-]*)+")
_NOT_IN_URN = re.compile(r"[^A-Za-z0-9._-]+")

Part = dict[str, Any]


def evidence_of(
    record: DecisionRecord, outcome: TaskOutcome | None, bundle: PolicyBundle
) -> dict[str, Any]:
    """The evidence of one decision; with the task's ``outcome``, of how it ended too.

    A part that does not apply says why in a word. ``bundle`` is the one the record was decided by.
    """
    given, plan = record.input, record.plan
    content = given.request.content
    return {
        "contract": "route-evidence",
        "version": "1.0.0",
        "evidence_id": f"urn:pointwork:route-evidence:{sha256_hex(record.decision_id.encode())}",
        "task_id": record.task_id,
        "recorded_at": _time(outcome.finished_at if outcome else record.decided_at),
        "prompt_digest": content.digest,
        "prompt_bytes": content.bytes,
        "route_decision": _route_decision(record, bundle),
        "escalation_receipts": _escalation(record),
        "budget_decision": _budget(record, bundle),
        "resource_snapshot": _resources(given),
        "quota_snapshot": _quotas(given),
        "candidate_set": _candidates(record, bundle),
        "runtime_health": _health(given),
        "cost_class": _cost_class(plan.candidates),
        "context_policy": _context(record, bundle),
        "tool_policy": _tools(record),
        "governance_references": _governance(record),
    }


def _not_applicable(why: str) -> Part:
    return {"not_applicable": why}


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"


def _digest(*parts: BaseModel) -> str:
    return sha256_hex(b"\n".join(canonical_json(part) for part in parts))


def urn_of(kind: str, name: str) -> str:
    """``name`` where it is a URN, else one of Pointwork's own."""
    if _URN.fullmatch(name):
        return name
    word = _NOT_IN_URN.sub("-", name).strip("-._") or "unnamed"
    return f"urn:pointwork:{kind}:{word}"[:200]


def binding_urn(model: str) -> str:
    return f"urn:pointwork:route-binding:{model}"


def _first(record: DecisionRecord) -> Candidate | None:
    return record.plan.candidates[0] if record.plan.candidates else None


def _route_decision(record: DecisionRecord, bundle: PolicyBundle) -> Part:
    plan, first = record.plan, _first(record)
    codes = {each.reason for each in plan.rejected}
    if plan.reason is not None:
        settled = {constraint_of(plan.reason)}
        # "No candidate" is no constraint of its own: those that refused each model settled it.
        if plan.reason in (ReasonCode.NO_CANDIDATE, ReasonCode.CANDIDATES_EXHAUSTED):
            settled = {constraint_of(code) for code in codes}
    else:
        lower = _cheaper_lanes(record, bundle)
        settled = {constraint_of(each.reason) for each in lower}
    return {
        "outcome": plan.effect.value,
        "lane": LANE_WORDS[first.lane] if first else None,
        "binding": binding_urn(first.model) if first and first.lane is not Lane.NONE else None,
        "task_class": plan.task_class or UNCLASSIFIED,
        "chain_stage": record.input.request.stage or OUTSIDE_CHAIN,
        "reason_code": _coded(plan.reason, record) if plan.reason else None,
        "determining_constraints": sorted(each for each in settled if each is not None),
    }


def _coded(reason: ReasonCode, record: DecisionRecord) -> str:
    """``signal_missing:quota`` where the refusal names one signal; the plain word elsewhere."""
    detail = record.plan.rejected[0].detail if record.plan.rejected else ""
    return f"{reason}:{detail}" if reason is ReasonCode.SIGNAL_MISSING and detail else reason.value


def _cheaper_lanes(record: DecisionRecord, bundle: PolicyBundle) -> list[Rejection]:
    rank = record.plan.candidates[0].lane.rank
    entries = bundle.index.by_name
    return [r for r in record.plan.rejected if (e := entries.get(r.model)) and e.lane_rank < rank]


def _escalation(record: DecisionRecord) -> Part:
    given, first = record.input, _first(record)
    move = first.move if first else None
    before = move.from_lane if move else (given.request.previous_lane or Lane.LOCAL)
    after = first.lane if first and first.lane.rank >= Lane.HIGH.rank else Lane.HIGH
    held = [
        each
        for each in receipts_in_force(given)
        if each.kind is ReceiptKind.LANE_ESCALATION and each.reason is not None
    ]
    if not held:
        asked = given.request.escalation_reason is not None
        return _not_applicable("denied_before_this_part" if asked else "no_escalation_asked")
    return {
        "receipts": [
            {
                "receipt": urn_of("receipt", each.receipt_id),
                "reason": each.reason,
                "from_lane": LANE_WORDS[before],
                "to_lane": LANE_WORDS[after],
                "expires_at": _time(each.expires_at),
                "verified": True,
            }
            for each in held
        ]
    }


def _budget(record: DecisionRecord, bundle: PolicyBundle) -> Part:
    given, plan, first = record.input, record.plan, _first(record)
    left = [max(0, s.limit_nano_usd - s.committed_nano_usd) for s in given.snapshot.budgets]
    if first is not None:
        cause = first.move.trigger if first.move else first.trigger
        lowered = cause in ("budget_low", "ceiling_over", "ceiling_near")
        return {
            "outcome": "downgrade" if lowered else "allow",
            "worst_case_nano_usd": first.estimate_nano_usd,
            "reserved_nano_usd": first.estimate_nano_usd,
            "remaining_nano_usd": min([*left, plan.task_ceiling_nano_usd]),
        }
    row = bundle.pack.classes.get(plan.task_class or "")
    if plan.reason not in MONEY or row is None or not left:
        return _not_applicable("denied_before_this_part")
    estimates = Facts(given, bundle, plan.task_class or "", row).estimates
    refused = [estimates[r.model] for r in plan.rejected if r.reason in MONEY]
    return {
        "outcome": "deny",
        "worst_case_nano_usd": min(refused, default=0),
        "reserved_nano_usd": 0,
        "remaining_nano_usd": min(left),
    }


def _resources(given: DecisionInput) -> Part:
    found = given.snapshot.resources
    if found is None:
        return _not_applicable("denied_before_this_part")
    return {
        "taken_at": _time(given.snapshot.taken_at),
        "digest": _digest(found),
        "free_memory_mb": found.free_memory_mb,
        "load_ratio": float(found.load_ratio),
    }


def _quotas(given: DecisionInput) -> Part:
    """Providers are asked for requests, not tokens, so tokens left are not known."""
    quotas = given.snapshot.quotas
    if quotas is None:
        return _not_applicable("denied_before_this_part")
    if not quotas:
        return _not_applicable("no_hosted_candidate")
    states = {None: "unknown", 0: "exhausted"}
    return {
        "taken_at": _time(given.snapshot.taken_at),
        "digest": _digest(*quotas),
        "providers": [
            {
                "provider": each.endpoint,
                "state": states.get(each.remaining_requests, "known"),
                "remaining_tokens": None,
            }
            for each in quotas
        ],
    }


def _candidates(record: DecisionRecord, bundle: PolicyBundle) -> Part:
    taken = [(each.model, each.lane, None) for each in record.plan.candidates]
    entries = bundle.index.by_name
    # A wish for a model outside the catalogue was never a candidate.
    refused = [
        (each.model, entries[each.model].lane, each.reason)
        for each in record.plan.rejected
        if each.model in entries
    ]
    return {"candidates": [_candidate(*each) for each in (*taken, *refused)]}


def _candidate(model: str, lane: Lane, reason: ReasonCode | None) -> Part:
    # A dearer model than the one that does was refused by no constraint.
    against = None if reason is ReasonCode.OVER_PROVISIONED else reason
    return {
        "target": binding_urn(model),
        "lane": LANE_WORDS[lane],
        "accepted": against is None,
        "refused_by": constraint_of(against) if against else None,
        "reason_code": against.value if against else None,
    }


def _health(given: DecisionInput) -> Part:
    endpoints = given.snapshot.endpoints
    if not endpoints:
        return _not_applicable("denied_before_this_part")
    now = given.snapshot.taken_at
    return {
        "taken_at": _time(now),
        "digest": _digest(*endpoints),
        "endpoints": [
            {"endpoint": each.endpoint, "state": _state(each, now), "latency_p95_ms": None}
            for each in endpoints
        ],
    }


def _state(signal: EndpointSignal, now: datetime) -> str:
    if not signal.has_credentials:
        return "unknown"
    if not signal.is_healthy:
        return "down"
    limited = signal.rate_limited_until is not None and signal.rate_limited_until > now
    return "degraded" if limited else "healthy"


def _cost_class(candidates: tuple[Candidate, ...]) -> Part:
    if not candidates:
        return _not_applicable("no_model_used")
    first = candidates[0]
    return {"cost_class": "none" if first.lane is Lane.NONE else first.cost_class.value}


def _context(record: DecisionRecord, bundle: PolicyBundle) -> Part:
    plan, first = record.plan, _first(record)
    row = bundle.pack.classes.get(plan.task_class or "")
    if row is None:
        return _not_applicable("denied_before_this_part")
    needed = int(tokens_needed(Facts(record.input, bundle, plan.task_class or "", row)))
    limits = {lane: rule.context_tokens_max for lane, rule in bundle.pack.lanes.items()}
    if first is not None:
        limit = limits.get(first.lane)
        if limit is None:
            return _not_applicable("no_model_used")
        return {"tokens_max": limit, "tokens_needed": needed, "action": "accepted"}
    over = {each.model for each in plan.rejected if each.reason is ReasonCode.LANE_CONTEXT}
    lanes = {entry.lane for entry in bundle.index.entries if entry.name in over}
    asked = [limit for lane in lanes if (limit := limits.get(lane)) is not None]
    if not asked:
        return _not_applicable("denied_before_this_part")
    return {"tokens_max": max(asked), "tokens_needed": needed, "action": "refused"}


def _tools(record: DecisionRecord) -> Part:
    asked = [right for right in TOOL_RIGHTS if right in record.input.request.tools]
    if not asked:
        return _not_applicable("no_tool_asked")
    granted = asked if record.plan.effect is Effect.RUN else []
    return {"asked": asked, "granted": granted}


def _governance(record: DecisionRecord) -> Part:
    receipts = receipts_in_force(record.input)
    found = {each.kind: urn_of("receipt", each.receipt_id) for each in reversed(receipts)}
    policy = record.plan.policy
    return {
        "policy": f"urn:pointwork:pack:{policy.pack}:{policy.version}",
        "policy_digest": policy.pack_sha256,
        "egress_grant": found.get(ReceiptKind.EGRESS),
        "policy_approval": found.get(ReceiptKind.HOSTED_FALLBACK),
        "consent": found.get(ReceiptKind.PERSONALISATION_CONSENT),
        "governance_contract": found.get(ReceiptKind.GOVERNANCE_CONTRACT),
    }
