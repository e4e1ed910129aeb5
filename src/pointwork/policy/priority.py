"""Ordering ``priority``: the policy's listed numbers, moved by the overlay (JG-14, JG-37)."""

from collections.abc import Iterator

from pointwork.contract.decision import MoveKind, Trigger
from pointwork.contract.reasons import ReasonCode
from pointwork.policy.facts import Facts
from pointwork.policy.filters import Refused
from pointwork.policy.index import Entry
from pointwork.policy.ranking import (
    DOWNGRADE_TRIGGER,
    Ranked,
    codes,
    members,
    money_cause,
    refuse,
)
from pointwork.policy.routes import TaskClass


def priority(facts: Facts, refused: Refused) -> Ranked:
    """Lowest number first. A bad answer of a dear model goes down to a cheaper one (R-5, S-12)."""
    listed = listed_order(facts)
    last = facts.given.failed[-1] if facts.given.failed else None
    by_name = facts.bundle.index.by_name
    if last is not None and last.kind is None and last.model in by_name:
        return _down(facts, refused, [by_name[last.model]], Trigger.EXPENSIVE_FAILED)
    chosen = [entry for entry in listed if entry.name not in refused]
    if not chosen:
        cause = money_cause(refused, listed)
        if cause is not None and facts.bundle.pack.on_ceiling != "block":
            blocked = [entry for entry in listed if codes(refused, entry.name) == {cause}]
            ranked = _down(facts, refused, blocked, DOWNGRADE_TRIGGER[cause])
            ranked.downgrade = cause if ranked.chosen else None
            return ranked
    _refuse_unlisted(facts, refused, listed)
    ranked = Ranked(chosen)
    if chosen and chosen[0] is not listed[0]:
        ranked.trigger, ranked.kind = Trigger.NEXT_PRIORITY, MoveKind.FALLBACK
    return ranked


def listed_order(facts: Facts) -> list[Entry]:
    """The class's models by number, each moved by the places the overlay gives it."""
    listed = members(facts, facts.row.families)
    overlay = facts.given.snapshot.overlay
    if overlay is None:
        return listed
    shifts = overlay.shifts(facts.task_class)
    # One and a half places let a risen model pass the next one and tie with none.
    places = {e.name: place - 1.5 * shifts.get(e.name, 0) for place, e in enumerate(listed)}
    return sorted(listed, key=lambda entry: (places[entry.name], entry.name))


def _down(facts: Facts, refused: Refused, below: list[Entry], trigger: Trigger) -> Ranked:
    """Cheaper models, class by class from the task's own downwards."""
    limit = min(facts.estimate(entry) for entry in below)
    chosen: list[Entry] = []
    for entry in _downwards(facts):
        if entry in chosen or entry.name in refused:
            continue
        if facts.estimate(entry) < limit:
            chosen.append(entry)
    named = ", ".join(entry.name for entry in below)
    for entry in facts.bundle.index.entries:
        if entry.name not in refused and entry not in chosen:
            refuse(refused, entry, ReasonCode.NOT_IN_ROUTE, f"not cheaper than {named}")
    return Ranked(chosen, trigger=trigger, kind=MoveKind.DOWNGRADE)


def _downwards(facts: Facts) -> Iterator[Entry]:
    pack = facts.bundle.pack
    order = pack.downgrade_classes
    start = order.index(facts.task_class) if facts.task_class in order else 0
    rows: list[TaskClass] = [facts.row, *(pack.classes[name] for name in order[start:])]
    for row in rows:
        yield from members(facts, row.families)


def _refuse_unlisted(facts: Facts, refused: Refused, listed: list[Entry]) -> None:
    names = {entry.name for entry in listed}
    for entry in facts.bundle.index.entries:
        if entry.name not in names:
            refuse(refused, entry, ReasonCode.NOT_IN_ROUTE, entry.family)
