"""The hard stop: over an exceeded budget no task proceeds until a person resumes (OM-32, OM-33)."""

from pointwork.contract.budget_windows import MODEL_SCOPES, scope_of
from pointwork.contract.decision import Effect, GrantKind, Plan
from pointwork.contract.reasons import ReasonCode
from pointwork.policy.engine.facts import Facts
from pointwork.policy.engine.filters import Refused
from pointwork.policy.engine.ranking import codes

_WHOSE_TURN = frozenset(
    {
        ReasonCode.BUDGET,
        ReasonCode.NOT_IN_ROUTE,
        ReasonCode.ESCALATION_ONLY,
        ReasonCode.ROUTED_AWAY,
    }
)
"""What may stand against a model of which money still decides whether the task may use it."""


def stopped_by(facts: Facts, refused: Refused, plan: Plan) -> tuple[str, ...]:
    """The windows that hold the task; empty where none does, or a person let it go on.

    A window holds while its stop stands, and where what is left of it pays for no charged call
    that the task may make. Where another rule holds or denies the task, that is told first.
    """
    if not facts.bundle.pack.hard_stop or facts.grant(GrantKind.BUDGET):
        return ()
    if plan.effect is not Effect.RUN and plan.reason is not ReasonCode.BUDGET:
        return ()
    standing = tuple(each.window for each in facts.task_wide_budgets if each.is_stopped)
    return standing or _exceeded(facts, refused, plan)


def _exceeded(facts: Facts, refused: Refused, plan: Plan) -> tuple[str, ...]:
    """The windows that refuse the task's charged calls: all its pack's, or all its route's."""
    charged = _charged_refused(facts, refused)
    if plan.reason is ReasonCode.BUDGET:
        charged = {name: windows for name, windows in charged.items() if windows}
    if not charged or not all(charged.values()):
        return ()
    return tuple(sorted(set().union(*charged.values())))


def _charged_refused(facts: Facts, refused: Refused) -> dict[str, set[str]]:
    """By charged model that money alone may stand against, the windows that refuse it."""
    return {
        name: {
            window
            for code, window in refused.get(name, ())
            if code is ReasonCode.BUDGET and scope_of(window) not in MODEL_SCOPES
        }
        for name, estimate in facts.estimates.items()
        if estimate > 0 and codes(refused, name) <= _WHOSE_TURN
    }
