"""Ordering ``cheapest_sufficient``: the lowest open rung, by worst-case cost (OM-2 to OM-4)."""

from pointwork.contract.decision import MoveKind, Trigger
from pointwork.contract.reasons import ReasonCode
from pointwork.policy.documents.routes import families_of
from pointwork.policy.engine.facts import Facts
from pointwork.policy.engine.filters import Refusal, Refused
from pointwork.policy.engine.index import Entry
from pointwork.policy.engine.lifting import can_lift
from pointwork.policy.engine.ranking import (
    Ranked,
    by_cost,
    cheaper_than,
    members,
    money_cause,
    refuse,
)

_QUALITY = frozenset({ReasonCode.QUALITY_FLOOR})


def cheapest_sufficient(facts: Facts, refused: Refused) -> Ranked:
    """The cheapest models of the lowest rung that serves; a failed one's vendor comes last."""
    rungs, floor = route_of(facts)
    _refuse_unrouted(facts, refused, rungs, floor)
    serving, waiting = _lowest_rung(facts, refused, rungs)
    ordered = by_cost(facts, serving)
    passed = _passed_over(facts, refused, ordered, waiting)
    if ordered and not is_near_ceiling(facts, ordered[0]):
        return _past_first_rung(facts, refused, rungs, Ranked(ordered, passed))
    cause = ReasonCode.CEILING_NEAR if ordered else money_cause(refused, waiting)
    below = ordered[:1] or waiting
    cheaper = cheaper_than(facts, refused, below, forgiven=_QUALITY) if cause else []
    if not cheaper:
        return Ranked(ordered, passed)
    chosen = by_cost(facts, cheaper)
    detail = f"{chosen[0].name} is cheaper"
    passed |= {entry.name: (ReasonCode.CEILING_NEAR, detail) for entry in ordered}
    for entry in chosen:
        passed.pop(entry.name, None)
    return Ranked(chosen, passed, downgrade=cause)


def _past_first_rung(
    facts: Facts, refused: Refused, rungs: tuple[tuple[str, ...], ...], ranked: Ranked
) -> Ranked:
    """Names the move where nothing was tried yet and the first rung cannot serve (invariant 6)."""
    first = members(facts, rungs[0])
    is_first = ranked.chosen[0].family in rungs[0]
    # Decisions recorded under pack/1 call such a start the default.
    if is_first or facts.given.failed or facts.bundle.pack.schema_version == "pointwork/pack/1":
        return ranked
    ranked.trigger, ranked.kind = Trigger.FIRST_RUNG_OUT, MoveKind.FALLBACK
    ranked.default_rank = first[0].lane_rank if first else None
    ranked.evidence = tuple(f"{each.name}={refused[each.name][0][0]}" for each in first)
    return ranked


def route_of(facts: Facts) -> tuple[tuple[tuple[str, ...], ...], int]:
    """The rungs for this task, and the quality its models must have."""
    pack, row = facts.bundle.pack, facts.row
    rungs = tuple(families_of(rung) for rung in row.rungs)
    local = (pack.local_family or "",)
    if facts.is_sensitive or facts.is_local_only:
        rest = tuple(r for r in rungs if set(r) - set(pack.privacy.sensitive_route))
        return (pack.privacy.sensitive_route, *rest), 1
    if facts.local_marks or facts.is_high_volume:
        return (local,), 1
    if rungs == (local,):
        # Bulk work has no way out of the house, whatever its length or other marks.
        return rungs, row.quality_floor
    marks = facts.given.request.marks
    first = next((pack.mark_routes[mark] for mark in marks if mark in pack.mark_routes), None)
    large = pack.large_context_tokens
    if large is not None and facts.input_tokens_likely > large:
        first = pack.large_context_family
    if first is None:
        return rungs, row.quality_floor
    rest = tuple(r for rung in rungs if (r := tuple(f for f in rung if f != first)))
    return ((first,), *rest), row.quality_floor


def _refuse_unrouted(
    facts: Facts, refused: Refused, rungs: tuple[tuple[str, ...], ...], floor: int
) -> None:
    routed = {family for rung in rungs for family in rung}
    row = facts.row
    guarded = facts.bundle.pack.frontier_guard == "purpose" and row.frontier_purpose is None
    bulk = tuple(families_of(r) for r in row.rungs) == ((facts.bundle.pack.local_family,),)
    frontier = ReasonCode.FRONTIER_BULK if bulk else ReasonCode.FRONTIER_PURPOSE
    for family, entries in facts.bundle.index.by_family.items():
        unrouted = (ReasonCode.NOT_IN_ROUTE, family)
        for entry in entries:
            if family in routed:
                if entry.quality < floor:
                    detail = f"{entry.quality} of {floor}"
                    refuse(refused, entry, ReasonCode.QUALITY_FLOOR, detail)
                continue
            why = (frontier, facts.task_class) if entry.is_frontier and guarded else unrouted
            if (reasons := refused.get(entry.name)) is None:
                refused[entry.name] = [why]
            else:
                reasons.append(why)


def _lowest_rung(
    facts: Facts, refused: Refused, rungs: tuple[tuple[str, ...], ...]
) -> tuple[list[Entry], list[Entry]]:
    """The models of the first rung that can serve, or waits to; those that serve and that wait.

    A rung that none of its models can serve, or has failed to, lets the next be used (OM-4). One
    that only money or a person keeps shut does not: it downgrades, holds or denies.
    """
    for rung in rungs:
        listed = members(facts, rung)
        serving = [entry for entry in listed if entry.name not in refused]
        waiting = [e for e in listed if e.name in refused and _waits(facts, refused, e)]
        if serving or waiting:
            return serving, waiting
    return [], []


def _waits(facts: Facts, refused: Refused, entry: Entry) -> bool:
    for code, _ in refused[entry.name]:
        if code is not ReasonCode.BUDGET and not can_lift(facts, code):
            return False
    return True


def _passed_over(
    facts: Facts, refused: Refused, ordered: list[Entry], waiting: list[Entry]
) -> dict[str, Refusal]:
    if ordered:
        why = (ReasonCode.OVER_PROVISIONED, f"{ordered[0].name} is sufficient")
    else:
        named = ", ".join(sorted(entry.name for entry in waiting))
        why = (ReasonCode.NO_PRIOR_FAILURE, f"{named} comes first")
    chosen = {entry.name for entry in ordered}
    return {
        entry.name: why
        for entry in facts.bundle.index.entries
        if entry.name not in refused and entry.name not in chosen
    }


def is_near_ceiling(facts: Facts, entry: Entry) -> bool:
    ratio = facts.bundle.pack.ceiling_near_ratio
    if ratio is None or facts.cost_grant_nano_usd:
        return False
    return facts.estimates[entry.name] > ratio * facts.ceiling(entry.family)
