"""Cases as evidence: what each one claims, whether it is so, and which rules no case is about."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.proving.cases import Case, differences
from pointwork.policy.proving.rule_evidence import Rule
from pointwork.policy.proving.rules import fired, rules_of


@dataclass(frozen=True)
class CaseResult:
    """One case, run. A claim that does not hold is no evidence."""

    name: str
    problems: tuple[str, ...]
    fires: frozenset[str]
    """The rules it fires, of those it says it does."""
    misses: frozenset[str]
    """The rules it just misses, of those it says it does."""


@dataclass(frozen=True)
class Coverage:
    """The rules of one pack, and the cases about them."""

    rules: tuple[Rule, ...]
    results: tuple[CaseResult, ...]

    @property
    def failed(self) -> tuple[CaseResult, ...]:
        return tuple(each for each in self.results if each.problems)

    @property
    def not_fired(self) -> tuple[Rule, ...]:
        found = frozenset[str]().union(*(each.fires for each in self.results))
        return tuple(rule for rule in self.rules if rule.id not in found)

    @property
    def not_missed(self) -> tuple[Rule, ...]:
        found = frozenset[str]().union(*(each.misses for each in self.results))
        return tuple(rule for rule in self.rules if rule.id not in found)

    @property
    def uncovered(self) -> tuple[Rule, ...]:
        open_ = {rule.id for rule in (*self.not_fired, *self.not_missed)}
        return tuple(rule for rule in self.rules if rule.id in open_)

    @property
    def is_whole(self) -> bool:
        """Every case holds, and every rule has one that fires it and one that just misses it."""
        return not (self.failed or self.uncovered)


def coverage_of(cases: Mapping[str, Case], bundles: Mapping[str, PolicyBundle]) -> Coverage:
    """Run ``cases`` by name, each on its host, and hold its claims to what decided it.

    Args:
        cases: of one pack.
        bundles: that pack by host profile; at least the hosts the cases name.
    """
    rules = {rule.id: rule for bundle in bundles.values() for rule in rules_of(bundle)}
    known = frozenset(rules)
    return Coverage(
        tuple(rules.values()), tuple(_run(*each, bundles, known) for each in cases.items())
    )


def _run(
    name: str, case: Case, bundles: Mapping[str, PolicyBundle], known: frozenset[str]
) -> CaseResult:
    bundle = case.world.of(bundles[case.world.host])
    problems = differences(case, bundles)
    unknown = [each for each in (*case.fires, *case.misses) if each not in known]
    problems += [f"{each} is no rule of the pack" for each in unknown]
    here = fired(case.given.facts(bundle), bundle)
    near = fired(case.nearly().facts(bundle), bundle) if case.misses else frozenset[str]()
    fires, misses = here.intersection(case.fires), near.intersection(case.misses) - here
    problems += _claims(case.fires, known - fires, "does not decide here")
    problems += _claims(case.misses, here, "decides already without but_for")
    problems += _claims(case.misses, known - near - here, "does not decide with but_for either")
    return CaseResult(name, tuple(problems), fires, misses)


def _claims(claimed: Iterable[str], wrong: frozenset[str], words: str) -> list[str]:
    return [f"{each} {words}" for each in claimed if each in wrong]
