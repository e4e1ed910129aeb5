"""Which models answer side by side, where a class of the pack asks for it (OM-52 to OM-54)."""

from pointwork.contract.decision import ParallelShortfall
from pointwork.policy.engine.cheapest import is_near_ceiling, route_of
from pointwork.policy.engine.facts import Facts
from pointwork.policy.engine.filters import Refused
from pointwork.policy.engine.index import Entry
from pointwork.policy.engine.ranking import Ranked, by_cost, members


def side_by_side(facts: Facts, refused: Refused, ranked: Ranked) -> Ranked:
    """The first model stays first; models of other vendors come beside it, then any (OM-53).

    Where the class says nothing about it, nothing changes (OM-54).
    """
    wanted = facts.row.parallel
    if wanted is None or not ranked.chosen or ranked.chosen[0].priced.model.kind != "llm":
        return ranked
    first, *others = ranked.chosen
    beside = [
        entry
        for entry in (*others, *_from_later_rungs(facts, refused, ranked))
        if entry.priced.model.kind == "llm" and not is_near_ceiling(facts, entry)
    ]
    picked = _of_different_vendors(first, beside, wanted)
    ranked.chosen = [*picked, *(each for each in others if each not in picked)]
    ranked.branches = len(picked)
    ranked.shortfall = _shortfall(picked, wanted)
    return ranked


def _from_later_rungs(facts: Facts, refused: Refused, ranked: Ranked) -> list[Entry]:
    """Permitted models of the class's later rungs: the lowest may have one vendor only.

    Not where money already moved the task to a cheaper model.
    """
    if facts.bundle.pack.rank != "cheapest_sufficient" or ranked.downgrade is not None:
        return []
    found: list[Entry] = []
    for rung in route_of(facts)[0]:
        permitted = [e for e in members(facts, rung) if e.name not in refused]
        found += [e for e in by_cost(facts, permitted) if e not in ranked.chosen]
    return found


def _of_different_vendors(first: Entry, beside: list[Entry], wanted: int) -> list[Entry]:
    picked, vendors = [first], {first.vendor}
    for entry in beside:
        if entry.vendor not in vendors:
            picked.append(entry)
            vendors.add(entry.vendor)
    picked += [entry for entry in beside if entry not in picked]
    return picked[:wanted]


def _shortfall(picked: list[Entry], wanted: int) -> ParallelShortfall | None:
    vendors = len({entry.vendor for entry in picked})
    if vendors == 1:
        return ParallelShortfall.SINGLE_VENDOR
    if vendors < len(picked):
        return ParallelShortfall.FEWER_VENDORS
    return ParallelShortfall.FEWER_MODELS if len(picked) < wanted else None
