"""What a pack's rule looks at: facts about a task, never its text."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Literal, Protocol, Self

from pydantic import model_validator

from pointwork.contract.task import Complexity, Name
from pointwork.policy.documents.document import Document, Exact

_BOUNDS = ("above", "at_least", "below", "at_most")
_KINDS = ("mark", "measure", "high_risk", "stage", "complexity", "any_of", "all_of", "none_of")


class KnownFacts(Protocol):
    """The facts of one decision, as conditions read them."""

    @property
    def marks(self) -> frozenset[str]: ...
    @property
    def is_high_risk(self) -> bool: ...
    @property
    def stage(self) -> str | None: ...
    @property
    def complexity(self) -> Complexity | None: ...
    def measure(self, name: str) -> Decimal | None: ...


class Condition(Document):
    """One test of one fact, or a combination. A measure nobody took meets no bound."""

    mark: Name | None = None
    measure: Name | None = None
    above: Exact | None = None
    at_least: Exact | None = None
    below: Exact | None = None
    at_most: Exact | None = None
    high_risk: Literal[True] | None = None
    stage: Name | None = None
    complexity: Complexity | None = None
    any_of: tuple["Condition", ...] = ()
    all_of: tuple["Condition", ...] = ()
    none_of: tuple["Condition", ...] = ()

    @model_validator(mode="after")
    def _one_test(self) -> Self:
        given = [name for name in _KINDS if getattr(self, name) not in (None, ())]
        if len(given) != 1:
            found = ", ".join(given) or "none"
            msg = f"give exactly one of {', '.join(_KINDS)}; found {found}"
            raise ValueError(msg)
        bounds = [name for name in _BOUNDS if getattr(self, name) is not None]
        if len(bounds) != (1 if self.measure else 0):
            msg = f"a measure takes exactly one of {', '.join(_BOUNDS)}, and only a measure does"
            raise ValueError(msg)
        return self

    @property
    def names(self) -> Iterator[tuple[Literal["mark", "measure"], str]]:
        """Every mark and measure the condition reads."""
        if self.mark:
            yield "mark", self.mark
        if self.measure:
            yield "measure", self.measure
        for each in (*self.any_of, *self.all_of, *self.none_of):
            yield from each.names


def met(condition: Condition, facts: KnownFacts) -> tuple[str, ...] | None:
    """What made the condition hold, as ``name=value``; None where it does not hold."""
    if condition.any_of:
        found = (met(each, facts) for each in condition.any_of)
        return next((each for each in found if each is not None), None)
    if condition.all_of:
        parts = [met(each, facts) for each in condition.all_of]
        return None if None in parts else tuple(word for each in parts for word in each or ())
    if condition.none_of:
        return () if all(met(each, facts) is None for each in condition.none_of) else None
    if condition.measure:
        return _measured(condition, condition.measure, facts)
    return _plain(condition, facts)


def _plain(condition: Condition, facts: KnownFacts) -> tuple[str, ...] | None:
    if condition.mark:
        return (f"{condition.mark}=true",) if condition.mark in facts.marks else None
    if condition.high_risk:
        return ("high_risk=true",) if facts.is_high_risk else None
    if condition.stage:
        return (f"stage={condition.stage}",) if facts.stage == condition.stage else None
    held = facts.complexity is condition.complexity
    return (f"complexity={condition.complexity}",) if held else None


def _measured(condition: Condition, name: str, facts: KnownFacts) -> tuple[str, ...] | None:
    value = facts.measure(name)
    if value is None:
        return None
    if condition.above is not None:
        holds, limit = value > condition.above, f"above {condition.above}"
    elif condition.at_least is not None:
        holds, limit = value >= condition.at_least, f"at least {condition.at_least}"
    elif condition.below is not None:
        holds, limit = value < condition.below, f"below {condition.below}"
    else:
        holds, limit = value <= (condition.at_most or 0), f"at most {condition.at_most}"
    return (f"{name}={value} {limit}",) if holds else None
