"""Which refusals a person may lift, and with which grant. The rest nobody lifts (invariant 2)."""

from pointwork.contract.decision import GrantKind
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import Sensitivity
from pointwork.policy.engine.facts import Facts

LIFTED_BY = {
    ReasonCode.CEILING: GrantKind.COST,
    ReasonCode.SENSITIVITY_UNDECLARED: GrantKind.DATA_CLASSIFICATION,
    ReasonCode.PRIVACY: GrantKind.SENSITIVE_EGRESS,
    ReasonCode.BUDGET: GrantKind.BUDGET,
}
"""Restricted, tier, residency and capability are not among them."""


def can_lift(facts: Facts, reason: ReasonCode) -> bool:
    """Whether the pack lets a person lift ``reason`` for this task."""
    grant = LIFTED_BY.get(reason)
    if grant is None or grant not in facts.bundle.pack.holds_for:
        return False
    if reason is ReasonCode.BUDGET:
        return facts.row.budget_gated
    return reason is not ReasonCode.PRIVACY or facts.sensitivity is Sensitivity.SENSITIVE
