"""Which lanes a step may use, by its stage, stakes, tools and length (SP-13 to SP-20, SP-37)."""

from decimal import Decimal

from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import ReceiptKind
from pointwork.contract.task import Lane
from pointwork.policy.documents.conditions import met
from pointwork.policy.documents.routes import LaneRule
from pointwork.policy.engine.facts import Facts

Floor = tuple[Lane, ReasonCode, str]


def lane_refusals(facts: Facts) -> dict[Lane, list[tuple[ReasonCode, str]]]:
    """Why each closed lane is closed; an open lane has no reason."""
    pack, floors = facts.bundle.pack, floors_met(facts)
    found: dict[Lane, list[tuple[ReasonCode, str]]] = {}
    for lane, rule in pack.lanes.items():
        reasons = [*_too_low(floors, lane), *_too_high(facts, lane), *_closed(facts, lane, rule)]
        if reasons:
            found[lane] = reasons
    return found


def tokens_needed(facts: Facts) -> Decimal:
    """Context a step takes, in tokens: what it reads and what it may write, together (SP-19)."""
    return (facts.measure("context_tokens") or Decimal(0)) + facts.output_tokens_asked


def floors_met(facts: Facts) -> list[Floor]:
    """The floors that hold for the step: lowest lane, reason, and what made the rule hold."""
    return [
        (floor.lane, ReasonCode(floor.reason), ", ".join(evidence))
        for floor in facts.bundle.pack.lane_floors
        if (evidence := met(floor.when, facts)) is not None
    ]


def _too_low(floors: list[Floor], lane: Lane) -> list[tuple[ReasonCode, str]]:
    """The cheapest lane is only as cheap as the next irreversible decision lets it be (SP-13).

    A deterministic solver is not a model that might err, so no floor shuts its lane.
    """
    if lane is Lane.NONE:
        return []
    return [(code, why) for floor, code, why in floors if lane.rank < floor.rank]


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
    if limit is not None and (tokens := tokens_needed(facts)) > limit:
        found.append((ReasonCode.LANE_CONTEXT, f"{tokens} of {limit} tokens"))
    if wanted := _no_right_to(facts, rule):
        found.append((ReasonCode.LANE_TOOLS, ", ".join(wanted)))
    if missing := _guard_missing(facts, rule):
        found.append((ReasonCode.LANE_GUARD, missing))
    return found


def _no_right_to(facts: Facts, rule: LaneRule) -> list[str]:
    """Tools the lane has no right to, or that wait for the guardrail authority's word (SP-20).

    What the tools of a prompt do is known from what their caller states alone; unstated, they may
    do anything that a lane has a right to.
    """
    asked = set(facts.given.request.tools)
    if facts.given.classification.has_tools and not asked:
        asked = {right for each in facts.bundle.pack.lanes.values() for right in each.tools}
    unheard = facts.given.snapshot.guardrail is None
    guarded = set(facts.bundle.pack.guarded_tools) if unheard else set()
    return sorted((asked - set(rule.tools)) | (asked & guarded))


def _guard_missing(facts: Facts, rule: LaneRule) -> str:
    """What the guard still wants: a reason on the list, and a receipt for that very reason."""
    reason = facts.given.request.escalation_reason
    if rule.guard.needs_reason and reason not in facts.bundle.pack.escalation_reasons:
        return "reason"
    if rule.guard.needs_receipt and not facts.receipt(ReceiptKind.LANE_ESCALATION, reason=reason):
        return "receipt"
    return ""
