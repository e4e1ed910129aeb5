"""What a person's override does to a decision: its model goes first, or nothing changes (OM-68)."""

from pointwork.contract.decision import DecisionInput, Effect, MoveKind, Plan
from pointwork.contract.reasons import ReasonCode
from pointwork.policy.engine.facts import Facts
from pointwork.policy.engine.filters import Refused
from pointwork.policy.engine.ranking import Ranked, codes

_ROUTING = frozenset(
    {
        ReasonCode.NOT_IN_ROUTE,
        ReasonCode.QUALITY_FLOOR,
        ReasonCode.FRONTIER_PURPOSE,
        ReasonCode.FRONTIER_BULK,
        ReasonCode.ESCALATION_ONLY,
        ReasonCode.ROUTED_AWAY,
    }
)
"""The refusals that an override sets aside; what filters refuse otherwise it does not admit."""


def put_first(facts: Facts, refused: Refused, ranked: Ranked) -> Ranked:
    """The order with the override's model first, where only the ordering stood against it.

    Only language models: what runs uncharged is never held in the ledger, where an override that
    is good for one task is claimed.
    """
    override = facts.override
    entry = facts.bundle.index.by_name.get(override.model) if override else None
    if entry is None or entry.priced.model.kind != "llm":
        return ranked
    if not codes(refused, entry.name) <= _ROUTING:
        # What stands against it in spite of the override is what a person needs to read.
        refused[entry.name] = [each for each in refused[entry.name] if each[0] not in _ROUTING]
        ranked.passed_over.pop(entry.name, None)
        return ranked
    refused.pop(entry.name, None)
    ranked.passed_over.pop(entry.name, None)
    ranked.default_rank = ranked.chosen[0].lane_rank if ranked.chosen else None
    ranked.chosen = [entry, *(each for each in ranked.chosen if each is not entry)]
    ranked.is_overridden, ranked.kind = True, MoveKind.ESCALATION
    return ranked


def without_overrides(given: DecisionInput) -> DecisionInput:
    snapshot = given.snapshot.model_copy(update={"overrides": ()})
    return given.model_copy(update={"snapshot": snapshot})


def as_overridden(plan: Plan, default: Plan) -> Plan:
    """The plan that names what it departs from; the default one where the override moves nothing.

    So whatever an override does stands under its id, with the original route (OM-74). Of two plans
    with the same models the override's is kept: it says which rule refused the override's model.
    """
    original = route_of(default)
    if not plan.override_id:
        return plan if _models(plan) == _models(default) else default
    if plan.candidates[0].model == original:
        return default
    return plan.model_copy(update={"default_route": original})


def route_of(plan: Plan) -> str:
    """The plan's first model; ``held`` or ``denied`` where none runs."""
    if plan.candidates:
        return plan.candidates[0].model
    return "held" if plan.effect is Effect.HOLD else "denied"


def _models(plan: Plan) -> tuple[Effect, list[str]]:
    return plan.effect, [each.model for each in plan.candidates]
