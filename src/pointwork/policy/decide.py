"""``decide``: pure, total and deterministic over (facts, policy bundle). It does no I/O, ever."""

from collections.abc import Collection
from dataclasses import replace

from pointwork.contract.decision import (
    Candidate,
    ClassSource,
    DecisionInput,
    Effect,
    GrantKind,
    Obligation,
    Plan,
    ReasonCode,
    Rejection,
    Site,
    Trigger,
)
from pointwork.contract.task import PrivacyTier, Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.estimate import input_tokens_likely, output_tokens_bound
from pointwork.policy.filters import Facts, Refusal, refusals
from pointwork.policy.sensitivity import effective_data_classes, effective_sensitivity
from pointwork.policy.windows import windows_at

_LIFTED_BY = {
    ReasonCode.CEILING: GrantKind.COST,
    ReasonCode.SENSITIVITY_UNDECLARED: GrantKind.DATA_CLASSIFICATION,
    ReasonCode.PRIVACY: GrantKind.SENSITIVE_EGRESS,
}
"""The refusals a person may lift. Restricted, tier, residency and capability are not among them."""

_DOWNGRADE_TRIGGER = {
    ReasonCode.CEILING: Trigger.CEILING_OVER,
    ReasonCode.CEILING_NEAR: Trigger.CEILING_NEAR,
    ReasonCode.BUDGET: Trigger.BUDGET_LOW,
}

_MONEY = (ReasonCode.CEILING, ReasonCode.BUDGET)


def decide(given: DecisionInput, bundle: PolicyBundle) -> Plan:
    """Choose the models a task may use, in order, or say why it must wait or stop.

    Every model of the bundle that is not a candidate carries a reason. The same arguments always
    give an equal plan, in any process.
    """
    task_class = given.classification.task_class
    if task_class is None:
        return _stop(given, bundle, ReasonCode.CLASS_UNKNOWN)
    if task_class not in bundle.pack.classes:
        return _stop(given, bundle, ReasonCode.CLASS_NOT_IN_PACK)
    facts = _facts(given, bundle, task_class)
    refused = {name: refusals(facts, name, priced) for name, priced in bundle.models.items()}
    permitted = [name for name, reasons in refused.items() if not reasons]
    chosen, ranked_out, downgrade = _rank(facts, permitted, refused)
    wish = given.request.requested_model
    if wish is not None and (not chosen or chosen[0] != wish):
        return _refuse_wish(facts, wish, refused, chosen, ranked_out)
    if not chosen:
        return _no_candidate(facts, refused, ranked_out)
    candidates = tuple(_candidate(facts, name, _trigger(facts, name, downgrade)) for name in chosen)
    return _run(facts, candidates, _rejections(refused, ranked_out, chosen), downgrade)


def _facts(given: DecisionInput, bundle: PolicyBundle, task_class: str) -> Facts:
    pack, row = bundle.pack, bundle.pack.classes[task_class]
    facts = Facts(given, bundle, task_class, row, row.rungs, row.quality_floor)
    level = facts.sensitivity
    is_sensitive = level is not None and level.rank >= Sensitivity.SENSITIVE.rank
    if is_sensitive or given.request.privacy_tier is PrivacyTier.LOCAL_ONLY:
        rest = tuple(r for r in row.rungs if set(r) - set(pack.privacy.sensitive_route))
        return replace(facts, rungs=(pack.privacy.sensitive_route, *rest), quality_floor=1)
    if facts.local_marks or given.request.item_count >= pack.high_volume_items:
        return replace(facts, rungs=((pack.local_family,),), quality_floor=1)
    if row.rungs == ((pack.local_family,),):
        return facts  # bulk work has no way out of the house, whatever its length or other marks
    first = next((pack.mark_routes[m] for m in given.request.marks if m in pack.mark_routes), None)
    if input_tokens_likely(given.classification) > pack.large_context_tokens:
        first = pack.large_context_family
    if first is None:
        return facts
    rest = tuple(r for rung in row.rungs if (r := tuple(f for f in rung if f != first)))
    return replace(facts, rungs=((first,), *rest))


def _rank(
    facts: Facts, permitted: list[str], refused: dict[str, tuple[Refusal, ...]]
) -> tuple[list[str], dict[str, Refusal], ReasonCode | None]:
    """Cheapest sufficient: the lowest open rung, by worst-case cost, another vendor first."""
    serving, waiting = _lowest_rung(facts, refused)
    ordered = sorted(serving, key=lambda name: _order(facts, name))
    ranked_out = {
        name: (
            (ReasonCode.OVER_PROVISIONED, f"{ordered[0]} is sufficient")
            if ordered
            else (ReasonCode.NO_PRIOR_FAILURE, f"{', '.join(waiting)} comes first")
        )
        for name in permitted
        if name not in ordered
    }
    if ordered and not _is_near_ceiling(facts, ordered[0]):
        return ordered, ranked_out, None
    cause = ReasonCode.CEILING_NEAR if ordered else _money_cause(waiting, refused)
    cheaper = _downgrades(facts, refused, below=ordered[:1] or waiting) if cause else []
    if not cheaper:
        return ordered, ranked_out, None
    ranked_out |= {name: (ReasonCode.CEILING_NEAR, f"{cheaper[0]} is cheaper") for name in ordered}
    return cheaper, {n: why for n, why in ranked_out.items() if n not in cheaper}, cause


def _lowest_rung(
    facts: Facts, refused: dict[str, tuple[Refusal, ...]]
) -> tuple[list[str], list[str]]:
    """The models of the first rung that can serve, or waits to; those that serve and that wait.

    A rung that none of its models can serve, or has failed to, lets the next be used (OM-4). One
    that only money or a person keeps shut does not: it downgrades, holds or denies.
    """
    for rung in facts.rungs:
        members = [n for n, each in facts.bundle.models.items() if each.model.family in rung]
        serving = [name for name in members if not refused[name]]
        waiting = [name for name in members if refused[name] and _waits(facts, refused[name])]
        if serving or waiting:
            return serving, waiting
    return [], []


def _waits(facts: Facts, reasons: tuple[Refusal, ...]) -> bool:
    return all(
        code is ReasonCode.BUDGET or (code in _LIFTED_BY and _is_liftable(facts, code))
        for code, _ in reasons
    )


def _rung(facts: Facts, name: str) -> int | None:
    return facts.rung_of(facts.bundle.models[name].model.family)


def _order(facts: Facts, name: str) -> tuple[bool, int, int, str]:
    models = facts.bundle.models
    priced = models[name]
    failed_vendors = {models[n].model.vendor for n in facts.failed_models if n in models}
    listed = facts.bundle.host.local_models
    place = listed.index(name) if name in listed else 0
    return priced.model.vendor in failed_vendors, facts.estimate(priced), place, name


def _is_near_ceiling(facts: Facts, name: str) -> bool:
    priced = facts.bundle.models[name]
    near = facts.bundle.pack.ceiling_near_ratio * facts.ceiling(priced.model.family)
    return facts.estimate(priced) > near and not facts.cost_grant_nano_usd


def _money_cause(waiting: list[str], refused: dict[str, tuple[Refusal, ...]]) -> ReasonCode | None:
    """The money rule that alone keeps some model of the rung out, where one does."""
    for reason in _MONEY:
        if any({code for code, _ in refused[name]} == {reason} for name in waiting):
            return reason
    return None


def _downgrades(
    facts: Facts, refused: dict[str, tuple[Refusal, ...]], below: list[str]
) -> list[str]:
    """Models cheaper than all of ``below`` that at most the class's wish for better refuses."""
    models = facts.bundle.models
    limit = min(facts.estimate(models[name]) for name in below)
    found = [
        name
        for name, reasons in refused.items()
        if {code for code, _ in reasons} <= {ReasonCode.QUALITY_FLOOR}
        and models[name].tiers
        and facts.estimate(models[name]) < limit
    ]
    return sorted(found, key=lambda name: _order(facts, name))


def _trigger(facts: Facts, name: str, downgrade: ReasonCode | None) -> Trigger:
    if downgrade is not None:
        return _DOWNGRADE_TRIGGER[downgrade]
    if not facts.given.failed:
        wished = facts.given.request.requested_model == name
        return Trigger.REQUESTED if wished else Trigger.DEFAULT
    last = facts.given.failed[-1]
    if last.kind is None or not last.kind.is_outage:
        return Trigger.CHEAPER_FAILED
    models = facts.bundle.models
    same = last.model in models and models[last.model].model.vendor == models[name].model.vendor
    return Trigger.SAME_VENDOR_FALLBACK if same else Trigger.OUTAGE


def _candidate(facts: Facts, name: str, trigger: Trigger) -> Candidate:
    priced = facts.bundle.models[name]
    model, family = priced.model, facts.bundle.pack.families[priced.model.family]
    return Candidate(
        model=name,
        served_as=model.served_as,
        vendor=model.vendor,
        endpoint=model.endpoint,
        family=model.family,
        lane=model.lane,
        site=priced.endpoint.site,
        cost_class=family.cost_class,
        task_queue=priced.endpoint.task_queue,
        trigger=trigger,
        estimate_nano_usd=facts.estimate(priced),
        ceiling_nano_usd=facts.ceiling(model.family),
        max_output_tokens=output_tokens_bound(facts.given.request, model),
        timeout_seconds=model.timeout_seconds,
        prices=priced.tiers,
        price_version=priced.price_version,
    )


def _run(
    facts: Facts,
    candidates: tuple[Candidate, ...],
    rejected: tuple[Rejection, ...],
    downgrade: ReasonCode | None,
) -> Plan:
    given, pack = facts.given, facts.bundle.pack
    obligations: list[Obligation] = []
    if pack.privacy.redact_before_egress and any(c.site is not Site.LOCAL for c in candidates):
        obligations.append(Obligation.REDACT)
    if given.request.answer_schema is not None:
        obligations.append(Obligation.VERIFY_SCHEMA)
    best = facts.bundle.models[candidates[0].model].model.quality
    if downgrade is not None or best < facts.row.quality_floor:
        obligations.append(Obligation.WARN_DOWNGRADE)
    if facts.sensitivity is Sensitivity.RESTRICTED:
        obligations.append(Obligation.LOG_RESTRICTED)
    row_ceilings = pack.ceilings[facts.task_class].values()
    return Plan(
        effect=Effect.RUN,
        task_class=facts.task_class,
        class_source=given.classification.class_source,
        sensitivity=facts.sensitivity,
        data_classes=facts.data_classes,
        candidates=candidates,
        rejected=rejected,
        obligations=tuple(obligations),
        windows=windows_at(pack, given.snapshot.taken_at, caller=given.request.caller),
        task_ceiling_nano_usd=max(*row_ceilings, facts.cost_grant_nano_usd),
        justification=given.request.justification.strip()
        or facts.purpose(candidates[0].family)
        or "",
        policy=facts.bundle.ref,
    )


def _no_candidate(
    facts: Facts, refused: dict[str, tuple[Refusal, ...]], ranked_out: dict[str, Refusal]
) -> Plan:
    """Hold where one rule that a person may lift is all that stands in the way; else deny."""
    rejected = _rejections(refused, ranked_out)
    for reason, grant in _LIFTED_BY.items():
        alone = any({code for code, _ in each} == {reason} for each in refused.values())
        if alone and _is_liftable(facts, reason) and not facts.grant(grant):
            return _ended(facts, Effect.HOLD, reason, rejected, hold_for=grant)
    if any({code for code, _ in each} == {ReasonCode.BUDGET} for each in refused.values()):
        return _ended(facts, Effect.DENY, ReasonCode.BUDGET, rejected)
    spent = ReasonCode.CANDIDATES_EXHAUSTED if facts.given.failed else ReasonCode.NO_CANDIDATE
    return _ended(facts, Effect.DENY, spent, rejected)


def _refuse_wish(
    facts: Facts,
    wish: str,
    refused: dict[str, tuple[Refusal, ...]],
    chosen: list[str],
    ranked_out: dict[str, Refusal],
) -> Plan:
    """A request for a model is no right: it runs where the pack would choose it (OM-3, OM-4)."""
    others = {
        name: (ReasonCode.NOT_REQUESTED, f"{wish} was requested")
        for name, reasons in refused.items()
        if not reasons and name != wish
    }
    rejected = _rejections(refused, others)
    if wish not in refused:
        missing = Rejection(model=wish, reason=ReasonCode.NO_CANDIDATE, detail="not in catalogue")
        return _ended(facts, Effect.DENY, ReasonCode.NO_CANDIDATE, (*rejected, missing))
    reasons = refused[wish]
    if reasons:
        only = {code for code, _ in reasons}
        grant = _LIFTED_BY.get(reasons[0][0]) if len(only) == 1 else None
        if grant is not None and not facts.grant(grant) and _is_liftable(facts, reasons[0][0]):
            return _ended(facts, Effect.HOLD, reasons[0][0], rejected, hold_for=grant)
        return _ended(facts, Effect.DENY, reasons[0][0], rejected)
    code, detail = ReasonCode.OVER_PROVISIONED, ""
    if wish in ranked_out:
        code, detail = ranked_out[wish]
    if code is ReasonCode.OVER_PROVISIONED and _rung(facts, wish) != _rung(facts, chosen[0]):
        code = ReasonCode.NO_PRIOR_FAILURE
    return _ended(
        facts, Effect.DENY, code, (*rejected, Rejection(model=wish, reason=code, detail=detail))
    )


def _is_liftable(facts: Facts, reason: ReasonCode) -> bool:
    return facts.sensitivity is Sensitivity.SENSITIVE or reason is not ReasonCode.PRIVACY


def _ended(
    facts: Facts,
    effect: Effect,
    reason: ReasonCode,
    rejected: tuple[Rejection, ...],
    *,
    hold_for: GrantKind | None = None,
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
    )


def _hold_ceiling(facts: Facts) -> int:
    """What a person would approve: the dearest worst case among the models of the route."""
    return max(
        (
            facts.estimate(priced)
            for priced in facts.bundle.models.values()
            if priced.tiers and facts.rung_of(priced.model.family) is not None
        ),
        default=0,
    )


def _stop(given: DecisionInput, bundle: PolicyBundle, reason: ReasonCode) -> Plan:
    """No class, no model (OM-13)."""
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
        rejected=tuple(Rejection(model=name, reason=reason) for name in sorted(bundle.models)),
        policy=bundle.ref,
    )


def _rejections(
    refused: dict[str, tuple[Refusal, ...]],
    ranked_out: dict[str, Refusal],
    chosen: Collection[str] = (),
) -> tuple[Rejection, ...]:
    first = {name: reasons[0] for name, reasons in refused.items() if reasons} | ranked_out
    return tuple(
        Rejection(model=name, reason=code, detail=detail)
        for name, (code, detail) in sorted(first.items())
        if name not in chosen
    )
