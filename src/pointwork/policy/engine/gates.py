"""The gates every task passes before any model is looked at, the same in every pack, in this order.

A gate that closes denies the task: what is missing or unknown is never guessed (SP-41, R-13).
"""

from collections.abc import Callable

from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import GuardrailVerdict
from pointwork.policy.documents.pack import SignalName
from pointwork.policy.engine.facts import Facts
from pointwork.policy.engine.filters import Refusal

Gate = Callable[[Facts], Refusal | None]


def _facts_known(facts: Facts) -> Refusal | None:
    """A misspelt mark must not pass for a missing one."""
    known, request = facts.bundle.pack.facts, facts.given.request
    if known is None:
        return None
    strange = sorted(set(request.marks) - set(known.marks))
    strange += sorted(set(request.measures) - set(known.measures))
    return (ReasonCode.FACT_UNKNOWN, ", ".join(strange)) if strange else None


def _stage_known(facts: Facts) -> Refusal | None:
    stage, stages = facts.stage, facts.bundle.pack.stages
    return (ReasonCode.STAGE_UNKNOWN, stage) if stage and stages and stage not in stages else None


def _escalation_known(facts: Facts) -> Refusal | None:
    reason, known = facts.given.request.escalation_reason, facts.bundle.pack.escalation_reasons
    if reason is None or not known or reason in known:
        return None
    return ReasonCode.ESCALATION_REASON_UNKNOWN, reason


def _spec_obeyed(facts: Facts) -> Refusal | None:
    """A spec cites this policy's version and says which roles it exercises (CX-2, CX-100)."""
    spec, rules = facts.given.request.spec, facts.bundle.pack.spec
    if spec is None or rules is None:
        return None
    if spec.policy_version != rules.policy_version:
        cited = spec.policy_version or "none"
        return ReasonCode.SPEC_POLICY_MISSING, f"cites {cited}, not {rules.policy_version}"
    if spec.infrastructure_only:
        return ReasonCode.SPEC_INFRASTRUCTURE_ONLY, spec.name
    declared = {each.role for each in rules.roles}
    if facts.task_class in declared and facts.task_class not in spec.roles:
        return ReasonCode.ROLE_NOT_IN_SPEC, facts.task_class
    return None


def _earlier_gates_passed(facts: Facts) -> Refusal | None:
    """Tests, constitution and audit block, however sure any model is of the work (CX-36).

    The stage's own owner may work again on what failed, and who owns no stage is asked as before.
    """
    results, pipeline = facts.given.request.gate_results, facts.bundle.pack.pipeline
    if not results:
        return None
    stages = pipeline.stages if pipeline else ()
    places = {f"{s.name}.{gate}": at for at, s in enumerate(stages) for gate in s.gates}
    mine = next((at for at, s in enumerate(stages) if s.owner == facts.task_class), 0)
    strange = sorted({each.name for each in results} - places.keys())
    if strange:
        return ReasonCode.FACT_UNKNOWN, ", ".join(strange)
    failed = sorted({e.name for e in results if not e.passed and places[e.name] < mine})
    return (ReasonCode.GATE_FAILED, ", ".join(failed)) if failed else None


def _session_open(facts: Facts) -> Refusal | None:
    row = facts.row
    if row.in_session and facts.given.request.conversation is None:
        return ReasonCode.SESSION_MISSING, facts.task_class
    if row.session is None:
        return None
    for name, limit in (
        ("session_turns", row.session.turns_max),
        ("session_minutes", row.session.minutes_max),
    ):
        value = facts.measure(name)
        if value is not None and value > limit:
            return ReasonCode.SESSION_OVER, f"{name} {value} of {limit}"
    return None


def _signals_present(facts: Facts) -> Refusal | None:
    for name in facts.bundle.pack.required_signals:
        if not _is_present(facts, name):
            return ReasonCode.SIGNAL_MISSING, name
    return None


def _is_present(facts: Facts, name: SignalName) -> bool:
    snapshot = facts.given.snapshot
    match name:
        case "budget":
            return {e.key for e in facts.windows} <= {each.window for each in snapshot.budgets}
        case "quota":
            return snapshot.quotas is not None
        case "resources":
            return snapshot.resources is not None
        case "latency":
            return snapshot.latencies is not None
        case "provider_health":
            return facts.bundle.index.endpoints <= set(facts.endpoints)
        case "guardrail":
            return snapshot.guardrail is not None


def _guardrail_allows(facts: Facts) -> Refusal | None:
    found = facts.given.snapshot.guardrail
    if found is None or found.verdict is GuardrailVerdict.ALLOW:
        return None
    return ReasonCode.GUARDRAIL_DENIED, found.rule or found.verdict


GATES: tuple[Gate, ...] = (
    _facts_known,
    _stage_known,
    _escalation_known,
    _spec_obeyed,
    _earlier_gates_passed,
    _session_open,
    _signals_present,
    _guardrail_allows,
)


def closed_gate(facts: Facts) -> Refusal | None:
    """The first gate that is closed; None where the task may go on."""
    return next((found for gate in GATES if (found := gate(facts)) is not None), None)
