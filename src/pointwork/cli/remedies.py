"""What would let a refused task run: found by deciding again with one thing changed at a time.

``decide`` is pure, so a stored decision can be asked "and if" without touching anything.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pointwork.contract.decision import DecisionInput, DecisionRecord, Effect
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import Sensitivity

if TYPE_CHECKING:
    from pointwork.policy.bundle import PolicyBundle

_TOKENS_FEW = 64


def remedies(record: DecisionRecord, bundle: "PolicyBundle | None") -> list[str]:
    """Sentences for a person, the surest first; never empty."""
    plan = record.plan
    if plan.effect is Effect.RUN:
        return [f"Nothing needs to change: {plan.candidates[0].model} is permitted and sufficient."]
    found: list[str] = []
    if plan.effect is Effect.HOLD:
        found.append(f"A person's approval ({plan.hold_for}); see `pointwork approvals`.")
    if bundle is None:
        return found or ["The rules it was decided by are not in this ledger."]
    if plan.reason in (ReasonCode.CLASS_UNKNOWN, ReasonCode.CLASS_NOT_IN_PACK):
        found.append(_class_remedy(record, bundle))
    found += _that_run(record.input, bundle)
    return found or ["No key, declaration or limit would change it; only another policy would."]


def _class_remedy(record: DecisionRecord, bundle: "PolicyBundle") -> str:
    closest = record.input.classification.suggested_class
    hint = f" {closest} is closest." if closest else ""
    return f"A declared class, with --class: one of {', '.join(sorted(bundle.pack.classes))}.{hint}"


def _that_run(given: DecisionInput, bundle: "PolicyBundle") -> list[str]:
    """The single changes after which the task runs; where none is enough, those that add up."""
    from pointwork.policy.decide import decide

    said: list[str] = []
    for sentence, changed in _changes(given, bundle):
        plan = decide(changed, bundle)
        if plan.effect is Effect.RUN:
            said.append(f"{sentence}: {plan.candidates[0].model} would answer.")
    if said or given.request.sensitivity is not None:
        return said
    declared = _declared(given)
    for sentence, changed in _changes(declared, bundle):
        plan = decide(changed, bundle)
        if plan.effect is Effect.RUN:
            both = f"{sentence}, and {Sensitivity.PUBLIC} declared with --sensitivity"
            said.append(f"{both}: {plan.candidates[0].model} would answer.")
    return said


def _changes(given: DecisionInput, bundle: "PolicyBundle") -> Iterator[tuple[str, DecisionInput]]:
    keyless = {each.endpoint for each in given.snapshot.endpoints if not each.has_credentials}
    endpoints = {each.model.endpoint: each.endpoint for each in bundle.models.values()}
    for name in sorted(keyless & endpoints.keys()):
        key = (endpoints[name].credential or name).upper()
        yield f"A key in {key}", _with_key(given, name)
    if given.request.sensitivity is None:
        yield f"{Sensitivity.PUBLIC} declared with --sensitivity", _declared(given)
    if given.request.requested_model is not None:
        yield "No --model", _asking(given, requested_model=None)
    if not given.request.justification:
        yield "A reason with --justification", _asking(given, justification="a stated reason")
    if given.request.constraints.max_output_tokens > _TOKENS_FEW:
        limits = given.request.constraints.model_copy(update={"max_output_tokens": _TOKENS_FEW})
        yield (
            f"A shorter answer, such as --max-tokens {_TOKENS_FEW}",
            _asking(given, constraints=limits),
        )


def _with_key(given: DecisionInput, endpoint: str) -> DecisionInput:
    signals = tuple(
        each.model_copy(update={"has_credentials": True}) if each.endpoint == endpoint else each
        for each in given.snapshot.endpoints
    )
    snapshot = given.snapshot.model_copy(update={"endpoints": signals})
    return given.model_copy(update={"snapshot": snapshot})


def _declared(given: DecisionInput) -> DecisionInput:
    return _asking(given, sensitivity=Sensitivity.PUBLIC)


def _asking(given: DecisionInput, **changed: object) -> DecisionInput:
    return given.model_copy(update={"request": given.request.model_copy(update=changed)})
