"""A switch to a cheaper model that a money rule made, for the people who are warned of it."""

from dataclasses import dataclass

from pointwork.contract.decision import Obligation, Plan, Trigger
from pointwork.contract.reasons import ReasonCode

_REFUSED_BY = {
    Trigger.CEILING_NEAR: frozenset({ReasonCode.CEILING_NEAR}),
    Trigger.CEILING_OVER: frozenset({ReasonCode.CEILING}),
    Trigger.BUDGET_LOW: frozenset({ReasonCode.BUDGET, ReasonCode.PAUSED_OVER_BUDGET}),
}


@dataclass(frozen=True, slots=True)
class CostSwitch:
    """From which models to which, and the rule that did it (OM-35)."""

    from_models: tuple[str, ...]
    """The model tried last; before any try, those that the rule refused."""
    to_model: str
    cause: str


def cost_switch(plan: Plan) -> CostSwitch | None:
    """The switch of the plan's first model; None where no money rule put it there."""
    if Obligation.WARN_DOWNGRADE not in plan.obligations or not plan.candidates:
        return None
    first = plan.candidates[0]
    reasons = next((_REFUSED_BY[each] for each in _REFUSED_BY if each == first.trigger), None)
    if reasons is None:
        return None
    tried = first.move.from_model if first.move else None
    refused = tuple(each.model for each in plan.rejected if each.reason in reasons)
    return CostSwitch((tried,) if tried else refused, first.model, first.trigger)
