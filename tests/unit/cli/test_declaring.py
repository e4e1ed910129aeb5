"""What a person states of a task becomes its declaration, in the words of the pack that decides."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pointwork.cli.declaring import check_against_policy, declare
from pointwork.cli.errors import CliError, ExitCode
from pointwork.cli.evidence import gather, parse_measures, spec_facts
from pointwork.contract.task import Lane
from pointwork.policy.bundle import PolicyBundle, PolicyLibrary
from tests.fakes.codex_rules import high_risk_groups, spec_rules
from tests.fakes.policy_facts import changed, shipped

LIMITS: dict[str, Any] = {"max_output_tokens": 512}
FACTS: dict[str, Any] = {
    "marks": {"bulk": "Many like items.", **{each: "High-Risk." for each in high_risk_groups()}},
    "measures": {"diff_lines": {"unit": "lines", "meaning": "Lines the change adds and removes."}},
}


def told(**extra: Any) -> PolicyBundle:
    """The shipped pack, which says what a task may state of itself."""
    marks = set(shipped().pack.local_marks) | set(shipped().pack.mark_routes)
    facts = {**FACTS, "marks": {**FACTS["marks"], **dict.fromkeys(marks, "As omega has it.")}}
    return changed(shipped(), pack={"facts": facts, **extra})


def check(bundle: PolicyBundle, **declared: Any) -> None:
    declaration = declare(LIMITS, task_id="t-1", caller="test", pack="omega", **declared)
    check_against_policy(declaration, PolicyLibrary([bundle]))


def test_measures_are_pairs_of_a_name_and_an_exact_number() -> None:
    assert parse_measures(["diff_lines=120", "share = 0.25"]) == {
        "diff_lines": Decimal(120),
        "share": Decimal("0.25"),
    }


@pytest.mark.parametrize("pair", ["", "=", "a", "a=", "=3", "a=x", "a=inf", "a=nan", "a=1=2"])
def test_what_is_no_such_pair_is_refused_by_itself(pair: str) -> None:
    with pytest.raises(CliError, match="is not allowed; give NAME=NUMBER"):
        parse_measures([pair])


STAGES = {"plan": {"lane": "local", "lane_max": "local"}}
LANES = {"local": {"called": "local", "tools": ["read"]}}


@pytest.mark.parametrize(
    ("extra", "declared", "says"),
    [
        ({}, {"marks": ("hr_magic",)}, "--mark 'hr_magic' is not known .* bulk, .*hr_unsafe"),
        ({}, {"measures": {"speed": Decimal(1)}}, "--measure 'speed' .* use one of: diff_lines"),
        ({"stages": STAGES}, {"stage": "dream"}, "--stage 'dream' .* use one of: plan"),
        (
            {"escalation_reasons": ["unsafe"]},
            {"escalation_reason": "bored"},
            "--escalation-reason 'bored' .* use one of: unsafe",
        ),
        ({"lanes": LANES}, {"tools": ("hammer",)}, "--tool 'hammer' .* use one of: read"),
    ],
)
def test_a_fact_the_pack_does_not_know_is_named_with_those_it_knows(
    extra: dict[str, Any], declared: dict[str, Any], says: str
) -> None:
    with pytest.raises(CliError, match=says):
        check(told(**extra), **declared)


def test_every_fact_the_pack_knows_is_taken() -> None:
    bundle = told(stages=STAGES, escalation_reasons=["unsafe"], lanes=LANES)
    check(
        bundle,
        marks=("bulk", "hr_unsafe"),
        measures={"diff_lines": Decimal(3)},
        stage="plan",
        escalation_reason="unsafe",
        tools=("read",),
        previous_lane=Lane.STANDARD,
    )


@pytest.mark.req("CX-93")
def test_a_diff_is_counted_and_its_groups_become_marks(repository: Path) -> None:
    diffs = repository / "tests" / "policy" / "diffs" / "hr_tooling"
    bundle = told(high_risk_groups=high_risk_groups())
    found = gather(bundle, ["bulk"], [], diffs / "hits-an-edit-under-policies.diff")
    assert found["marks"][0] == "bulk"
    assert "hr_tooling" in found["marks"]
    assert found["measures"]["diff_lines"] > 0
    check(bundle, **found)


def test_a_pack_that_does_not_know_the_measure_is_not_given_it(repository: Path) -> None:
    diffs = repository / "tests" / "policy" / "diffs" / "hr_tooling"
    marks = dict.fromkeys(high_risk_groups(), "High-Risk.") | FACTS["marks"]
    read = [*shipped().pack.local_marks, *shipped().pack.mark_routes]
    facts = {"marks": marks | dict.fromkeys(read, "As omega has it."), "measures": {}}
    bundle = changed(shipped(), pack={"facts": facts, "high_risk_groups": high_risk_groups()})
    assert gather(bundle, [], [], diffs / "hits-an-edit-under-policies.diff")["measures"] == {}


@pytest.mark.parametrize(
    ("diff", "measures", "says"),
    [
        ("-", [], "is not a file"),
        ("change.diff", ["diff_lines=3"], "are both given"),
        ("change.diff", [], r"change\.diff: line 1: holds no change"),
    ],
)
def test_a_diff_that_tells_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, diff: str, measures: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("change.diff").write_text("no diff\n")
    with pytest.raises(CliError, match=says):
        gather(told(high_risk_groups=high_risk_groups()), [], measures, Path(diff))


def test_a_spec_becomes_facts_under_the_name_of_its_file(repository: Path, tmp_path: Path) -> None:
    spec = tmp_path / "_my spec (v2).md"
    spec.write_text((repository / "examples" / "specs" / "full.md").read_text())
    facts = spec_facts(told(spec=spec_rules()), spec)
    assert facts is not None
    assert facts.name == "my-spec-v2-"
    assert facts.roles == ("architect", "implementer", "judge")
    assert spec_facts(told(), None) is None


def test_a_spec_is_refused_as_spec_check_refuses_it(repository: Path) -> None:
    path = repository / "examples" / "specs" / "bad-version.md"
    with pytest.raises(CliError, match=r"bad-version\.md:7: Policy is .*; cite") as refused:
        spec_facts(told(spec=spec_rules()), path)
    assert refused.value.exit_code is ExitCode.BAD_POLICY
