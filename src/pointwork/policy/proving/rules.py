"""Every rule of a pack by name, in words with its figures, and which of them decided a task.

A rule is something the pack states or switches, or an invariant the engine keeps for every pack.
The state of the catalogue (a price, a retired id, what a host serves) is no rule. Cases name these
ids, and ``pointwork policy test`` holds them to what the engine's own parts show.
"""

from collections.abc import Iterator

from pointwork.contract.decision import DecisionInput, GrantKind, MoveKind, Obligation, Trigger
from pointwork.contract.money import format_usd
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import PrivacyTier, Risk
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.documents.pack import Pack
from pointwork.policy.engine.cheapest import route_of
from pointwork.policy.engine.priority import listed_order
from pointwork.policy.engine.ranking import members
from pointwork.policy.proving.class_rules import class_rules
from pointwork.policy.proving.lane_rules import lane_rules
from pointwork.policy.proving.rule_evidence import Evidence, Rule, Test


def rules_of(bundle: PolicyBundle) -> tuple[Rule, ...]:
    """Every rule of the bundle's pack; no two have one id."""
    pack = bundle.pack
    parts = (_gates, _privacy, _local, _marks_first, _high_risk, _guards, _money, _moves, _state)
    found = [*class_rules(pack), *lane_rules(pack)]
    for part in parts:
        found += part(pack)
    return (*found, *_models(bundle))


def fired(given: DecisionInput, bundle: PolicyBundle) -> frozenset[str]:
    """Ids of the rules that decide these facts, whatever a case says of them."""
    seen = Evidence(given, bundle)
    return frozenset(rule.id for rule in rules_of(bundle) if rule.decided(seen))


def _barred(code: ReasonCode, detail: str | None = None) -> Test:
    return lambda seen: seen.bars(code, detail)


def _alone(code: ReasonCode) -> Test:
    return lambda seen: seen.bars_alone(code)


def _closed(code: ReasonCode, detail: str | None = None) -> Test:
    return lambda seen: seen.closed_by(code, detail)


def _blocked(owner: str) -> Test:
    closed = _closed(ReasonCode.GATE_FAILED)
    return lambda seen: seen.given.classification.task_class == owner and closed(seen)


def _shown(code: ReasonCode) -> Test:
    return lambda seen: seen.shows(code)


def _owed(obligation: Obligation) -> Test:
    return lambda seen: seen.owes(obligation)


def _moved_by(trigger: Trigger) -> Test:
    return lambda seen: seen.trigger == trigger


def _gates(pack: Pack) -> Iterator[Rule]:
    """What a task must say and the world must show before any model is looked at."""
    words = "A task without a class of the pack runs nothing."
    yield Rule("unclassified", words, lambda seen: seen.facts is None)
    if pack.facts is not None:
        words = "A task with a mark or measure that the pack does not declare runs nothing."
        yield Rule("facts", words, _closed(ReasonCode.FACT_UNKNOWN))
    if pack.stages:
        words = f"The stage of a step is one of {', '.join(pack.stages)}."
        yield Rule("stages", words, _closed(ReasonCode.STAGE_UNKNOWN))
    if pack.escalation_reasons:
        words = f"A reason for escalation is one of {', '.join(pack.escalation_reasons)}."
        yield Rule("escalation_reasons", words, _closed(ReasonCode.ESCALATION_REASON_UNKNOWN))
    if pack.spec is not None:
        words = f"A spec cites version {pack.spec.policy_version} of the policy."
        yield Rule("spec_version", words, _closed(ReasonCode.SPEC_POLICY_MISSING))
        words = "A role that a spec may declare runs only where it says YES to it."
        yield Rule("spec_role", words, _closed(ReasonCode.ROLE_NOT_IN_SPEC))
        words = "A spec that is infrastructure-only calls no model."
        yield Rule("spec_infrastructure", words, _closed(ReasonCode.SPEC_INFRASTRUCTURE_ONLY))
    for stage in pack.pipeline.stages[1:] if pack.pipeline else ():
        words = f"The stage {stage.name} does not begin where a gate of an earlier one failed."
        yield Rule(f"gates:{stage.name}", words, _blocked(stage.owner))
    for name in pack.required_signals:
        words = f"A task is denied while the signal {name} is missing."
        yield Rule(f"signal:{name}", words, _closed(ReasonCode.SIGNAL_MISSING, name))
    words = "What the guardrail authority denies does not run."
    yield Rule("guardrail", words, _closed(ReasonCode.GUARDRAIL_DENIED))


def _privacy(pack: Pack) -> Iterator[Rule]:
    """Where content may go."""
    words = "Restricted content never leaves the house."
    yield Rule("restricted", words, _barred(ReasonCode.RESTRICTED))
    tier = ReasonCode.PRIVACY_TIER
    words = "A task or spec that is local-only stays in the house."
    yield Rule("local_only", words, _barred(tier, PrivacyTier.LOCAL_ONLY))
    words = "A task of the tier approved-private goes only to approved private models."
    yield Rule("approved_private", words, _barred(tier, PrivacyTier.APPROVED_PRIVATE))
    words = "A task that names regions is processed only there."
    yield Rule("residency", words, _barred(ReasonCode.RESIDENCY))
    privacy = pack.privacy
    match privacy.sensitive:
        case "house_or_approved":
            words = "Proprietary and sensitive content goes only to local or approved models."
            yield Rule("sensitive", words, _barred(ReasonCode.PRIVACY))
        case "data_boundary":
            words = "Proprietary and sensitive content needs a data boundary reference to leave."
            yield Rule("sensitive", words, _barred(ReasonCode.DATA_BOUNDARY_MISSING))
        case "tier_only":
            pass
    match privacy.egress_default:
        case "deny":
            words = "Nothing leaves the house without an egress receipt."
            yield Rule("egress", words, _barred(ReasonCode.EGRESS_DENIED))
        case "after_classification":
            words = "Nothing leaves the house before somebody stated its data class."
            yield Rule("egress", words, _barred(ReasonCode.SENSITIVITY_UNDECLARED))
        case "allow":
            pass
    if privacy.hosted_needs_approval:
        words = "A hosted model needs a policy approval on record."
        yield Rule("hosted_approval", words, _barred(ReasonCode.HOSTED_NOT_APPROVED))
    what, obligation = ("Secrets are", Obligation.REDACT_SECRETS)
    if privacy.redact_before_egress:
        what, obligation = ("Sensitive identifiers are", Obligation.REDACT)
    words = f"{what} replaced before content leaves the house."
    yield Rule(str(obligation), words, _owed(obligation))


def _local(pack: Pack) -> Iterator[Rule]:
    """What keeps a task on local models."""
    for mark in pack.local_marks:
        words = f"A task marked {mark} runs on a local model."
        yield Rule(f"mark:{mark}", words, _forces_local(mark))
    if pack.high_volume_items is not None:
        words = f"{pack.high_volume_items} like items or more run on a local model."
        yield Rule("volume", words, _barred(ReasonCode.LOCAL_FIRST_VOLUME))
    if pack.offline_mark is not None:
        words = f"A task marked {pack.offline_mark} uses no model outside the house."
        yield Rule("offline", words, _barred(ReasonCode.OFFLINE))
    if pack.rank == "role_table":
        words = "Work that needs the cloud and may only run locally waits or is denied."
        yield Rule("unsatisfiable", words, _shown(ReasonCode.UNSATISFIABLE_LOCAL_ONLY))


def _forces_local(mark: str) -> Test:
    def decided(seen: Evidence) -> bool:
        if seen.facts is None or mark not in seen.facts.local_marks:
            return False
        return seen.bars(ReasonCode.LOCAL_REQUIRED) or seen.bars(ReasonCode.FRONTIER_BULK)

    return decided


def _marks_first(pack: Pack) -> Iterator[Rule]:
    """What puts another family first; only the cheapest-sufficient ordering has such marks."""
    if pack.rank != "cheapest_sufficient":
        return
    for mark, family in pack.mark_routes.items():
        words = f"A task marked {mark} goes to {family} first."
        yield Rule(f"mark_route:{mark}", words, _marked_first(mark, family))
    if pack.large_context_tokens is not None and pack.large_context_family is not None:
        family, tokens = pack.large_context_family, pack.large_context_tokens
        words = f"A text of more than {tokens} tokens goes to {family} first."
        yield Rule("large_context", words, _large_first(family, tokens))


def _marked_first(mark: str, family: str) -> Test:
    return lambda seen: mark in seen.given.request.marks and _first_rung(seen) == (family,)


def _large_first(family: str, tokens: int) -> Test:
    def decided(seen: Evidence) -> bool:
        if seen.facts is None or seen.facts.input_tokens_likely <= tokens:
            return False
        return _first_rung(seen) == (family,)

    return decided


def _first_rung(seen: Evidence) -> tuple[str, ...]:
    """The families that the route of this very task begins with."""
    return route_of(seen.facts)[0][0] if seen.is_open and seen.facts else ()


def _high_risk(pack: Pack) -> Iterator[Rule]:
    if not pack.high_risk_marks:
        return
    for mark in pack.high_risk_marks:
        words = f"Work marked {mark} is High-Risk."
        yield Rule(f"high_risk:{mark}", words, _makes_high_risk(mark))
    words = "Work that its caller calls High-Risk is."
    yield Rule("high_risk", words, _caller_makes_high_risk)
    words = "Work whose spec says that it is High-Risk is."
    yield Rule("spec_high_risk", words, _spec_makes_high_risk)


def _caller_makes_high_risk(seen: Evidence) -> bool:
    said = seen.given.request.risk is Risk.HIGH
    return said and seen.changes(request={"risk": Risk.ROUTINE})


def _makes_high_risk(mark: str) -> Test:
    def decided(seen: Evidence) -> bool:
        if seen.facts is None or mark not in seen.facts.marks:
            return False
        left = {"marks": tuple(each for each in seen.given.request.marks if each != mark)}
        found = tuple(each for each in seen.given.classification.marks if each != mark)
        return seen.changes(request=left, classification={"marks": found})

    return decided


def _spec_makes_high_risk(seen: Evidence) -> bool:
    spec = seen.given.request.spec
    if spec is None or not spec.high_risk:
        return False
    return seen.changes(request={"spec": spec.model_copy(update={"high_risk": False})})


def _guards(pack: Pack) -> Iterator[Rule]:
    """What a frontier model, a wish and a person's override need."""
    if pack.frontier_guard == "purpose":
        words = "A frontier model needs a class that is kept for it, or words of justification."
        yield Rule("frontier_guard", words, _guards_frontier)
    words = "A wish for a model is granted only where the pack would choose it."
    yield Rule("wish", words, _refuses_wish)
    words = "A person's override puts its model first where no filter refuses it."
    yield Rule("override", words, lambda seen: bool(seen.plan.override_id))
    lifted = (GrantKind.COST, GrantKind.DATA_CLASSIFICATION, GrantKind.SENSITIVE_EGRESS)
    for kind in lifted:
        if kind in pack.holds_for:
            words = f"A task that only {kind.replace('_', ' ')} stands against waits for a person."
            yield Rule(f"hold:{kind}", words, _held_for(kind))


def _guards_frontier(seen: Evidence) -> bool:
    guarded = (ReasonCode.FRONTIER_PURPOSE, ReasonCode.JUSTIFICATION_MISSING)
    return any(seen.bars(code) for code in guarded)


def _refuses_wish(seen: Evidence) -> bool:
    wish = seen.given.request.requested_model
    return wish is not None and not seen.runs and seen.changes(request={"requested_model": None})


def _held_for(kind: GrantKind) -> Test:
    return lambda seen: seen.plan.hold_for is kind


def _money(pack: Pack) -> Iterator[Rule]:
    budgets = ", ".join(f"{format_usd(each.limit)} a {each.period}" for each in pack.budgets)
    yield Rule("budget", f"The pack spends at most {budgets}.", _alone(ReasonCode.BUDGET))
    if pack.hard_stop:
        words = "Over an exceeded budget no task proceeds until a person resumes."
        yield Rule("hard_stop", words, lambda seen: seen.plan.reason is ReasonCode.HARD_STOP)
    if pack.ceiling_near_ratio is not None:
        words = f"Above {pack.ceiling_near_ratio} of its ceiling a call goes to a cheaper model."
        yield Rule("ceiling_near", words, _shown(ReasonCode.CEILING_NEAR))
    if pack.on_budget == "pause_expensive":
        amounts = ", ".join(f"{format_usd(each.budget)} a {each.period}" for each in pack.budgets)
        words = f"Expensive models pause from {amounts} on."
        yield Rule("pause", words, _alone(ReasonCode.PAUSED_OVER_BUDGET))
    alerts = sorted({each.alert_ratio for each in pack.budgets if each.alert_ratio})
    if alerts:
        words = f"People are told from {', '.join(str(each) for each in alerts)} of a budget on."
        yield Rule("alert", words, _owed(Obligation.ALERT_BUDGET))


def _moves(pack: Pack) -> Iterator[Rule]:
    """Where a task goes after a failure."""
    words = "A model that failed is not gone back to within the task."
    yield Rule("failed", words, _barred(ReasonCode.ALREADY_FAILED))
    if pack.on_quality_failure == "up":
        words = "An answer that a check refused moves the task up."
        yield Rule("quality_up", words, _moves_up)
    else:
        words = "An answer that a check refused moves the task down to a cheaper model."
        yield Rule("quality_down", words, _answered_badly)
    if pack.rank == "cheapest_sufficient":
        words = "An outage moves the task to another vendor where one is left."
        yield Rule("outage", words, _moved_by(Trigger.OUTAGE))
        words = "An outage moves the task to the same vendor where no other is left."
        yield Rule("same_vendor", words, _moved_by(Trigger.SAME_VENDOR_FALLBACK))
    if pack.rank == "cheapest_safe_lane":
        words = "A local model that is out is replaced by a hosted one only where that is approved."
        yield Rule("outage", words, _moved_by(Trigger.LOCAL_UNAVAILABLE))
    if pack.overlay is not None:
        words = f"Results move a model by at most {pack.overlay.shift_max} place."
        yield Rule("overlay", words, _is_reordered)
    if pack.cache is not None:
        words = f"An answer may serve an equal request for {pack.cache.ttl_seconds} seconds."
        yield Rule("cache", words, lambda seen: seen.plan.cache_ttl_seconds > 0)
    if pack.batch is not None:
        words = f"Up to {pack.batch.items_max} like tasks share one model."
        yield Rule("batch", words, lambda seen: bool(seen.plan.batch_key))


def _answered_badly(seen: Evidence) -> bool:
    """From then on only cheaper models serve, or none does."""
    names = seen.bundle.index.by_name
    bad = any(each.kind is None and each.model in names for each in seen.given.failed)
    return seen.is_open and bad


def _moves_up(seen: Evidence) -> bool:
    if not seen.runs or not seen.given.failed or seen.given.failed[-1].kind is not None:
        return False
    move = seen.plan.candidates[0].move
    return move is not None and move.kind is MoveKind.ESCALATION


def _is_reordered(seen: Evidence) -> bool:
    if not seen.is_open or seen.facts is None:
        return False
    return listed_order(seen.facts, seen.facts.task_class) != members(
        seen.facts, seen.facts.row.families
    )


def _models(bundle: PolicyBundle) -> Iterator[Rule]:
    """What only some models of the bundle ask for, and what a task may ask of all."""
    entries, measures = (
        bundle.index.entries,
        bundle.pack.facts.measures if bundle.pack.facts else {},
    )
    if any(entry.is_personal for entry in entries):
        words = "A personal model needs its user's consent and a contract for it."
        yield Rule("personal", words, _barred(ReasonCode.PERSONALISATION))
    if any(entry.priced.model.host_needs for entry in entries):
        words = "A local model waits for the room it needs on the host."
        yield Rule("resources", words, _barred(ReasonCode.RESOURCES))
    if "latency_ms_max" in measures:
        words = "A task that states its longest time takes no model that is slower."
        yield Rule("latency", words, _is_slower)
    if "quality_floor" in measures:
        words = "A task that states a grade takes no model below it."
        yield Rule("grade", words, _is_below_asked)


def _is_slower(seen: Evidence) -> bool:
    asked = "latency_ms_max" in seen.given.request.measures
    return asked and seen.bars(ReasonCode.LATENCY)


def _is_below_asked(seen: Evidence) -> bool:
    asked = seen.given.request.measures.get("quality_floor")
    if asked is None or seen.facts is None or asked <= seen.facts.row.quality_floor:
        return False
    return seen.rejects(ReasonCode.QUALITY_FLOOR, begins="grade ")


def _state(pack: Pack) -> Iterator[Rule]:
    """What the models and their endpoints must be able to do now, the same in every pack."""
    states = {
        "keys": ("An endpoint without a key is passed over.", ReasonCode.NO_CREDENTIALS),
        "health": ("An endpoint that does not answer is passed over.", ReasonCode.UNHEALTHY),
        "rate_limit": ("An endpoint that asked to wait is passed over.", ReasonCode.RATE_LIMITED),
        "quota": ("An endpoint whose quota is used up is passed over.", ReasonCode.QUOTA_EXHAUSTED),
        "capability": ("A model takes only work it can do.", ReasonCode.CAPABILITY),
        "context": ("A text goes only to models it fits into.", ReasonCode.CONTEXT),
    }
    for name, (words, code) in states.items():
        yield Rule(name, words, _barred(code))
