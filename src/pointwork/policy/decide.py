"""``decide``: pure, total and deterministic over (facts, policy bundle). It does no I/O, ever."""

from collections.abc import Iterable

from pointwork.contract.decision import (
    Candidate,
    ClassSource,
    DecisionInput,
    Direction,
    Effect,
    GrantKind,
    Move,
    MoveKind,
    Plan,
    Rejection,
    Trigger,
)
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import Lane, Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.documents.routes import families_of
from pointwork.policy.engine.branches import side_by_side
from pointwork.policy.engine.cheapest import cheapest_sufficient, route_of
from pointwork.policy.engine.facts import Facts
from pointwork.policy.engine.filters import Refused, needs_cloud, refusals
from pointwork.policy.engine.gates import closed_gate
from pointwork.policy.engine.hard_stop import stopped_by
from pointwork.policy.engine.index import Entry
from pointwork.policy.engine.lifting import LIFTED_BY, can_lift
from pointwork.policy.engine.obligations import adviser_of, obligations_of
from pointwork.policy.engine.overriding import as_overridden, put_first, without_overrides
from pointwork.policy.engine.precedence import first_reason, rejection
from pointwork.policy.engine.priority import priority
from pointwork.policy.engine.ranking import DOWNGRADE_TRIGGER, Ordering, Ranked, codes, members
from pointwork.policy.engine.role_table import role_table
from pointwork.policy.engine.safe_lane import cheapest_safe_lane
from pointwork.policy.engine.sensitivity import effective_data_classes, effective_sensitivity
from pointwork.policy.engine.streaming import tokens_may_stream
from pointwork.policy.engine.voices import voices_of

_ORDERINGS: dict[str, Ordering] = {
    "cheapest_sufficient": cheapest_sufficient,
    "role_table": role_table,
    "priority": priority,
    "cheapest_safe_lane": cheapest_safe_lane,
}


def decide(given: DecisionInput, bundle: PolicyBundle) -> Plan:
    """Choose the models a task may use, in order, or say why it must wait or stop.

    Gates, then filters, both the same in every pack; then the pack's own ordering. Every model of
    the bundle that is not a candidate carries a reason. The same arguments always give an equal
    plan, in any process.
    """
    plan = _decided(given, bundle)
    if not given.snapshot.overrides:
        return plan
    return as_overridden(plan, _decided(without_overrides(given), bundle))


def _decided(given: DecisionInput, bundle: PolicyBundle) -> Plan:
    task_class = given.classification.task_class
    if task_class is None:
        return _stop(given, bundle, ReasonCode.CLASS_UNKNOWN)
    if task_class not in bundle.pack.classes:
        return _stop(given, bundle, ReasonCode.CLASS_NOT_IN_PACK)
    facts = _facts(given, bundle, task_class)
    closed = closed_gate(facts)
    if closed is not None:
        return _stop(given, bundle, *closed)
    refused = refusals(facts)
    ranked = put_first(facts, refused, _ORDERINGS[bundle.pack.rank](facts, refused))
    plan = _planned(facts, refused, ranked)
    stopped = stopped_by(facts, refused, plan)
    return _held_by_budget(facts, refused, stopped) if stopped else plan


def _planned(facts: Facts, refused: Refused, ranked: Ranked) -> Plan:
    wish = facts.given.request.requested_model
    if wish is not None and (not ranked.chosen or ranked.chosen[0].name != wish):
        return _refuse_wish(facts, wish, refused, ranked)
    if not ranked.chosen:
        return _no_candidate(facts, refused, ranked)
    return _run(facts, refused, side_by_side(facts, refused, ranked))


def _held_by_budget(facts: Facts, refused: Refused, windows: tuple[str, ...]) -> Plan:
    """No task proceeds, whatever it costs; every model carries the stop beside its own reason."""
    stop = (ReasonCode.HARD_STOP, windows[0])
    rejected = [
        rejection(each.name, *(first_reason(refused[each.name]) if each.name in refused else stop))
        for each in facts.bundle.index.entries
    ]
    return _ended(
        facts,
        Effect.HOLD,
        ReasonCode.HARD_STOP,
        rejected,
        hold_for=GrantKind.BUDGET,
        stopped_by=windows,
    )


def _facts(given: DecisionInput, bundle: PolicyBundle, task_class: str) -> Facts:
    """The row that routes the task: its class's, or a simpler one's (JG-54)."""
    classes, passed = bundle.pack.classes, set[str]()
    estimated, row = given.classification.complexity, classes[task_class]
    expected = given.request.complexity or row.complexity
    while estimated and expected and estimated.rank < expected.rank:
        passed.add(task_class)
        if row.simpler_class is None or row.simpler_class in passed:
            break
        task_class, row = row.simpler_class, classes[row.simpler_class]
        expected = row.complexity
    return Facts(given, bundle, task_class, row)


def _trigger(facts: Facts, ranked: Ranked, entry: Entry) -> str:
    if ranked.is_overridden and entry is ranked.chosen[0]:
        return Trigger.OVERRIDE
    if entry in ranked.chosen[1 : ranked.branches]:
        return Trigger.PARALLEL
    if ranked.downgrade is not None:
        return DOWNGRADE_TRIGGER[ranked.downgrade]
    if ranked.trigger is not None:
        return ranked.trigger
    if not facts.given.failed:
        if facts.task_class != facts.given.classification.task_class:
            return Trigger.SIMPLER_THAN_EXPECTED
        wished = facts.given.request.requested_model == entry.name
        return Trigger.REQUESTED if wished else Trigger.DEFAULT
    last = facts.given.failed[-1]
    if last.kind is None or not last.kind.is_outage:
        return Trigger.CHEAPER_FAILED
    by_name = facts.bundle.index.by_name
    same = last.model in by_name and by_name[last.model].vendor == entry.vendor
    return Trigger.SAME_VENDOR_FALLBACK if same else Trigger.OUTAGE


_UNMOVED = frozenset({Trigger.DEFAULT, Trigger.REQUESTED, Trigger.PARALLEL})


def _move(facts: Facts, ranked: Ranked, entry: Entry, trigger: str) -> Move | None:
    """The typed move to ``entry``; None where the task uses what its route begins with.

    A task that comes to its route's own beginning after an override's model failed has moved too.
    """
    if facts.bundle.pack.schema_version == "pointwork/pack/1":
        return None  # decisions recorded under that schema carry no moves
    failed, by_name = facts.given.failed, facts.bundle.index.by_name
    last = by_name.get(failed[-1].model) if failed else None
    is_home = trigger in _UNMOVED or trigger == ranked.home
    if last is entry or (is_home and last is None):
        return None
    ranks = list(Lane)
    before = last.lane_rank if last else ranked.default_rank
    before = entry.lane_rank if before is None else before
    if entry.lane_rank == before:
        direction = Direction.SIDEWAYS
    else:
        direction = Direction.UP if entry.lane_rank > before else Direction.DOWN
    return Move(
        kind=ranked.kind or _kind(facts, ranked, trigger),
        trigger=trigger,
        direction=direction,
        from_model=last.name if last else None,
        from_lane=ranks[before],
        to_lane=entry.lane,
        attempt=len(failed) + 1,
        evidence=ranked.evidence,
    )


def _kind(facts: Facts, ranked: Ranked, trigger: str) -> MoveKind:
    if ranked.downgrade is not None or trigger == Trigger.SIMPLER_THAN_EXPECTED:
        return MoveKind.DOWNGRADE
    return MoveKind.ESCALATION if trigger == Trigger.CHEAPER_FAILED else MoveKind.FALLBACK


def candidate_of(facts: Facts, entry: Entry, trigger: str, move: Move | None = None) -> Candidate:
    """``entry`` with everything its call needs."""
    return entry.candidate(
        trigger=trigger,
        estimate_nano_usd=facts.estimates[entry.name],
        likely_nano_usd=facts.likely(entry),
        ceiling_nano_usd=facts.ceiling(entry.family),
        max_output_tokens=min(facts.output_tokens_asked, entry.output_tokens_max),
        move=move,
        temperature=facts.row.temperature,
    )


def _run(facts: Facts, refused: Refused, ranked: Ranked) -> Plan:
    given, pack = facts.given, facts.bundle.pack
    candidates = []
    for entry in ranked.chosen:
        trigger = _trigger(facts, ranked, entry)
        candidates.append(candidate_of(facts, entry, trigger, _move(facts, ranked, entry, trigger)))
    adviser, voices = adviser_of(facts, refused, ranked), voices_of(facts, refused, ranked)
    owed = obligations_of(facts, ranked, [*([adviser] if adviser else []), *voices.models])
    row_ceilings = pack.ceilings.get(facts.task_class, {}).values()
    ceilings = (*row_ceilings, facts.row.ceiling or 0, facts.cost_grant_nano_usd)
    override = facts.override if ranked.is_overridden else None
    return Plan(
        effect=Effect.RUN,
        task_class=facts.task_class,
        class_source=given.classification.class_source,
        sensitivity=facts.sensitivity,
        data_classes=facts.data_classes,
        candidates=tuple(candidates),
        rejected=_rejections(facts, refused, ranked),
        obligations=owed,
        windows=facts.windows,
        task_ceiling_nano_usd=max(ceilings),
        justification=given.request.justification.strip()
        or (override.reason if override else "")
        or facts.purpose(candidates[0].family)
        or "",
        policy=facts.bundle.ref,
        factor=(ranked.rule.factor if ranked.rule else facts.row.factor) or "",
        complexity=facts.complexity,
        contract=facts.row.contract,
        adviser=candidate_of(facts, adviser, Trigger.DEFAULT) if adviser else None,
        critic=candidate_of(facts, voices.critic, Trigger.DEFAULT) if voices.critic else None,
        judge=candidate_of(facts, voices.judge, Trigger.DEFAULT) if voices.judge else None,
        on_judged_fail=voices.on_fail,
        self_critique=voices.is_self_critical,
        tokens_stream=tokens_may_stream(facts, owed, voices, adviser),
        branches=ranked.branches,
        parallel_shortfall=ranked.shortfall,
        batch_key=_batch_key(facts, candidates[0]),
        # An answer that several models, or a person's own choice, were asked for is never an
        # earlier one.
        cache_ttl_seconds=0 if ranked.branches > 1 or override else _cache_ttl_seconds(facts),
        override_id=override.override_id if override else "",
    )


def _batch_key(facts: Facts, first: Candidate) -> str:
    """Like tasks of one model; empty where the pack does not batch (JG-55)."""
    pack = facts.bundle.pack
    return f"{pack.pack}/{facts.task_class}/{first.model}" if pack.batch else ""


def _cache_ttl_seconds(facts: Facts) -> int:
    """0 for everything more careful than internal, and for what a detector doubts (R-20)."""
    cache, level = facts.bundle.pack.cache, facts.sensitivity
    if cache is None or facts.given.classification.findings:
        return 0
    open_enough = level is None or level.rank <= Sensitivity.INTERNAL.rank
    return cache.ttl_seconds if open_enough else 0


def _no_candidate(facts: Facts, refused: Refused, ranked: Ranked) -> Plan:
    """Hold where one rule that a person may lift is all that stands in the way; else deny."""
    rejected = _rejections(facts, refused, ranked)
    if _is_unsatisfiable(facts):
        return _unsatisfiable(facts, rejected)
    found = [codes(refused, name) for name in refused]
    for reason, grant in LIFTED_BY.items():
        if {reason} in found and can_lift(facts, reason) and not facts.grant(grant):
            return _ended(facts, Effect.HOLD, reason, rejected, hold_for=grant)
    if ranked.blocked_by is not None:
        return _ended(facts, Effect.DENY, ranked.blocked_by, rejected)
    if {ReasonCode.BUDGET} in found:
        return _ended(facts, Effect.DENY, ReasonCode.BUDGET, rejected)
    return _ended(facts, Effect.DENY, _common_reason(facts, refused), rejected)


def _common_reason(facts: Facts, refused: Refused) -> ReasonCode:
    """The one rule that stands against every model outside, where the pack denies for it (R-6)."""
    hosted = [entry for entry in facts.bundle.index.entries if not entry.is_local]
    routed = [e for e in hosted if ReasonCode.NOT_IN_ROUTE not in codes(refused, e.name)]
    for code in (ReasonCode.EGRESS_DENIED, ReasonCode.HOSTED_NOT_APPROVED, ReasonCode.LANE_GUARD):
        if routed and all(code in codes(refused, entry.name) for entry in routed):
            return code
    return ReasonCode.CANDIDATES_EXHAUSTED if facts.given.failed else ReasonCode.NO_CANDIDATE


def _is_unsatisfiable(facts: Facts) -> bool:
    """Only local models may, or can, and none that the work begins with is local (R-14)."""
    confined = facts.is_local_only or facts.is_offline
    if not confined or facts.bundle.pack.rank != "role_table":
        return False
    own = members(facts, (family for rung in facts.row.rungs for family in families_of(rung)))
    return needs_cloud(facts) or not any(entry.is_local for entry in own)


def _unsatisfiable(facts: Facts, rejected: tuple[Rejection, ...]) -> Plan:
    grant, reason = GrantKind.OUTSIDE_DECISION, ReasonCode.UNSATISFIABLE_LOCAL_ONLY
    if grant in facts.bundle.pack.holds_for and not facts.grant(grant):
        return _ended(facts, Effect.HOLD, reason, rejected, hold_for=grant)
    return _ended(facts, Effect.DENY, reason, rejected)


def _refuse_wish(facts: Facts, wish: str, refused: Refused, ranked: Ranked) -> Plan:
    """A request for a model is no right: it runs where the pack would choose it (OM-3, OM-4)."""
    others = Ranked(
        passed_over={
            entry.name: (ReasonCode.NOT_REQUESTED, f"{wish} was requested")
            for entry in facts.bundle.index.entries
            if entry.name not in refused and entry.name != wish
        }
    )
    rejected = _rejections(facts, refused, others)
    if wish not in facts.bundle.index.by_name:
        missing = rejection(wish, ReasonCode.NO_CANDIDATE, "not in catalogue")
        return _ended(facts, Effect.DENY, ReasonCode.NO_CANDIDATE, (*rejected, missing))
    if wish in refused:
        reason, _ = first_reason(refused[wish])
        grant = LIFTED_BY.get(reason) if len(codes(refused, wish)) == 1 else None
        if grant is not None and can_lift(facts, reason) and not facts.grant(grant):
            return _ended(facts, Effect.HOLD, reason, rejected, hold_for=grant)
        return _ended(facts, Effect.DENY, reason, rejected)
    code, detail = ranked.passed_over.get(wish, (ReasonCode.OVER_PROVISIONED, ""))
    if code is ReasonCode.OVER_PROVISIONED and _is_higher(facts, wish, ranked):
        code = ReasonCode.NO_PRIOR_FAILURE
    return _ended(facts, Effect.DENY, code, (*rejected, rejection(wish, code, detail)))


def _is_higher(facts: Facts, wish: str, ranked: Ranked) -> bool:
    """Whether the wish stands on a later rung than what the pack would use."""
    if not ranked.chosen:
        return False
    rungs, _ = route_of(facts)
    family = facts.bundle.index.by_name[wish].family
    wished = next((n for n, rung in enumerate(rungs) if family in rung), None)
    first = next((n for n, rung in enumerate(rungs) if ranked.chosen[0].family in rung), None)
    return wished != first


def _ended(
    facts: Facts,
    effect: Effect,
    reason: ReasonCode,
    rejected: Iterable[Rejection],
    *,
    hold_for: GrantKind | None = None,
    stopped_by: tuple[str, ...] = (),
) -> Plan:
    return Plan(
        effect=effect,
        reason=reason,
        hold_for=hold_for,
        task_class=facts.task_class,
        class_source=facts.given.classification.class_source,
        sensitivity=facts.sensitivity,
        data_classes=facts.data_classes,
        rejected=tuple(sorted(rejected, key=lambda each: each.model)),
        task_ceiling_nano_usd=_hold_ceiling(facts) if effect is Effect.HOLD else 0,
        justification=facts.given.request.justification,
        policy=facts.bundle.ref,
        complexity=facts.complexity,
        stopped_by=stopped_by,
    )


def _hold_ceiling(facts: Facts) -> int:
    """What a person would approve: the dearest worst case among the models of the route."""
    if facts.bundle.pack.rank == "cheapest_sufficient":
        routed = members(facts, dict.fromkeys(f for rung in route_of(facts)[0] for f in rung))
    else:
        routed = members(facts, facts.row.families)
    estimates = facts.estimates
    return max((estimates[e.name] for e in routed if e.has_price), default=0)


def _stop(given: DecisionInput, bundle: PolicyBundle, reason: ReasonCode, detail: str = "") -> Plan:
    """No class, no model (OM-13); a closed gate, no model."""
    return Plan(
        effect=Effect.DENY,
        reason=reason,
        task_class=given.classification.task_class,
        class_source=(
            given.classification.class_source
            if given.classification.task_class
            else ClassSource.UNKNOWN
        ),
        sensitivity=effective_sensitivity(given, bundle.pack),
        data_classes=effective_data_classes(given),
        rejected=tuple(rejection(each.name, reason, detail) for each in bundle.index.entries),
        policy=bundle.ref,
    )


def _rejections(facts: Facts, refused: Refused, ranked: Ranked) -> tuple[Rejection, ...]:
    """Sorted by name, as the entries are. Being passed over is told before a filter's refusal."""
    chosen = {entry.name for entry in ranked.chosen}
    told = {name: r[0] if len(r) == 1 else first_reason(r) for name, r in refused.items()}
    told |= ranked.passed_over
    return tuple(
        rejection(name, *told[name])
        for name in facts.bundle.index.by_name
        if name in told and name not in chosen
    )
