"""Recorded decisions made again under other rules: what would go elsewhere, cost more, or leave.

Pure, like ``decide`` itself: the caller brings the records and both sets of rules.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pointwork.contract.decision import (
    Candidate,
    ClassSource,
    DecisionInput,
    Effect,
    FailedAttempt,
    Plan,
)
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.snapshot import (
    BudgetSignal,
    EndpointSignal,
    GuardrailSignal,
    GuardrailVerdict,
    QuotaSignal,
    ResourceSignal,
    Snapshot,
)
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.policy.engine.windows import windows_at
from pointwork.policy.proving.situation import Situation
from pointwork.policy.reading.privacy_change import PrivacyChange, Way, privacy_changes

_ROOM = ResourceSignal(free_memory_mb=1_000_000, load_ratio=Decimal(0))
_QUOTA_REQUESTS = 1_000
_TRIES_MAX = 12


@dataclass(frozen=True)
class Decided:
    """One decision as it was made, with the rules that made it where they are at hand."""

    task_id: str
    given: DecisionInput
    plan: Plan
    bundle: PolicyBundle | None


@dataclass(frozen=True)
class Route:
    """The tasks of one class that would go from one model to another."""

    task_class: str
    before: str
    """The first model; ``held`` or ``denied`` where none ran."""
    after: str
    tasks: int
    delta_nano_usd: int
    """New estimates less old ones, over these tasks."""


@dataclass(frozen=True)
class Replan:
    """What would be different; all amounts are worst-case estimates of each task's first call."""

    decisions: int
    effect_changes: int
    first_changes: int
    """Tasks that run before and after, with another model first."""
    order_changes: int
    """Tasks whose first model stays and whose further candidates do not."""
    routes: tuple[Route, ...]
    """Changed routes, those of the most tasks first; also equal ones at another price."""
    privacy: tuple[PrivacyChange, ...]
    delta_nano_usd: int
    rules_unknown: int
    """Decisions whose own rules are not at hand, so that their residency is not compared."""
    assumed: tuple[str, ...]
    """Signals that the new rules read and the records do not hold; taken as present and healthy."""

    @property
    def crossings(self) -> tuple[PrivacyChange, ...]:
        return tuple(each for each in self.privacy if each.crosses)


def replan(decided: Sequence[Decided], new: PolicyBundle) -> Replan:
    """Decide each again under ``new``, on the facts and signals recorded then."""
    counts: Counter[str] = Counter()
    routes: dict[tuple[str, str, str], list[int]] = {}
    privacy: list[PrivacyChange] = []
    assumed: set[str] = set()
    for each in decided:
        given, missing = as_read_by(each.given, new)
        assumed |= missing
        plan = decide(given, new)
        counts[_difference(each.plan, plan)] += 1
        delta = _estimate(plan) - _estimate(each.plan)
        before, after = _first(each.plan), _first(plan)
        if before != after or delta:
            key = (each.plan.task_class or "unknown", before, after)
            routes.setdefault(key, []).append(delta)
        privacy += _privacy(each, given, plan, new)
    listed = [
        Route(*key, tasks=len(found), delta_nano_usd=sum(found)) for key, found in routes.items()
    ]
    return Replan(
        decisions=len(decided),
        effect_changes=counts["effect"],
        first_changes=counts["first"],
        order_changes=counts["order"],
        routes=tuple(sorted(listed, key=_most_first)),
        privacy=tuple(sorted(privacy, key=lambda c: (not c.crosses, c.task_id, c.kind))),
        delta_nano_usd=sum(route.delta_nano_usd for route in listed),
        rules_unknown=sum(each.bundle is None for each in decided),
        assumed=tuple(sorted(assumed)),
    )


def _privacy(
    each: Decided, given: DecisionInput, plan: Plan, new: PolicyBundle
) -> Iterator[PrivacyChange]:
    """Where the old rules are not at hand, only what the two plans themselves say is compared."""
    if each.bundle is None:
        before = Way(each.plan, None, each.plan.candidates)
        after = Way(plan, new, plan.candidates)
    else:
        before = Way(each.plan, each.bundle, _reach(each.given, each.plan, each.bundle))
        after = Way(plan, new, _reach(given, plan, new))
    return privacy_changes(each.task_id, before, after)


def _reach(given: DecisionInput, plan: Plan, bundle: PolicyBundle) -> tuple[Candidate, ...]:
    """Every model the task might come to as one after the other fails, by answer or by outage."""
    found = {each.model: each for each in plan.candidates}
    for kind in (None, ProviderFailureKind.CONNECTION_FAILED):
        failed, going = given.failed, plan
        while going.candidates and len(failed) < _TRIES_MAX:
            failed = (*failed, FailedAttempt(model=going.candidates[0].model, kind=kind))
            going = decide(given.model_copy(update={"failed": failed}), bundle)
            found |= {each.model: each for each in going.candidates}
    return tuple(found.values())


def _most_first(route: Route) -> tuple[int, str, str, str]:
    return -route.tasks, route.task_class, route.before, route.after


def _difference(before: Plan, after: Plan) -> str:
    if before.effect is not after.effect:
        return "effect"
    if _first(before) != _first(after):
        return "first"
    models = [each.model for each in before.candidates]
    return "order" if models != [each.model for each in after.candidates] else "same"


def _first(plan: Plan) -> str:
    if plan.candidates:
        return plan.candidates[0].model
    return "held" if plan.effect is Effect.HOLD else "denied"


def _estimate(plan: Plan) -> int:
    return plan.candidates[0].estimate_nano_usd if plan.candidates else 0


def as_read_by(given: DecisionInput, new: PolicyBundle) -> tuple[DecisionInput, set[str]]:
    """The recorded facts as ``new`` would have been given them, and what had to be assumed.

    A task type is mapped by the new pack's map. A signal that only the new rules read was not
    taken then; it counts as present and healthy, so that no new way out of the house stays hidden
    behind a key or a quota nobody recorded.
    """
    snapshot, assumed = given.snapshot, set[str]()
    known = {each.endpoint for each in snapshot.endpoints}
    if fresh := sorted(new.index.endpoints - known):
        assumed |= {f"endpoint {name}" for name in fresh}
        signals = (EndpointSignal(endpoint=name, has_credentials=True) for name in fresh)
        snapshot = snapshot.model_copy(update={"endpoints": (*snapshot.endpoints, *signals)})
    required = set(new.pack.required_signals)
    for name, field, value in _healthy(new):
        if name in required and getattr(snapshot, field) is None:
            assumed.add(f"signal {name}")
            snapshot = snapshot.model_copy(update={field: value})
    if "budget" in required:
        snapshot, missing = _with_windows(snapshot, new, given.request.caller)
        assumed |= missing
    return _mapped(given.model_copy(update={"snapshot": snapshot}), new), assumed


def decided_situation(
    task_id: str, situation: Situation, old: PolicyBundle, new: PolicyBundle
) -> Decided:
    """A situation as ``old`` decides it, with the signals that either set of rules reads."""
    given, then = situation.facts(new), situation.facts(old)
    endpoints = {e.endpoint: e for e in (*then.snapshot.endpoints, *given.snapshot.endpoints)}
    budgets = {each.window: each for each in (*then.snapshot.budgets, *given.snapshot.budgets)}
    both = {"endpoints": tuple(endpoints.values()), "budgets": tuple(budgets.values())}
    snapshot = given.snapshot.model_copy(update=both)
    plan = decide(then, old)
    return Decided(task_id, given.model_copy(update={"snapshot": snapshot}), plan, old)


def _healthy(new: PolicyBundle) -> Iterable[tuple[str, str, object]]:
    quotas = tuple(
        QuotaSignal(endpoint=name, remaining_requests=_QUOTA_REQUESTS)
        for name in sorted(new.index.hosted_endpoints)
    )
    yield "quota", "quotas", quotas
    yield "resources", "resources", _ROOM
    yield "latency", "latencies", ()
    yield "guardrail", "guardrail", GuardrailSignal(verdict=GuardrailVerdict.ALLOW)


def _with_windows(snapshot: Snapshot, new: PolicyBundle, caller: str) -> tuple[Snapshot, set[str]]:
    known = {each.window for each in snapshot.budgets}
    missing = [
        BudgetSignal(window=w.key, limit_nano_usd=w.limit_nano_usd, committed_nano_usd=0)
        for w in windows_at(new.pack, snapshot.taken_at, caller=caller)
        if w.key not in known
    ]
    if not missing:
        return snapshot, set()
    budgets = (*snapshot.budgets, *missing)
    return snapshot.model_copy(update={"budgets": budgets}), {"signal budget"}


def _mapped(given: DecisionInput, new: PolicyBundle) -> DecisionInput:
    """The class that the new pack's map gives the caller's own word for the task."""
    found, word = given.classification, given.request.task_type
    if found.class_source is not ClassSource.MAPPED or word not in new.pack.task_types:
        return given
    mapped = found.model_copy(update={"task_class": new.pack.task_types[word]})
    return given.model_copy(update={"classification": mapped})
