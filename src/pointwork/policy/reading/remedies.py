"""What would let a refused task run: found by deciding again with one thing changed at a time.

``decide`` is pure, so a stored decision can be asked "and if" without touching anything.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from pointwork.contract.decision import DecisionInput, DecisionRecord, Effect
from pointwork.contract.reasons import ReasonCode
from pointwork.policy.reading.what_ifs import WhatIf, declared_public, what_ifs

if TYPE_CHECKING:
    from pointwork.policy.bundle import PolicyBundle

_TOGETHER_MAX = 4
_DECISIONS_MAX = 2_000
"""How often a person's question may be decided again before it ends without an answer."""
_SHOWN_MAX = 12


def remedies(record: DecisionRecord, bundle: "PolicyBundle | None") -> list[str]:
    """Sentences for a person, the surest first; never empty."""
    plan = record.plan
    if plan.effect is Effect.RUN:
        return [f"Nothing needs to change: {plan.candidates[0].model} is permitted and sufficient."]
    found: list[str] = []
    if plan.effect is Effect.HOLD:
        found.append(f"A person's approval ({plan.hold_for}); see `pointwork inbox`.")
    if bundle is None:
        return found or ["The rules it was decided by are not in this ledger."]
    if plan.reason in (ReasonCode.CLASS_UNKNOWN, ReasonCode.CLASS_NOT_IN_PACK):
        return [*found, _class_remedy(record, bundle)]
    found += _that_run(record.input, bundle)
    return found or ["No key, declaration or limit would change it; only another policy would."]


def _class_remedy(record: DecisionRecord, bundle: "PolicyBundle") -> str:
    closest = record.input.classification.suggested_class
    hint = f" {closest} is closest." if closest else ""
    return f"A declared class, with --class: one of {', '.join(sorted(bundle.pack.classes))}.{hint}"


def _that_run(given: DecisionInput, bundle: "PolicyBundle") -> list[str]:
    """The single changes after which the task runs; where none is enough, the fewest that add up.

    A missing signal or receipt is often one of several: sets of changes are tried smallest first,
    and the smallest that works is told.
    """
    budget = iter(range(_DECISIONS_MAX))
    changes = _that_matter(given, bundle)
    for size in range(1, _TOGETHER_MAX + 1):
        said = list(_sets_that_run(given, bundle, changes, size, budget))
        if said:
            return said[:_SHOWN_MAX]
    return []


def _that_matter(given: DecisionInput, bundle: "PolicyBundle") -> list[WhatIf]:
    """The changes that alone move the plan, or a gate or filter behind what the plan shows."""
    as_it_is = _read(given, bundle)
    return [
        each
        for each in what_ifs(given, bundle)
        if each.is_asked_for or _read(each.applied(given), bundle) != as_it_is
    ]


def _read(given: DecisionInput, bundle: "PolicyBundle") -> tuple[object, ...]:
    """The plan, and every gate's and filter's own word, of which a plan shows only the first."""
    from pointwork.policy.decide import decide
    from pointwork.policy.engine.facts import Facts
    from pointwork.policy.engine.filters import refusals
    from pointwork.policy.engine.gates import GATES

    plan, name = decide(given, bundle), given.classification.task_class
    if name is None or name not in bundle.pack.classes:
        return (plan,)
    facts = Facts(given, bundle, name, bundle.pack.classes[name])
    return plan, [gate(facts) for gate in GATES], refusals(facts)


def _sets_that_run(
    given: DecisionInput,
    bundle: "PolicyBundle",
    changes: Sequence[WhatIf],
    size: int,
    budget: Iterator[int],
) -> Iterator[str]:
    from pointwork.policy.decide import decide

    for chosen in combinations(changes, size):
        if len({each.kind for each in chosen}) < size or next(budget, None) is None:
            continue  # two values of one thing, or asked often enough
        changed = given
        for each in chosen:
            changed = each.applied(changed)
        plan = decide(changed, bundle)
        if plan.effect is Effect.RUN:
            first, *rest = (each.sentence for each in _declaration_last(chosen))
            told = "".join(f", and {each[0].lower()}{each[1:]}" for each in rest)
            yield f"{first}{told}: {plan.candidates[0].model} would answer."


def _declaration_last(chosen: Sequence[WhatIf]) -> list[WhatIf]:
    return sorted(chosen, key=lambda each: each.applied is declared_public)
