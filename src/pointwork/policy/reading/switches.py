"""Where packs differ, row by row, worked out from each pack's own fields (requirements 8.1)."""

from collections.abc import Callable, Iterable, Iterator

from pointwork.contract.decision import Lane, MoveKind
from pointwork.policy.documents.conditions import Condition
from pointwork.policy.documents.pack import Pack
from pointwork.policy.documents.routes import PlainRung, Rung, TaskClass, families_of

_FACTORS = {
    "quality_per_minute": "quality/min",
    "quality_per_dollar": "quality/$",
    "latency_sensitivity": "latency",
    "volume_economics": "volume",
}


def switches(pack: Pack) -> dict[str, str]:
    """What ``pack`` says in each row of the table of switches, in the table's order."""
    return {name: row(pack) for name, row in _ROWS.items()}


def _rank(pack: Pack) -> str:
    match pack.rank:
        case "cheapest_sufficient":
            return "cheapest sufficient"
        case "role_table":
            used = {row.factor for row in pack.classes.values()}
            used |= {rule.factor for row in pack.classes.values() for rule in row.routes}
            named = ", ".join(words for factor, words in _FACTORS.items() if factor in used)
            return f"{named} by role table"
        case "priority":
            return "priority number" + (" + overlay" if pack.overlay else "")
        case "cheapest_safe_lane":
            return "cheapest safe lane for next irreversible step"


def _entry(pack: Pack) -> str:
    match pack.rank:
        case "cheapest_sufficient":
            return "family of the class row" + ("; marks force local" if pack.local_marks else "")
        case "role_table":
            direct = any(True for _ in _direct_to_cloud(pack))
            return "role row" + ("; direct-cloud predicates" if direct else "")
        case "priority":
            return ("policy of the task type, " if pack.task_types else "") + "priority 1"
        case "cheapest_safe_lane":
            first, second = [rule.called for rule in pack.lanes.values()][:2]
            return f"{first}, then {second}"


def _quality_failure(pack: Pack) -> str:
    if pack.on_quality_failure == "down":
        return "down to cheaper"
    match pack.rank:
        case "role_table":
            counted = [f"{name}: up at {limit}" for name, limit in _loops(pack)]
            stems: dict[str, list[str]] = {}
            for name, row in pack.classes.items():
                for stem in dict.fromkeys(_only_by_predicate(row)):
                    if name not in dict(_loops(pack)):
                        stems.setdefault(stem, []).append(name)
            opened = [f"{'/'.join(names)}: {stem} by predicate" for stem, names in stems.items()]
            return "; ".join([*counted, *opened])
        case "cheapest_safe_lane":
            return "up one lane" + (", guard applies" if _guards(pack) else "")
        case _:
            return "up one rung"


def _outage(pack: Pack) -> str:
    match pack.rank:
        case "cheapest_sufficient":
            return "other vendor first" if pack.vendors_min > 1 else "any vendor"
        case "role_table":
            rungs = [rung for row in pack.classes.values() for rung in row.rungs[1:]]
            return "role's fallback column" if any(map(_outage_only, rungs)) else "deny"
        case "priority":
            return "next priority"
        case "cheapest_safe_lane":
            own = any(family.from_host for family in pack.families.values())
            hosted = "hosted if approved" if pack.privacy.hosted_needs_approval else "hosted"
            return f"{'next local model; ' if own else ''}{hosted}; else deny"


def _ceiling(pack: Pack) -> str:
    match pack.on_ceiling:
        case "downgrade_or_approval":
            near = "near: cheaper + warning; " if pack.ceiling_near_ratio is not None else ""
            return f"{near}over: cheaper or approval"
        case "block":
            return _settable(pack, "deny") or "block at cap"
        case "downgrade":
            return _settable(pack, "downgrade") or "cheaper"


def _period_budget(pack: Pack) -> str:
    match pack.on_budget:
        case "pause_expensive":
            alerts = sorted({each.alert_ratio for each in pack.budgets if each.alert_ratio})
            told = "".join(f"alert at {ratio}, " for ratio in alerts)
            return f"pause expensive, {told}cheaper continues"
        case "block":
            return "block at cap"
        case "deny":
            return _settable(pack, "deny") or "deny"
        case "downgrade":
            stop = f"hard stop {'on' if pack.hard_stop else 'off'}, human resume"
            return _settable(pack, "downgrade") or stop


def _settable(pack: Pack, chosen: str) -> str:
    """Where the lanes order, a pack may deny or downgrade, and says which (SP-43)."""
    return f"deny or downgrade (set to {chosen})" if pack.rank == "cheapest_safe_lane" else ""


def _egress(pack: Pack) -> str:
    match pack.privacy.egress_default:
        case "after_classification":
            return "after data classification"
        case "allow":
            return "allow" + (", unless local_only" if pack.spec else "")
        case "deny":
            return "deny"


def _sensitive(pack: Pack) -> str:
    match pack.privacy.sensitive:
        case "house_or_approved":
            return "local / approved private; restricted never out"
        case "tier_only":
            return "HR flag; local_only" if pack.high_risk_marks else "no own rule, task tier binds"
        case "data_boundary":
            grant = "egress grant + " if pack.privacy.egress_default == "deny" else ""
            return f"{grant}data boundary ref"


def _frontier_guard(pack: Pack) -> str:
    if pack.frontier_guard == "purpose":
        return "justification" + ("; never for bulk" if pack.local_marks else "")
    if guards := _guards(pack):
        return guards
    if pack.rank == "role_table":
        frontier = {n: r for n, r in pack.classes.items() if _first_lane(pack, r) >= Lane.HIGH.rank}
        free = [f"none for {name}" for name, row in frontier.items() if not row.budget_gated]
        gated = [f"{name} budget-gated" for name, row in frontier.items() if row.budget_gated]
        stems = sorted({s for row in pack.classes.values() for s in _only_by_predicate(row)})
        return "; ".join([*free, *gated, f"{'/'.join(stems)} by predicate"])
    capped = all(row.ceiling is not None for row in pack.classes.values())
    return "per-task cap" if capped else "none"


def _guards(pack: Pack) -> str:
    """What the guarded lanes ask for, all of them alike."""
    found = [rule.guard for rule in pack.lanes.values()]
    asked = [
        words
        for words, is_asked in (
            ("reason", any(guard.needs_reason for guard in found)),
            ("receipt", any(guard.needs_receipt for guard in found)),
        )
        if is_asked
    ]
    quota = "; quota known" if any(guard.needs_known_quota for guard in found) else ""
    return " + ".join(asked) + quota


def _verification(pack: Pack) -> str:
    kinds = set(pack.verification)
    if not kinds or "compare" in kinds:
        return "none, or compare when configured"
    words = []
    if "deterministic" in kinds:
        words += ["tests", "gates"] if pack.pipeline else ["deterministic tools"]
    words += ["success flag and metrics"] if "metrics" in kinds else []
    words += ["cloud judge if HR"] if "judge" in kinds else []
    words += ["critic optional"] if "critic" in kinds else []
    return ", ".join(words)


def _parallel(pack: Pack) -> str:
    if not pack.verification or "compare" in pack.verification:
        return "opt-in, human selects"
    advised = any(row.second_opinion for row in pack.classes.values())
    return "forbidden (advisory second opinion only)" if advised else "none"


def _metrics(pack: Pack) -> str:
    return {
        "proposal": "proposal",
        "not_read": "not read",
        "overlay": "automatic overlay",
        "eval_confidence": "eval-confidence as input",
    }[pack.metrics_feedback]


def _policy_change(pack: Pack) -> str:
    match pack.policy_change:
        case "live_revision":
            return "live POST, revision kept"
        case "release_review":
            return f"release review by {pack.change.approver}"
        case "owner_approval" if pack.changelog:
            itself = any("policies/*" in group.paths for group in pack.high_risk_groups.values())
            return "version + change log" + ("; itself High-Risk" if itself else "")
        case "owner_approval":
            return "revision, rationale, rollback, owner, tests"


def _after_planning(pack: Pack) -> str:
    bounds = [stage.lane_max for stage in pack.stages.values() if stage.after_planning]
    if bounds:
        highest = max(bounds, key=lambda lane: lane.rank)
        return f"drop to {pack.lanes[highest].called} or lower"
    stays = any(row.cloud_if_high_risk for row in pack.classes.values())
    return "serious work stays cloud" if stays else "no rule"


def _missing_signal(pack: Pack) -> str:
    if pack.required_signals:
        return "deny on any required one"
    if pack.privacy.egress_default == "after_classification":
        return "no class or data class: stop"
    rules = [rule for row in pack.classes.values() for rule in row.routes]
    if any(rule.kind is MoveKind.ESCALATION and _bounds(rule.when, "confidence") for rule in rules):
        return "low confidence: escalate"
    return "only class and budget needed"


def _cache_and_batch(pack: Pack) -> str:
    batch = "on" if pack.batch else "local" if "batch" in pack.local_marks else "off"
    return f"{'on' if pack.cache else 'off'} / {batch}"


def _prompt_evidence(pack: Pack) -> str:
    return {
        "identifier": "identifier or redacted summary",
        "artifacts": "artifacts required, local store",
        "metrics": "metrics only",
        "hash_only": "hash only",
    }[pack.prompt_evidence]


def _review_contract(pack: Pack) -> str:
    """The loop is attached to every pack; where its proposals go is the pack's."""
    if pack.overlay:
        return "loop attached (overlay exempt)"
    if pack.policy_change == "release_review":
        return f"loop attached, output handed to {pack.change.approver}"
    return "loop attached"


def _outage_only(rung: PlainRung | Rung) -> bool:
    return isinstance(rung, Rung) and rung.opens_on == "outage"


def _first_lane(pack: Pack, row: TaskClass) -> int:
    return max(pack.families[family].lane.rank for family in families_of(row.rungs[0]))


def _direct_to_cloud(pack: Pack) -> Iterator[str]:
    """Classes that begin locally, with a rule that begins in the cloud."""
    for name, row in pack.classes.items():
        if _first_lane(pack, row) > Lane.LOCAL.rank:
            continue
        for rule in row.routes:
            first = families_of(rule.rungs[0])
            if all(pack.families[family].lane.rank > Lane.LOCAL.rank for family in first):
                yield name


def _only_by_predicate(row: TaskClass) -> Iterator[str]:
    """First words of the families that a rule opens, and no default rung of the class names."""
    default = {family for rung in row.rungs for family in families_of(rung)}
    for rule in row.routes:
        if rule.kind is MoveKind.ESCALATION:
            for family in families_of(rule.rungs[0]):
                if family not in default:
                    yield family.partition("_")[0]


def _loops(pack: Pack) -> Iterator[tuple[str, str]]:
    """Classes with a rule that counts failed loops, and from how many on it holds."""
    for name, row in pack.classes.items():
        for rule in row.routes:
            yield from ((name, str(limit)) for limit in _bounds(rule.when, "failed_loops"))


def _bounds(condition: Condition, measure: str) -> Iterable[object]:
    """The bounds that a condition sets to a measure."""
    if condition.measure == measure:
        found = (condition.above, condition.at_least, condition.below, condition.at_most)
        return [bound for bound in found if bound is not None]
    inner = (*condition.any_of, *condition.all_of)
    return [bound for each in inner for bound in _bounds(each, measure)]


_ROWS: dict[str, Callable[[Pack], str]] = {
    "rank": _rank,
    "entry": _entry,
    "quality failure": _quality_failure,
    "outage": _outage,
    "ceiling": _ceiling,
    "period budget": _period_budget,
    "egress default": _egress,
    "sensitive data": _sensitive,
    "frontier guard": _frontier_guard,
    "verification": _verification,
    "parallel outputs": _parallel,
    "metrics feedback": _metrics,
    "policy change": _policy_change,
    "after planning": _after_planning,
    "missing signal": _missing_signal,
    "cache / batch": _cache_and_batch,
    "prompt evidence": _prompt_evidence,
    "review contract": _review_contract,
}
