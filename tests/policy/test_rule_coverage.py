"""Every rule of every pack has a case that fires it and one that just misses it."""

import json
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pointwork.cli.main import main
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.proving.cases import Case, read_cases
from pointwork.policy.proving.rule_coverage import CaseResult, Coverage, coverage_of
from pointwork.policy.proving.rules import fired, rules_of
from tests.fakes.policy_facts import POLICIES, Situation, changed, shipped

PACKS = ("codex", "juggernaut", "omega", "socioprophet")
HOSTS = ("embedded", "laptop", "rtx5090")
QUESTION = {"task_class": "high_stakes_logic", "sensitivity": "public"}
BULK = QUESTION | {"marks": ["bulk"]}
RUNS = {"effect": "run", "first": "gpt-5.1"}


def bundles(pack: str) -> dict[str, PolicyBundle]:
    return {host: shipped(pack, host) for host in HOSTS}


@cache
def covered(pack: str) -> Coverage:
    cases = read_cases(POLICIES / "cases" / pack)
    return coverage_of({path.stem: case for path, case in cases.items()}, bundles(pack))


@pytest.mark.parametrize("pack", PACKS)
def test_every_claim_of_a_case_about_the_rules_it_proves_is_true(pack: str) -> None:
    assert {each.name: each.problems for each in covered(pack).failed} == {}


@pytest.mark.parametrize("pack", PACKS)
def test_every_rule_of_a_pack_is_fired_by_a_case_and_just_missed_by_one(pack: str) -> None:
    coverage = covered(pack)
    assert [rule.id for rule in coverage.not_fired] == []
    assert [rule.id for rule in coverage.not_missed] == []


@pytest.mark.parametrize("pack", PACKS)
def test_rules_have_an_id_and_a_sentence_of_their_own(pack: str) -> None:
    rules = rules_of(shipped(pack))
    assert len({rule.id for rule in rules}) == len(rules)
    assert len({rule.sentence for rule in rules}) == len(rules)
    assert all(re.fullmatch(r"\S.*\S\.", rule.sentence) for rule in rules)


def test_a_sentence_carries_the_packs_own_figure() -> None:
    moved = changed(shipped(), pack={"high_volume_items": 250, "ceiling_near_ratio": "0.65"})
    said = {rule.id: rule.sentence for rule in rules_of(moved)}
    assert said["volume"] == "250 like items or more run on a local model."
    assert "0.65" in said["ceiling_near"]


def only(**claims: Any) -> CaseResult:
    case = Case.model_validate({"given": QUESTION, "expect": RUNS} | claims)
    (result,) = coverage_of({"a-case": case}, bundles("omega")).results
    return result


def test_a_case_that_says_it_fires_a_rule_that_decided_nothing_fails() -> None:
    result = only(fires=["class:high_stakes_logic", "mark:bulk"])
    assert result.problems == ("mark:bulk does not decide here",)
    assert result.fires == {"class:high_stakes_logic"}


def test_a_case_that_says_it_misses_a_rule_that_decides_it_fails() -> None:
    result = only(misses=["class:high_stakes_logic"], but_for={"items": 2})
    assert result.problems == ("class:high_stakes_logic decides already without but_for",)
    assert result.misses == frozenset()


def test_a_case_whose_but_for_does_not_bring_the_rule_about_fails() -> None:
    result = only(misses=["volume"], but_for={"items": 99})
    assert result.problems == ("volume does not decide with but_for either",)
    assert only(misses=["volume"], but_for={"items": 100}).misses == {"volume"}


def test_a_case_that_names_no_rule_of_the_pack_fails() -> None:
    result = only(fires=["stage:planning"])
    assert result.problems == ("stage:planning is no rule of the pack",)


def test_a_case_that_decides_otherwise_than_it_says_fails_and_proves_nothing_more() -> None:
    result = only(given=BULK, fires=["mark:bulk"])
    assert result.problems == ("first: expected gpt-5.1, decided smollm2-135m",)


def test_a_rule_that_only_bars_models_no_route_of_the_class_names_has_no_effect() -> None:
    bundle, bulk = shipped(), Situation(task_class="bulk_generation", marks=("bulk",))
    assert "mark:bulk" not in fired(bulk.facts(bundle), bundle)
    assert "mark:bulk" in fired(Situation.model_validate(BULK).facts(bundle), bundle)


def test_a_ceiling_has_no_effect_where_the_model_has_no_key_either() -> None:
    bundle, asked = shipped(), QUESTION | {"output_tokens": 60_000}
    keyless = asked | {"without_keys": ["openai", "anthropic", "google", "deepseek", "moonshot"]}
    for given, fires in ((asked, True), (keyless, False)):
        found = fired(Situation.model_validate(given).facts(bundle), bundle)
        assert ("ceiling:high_stakes_logic" in found) is fires


def test_a_rule_without_cases_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    coverage = coverage_of({}, bundles("omega"))
    assert not coverage.is_whole
    assert coverage.uncovered == coverage.rules


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["policy", "test", *arguments])
    return code, capsys.readouterr().out


def test_the_command_ends_with_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "omega", "--policies-dir", str(POLICIES))
    found, rules = len(covered("omega").results), len(covered("omega").rules)
    last = f"cases={found} failed=0 fired={rules}/{rules} missed={rules}/{rules}"
    assert (code, out.splitlines()[-1]) == (0, last)


def test_the_command_lists_every_rule_with_its_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    _, out = run(capsys, "omega", "--rules", "--policies-dir", str(POLICIES))
    listed = {line.split()[0] for line in out.splitlines() if line}
    assert {rule.id for rule in covered("omega").rules} <= listed


def test_the_command_fails_where_a_case_is_wrong_and_says_how(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shutil.copytree(POLICIES, tmp_path, ignore=shutil.ignore_patterns("cases"), dirs_exist_ok=True)
    folder = tmp_path / "cases" / "omega"
    folder.mkdir(parents=True)
    wrong = {"given": QUESTION, "expect": {"effect": "deny", "reason": "budget"}}
    (folder / "a-question-is-denied.yaml").write_text(json.dumps(wrong))
    code, out = run(capsys, "omega", "--policies-dir", str(tmp_path))
    assert code == 3
    assert "failed: omega/a-question-is-denied.yaml" in out
    assert "  effect: expected deny, decided run" in out
    assert "no case of omega fires class:red_team: red_team goes to grok_class." in out
    rules = len(covered("omega").rules)
    assert out.splitlines()[-1] == f"cases=1 failed=1 fired=0/{rules} missed=0/{rules}"


def test_the_command_gives_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "omega", "--json", "--policies-dir", str(POLICIES))
    found = json.loads(out)
    assert (code, found["whole"], found["omega"]["failed"]) == (0, True, {})
    volume = next(rule for rule in found["omega"]["rules"] if rule["id"] == "volume")
    assert volume["fired_by"] == ["a-hundred-like-items-count-as-bulk"]
    assert volume["missed_by"] == ["ninety-nine-like-items-do-not-count-as-bulk"]
