"""What one decision shows of the rules that made it, worked out from the engine's own parts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pointwork.contract.decision import DecisionInput, Effect, Obligation, Plan
from pointwork.contract.reasons import ReasonCode
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.policy.documents.conditions import met
from pointwork.policy.documents.routes import RouteRule, families_of
from pointwork.policy.engine.facts import Facts
from pointwork.policy.engine.filters import Refusal, Refused, refusals
from pointwork.policy.engine.gates import closed_gate
from pointwork.policy.engine.index import Entry
from pointwork.policy.engine.ranking import codes, members


class Evidence:
    """One decision with all that stood against each model, not only the reason that is shown."""

    def __init__(self, given: DecisionInput, bundle: PolicyBundle) -> None:
        self.given = given
        self.bundle = bundle

    @cached_property
    def plan(self) -> Plan:
        return decide(self.given, self.bundle)

    @cached_property
    def facts(self) -> Facts | None:
        """None where the task has no class of the pack, so that nothing else is looked at."""
        name, classes = self.plan.task_class, self.bundle.pack.classes
        if name is None or name not in classes:
            return None
        return Facts(self.given, self.bundle, name, classes[name])

    @cached_property
    def gate(self) -> Refusal | None:
        """The gate that ended the task before any model was looked at."""
        return closed_gate(self.facts) if self.facts else None

    @cached_property
    def is_open(self) -> bool:
        return self.facts is not None and self.gate is None

    def closed_by(self, code: ReasonCode, detail: str | None = None) -> bool:
        found = self.gate
        return found is not None and found[0] is code and detail in (None, found[1])

    def serves(self, task_class: str) -> bool:
        """Whether the rows of ``task_class`` decide, with every gate open."""
        return self.is_open and self.facts is not None and self.facts.task_class == task_class

    def is_simpler_than(self, task_class: str) -> bool:
        """Whether the task came by ``task_class`` and went on to a simpler one (JG-54)."""
        at, ends = self.given.classification.task_class, self.plan.task_class
        passed: list[str] = []
        while at is not None and at != ends and at not in passed:
            passed.append(at)
            row = self.bundle.pack.classes.get(at)
            at = row.simpler_class if row else None
        return task_class in passed

    @cached_property
    def refused(self) -> Refused:
        if not self.is_open or self.facts is None:
            return {}
        return refusals(self.facts)

    @cached_property
    def routed(self) -> tuple[Entry, ...]:
        """The models that some rung or rule of the class names, or that a mark put first."""
        if self.facts is None:
            return ()
        marked = (self.bundle.pack.mark_routes.get(mark) for mark in self.given.request.marks)
        families = dict.fromkeys((*self.facts.row.families, *filter(None, marked)))
        return tuple(members(self.facts, families))

    def bars(self, code: ReasonCode, detail: str | None = None, *, lane: str | None = None) -> bool:
        """Whether a filter has ``code`` against a model of the class's own route.

        What it has against other models changes nothing, so it is no evidence.
        """
        return any(
            (code, detail) == found or (detail is None and found[0] is code)
            for entry in self.routed
            if lane in (None, entry.lane)
            for found in self.refused.get(entry.name, ())
        )

    def bars_alone(self, code: ReasonCode) -> bool:
        """Whether ``code`` is all that stands against a model of the class's own route.

        Money is the last thing a person is told: where anything else refuses the model, a higher
        bound would change nothing.
        """
        names = {entry.name for entry in self.routed}
        return any(each.reason is code for each in self.plan.rejected if each.model in names)

    def bars_any(self, code: ReasonCode) -> bool:
        """The same over every model: for rules about models that no route names."""
        return any(code in codes(self.refused, entry.name) for entry in self.bundle.index.entries)

    def shows(self, code: ReasonCode) -> bool:
        """Whether ``code`` is the reason shown for some model, or for the end of the task."""
        return self.plan.reason is code or any(e.reason is code for e in self.plan.rejected)

    def rejects(self, code: ReasonCode, *, begins: str) -> bool:
        """Whether ``code`` is shown for some model with a detail that begins so."""
        return any(e.reason is code and e.detail.startswith(begins) for e in self.plan.rejected)

    def owes(self, obligation: Obligation) -> bool:
        return obligation in self.plan.obligations

    @property
    def runs(self) -> bool:
        return self.plan.effect is Effect.RUN

    @property
    def trigger(self) -> str:
        return self.plan.candidates[0].trigger if self.plan.candidates else ""

    @cached_property
    def route_rule(self) -> RouteRule | None:
        """The first rule of the class's row that holds."""
        if not self.is_open or self.facts is None or self.bundle.pack.rank != "role_table":
            return None
        facts = self.facts
        return next((rule for rule in facts.row.routes if met(rule.when, facts) is not None), None)

    @cached_property
    def rung(self) -> int | None:
        """Which of the class's default rungs serves; None where a rule or none does."""
        if not self.runs or self.facts is None or self.route_rule is not None:
            return None
        family = self.plan.candidates[0].family
        rungs = enumerate(self.facts.row.rungs)
        return next((number for number, rung in rungs if family in families_of(rung)), None)

    def changes(
        self,
        *,
        request: Mapping[str, Any] | None = None,
        classification: Mapping[str, Any] | None = None,
    ) -> bool:
        """Whether the plan would be another one if these fields were as given."""
        other = self.given.model_copy(
            update={
                "request": self.given.request.model_copy(update=request),
                "classification": self.given.classification.model_copy(update=classification),
            }
        )
        return decide(other, self.bundle) != self.plan


Test = Callable[[Evidence], bool]


@dataclass(frozen=True)
class Rule:
    """One rule of a pack."""

    id: str
    """What ``fires`` and ``misses`` of a case name it by."""
    sentence: str
    """What the rule says, with the pack's own figures."""
    decided: Test = field(repr=False, compare=False)
    """Whether it had an effect on the plan: a candidate, a rejection, an obligation, a denial."""
