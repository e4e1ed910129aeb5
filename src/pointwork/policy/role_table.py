"""Ordering ``role_table``: a role's row, its rules first, its fallbacks after (CX-16)."""

from pointwork.contract.decision import MoveKind, Trigger
from pointwork.contract.reasons import ReasonCode
from pointwork.policy.conditions import met
from pointwork.policy.facts import Facts
from pointwork.policy.filters import Refused
from pointwork.policy.index import Entry
from pointwork.policy.ranking import MONEY, Ranked, codes, members, refuse
from pointwork.policy.routes import PlainRung, Rung, families_of


def role_table(facts: Facts, refused: Refused) -> Ranked:
    """The first rule that holds names the rungs, else the row does; listed order inside a rung."""
    ranked = Ranked()
    rungs: tuple[PlainRung | Rung, ...] = facts.row.rungs
    for rule in facts.row.routes:
        evidence = met(rule.when, facts)
        if evidence is not None:
            ranked.rule, ranked.evidence, rungs = rule, evidence, rule.rungs
            break
    _refuse_unrouted(facts, refused, rungs)
    _walk(facts, refused, rungs, ranked)
    if ranked.rule is not None and ranked.trigger is None:
        ranked.trigger, ranked.kind = ranked.rule.trigger, ranked.rule.kind
    first = members(facts, families_of(facts.row.rungs[0]))
    ranked.default_rank = first[0].lane_rank if first else None
    return ranked


def _refuse_unrouted(facts: Facts, refused: Refused, rungs: tuple[PlainRung | Rung, ...]) -> None:
    routed = {family for rung in rungs for family in families_of(rung)}
    named = set(facts.row.families)
    for entry in facts.bundle.index.entries:
        if entry.family not in routed:
            escalates = entry.family in named
            code = ReasonCode.ESCALATION_ONLY if escalates else ReasonCode.NOT_IN_ROUTE
            refuse(refused, entry, code, facts.task_class if escalates else entry.family)


def _walk(
    facts: Facts, refused: Refused, rungs: tuple[PlainRung | Rung, ...], ranked: Ranked
) -> None:
    """The first rung that serves. Later ones stay shut while it does, or while a cap blocks it."""
    earlier: list[Entry] = []
    for number, rung in enumerate(rungs):
        listed = members(facts, families_of(rung))
        if ranked.chosen or ranked.blocked_by:
            _pass_over(refused, ranked, listed)
            continue
        outage_only = isinstance(rung, Rung) and rung.opens_on == "outage"
        if number and outage_only and _answered_badly(facts, earlier):
            for entry in listed:
                refuse(refused, entry, ReasonCode.OUTAGE_ONLY, facts.task_class)
            continue
        ranked.chosen = [entry for entry in listed if entry.name not in refused]
        if ranked.chosen and number:
            given = rung.trigger if isinstance(rung, Rung) else None
            ranked.trigger = given or _why_left(facts, earlier)
            ranked.kind = _kind(facts, earlier)
        elif not ranked.chosen:
            ranked.blocked_by = _cap(refused, listed)
        earlier += listed


def _pass_over(refused: Refused, ranked: Ranked, listed: list[Entry]) -> None:
    first = ranked.chosen[0].name if ranked.chosen else str(ranked.blocked_by)
    for entry in listed:
        if entry.name not in refused:
            ranked.passed_over[entry.name] = (ReasonCode.COMES_LATER, f"after {first}")


def _cap(refused: Refused, listed: list[Entry]) -> ReasonCode | None:
    """A cap blocks: the next rung is no way around the money that the first one may not spend."""
    for entry in listed:
        found = codes(refused, entry.name)
        if found and found <= MONEY:
            return next(code for code, _ in refused[entry.name])
    return None


def _answered_badly(facts: Facts, earlier: list[Entry]) -> bool:
    names = {entry.name for entry in earlier}
    return any(each.kind is None and each.model in names for each in facts.given.failed)


def _why_left(facts: Facts, earlier: list[Entry]) -> Trigger:
    if _answered_badly(facts, earlier):
        return Trigger.CHEAPER_FAILED
    local = all(entry.is_local for entry in earlier)
    return Trigger.LOCAL_UNAVAILABLE if local else Trigger.PROVIDER_OUTAGE


def _kind(facts: Facts, earlier: list[Entry]) -> MoveKind:
    return MoveKind.ESCALATION if _answered_badly(facts, earlier) else MoveKind.FALLBACK
