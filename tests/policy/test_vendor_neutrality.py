"""Vendors are data: the rules work the same whatever they are called."""

import ast
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from pointwork.contract.decision import Plan
from pointwork.contract.task import Sensitivity
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from tests.fakes.policy_facts import POLICIES, Situation, changed, chosen, shipped
from tests.policy.strategies import situations

OMEGA = shipped()
POLICY_SOURCES = sorted((POLICIES.parent / "src/pointwork/policy").rglob("*.py"))
VENDORS = sorted({each.model.vendor for each in OMEGA.models.values()})
RENAMED = {vendor: f"vendor-{number}" for number, vendor in enumerate(reversed(VENDORS))}


def _words(source: Path) -> set[str]:
    """Every name and text of the module in lower case, but for the protocols a document may name.

    An adapter and a look-up are named after what they speak; which vendor stands behind is data.
    """
    tree = ast.parse(source.read_text())
    protocols = {
        id(constant)
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id in ("adapter", "lookup")
        for constant in ast.walk(node)
    }
    words: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            words.add(node.id.lower())
        elif isinstance(node, ast.Attribute):
            words.add(node.attr.lower())
        elif isinstance(node, ast.Constant) and id(node) not in protocols:
            words.add(str(node.value).lower())
    return words


@pytest.mark.req("OM-12")
@pytest.mark.parametrize("source", POLICY_SOURCES, ids=lambda path: path.name)
def test_no_vendor_is_named_where_decisions_are_made(source: Path) -> None:
    families = {name.partition("_")[0] for name in OMEGA.pack.families} - {"local"}
    named = [
        f"{word!r} names {vendor}"
        for vendor in {*VENDORS, *families}
        for word in _words(source)
        if vendor in word
    ]
    assert not named


def _renamed() -> PolicyBundle:
    return changed(
        OMEGA,
        models={
            name: {"vendor": RENAMED[each.model.vendor]} for name, each in OMEGA.models.items()
        },
    )


def _without_vendors_and_hashes(plan: Plan, names: dict[str, str]) -> dict[str, Any]:
    dumped = plan.model_dump(exclude={"policy"})
    for each in dumped["candidates"]:
        each["vendor"] = names.get(each["vendor"], each["vendor"])
    return dumped


@pytest.mark.req("OM-12")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(situations())
def test_renaming_every_vendor_changes_no_decision(situation: Situation) -> None:
    bundle = _renamed()
    before = decide(situation.facts(OMEGA), OMEGA)
    after = decide(situation.facts(bundle), bundle)
    assert _without_vendors_and_hashes(before, RENAMED) == _without_vendors_and_hashes(after, {})


@pytest.mark.req("OM-26")
def test_another_vendors_equivalent_serves_a_family_without_a_change_of_code() -> None:
    """The family stays, the maker changes, and the pack's own checks accept it."""
    swapped = changed(
        OMEGA,
        models={
            "gpt-5.1": {"family": "claude_class"},
            "claude-sonnet-5": {"family": "gpt_class"},
        },
    )
    situation = Situation(task_class="high_stakes_logic", sensitivity=Sensitivity.PUBLIC)
    plan = decide(situation.facts(swapped), swapped)
    assert chosen(plan) == ["claude-sonnet-5"]
    assert plan.candidates[0].family == "gpt_class"
    assert plan.candidates[0].vendor != decide(situation.facts(OMEGA), OMEGA).candidates[0].vendor
