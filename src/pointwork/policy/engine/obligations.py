"""What a plan obliges besides the call, and who would give a second opinion."""

from collections.abc import Sequence

from pointwork.contract.decision import Obligation
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import Sensitivity
from pointwork.policy.documents.conditions import Condition, met
from pointwork.policy.engine.facts import Facts
from pointwork.policy.engine.filters import Refused
from pointwork.policy.engine.index import Entry
from pointwork.policy.engine.ranking import Ranked, codes

WHOSE_TURN = frozenset(
    {ReasonCode.NOT_IN_ROUTE, ReasonCode.ESCALATION_ONLY, ReasonCode.ROUTED_AWAY}
)
"""Refusals that only say whose turn it is; an adviser's turn is another."""


def obligations_of(facts: Facts, ranked: Ranked, beside: Sequence[Entry]) -> tuple[Obligation, ...]:
    """In the order in which they are met; ``beside`` are the voices asked besides the owner."""
    row, first = facts.row, ranked.chosen[0]
    redacts = facts.bundle.pack.privacy.redact_before_egress
    asked = (*ranked.chosen, *beside)
    leaves = any(not entry.is_local for entry in asked)
    # Ranked by lane, a model below the class's grade is only there for its evaluations.
    by_grade = facts.bundle.pack.rank != "cheapest_safe_lane"
    below_class = by_grade and first.quality < row.quality_floor
    judged = facts.is_high_risk and "judge" in facts.bundle.pack.verification
    owed = {
        Obligation.REDACT: leaves and redacts,
        Obligation.REDACT_SECRETS: leaves and not redacts,
        Obligation.VERIFY_SCHEMA: facts.given.request.answer_schema is not None,
        Obligation.VERIFY_CONTRACT: row.contract is not None,
        Obligation.WARN_DOWNGRADE: ranked.downgrade is not None or below_class,
        Obligation.LOG_RESTRICTED: facts.sensitivity is Sensitivity.RESTRICTED,
        Obligation.CLOUD_REVIEW: first.is_local and _holds(row.review_when, facts),
        Obligation.CLOUD_JUDGE: judged,
        Obligation.SECOND_OPINION: _holds(row.second_opinion, facts),
        Obligation.COMPARE: ranked.branches > 1,
        Obligation.ALERT_BUDGET: _nears_budget(facts, first),
    }
    return tuple(obligation for obligation, is_owed in owed.items() if is_owed)


def _holds(condition: Condition | None, facts: Facts) -> bool:
    return condition is not None and met(condition, facts) is not None


def _nears_budget(facts: Facts, first: Entry) -> bool:
    """Whether this call would bring a window to its alert share (JG-28)."""
    alerts = {e.key: e.alert_nano_usd for e in facts.windows if e.alert_nano_usd is not None}
    if not alerts:
        return False
    estimate, of_some = facts.estimates[first.name], facts.windows_of_some
    return any(
        signal.committed_nano_usd + estimate >= alerts[signal.window]
        for signal in facts.budgets
        if signal.window in alerts
        and (signal.window not in of_some or first.name in of_some[signal.window])
    )


def adviser_of(facts: Facts, refused: Refused, ranked: Ranked) -> Entry | None:
    """A permitted model of another vendor than the owner's, where the row asks for one (CX-33)."""
    if not _holds(facts.row.second_opinion, facts):
        return None
    owner = ranked.chosen[0]
    others = [e for e in ranked.chosen if e.vendor != owner.vendor]
    named = facts.bundle.pack.adviser_families
    by_family = facts.bundle.index.by_family
    others += [
        entry
        for family in named
        for entry in by_family[family]
        if entry.vendor != owner.vendor and codes(refused, entry.name) <= WHOSE_TURN
    ]
    return others[0] if others else None
