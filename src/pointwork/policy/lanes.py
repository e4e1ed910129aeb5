"""Which lanes a step may use, by its stage, stakes, tools and length (SP-13 to SP-20, SP-37)."""

from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import ReceiptKind
from pointwork.contract.task import Lane
from pointwork.policy.conditions import met
from pointwork.policy.facts import Facts
from pointwork.policy.routes import LaneRule


def lane_refusals(facts: Facts) -> dict[Lane, list[tuple[ReasonCode, str]]]:
    """Why each closed lane is closed; an open lane has no reason."""
    pack = facts.bundle.pack
    found: dict[Lane, list[tuple[ReasonCode, str]]] = {}
    for lane, rule in pack.lanes.items():
        reasons = [*_too_low(facts, lane), *_too_high(facts, lane), *_closed(facts, lane, rule)]
        if reasons:
            found[lane] = reasons
    return found


def _too_low(facts: Facts, lane: Lane) -> list[tuple[ReasonCode, str]]:
    """The cheapest lane is only as cheap as the next irreversible decision lets it be (SP-13)."""
    found = []
    for floor in facts.bundle.pack.lane_floors:
        if lane.rank >= floor.lane.rank:
            continue
        evidence = met(floor.when, facts)
        if evidence is not None:
            found.append((ReasonCode(floor.reason), ", ".join(evidence)))
    return found


def _too_high(facts: Facts, lane: Lane) -> list[tuple[ReasonCode, str]]:
    stage = facts.bundle.pack.stages.get(facts.stage or "")
    if stage is None or lane.rank <= stage.lane_max.rank:
        return []
    return [(ReasonCode.LANE_ABOVE_STAGE, f"{facts.stage} goes up to {stage.lane_max}")]


def _closed(facts: Facts, lane: Lane, rule: LaneRule) -> list[tuple[ReasonCode, str]]:
    found = []
    if rule.opens_when is not None and met(rule.opens_when, facts) is None:
        found.append((ReasonCode.LANE_CLOSED, rule.called))
    limit = rule.context_tokens_max
    if limit is not None and (tokens := facts.measure("context_tokens") or 0) > limit:
        found.append((ReasonCode.LANE_CONTEXT, f"{tokens} of {limit} tokens"))
    wanted = sorted(set(facts.given.request.tools) - set(rule.tools))
    if wanted:
        found.append((ReasonCode.LANE_TOOLS, ", ".join(wanted)))
    if missing := _guard_missing(facts, rule):
        found.append((ReasonCode.LANE_GUARD, missing))
    return found


def _guard_missing(facts: Facts, rule: LaneRule) -> str:
    """What the guard still wants: a reason on the list, and a receipt for that very reason."""
    reason = facts.given.request.escalation_reason
    if rule.guard.needs_reason and reason not in facts.bundle.pack.escalation_reasons:
        return "reason"
    if rule.guard.needs_receipt and not facts.receipt(ReceiptKind.LANE_ESCALATION, reason=reason):
        return "receipt"
    return ""
