"""What an ordering hands back, and the parts that more than one ordering is made of (R-1).

An ordering sees what the filters left over and puts it in the pack's own order. It may refuse more
models (another route, not good enough), never fewer.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from pointwork.contract.decision import MoveKind, ParallelShortfall, Trigger
from pointwork.contract.reasons import ReasonCode
from pointwork.policy.documents.routes import RouteRule
from pointwork.policy.engine.facts import Facts
from pointwork.policy.engine.filters import Refusal, Refused
from pointwork.policy.engine.index import Entry

MONEY = frozenset({ReasonCode.CEILING, ReasonCode.BUDGET, ReasonCode.PAUSED_OVER_BUDGET})
"""The refusals for which a cheaper model may be looked for."""

DOWNGRADE_TRIGGER = {
    ReasonCode.CEILING: Trigger.CEILING_OVER,
    ReasonCode.CEILING_NEAR: Trigger.CEILING_NEAR,
    ReasonCode.BUDGET: Trigger.BUDGET_LOW,
    ReasonCode.PAUSED_OVER_BUDGET: Trigger.BUDGET_LOW,
}


@dataclass
class Ranked:
    """The models a task may use, in order, and why permitted ones are not among them."""

    chosen: list[Entry] = field(default_factory=list)
    passed_over: dict[str, Refusal] = field(default_factory=dict)
    downgrade: ReasonCode | None = None
    """The money rule that put cheaper models in the place of those it refused."""
    rule: RouteRule | None = None
    evidence: tuple[str, ...] = ()
    trigger: str | None = None
    """Why the first of ``chosen`` is not the default; None where the failures before it say so."""
    kind: MoveKind | None = None
    blocked_by: ReasonCode | None = None
    """The rule that ends the task although later rungs would be open (caps block, R-12)."""
    default_rank: int | None = None
    """Lane the task would have begun on, where a rule moved it."""
    home: str | None = None
    """The rule that names the default route itself: its trigger tells why, and moves nothing."""
    branches: int = 1
    """How many of ``chosen``, from the first on, answer side by side."""
    shortfall: ParallelShortfall | None = None
    is_overridden: bool = False
    """Whether a person's override put the first of ``chosen`` there."""


Ordering = Callable[[Facts, Refused], Ranked]


def refuse(refused: Refused, entry: Entry, code: ReasonCode, detail: str) -> None:
    refused.setdefault(entry.name, []).append((code, detail))


def codes(refused: Refused, name: str) -> frozenset[ReasonCode]:
    return frozenset([code for code, _ in refused.get(name, ())])


def failed_vendors(facts: Facts) -> frozenset[str]:
    by_name = facts.bundle.index.by_name
    return frozenset(by_name[n].vendor for n in facts.failed_models if n in by_name)


def by_cost(facts: Facts, entries: Iterable[Entry]) -> list[Entry]:
    """Cheapest first; another vendor than one that failed goes before it (OM-2, OM-11)."""
    vendors, estimates = failed_vendors(facts), facts.estimates
    return sorted(
        entries, key=lambda e: (e.vendor in vendors, estimates.get(e.name, 0), e.place, e.name)
    )


def members(facts: Facts, families: Iterable[str]) -> list[Entry]:
    """The models of the families, family by family, each in its own order."""
    by_family = facts.bundle.index.by_family
    return [entry for family in families for entry in by_family[family]]


def money_cause(refused: Refused, waiting: Sequence[Entry]) -> ReasonCode | None:
    """The money rule that alone keeps some model out, where one does."""
    for reason in (ReasonCode.CEILING, ReasonCode.BUDGET, ReasonCode.PAUSED_OVER_BUDGET):
        if any(codes(refused, entry.name) == {reason} for entry in waiting):
            return reason
    return None


def cheaper_than(
    facts: Facts, refused: Refused, below: Sequence[Entry], *, forgiven: frozenset[ReasonCode]
) -> list[Entry]:
    """Models cheaper than all of ``below`` that at most ``forgiven`` reasons refuse."""
    estimates = facts.estimates
    limit = min(estimates[entry.name] for entry in below)
    return [
        entry
        for entry in facts.bundle.index.entries
        if entry.has_price
        and estimates[entry.name] < limit
        and codes(refused, entry.name) <= forgiven
    ]
