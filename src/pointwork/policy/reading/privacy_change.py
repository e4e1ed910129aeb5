"""How two plans for the same task differ in where its text may go and how it is treated."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from pointwork.contract.decision import Candidate, Effect, GrantKind, Obligation, Plan, Site
from pointwork.policy.bundle import PolicyBundle

_SITES = {site: rank for rank, site in enumerate((Site.LOCAL, Site.PRIVATE, Site.PUBLIC_API))}
_PRIVACY_GRANTS = (GrantKind.DATA_CLASSIFICATION, GrantKind.SENSITIVE_EGRESS)


class PrivacyKind(StrEnum):
    LEAVES = "leaves"
    """The first model stands further out than before."""
    MAY_LEAVE = "may_leave"
    """A later candidate stands further out than any did."""
    RESIDENCY = "residency"
    REDACTION = "redaction"
    APPROVAL = "approval"
    """A person no longer decides whether the text may leave."""
    SENSITIVITY = "sensitivity"


@dataclass(frozen=True)
class PrivacyChange:
    """One task, one change, told in words that name no content."""

    task_id: str
    kind: PrivacyKind
    crosses: bool
    """Whether text would be processed at a site or in a region that it could not reach before."""
    sentence: str


@dataclass(frozen=True)
class Way:
    """A plan, the rules that made it where they are at hand, and whom the text might reach."""

    plan: Plan
    rules: PolicyBundle | None
    reach: tuple[Candidate, ...]
    """The plan's candidates, and those it would go on to as each one fails."""


def privacy_changes(task_id: str, before: Way, after: Way) -> Iterator[PrivacyChange]:
    """Everything about one task that bears on privacy and would be different.

    Where the rules of ``before`` are not at hand its regions are unknown and not compared.
    """
    for kind, crosses, sentence in (
        *_site(before, after),
        *_residency(before, after),
        *_handling(before.plan, after.plan),
    ):
        yield PrivacyChange(task_id, kind, crosses, sentence)


_Found = Iterator[tuple[PrivacyKind, bool, str]]


def _site(before: Way, after: Way) -> _Found:
    """A task that was held or denied sent its text nowhere."""
    then, first = before.plan.candidates[:1], after.plan.candidates[:1]
    if first and _furthest(first) > _furthest(then):
        was = f"was {_placed(then[0])}" if then else _stopped(before.plan)
        yield PrivacyKind.LEAVES, True, f"would go to {_placed(first[0])}; {was}"
        return
    if _furthest(after.reach) > _furthest(before.reach):
        furthest = max(after.reach, key=lambda each: _SITES[each.site])
        told = f"could go on to {_placed(furthest)} after a failure; could not leave so far before"
        yield PrivacyKind.MAY_LEAVE, True, told


def _furthest(candidates: Iterable[Candidate]) -> int:
    return max((_SITES[each.site] for each in candidates), default=0)


def _placed(candidate: Candidate) -> str:
    return f"{candidate.model} ({candidate.site.replace('_', ' ')})"


def _stopped(plan: Plan) -> str:
    waited = plan.effect is Effect.HOLD
    return f"was held for {plan.hold_for}" if waited else f"was denied ({plan.reason})"


def _residency(before: Way, after: Way) -> _Found:
    if before.rules is None or after.rules is None:
        return
    then, now = _regions(before.reach, before.rules), _regions(after.reach, after.rules)
    if not then or not now or then == now:
        return
    crosses = _ANYWHERE not in then and not now <= then
    yield PrivacyKind.RESIDENCY, crosses, f"would be processed in {_named(now)}; was {_named(then)}"


_ANYWHERE = ""
"""Stands for the regions of an endpoint that states none."""


def _regions(reach: Iterable[Candidate], rules: PolicyBundle) -> frozenset[str]:
    """Where candidates outside the house process; empty where there are none."""
    return frozenset(
        region
        for each in reach
        if each.site is not Site.LOCAL
        for region in rules.models[each.model].endpoint.residency or (_ANYWHERE,)
    )


def _named(regions: frozenset[str]) -> str:
    return ", ".join(each or "an unknown region" for each in sorted(regions))


def _handling(before: Plan, after: Plan) -> _Found:
    """Redaction, approvals and sensitivity, each where it became less careful or other."""
    lost = Obligation.REDACT in before.obligations and Obligation.REDACT not in after.obligations
    if lost and any(each.site is not Site.LOCAL for each in after.candidates):
        kept = "secrets alone" if Obligation.REDACT_SECRETS in after.obligations else "nothing"
        told = f"would leave with {kept} redacted; was redacted whole"
        yield PrivacyKind.REDACTION, False, told
    if before.hold_for in _PRIVACY_GRANTS and after.hold_for is not before.hold_for:
        told = f"would no longer wait for a person ({before.hold_for}); would be {after.effect}"
        yield PrivacyKind.APPROVAL, False, told
    if before.sensitivity is not after.sensitivity:
        now, then = after.sensitivity or "undeclared", before.sensitivity or "undeclared"
        yield PrivacyKind.SENSITIVITY, False, f"would count as {now}; was {then}"
