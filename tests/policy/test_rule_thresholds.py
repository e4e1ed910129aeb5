"""Every figure of a pack is held in place by the cases of the rule whose sentence states it."""

import copy
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.documents.pack import Pack
from pointwork.policy.documents.routes import families_of
from pointwork.policy.proving.cases import Case, read_cases
from pointwork.policy.proving.rule_coverage import coverage_of
from pointwork.policy.proving.rules import rules_of
from tests.fakes.policy_facts import POLICIES, shipped

PACKS = ("codex", "juggernaut", "omega", "socioprophet")
HOSTS = ("embedded", "laptop", "rtx5090")
Path = tuple[str | int, ...]

BESIDE = frozenset(
    {
        *("approvals", "retry", "deadline_seconds", "vendors_min", "callers", "temperature"),
        *("cache", "batch", "overlay", "pipeline", "spec", "high_risk_groups"),
        *("likely_output", "balance_min"),
    }
)
"""Figures that no decision compares with: they go along with the plan, or bind other parts."""
ONLY_WARNS = frozenset({"role_table", "priority"})
"""Orderings in which a class's quality refuses nothing; a model below it is warned of."""


def figures(value: object, path: Path = ()) -> Iterator[tuple[Path, int | Decimal]]:
    if isinstance(value, dict):
        for name, each in value.items():
            if name not in BESIDE:
                yield from figures(each, (*path, name))
    elif isinstance(value, tuple | list):
        for number, each in enumerate(value):
            yield from figures(each, (*path, number))
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        yield path, value


def is_decided_by_cases(pack: Pack, path: Path) -> bool:
    match path:
        case ("classes", _, "quality_floor"):
            return pack.rank not in ONLY_WARNS
        case ("ceilings", name, family):
            # The other cells bind in the same way; one of each class stands for them (OM-28).
            return family in families_of(pack.classes[str(name)].rungs[0])
        case ("budgets", *_):
            # Cases spend every period alike, so the day's limit is the one that is reached.
            return path[1] == 0 and pack.rank != "cheapest_sufficient"
        case _:
            return True


def moved(figure: int | Decimal, path: Path) -> Iterator[int | Decimal]:
    """One step below and one above: of an amount a fiftieth, of a share a hundredth, else one."""
    if path[-1] in ("ceiling", "limit", "pause_expensive_from") or path[0] == "ceilings":
        yield from (figure - max(1, int(figure) // 50), figure + max(1, int(figure) // 50))
    else:
        step = Decimal("0.01") if figure != int(figure) else 1
        yield from (figure - step, figure + step)


def changed_at(document: dict[str, Any], path: Path, figure: int | Decimal) -> Pack | None:
    """The pack with one figure replaced; None where no pack could say so."""
    document = copy.deepcopy(document)
    place: Any = document
    for name in path[:-1]:
        if isinstance(place[name], tuple):
            place[name] = list(place[name])
        place = place[name]
    place[path[-1]] = figure
    try:
        return Pack.model_validate(document)
    except ValueError:
        return None


@cache
def cases_of(pack: str) -> dict[str, Case]:
    return {path.stem: case for path, case in read_cases(POLICIES / "cases" / pack).items()}


def noticed(pack: str, altered: Pack) -> tuple[bool, bool]:
    """Whether the sentence of a rule changed, and whether a case of such a rule fails."""
    bundles = {
        host: PolicyBundle(pack=altered, models=each.models, host=each.host)
        for host in HOSTS
        if (each := shipped(pack, host))
    }
    before = {rule.id: rule.sentence for rule in rules_of(shipped(pack))}
    after = {rule.id: rule.sentence for rule in rules_of(bundles["embedded"])}
    about = {rule for rule in before | after if before.get(rule) != after.get(rule)}
    if after.keys() - before.keys():
        return True, True  # a rule that no case can be about yet, which the coverage shows
    own = {n: c for n, c in cases_of(pack).items() if about & {*c.fires, *c.misses}}
    return bool(about), bool(coverage_of(own, bundles).failed)


@pytest.mark.parametrize("pack", PACKS)
def test_a_figure_that_moves_by_one_step_is_told_and_breaks_a_case(pack: str) -> None:
    document = shipped(pack).pack.model_dump()
    untold, unnoticed = [], []
    for path, figure in figures(document):
        if not is_decided_by_cases(shipped(pack).pack, path):
            continue
        for other in moved(figure, path):
            altered = changed_at(document, path, other)
            if altered is None:
                continue
            is_told, breaks = noticed(pack, altered)
            name = f"{'.'.join(map(str, path))}: {figure} to {other}"
            untold += [] if is_told else [name]
            unnoticed += [] if breaks else [name]
    assert untold == []
    assert unnoticed == []
