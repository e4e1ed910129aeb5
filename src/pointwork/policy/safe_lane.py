"""Ordering ``cheapest_safe_lane``: the lowest lane that can safely carry the step (SP-13)."""

from pointwork.contract.decision import MoveKind, Trigger
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import Lane
from pointwork.policy.facts import Facts
from pointwork.policy.filters import Refused
from pointwork.policy.index import Entry
from pointwork.policy.ranking import (
    DOWNGRADE_TRIGGER,
    MONEY,
    Ranked,
    cheaper_than,
    codes,
    failed_vendors,
    members,
    refuse,
)

_QUALITY = frozenset({ReasonCode.QUALITY_FLOOR})


def cheapest_safe_lane(facts: Facts, refused: Refused) -> Ranked:
    """The models of the lowest open lane, in the pack's order. A bad answer goes up one lane."""
    _refuse_unfit(facts, refused)
    routed = members(facts, facts.row.families)
    permitted = [entry for entry in routed if entry.name not in refused]
    capped = _capped_lane(refused, routed)
    if capped is not None and all(entry.lane_rank > capped for entry in permitted):
        return _within_budget(facts, refused, routed, permitted)
    if not permitted:
        return Ranked()
    lane = min(entry.lane_rank for entry in permitted)
    vendors = failed_vendors(facts)
    chosen = sorted(
        (entry for entry in permitted if entry.lane_rank == lane),
        key=lambda e: (e.vendor in vendors and not e.is_local, not e.is_personal, e.place, e.name),
    )
    ranked = Ranked(chosen)
    for entry in permitted:
        if entry.lane_rank > lane:
            detail = f"lane {chosen[0].lane} is sufficient"
            ranked.passed_over[entry.name] = (ReasonCode.OVER_PROVISIONED, detail)
    _explain(facts, ranked)
    return ranked


def entry_lane(facts: Facts) -> Lane:
    """The lane a model of this class and stage begins at; ``none`` is below every model."""
    stage = facts.bundle.pack.stages.get(facts.stage or "")
    lanes = [lane for lane in (facts.row.lane, stage.lane if stage else None) if lane is not None]
    return max(lanes, key=lambda lane: lane.rank, default=Lane.NONE)


def quality_floor(facts: Facts) -> int:
    return max(facts.row.quality_floor, int(facts.measure("quality_floor") or 0))


def _refuse_unfit(facts: Facts, refused: Refused) -> None:
    routed, floor = set(facts.row.families), quality_floor(facts)
    begins = entry_lane(facts)
    for entry in facts.bundle.index.entries:
        if entry.family not in routed:
            refuse(refused, entry, ReasonCode.NOT_IN_ROUTE, entry.family)
        elif entry.lane is Lane.NONE:
            continue  # what solves a step without a model is never too low for it
        elif entry.lane_rank < begins.rank:
            refuse(refused, entry, ReasonCode.QUALITY_FLOOR, f"begins at {begins}")
        elif entry.quality < floor:
            refuse(refused, entry, ReasonCode.QUALITY_FLOOR, f"{entry.quality} of {floor}")


def _capped_lane(refused: Refused, routed: list[Entry]) -> int | None:
    """The lowest lane that money alone keeps shut."""
    ranks = [
        entry.lane_rank
        for entry in routed
        if (found := codes(refused, entry.name)) and found <= MONEY
    ]
    return min(ranks, default=None)


def _within_budget(
    facts: Facts, refused: Refused, routed: list[Entry], permitted: list[Entry]
) -> Ranked:
    """Exhausted money never buys a dearer lane: a cheaper one serves, or the task is denied."""
    capped = [e for e in routed if (found := codes(refused, e.name)) and found <= MONEY]
    cause = next(code for code, _ in refused[capped[0].name])
    for entry in permitted:
        refuse(refused, entry, cause, f"{capped[0].name} is over what is left")
    if facts.bundle.pack.on_budget != "downgrade":
        return Ranked(blocked_by=cause)
    cheaper = cheaper_than(facts, refused, capped, forgiven=_QUALITY)
    if not cheaper:
        return Ranked(blocked_by=cause)
    chosen = sorted(cheaper, key=lambda entry: (-entry.lane_rank, entry.place, entry.name))
    return Ranked(
        chosen, downgrade=cause, trigger=DOWNGRADE_TRIGGER[cause], kind=MoveKind.DOWNGRADE
    )


def _explain(facts: Facts, ranked: Ranked) -> None:
    """The trigger: a lane up after a failure, or down once planning is done (SP-38)."""
    first, given = ranked.chosen[0], facts.given
    if given.failed:
        last = given.failed[-1]
        if last.kind is None:
            reason = given.request.escalation_reason
            ranked.trigger, ranked.kind = reason or Trigger.LANE_UP, MoveKind.ESCALATION
        return
    stage = facts.bundle.pack.stages.get(facts.stage or "")
    before = given.request.previous_lane
    if stage and stage.after_planning and before and before.rank > first.lane_rank:
        ranked.trigger, ranked.kind = Trigger.DE_ESCALATED, MoveKind.DE_ESCALATION
        ranked.default_rank = before.rank
