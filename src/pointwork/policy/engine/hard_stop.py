"""The hard stop: over an exceeded budget no task proceeds until a person resumes (OM-32, OM-33)."""

from pointwork.contract.decision import Effect, GrantKind, Plan
from pointwork.contract.reasons import ReasonCode
from pointwork.policy.engine.facts import Facts
from pointwork.policy.engine.filters import Refused

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
    """The windows that refuse the task's charged calls: all its pack's, or all its route's.

    A charged call is one that money alone may stand against. One that no window refuses goes on,
    unless the plan says that all of its route were refused.
    """
    if any(each.estimate_nano_usd for each in plan.candidates):
        return ()  # the usual case: it need not look through all models
    found: set[str] = set()
    # An ordering's own refusal over money names a model where a filter's names a window.
    task_wide = {each.window for each in facts.task_wide_budgets}
    for name, estimate in facts.estimates.items():
        reasons = refused.get(name, ())
        if estimate <= 0 or not all(code in _WHOSE_TURN for code, _ in reasons):
            continue
        windows = [
            window for code, window in reasons if code is ReasonCode.BUDGET and window in task_wide
        ]
        if not windows and plan.reason is not ReasonCode.BUDGET:
            return ()
        found.update(windows)
    return tuple(sorted(found))
