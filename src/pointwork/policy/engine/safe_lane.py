"""Ordering ``cheapest_safe_lane``: the lowest lane that can safely carry the step (SP-13)."""

from decimal import Decimal

from pointwork.contract.decision import MoveKind, Trigger
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import Lane
from pointwork.policy.engine.facts import Facts
from pointwork.policy.engine.filters import Refused
from pointwork.policy.engine.index import Entry
from pointwork.policy.engine.lanes import floors_met
from pointwork.policy.engine.ranking import (
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

_OUT = frozenset(
    {
        ReasonCode.NOT_ON_HOST,
        ReasonCode.NO_CREDENTIALS,
        ReasonCode.UNHEALTHY,
        ReasonCode.RATE_LIMITED,
        ReasonCode.RESOURCES,
        ReasonCode.LATENCY,
    }
)
"""Refusals that say the model cannot serve now, not that it would serve badly."""


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
    _explain(facts, refused, ranked)
    return ranked


def entry_lane(facts: Facts) -> Lane:
    """The lane a model of this class and stage begins at; ``none`` is below every model."""
    stage = facts.bundle.pack.stages.get(facts.stage or "")
    lanes = [lane for lane in (facts.row.lane, stage.lane if stage else None) if lane is not None]
    return max(lanes, key=lambda lane: lane.rank, default=Lane.NONE)


def quality_floor(facts: Facts) -> int:
    """The grade a model needs, 1 to 3: the class's, or a higher one that the step asks for."""
    return max(facts.row.quality_floor, int(facts.measure("quality_floor") or 0))


def eval_confidence(facts: Facts, model: str) -> Decimal | None:
    """Share of the class's evaluations ``model`` passed; 0 where it alone has none on record.

    None where the class was never evaluated, or the pack asks for no evaluations.
    """
    found = _confidences(facts)
    return found.get(model, Decimal(0)) if found else None


def _confidences(facts: Facts) -> dict[str, Decimal]:
    """By model; empty where the class was never evaluated or the pack asks for no evaluations."""
    evals = facts.given.snapshot.evals or ()
    if facts.row.eval_confidence_min is None:
        return {}
    return {each.model: each.confidence for each in evals if each.task_class == facts.task_class}


def _refuse_unfit(facts: Facts, refused: Refused) -> None:
    routed, begins = set(facts.row.families), entry_lane(facts)
    asked, confidences = int(facts.measure("quality_floor") or 0), _confidences(facts)
    for entry in facts.bundle.index.entries:
        if entry.family not in routed:
            refuse(refused, entry, ReasonCode.NOT_IN_ROUTE, entry.family)
        elif entry.lane is Lane.NONE:
            continue  # what solves a step without a model is never too low for it
        elif entry.lane_rank < begins.rank:
            refuse(refused, entry, ReasonCode.QUALITY_FLOOR, f"begins at {begins}")
        elif short := _falls_short(facts, entry, asked, confidences):
            refuse(refused, entry, ReasonCode.QUALITY_FLOOR, short)


def _falls_short(facts: Facts, entry: Entry, asked: int, confidences: dict[str, Decimal]) -> str:
    """Why the model is not good enough: by its evaluations where there are any, else its grade."""
    least = facts.row.eval_confidence_min
    if not confidences or least is None:
        floor = max(facts.row.quality_floor, asked)
        return f"grade {entry.quality} of {floor}" if entry.quality < floor else ""
    passed = confidences.get(entry.name, Decimal(0))
    if passed < least:
        return f"passed {passed} of {least}"
    return f"grade {entry.quality} of {asked}" if entry.quality < asked else ""


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
    capped.sort(key=lambda entry: entry.lane_rank)
    cause = next(code for code, _ in refused[capped[0].name])
    for entry in permitted:
        refuse(refused, entry, cause, f"{capped[0].name} is over what is left")
    if not _downgrades(facts, cause):
        return Ranked(blocked_by=cause)
    cheaper = cheaper_than(facts, refused, capped, forgiven=_QUALITY)
    if not cheaper:
        return Ranked(blocked_by=cause)
    chosen = sorted(cheaper, key=lambda entry: (-entry.lane_rank, entry.place, entry.name))
    return Ranked(
        chosen,
        downgrade=cause,
        trigger=DOWNGRADE_TRIGGER[cause],
        kind=MoveKind.DOWNGRADE,
        default_rank=capped[0].lane_rank,
    )


def _downgrades(facts: Facts, cause: ReasonCode) -> bool:
    """Deny or downgrade, as the pack's own setting for ceilings and for budgets says (SP-43)."""
    pack = facts.bundle.pack
    if cause is ReasonCode.CEILING:
        return pack.on_ceiling != "block"
    return pack.on_budget == "downgrade"


def _explain(facts: Facts, refused: Refused, ranked: Ranked) -> None:
    """The trigger: a lane up after a failure or for the stakes, or down after planning (SP-38)."""
    first, given = ranked.chosen[0], facts.given
    by_name = facts.bundle.index.by_name
    if given.failed:
        last = given.failed[-1]
        if last.kind is None:
            reason = given.request.escalation_reason
            before = by_name[last.model].lane_rank if last.model in by_name else first.lane_rank
            if first.lane_rank > before:
                ranked.trigger, ranked.kind = reason or Trigger.LANE_UP, MoveKind.ESCALATION
            else:
                ranked.kind = MoveKind.FALLBACK  # the lane's own better model (SP-8)
        return
    stage = facts.bundle.pack.stages.get(facts.stage or "")
    planned = given.request.previous_lane
    if stage and stage.after_planning and planned and planned.rank > first.lane_rank:
        ranked.trigger, ranked.kind = Trigger.DE_ESCALATED, MoveKind.DE_ESCALATION
        ranked.default_rank = planned.rank
        return
    _explain_rise(facts, refused, ranked)


def _explain_rise(facts: Facts, refused: Refused, ranked: Ranked) -> None:
    """Why a step begins above the lane its class and stage begin at."""
    first, rank = ranked.chosen[0], max(entry_lane(facts).rank, Lane.LOCAL.rank)
    if first.lane_rank <= rank:
        return
    ranked.default_rank = rank
    default = [e for e in members(facts, facts.row.families) if e.lane_rank == rank]
    serving = [e for e in default if not e.is_personal]
    if serving and all(codes(refused, each.name) & _OUT for each in serving):
        ranked.trigger, ranked.kind = Trigger.LOCAL_UNAVAILABLE, MoveKind.FALLBACK
        return
    ranked.trigger = facts.given.request.escalation_reason or Trigger.LANE_UP
    ranked.kind = MoveKind.ESCALATION
    ranked.evidence = tuple(f"{code}: {why}" for _, code, why in floors_met(facts))
