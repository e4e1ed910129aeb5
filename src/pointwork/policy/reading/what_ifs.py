"""The things about a task, or the world around it, that somebody could change (`remedies`).

Each is a sentence and a change of the facts. Whether it helps is decided, never guessed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from pointwork.contract.decision import DecisionInput
from pointwork.contract.snapshot import (
    BudgetSignal,
    EndpointSignal,
    GuardrailSignal,
    GuardrailVerdict,
    QuotaSignal,
    Receipt,
    ReceiptKind,
    ResourceSignal,
)
from pointwork.contract.task import Sensitivity

if TYPE_CHECKING:
    from pointwork.policy.bundle import PolicyBundle
    from pointwork.policy.documents.pack import Pack

TOKENS_FEW = 64
_ROOM = ResourceSignal(free_memory_mb=1_000_000, load_ratio=Decimal(0))
_QUOTA_REQUESTS = 1_000
_RECEIPTS = {
    ReceiptKind.EGRESS: "An egress receipt for this task",
    ReceiptKind.HOSTED_FALLBACK: "A policy approval on record for a hosted model",
    ReceiptKind.DATA_BOUNDARY: "A data boundary reference for this task",
}

Applied = Callable[[DecisionInput], DecisionInput]


@dataclass(frozen=True)
class WhatIf:
    """One change. Of several of one ``kind`` only one can be made at a time."""

    kind: str
    sentence: str
    applied: Applied
    is_asked_for: bool = False
    """The pack requires it and the facts lack it, whatever else stands in the way."""


def what_ifs(given: DecisionInput, bundle: "PolicyBundle") -> Iterator[WhatIf]:
    """Every change that is open for this task, what its caller can do first."""
    yield from _keys(given, bundle)
    yield from _declarations(given)
    yield from _facts(given, bundle.pack)
    yield from _spec(given, bundle)
    yield from _gates(given)
    yield from _session(given, bundle)
    yield from _chain(given, bundle.pack)
    yield from _receipts(given, bundle)
    yield from _signals(given, bundle)
    yield from _world(given, bundle)


def declared_public(given: DecisionInput) -> DecisionInput:
    return asking(given, sensitivity=Sensitivity.PUBLIC)


def asking(given: DecisionInput, **changed: object) -> DecisionInput:
    return given.model_copy(update={"request": given.request.model_copy(update=changed)})


def _asked(**changed: object) -> Applied:
    return lambda given: asking(given, **changed)


def _signalled(**changed: object) -> Applied:
    return lambda given: given.model_copy(
        update={"snapshot": given.snapshot.model_copy(update=changed)}
    )


def _asked_for(kind: str, sentence: str, **changed: object) -> WhatIf:
    return WhatIf(kind, sentence, _signalled(**changed), is_asked_for=True)


def _keys(given: DecisionInput, bundle: "PolicyBundle") -> Iterator[WhatIf]:
    keyless = {each.endpoint for each in given.snapshot.endpoints if not each.has_credentials}
    endpoints = {each.model.endpoint: each.endpoint for each in bundle.models.values()}
    for name in sorted(keyless & endpoints.keys()):
        key = (endpoints[name].credential or name).upper()
        yield WhatIf(f"key {name}", f"A key in {key}", _endpoint(name, has_credentials=True))


def _endpoint(name: str, **changed: object) -> Applied:
    def apply(given: DecisionInput) -> DecisionInput:
        signals = tuple(
            each.model_copy(update=changed) if each.endpoint == name else each
            for each in given.snapshot.endpoints
        )
        return _signalled(endpoints=signals)(given)

    return apply


def _declarations(given: DecisionInput) -> Iterator[WhatIf]:
    request = given.request
    if request.sensitivity is None:
        yield WhatIf("level", f"{Sensitivity.PUBLIC} declared with --sensitivity", declared_public)
    if request.requested_model is not None:
        yield WhatIf("model", "No --model", _asked(requested_model=None))
    if not request.justification:
        words = "A reason with --justification"
        yield WhatIf("justification", words, _asked(justification="a stated reason"))
    if request.constraints.max_output_tokens > TOKENS_FEW:
        limits = request.constraints.model_copy(update={"max_output_tokens": TOKENS_FEW})
        words = f"A shorter answer, such as --max-tokens {TOKENS_FEW}"
        yield WhatIf("tokens", words, _asked(constraints=limits))


def _facts(given: DecisionInput, pack: "Pack") -> Iterator[WhatIf]:
    """Facts the pack does not declare, and marks that close a way."""
    request, known = given.request, pack.facts
    strange = set(request.marks) - set(known.marks) if known else set[str]()
    closing = {*pack.local_marks, *([pack.offline_mark] if pack.offline_mark else [])}
    for mark in sorted(strange | (closing & set(request.marks))):
        marks = tuple(each for each in request.marks if each != mark)
        yield WhatIf(f"mark {mark}", f"No --mark {mark}", _asked(marks=marks))
    for name in sorted(set(request.measures) - set(known.measures)) if known else ():
        rest = {each: value for each, value in request.measures.items() if each != name}
        yield WhatIf(f"measure {name}", f"No --measure {name}", _asked(measures=rest))


def _spec(given: DecisionInput, bundle: "PolicyBundle") -> Iterator[WhatIf]:
    spec, rules = given.request.spec, bundle.pack.spec
    if spec is None or rules is None:
        return
    version = rules.policy_version
    cited = spec.model_copy(update={"policy_version": version})
    if spec.policy_version != version:
        yield WhatIf("spec", f"A spec that cites policy version {version}", _asked(spec=cited))
    role = given.classification.task_class
    if role is not None and role not in spec.roles:
        update = {"roles": (*spec.roles, role), "infrastructure_only": False}
        said = cited.model_copy(update=update)
        yield WhatIf("spec", f"A spec that says YES to {role}", _asked(spec=said))
    if spec.local_only:
        free = cited.model_copy(update={"local_only": False})
        yield WhatIf("spec", "A spec that is not local-only", _asked(spec=free))


def _gates(given: DecisionInput) -> Iterator[WhatIf]:
    results = given.request.gate_results
    for failed in sorted({each.name for each in results if not each.passed}):
        passed = tuple(
            each.model_copy(update={"passed": True}) if each.name == failed else each
            for each in results
        )
        words = f"The gate {failed} passing, with --gate {failed}=pass"
        yield WhatIf(f"gate {failed}", words, _asked(gate_results=passed))


def _session(given: DecisionInput, bundle: "PolicyBundle") -> Iterator[WhatIf]:
    request = given.request
    row = bundle.pack.classes.get(given.classification.task_class or "")
    if row is not None and row.in_session and request.conversation is None:
        yield WhatIf("session", "A session, with --conversation", _asked(conversation="session"))
    spent = {"session_turns", "session_minutes"} & request.measures.keys()
    if spent:
        rest = {name: value for name, value in request.measures.items() if name not in spent}
        yield WhatIf("session", "A new session", _asked(measures=rest))


def _chain(given: DecisionInput, pack: "Pack") -> Iterator[WhatIf]:
    """Another stage, a reason to escalate with its receipt, or a tool fewer."""
    request = given.request
    for stage in sorted(set(pack.stages) - {request.stage}):
        yield WhatIf("stage", f"Stage {stage}, with --stage", _asked(stage=stage))
    for reason in pack.escalation_reasons:
        if reason != request.escalation_reason:
            words = f"Escalation reason {reason}"
            yield WhatIf("reason", words, _asked(escalation_reason=reason))
        kind = ReceiptKind.LANE_ESCALATION
        if _holds(given, kind, reason):
            continue
        words = f"Escalation reason {reason} with a receipt for it"
        yield WhatIf("reason", words, _escalated(reason))
    for tool in request.tools:
        rest = tuple(each for each in request.tools if each != tool)
        yield WhatIf(f"tool {tool}", f"No tool {tool}", _asked(tools=rest))


def _escalated(reason: str) -> Applied:
    receipt = _received(ReceiptKind.LANE_ESCALATION, reason=reason)
    return lambda given: receipt(asking(given, escalation_reason=reason))


def _holds(given: DecisionInput, kind: ReceiptKind, reason: str | None = None) -> bool:
    return any(
        each.kind is kind and each.reason == reason and each.task_id == given.request.task_id
        for each in given.snapshot.receipts
    )


def _received(kind: ReceiptKind, *, reason: str | None = None, model: str | None = None) -> Applied:
    def apply(given: DecisionInput) -> DecisionInput:
        receipt = Receipt(
            kind=kind,
            receipt_id="what-if",
            issuer="what-if",
            task_id=given.request.task_id,
            reason=reason,
            model=model,
            expires_at=given.snapshot.taken_at + timedelta(hours=1),
        )
        return _signalled(receipts=(*given.snapshot.receipts, receipt))(given)

    return apply


def _both(first: Applied, second: Applied) -> Applied:
    return lambda given: second(first(given))


def _receipts(given: DecisionInput, bundle: "PolicyBundle") -> Iterator[WhatIf]:
    privacy = bundle.pack.privacy
    asked = {
        ReceiptKind.EGRESS: privacy.egress_default == "deny",
        ReceiptKind.HOSTED_FALLBACK: privacy.hosted_needs_approval,
        ReceiptKind.DATA_BOUNDARY: privacy.sensitive == "data_boundary",
    }
    for kind, is_asked in asked.items():
        if is_asked and not _holds(given, kind):
            yield WhatIf(f"receipt {kind}", _RECEIPTS[kind], _received(kind))
    for entry in bundle.index.entries:
        subject = given.request.subject
        if entry.is_personal and subject is not None:
            consent = _received(ReceiptKind.PERSONALISATION_CONSENT)
            contract = _received(ReceiptKind.GOVERNANCE_CONTRACT, model=entry.name)
            words = f"The consent of {subject} and a governance contract for {entry.name}"
            yield WhatIf(f"personal {entry.name}", words, _both(consent, contract))


def _signals(given: DecisionInput, bundle: "PolicyBundle") -> Iterator[WhatIf]:
    """A required signal that nobody took, as a healthy one."""
    from pointwork.policy.engine.windows import windows_at

    snapshot, required = given.snapshot, bundle.pack.required_signals
    quotas = tuple(
        QuotaSignal(endpoint=name, remaining_requests=_QUOTA_REQUESTS)
        for name in sorted(bundle.index.hosted_endpoints)
    )
    if snapshot.quotas is None and "quota" in required:
        yield _asked_for("quota", "The quota signal", quotas=quotas)
    elif any(not each.remaining_requests for each in snapshot.quotas or ()):
        words = "Known quota with requests left at every vendor"
        yield WhatIf("quota", words, _signalled(quotas=quotas))
    if snapshot.latencies is None and "latency" in required:
        yield _asked_for("latency", "The latency signal", latencies=())
    if "budget" in required:
        known = {each.window for each in snapshot.budgets}
        windows = windows_at(bundle.pack, snapshot.taken_at, caller=given.request.caller)
        fresh = tuple(
            BudgetSignal(window=w.key, limit_nano_usd=w.limit_nano_usd, committed_nano_usd=0)
            for w in windows
            if w.key not in known
        )
        if fresh:
            budgets = (*snapshot.budgets, *fresh)
            yield _asked_for("budget", "The budget signal", budgets=budgets)
    unread = sorted(bundle.index.endpoints - {each.endpoint for each in snapshot.endpoints})
    if unread and "provider_health" in required:
        signals = tuple(EndpointSignal(endpoint=name, has_credentials=True) for name in unread)
        words = f"The health of {', '.join(unread)}"
        yield _asked_for("health", words, endpoints=(*snapshot.endpoints, *signals))


def _world(given: DecisionInput, bundle: "PolicyBundle") -> Iterator[WhatIf]:
    """Room on the host, an endpoint that answers, money in a budget, a guardrail that allows."""
    snapshot = given.snapshot
    wants_room = any(each.model.host_needs for each in bundle.models.values())
    missing = snapshot.resources is None and "resources" in bundle.pack.required_signals
    if missing or (wants_room and snapshot.resources != _ROOM):
        words = "The resource signal, with room on the host" if missing else "Room on the host"
        yield WhatIf("room", words, _signalled(resources=_ROOM), is_asked_for=missing)
    for each in snapshot.endpoints:
        until = each.rate_limited_until
        if not each.is_healthy and each.endpoint in bundle.index.endpoints:
            words = f"An answer from {each.endpoint}, which is down"
            yield WhatIf(
                f"health {each.endpoint}", words, _endpoint(each.endpoint, is_healthy=True)
            )
        elif until is not None and until > snapshot.taken_at:
            words = f"A wait until {until:%H:%M:%S} UTC for {each.endpoint}"
            applied = _endpoint(each.endpoint, rate_limited_until=None)
            yield WhatIf(f"health {each.endpoint}", words, applied)
    if any(each.committed_nano_usd for each in snapshot.budgets):
        unspent = tuple(
            each.model_copy(update={"committed_nano_usd": 0}) for each in snapshot.budgets
        )
        yield WhatIf("budget", "Room in every budget", _signalled(budgets=unspent))
    guardrail = snapshot.guardrail
    wanted = guardrail is None and "guardrail" in bundle.pack.required_signals
    if wanted or (guardrail is not None and guardrail.verdict is not GuardrailVerdict.ALLOW):
        allowed = GuardrailSignal(verdict=GuardrailVerdict.ALLOW)
        words = "The guardrail signal, allowing it" if wanted else "A guardrail verdict that allows"
        yield WhatIf("guardrail", words, _signalled(guardrail=allowed), is_asked_for=wanted)
