"""Ordering ``priority``: the policy's listed numbers, moved by the overlay (JG-14, JG-37)."""

from collections.abc import Iterator

from pointwork.contract.decision import MoveKind, Trigger
from pointwork.contract.reasons import ReasonCode
from pointwork.policy.documents.routes import TaskClass
from pointwork.policy.engine.facts import Facts
from pointwork.policy.engine.filters import Refused
from pointwork.policy.engine.index import Entry
from pointwork.policy.engine.overlay import reordered
from pointwork.policy.engine.ranking import (
    DOWNGRADE_TRIGGER,
    Ranked,
    codes,
    members,
    money_cause,
    refuse,
)


def priority(facts: Facts, refused: Refused) -> Ranked:
    """Lowest number first. A bad answer of a dear model goes down to a cheaper one (R-5, S-12)."""
    answered_badly = _answered_badly(facts)
    if answered_badly and facts.bundle.pack.on_quality_failure == "down":
        ranked = _after_bad_answer(facts, refused, answered_badly)
    else:
        ranked = _by_number(facts, refused)
    # Of the class the task was given: a simpler one that routes it is already a move (JG-54).
    own = listed_order(facts, facts.given.classification.task_class or facts.task_class)
    ranked.default_rank = own[0].lane_rank if own else None
    return ranked


def listed_order(facts: Facts, task_class: str) -> list[Entry]:
    """The class's models by number, each moved by the places the overlay gives it."""
    listed = members(facts, facts.bundle.pack.classes[task_class].families)
    overlay = facts.given.snapshot.overlay
    if overlay is None:
        return listed
    by_name = facts.bundle.index.by_name
    names = reordered(task_class, tuple(entry.name for entry in listed), overlay)
    return [by_name[name] for name in names]


def _by_number(facts: Facts, refused: Refused) -> Ranked:
    listed = listed_order(facts, facts.task_class)
    chosen = [entry for entry in listed if entry.name not in refused]
    if not chosen:
        cause = money_cause(refused, listed)
        if cause is not None and facts.bundle.pack.on_ceiling != "block":
            blocked = [entry for entry in listed if codes(refused, entry.name) == {cause}]
            ranked = _cheaper(facts, refused, blocked, DOWNGRADE_TRIGGER[cause])
            ranked.downgrade = cause if ranked.chosen else None
            return ranked
    _refuse_unlisted(facts, refused, listed)
    ranked = Ranked(chosen)
    if chosen and chosen[0] is not listed[0]:
        ranked.trigger, ranked.kind = Trigger.NEXT_PRIORITY, MoveKind.FALLBACK
        cause = money_cause(refused, listed[:1])
        if cause is not None and facts.estimate(chosen[0]) < facts.estimate(listed[0]):
            ranked.downgrade, ranked.kind = cause, MoveKind.DOWNGRADE
    return ranked


def _answered_badly(facts: Facts) -> list[Entry]:
    by_name = facts.bundle.index.by_name
    bad = dict.fromkeys(each.model for each in facts.given.failed if each.kind is None)
    return [by_name[name] for name in bad if name in by_name]


def _after_bad_answer(facts: Facts, refused: Refused, below: list[Entry]) -> Ranked:
    """An outage on the way down goes aside among the cheaper ones, and never up again (R-5)."""
    ranked = _cheaper(facts, refused, below, Trigger.EXPENSIVE_FAILED)
    if facts.given.failed[-1].kind is not None:
        ranked.trigger, ranked.kind = Trigger.NEXT_PRIORITY, MoveKind.FALLBACK
    return ranked


def _cheaper(facts: Facts, refused: Refused, below: list[Entry], trigger: Trigger) -> Ranked:
    """Models cheaper than all of ``below``, class by class from the task's own downwards."""
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
