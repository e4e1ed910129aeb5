"""Ordering ``role_table``: a role's row, its rules first, its fallbacks after (CX-16)."""

from collections.abc import Sequence

from pointwork.contract.decision import MoveKind, Trigger
from pointwork.contract.reasons import ReasonCode
from pointwork.policy.documents.conditions import met
from pointwork.policy.documents.routes import PlainRung, Rung, families_of
from pointwork.policy.engine.facts import Facts
from pointwork.policy.engine.filters import Refused
from pointwork.policy.engine.index import Entry
from pointwork.policy.engine.ranking import MONEY, Ranked, codes, members, refuse

_OUT = frozenset(
    {
        ReasonCode.NOT_ON_HOST,
        ReasonCode.RETIRED,
        ReasonCode.NO_CREDENTIALS,
        ReasonCode.NO_PRICE,
        ReasonCode.UNHEALTHY,
        ReasonCode.RATE_LIMITED,
        ReasonCode.QUOTA_EXHAUSTED,
        ReasonCode.RESOURCES,
        ReasonCode.ALREADY_FAILED,
        ReasonCode.OFFLINE,
        ReasonCode.PRIVACY_TIER,
        ReasonCode.RESTRICTED,
        ReasonCode.RESIDENCY,
    }
)
"""A model out of reach: down, gone, or in a place the task may not use (R-31, S-7)."""


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
    first = members(facts, families_of(facts.row.rungs[0]))
    ranked.default_rank = first[0].lane_rank if first else None
    if ranked.trigger is None:
        _name_the_beginning(facts, refused, rungs, ranked)
    return ranked


def _refuse_unrouted(facts: Facts, refused: Refused, rungs: tuple[PlainRung | Rung, ...]) -> None:
    routed = {family for rung in rungs for family in families_of(rung)}
    default = {family for rung in facts.row.rungs for family in families_of(rung)}
    named = set(facts.row.families)
    for entry in facts.bundle.index.entries:
        if entry.family in routed:
            continue
        if entry.family in default:
            refuse(refused, entry, ReasonCode.ROUTED_AWAY, facts.task_class)
        elif entry.family in named:
            refuse(refused, entry, ReasonCode.ESCALATION_ONLY, facts.task_class)
        else:
            refuse(refused, entry, ReasonCode.NOT_IN_ROUTE, entry.family)


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
        if outage_only and not _all_out(facts, refused, earlier):
            for entry in listed:
                refuse(refused, entry, ReasonCode.OUTAGE_ONLY, facts.task_class)
        else:
            ranked.chosen = _serving(facts, refused, listed)
        if not ranked.chosen:
            ranked.blocked_by = _cap(refused, listed)
        elif number:
            given = rung.trigger if isinstance(rung, Rung) else None
            ranked.trigger = given or _why_left(facts, earlier)
            ranked.kind = _kind(facts, earlier)
        earlier += listed


def _serving(facts: Facts, refused: Refused, listed: list[Entry]) -> list[Entry]:
    """The permitted models. A host's alternative serves only while its default is out (CX-78)."""
    families, serving = facts.bundle.pack.families, list[Entry]()
    for number, entry in enumerate(listed):
        if entry.name in refused:
            continue
        before = [each for each in listed[:number] if each.family == entry.family]
        if families[entry.family].from_host and not _all_out(facts, refused, before):
            refuse(refused, entry, ReasonCode.OUTAGE_ONLY, facts.task_class)
        else:
            serving.append(entry)
    return serving


def _all_out(facts: Facts, refused: Refused, entries: Sequence[Entry]) -> bool:
    """Whether every one of ``entries`` is out of reach, and none because it answered badly."""
    out = all(codes(refused, entry.name) & _OUT for entry in entries)
    return out and not _answered_badly(facts, entries)


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


def _answered_badly(facts: Facts, entries: Sequence[Entry]) -> bool:
    """Whether one of ``entries`` was left for what it answered, and not because it went out."""
    last = {each.model: each.kind for each in facts.given.failed}
    return any(
        entry.name in facts.left_models
        and ((kind := last[entry.name]) is None or not kind.is_outage)
        for entry in entries
    )


def _why_left(facts: Facts, earlier: Sequence[Entry]) -> str:
    if _answered_badly(facts, earlier):
        return Trigger.CHEAPER_FAILED
    if all(entry.is_local for entry in earlier):
        return Trigger.LOCAL_UNAVAILABLE
    if facts.is_local_only:
        return ReasonCode.PRIVACY_TIER.value
    return ReasonCode.OFFLINE.value if facts.is_offline else Trigger.PROVIDER_OUTAGE


def _kind(facts: Facts, earlier: Sequence[Entry]) -> MoveKind:
    return MoveKind.ESCALATION if _answered_badly(facts, earlier) else MoveKind.FALLBACK


def _name_the_beginning(
    facts: Facts, refused: Refused, rungs: tuple[PlainRung | Rung, ...], ranked: Ranked
) -> None:
    """Why the task begins where it does; an alternative never serves in silence (CX-84)."""
    rule, own = ranked.rule, families_of(facts.row.rungs[0])
    if rule is not None and families_of(rungs[0]) != own:
        ranked.trigger, ranked.kind = rule.trigger, rule.kind
        return
    first = ranked.chosen[0] if ranked.chosen else None
    before = members(facts, own)
    before = before[: before.index(first)] if first in before else []
    if before and _all_out(facts, refused, before):
        ranked.trigger, ranked.kind = _why_left(facts, before), MoveKind.FALLBACK
    elif rule is not None:
        ranked.trigger = ranked.home = rule.trigger
    elif facts.given.failed and first and facts.given.failed[-1].model == first.name:
        ranked.trigger = Trigger.DEFAULT
