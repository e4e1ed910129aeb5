"""The three validators as they are run: plain scripts, from the repository's root."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.contracts.documents import (
    BINDINGS,
    EXAMPLES,
    OPTIMIZER,
    POLICY,
    ROOT,
    SHIPPED,
    Place,
    changed_at,
    shipped,
    without,
)

SCRIPTS = {
    BINDINGS: "tools/validate_local_personal_route_bindings.py",
    POLICY: "tools/validate_agent_execution_model_routing_policies.py",
    OPTIMIZER: "tools/validate_agent_execution_budget_resource_optimizers.py",
}
SMALL, PERSONAL, BETTER, HOSTED = range(4)
PROFILE = "urn:srcos:model-profile:local-llama32-1b"
LOCAL = "urn:pointwork:route-binding:llama32-1b"
MORE = {"free_memory_mb_min": 2500}
every_validator = pytest.mark.parametrize("contract", SCRIPTS)


def run(
    contract: str, *arguments: str, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, SCRIPTS[contract], *arguments],
        cwd=ROOT,
        env={},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def written(folder: Path, document: Any) -> str:
    path = folder / "copy.json"
    path.write_text(json.dumps(document))
    return str(path)


def assert_refused(contract: str, file: str, place: str, remedy: str) -> None:
    """One line on stderr names the file, the place and what to do."""
    done = run(contract, file)
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert all(line.startswith(f"{file}: $") and "; " in line for line in lines)
    told = [line for line in lines if line.startswith(f"{file}: {place} ")]
    assert told, done.stderr
    assert remedy in told[0]


@every_validator
@pytest.mark.req("SP-11", "SP-12", "SP-23", "SP-24", "SP-28", "SP-29")
def test_what_ships_passes_with_a_line_a_file(contract: str) -> None:
    done = run(contract)
    assert done.returncode == 0
    assert done.stderr == ""
    files = sorted(EXAMPLES.glob(f"{contract}.*json"))
    assert EXAMPLES / SHIPPED[contract] in files
    assert sorted(done.stdout.splitlines()) == [f"examples/{each.name}: ok" for each in files]


@pytest.mark.parametrize(
    ("at", "value", "place", "remedy"),
    [
        (("profiles", 0, "laptop_safe"), "yes", "$.profiles[0].laptop_safe", "boolean"),
        (("defaults", "prompt_egress"), "allow", "$.defaults.prompt_egress", '"deny"'),
        (("bindings", 0, "kind"), "remote", "$.bindings[0].kind", "hosted_fallback"),
        (("bindings", SMALL, "profle"), "x", "$.bindings[0].profle", "write profile"),
        (("bindings", 0, "profile"), "urn:x1:other", "$.bindings[0].profile", "or add it"),
        (("bindings", 0, "source"), "other", "$.bindings[0].source", "sourceos-model-carry"),
        (("sources", 0, "repository"), "a/b", "$.profiles[0].source", "or add it"),
        (("profiles", 1, "urn"), PROFILE, "$.profiles[1].urn", "its own"),
        (
            ("sources", 1, "repository"),
            "SourceOS-Linux/sourceos-model-carry",
            "$.sources[1].repository",
            "its own",
        ),
        (("bindings", BETTER, "urn"), LOCAL, "$.bindings[2].urn", "its own"),
        (("profiles", 0, "laptop_safe"), False, "$.purpose_defaults.router", "name a binding"),
        (
            ("purpose_defaults", "triage"),
            LOCAL + "-personal",
            "$.purpose_defaults.triage",
            "or add it",
        ),
        (("bindings", PERSONAL, "base_binding"), "urn:x1:a", "$.bindings[1].base_binding", "add"),
        (
            ("bindings", BETTER, "fallback_for"),
            "urn:pointwork:route-binding:llama32-3b",
            "$.bindings[2].fallback_for",
            "end at a base_local_profile",
        ),
        (
            ("bindings", HOSTED, "fallback_for"),
            "urn:pointwork:route-binding:hosted-cheap",
            "$.bindings[3].fallback_for",
            "or add it",
        ),
    ],
)
@pytest.mark.req("SP-11", "SP-12")
def test_a_wrong_binding_is_refused(
    tmp_path: Path, at: Place, value: Any, place: str, remedy: str
) -> None:
    file = written(tmp_path, changed_at(shipped(BINDINGS), at, value))
    assert_refused(BINDINGS, file, place, remedy)


@pytest.mark.parametrize(
    ("index", "key"),
    [
        (PERSONAL, "consent_ref"),
        (PERSONAL, "governance_contract_ref"),
        (HOSTED, "policy_approval"),
        (BETTER, "resource_requirements"),
    ],
)
@pytest.mark.req("SP-11", "SP-12")
def test_a_binding_without_what_makes_it_lawful_is_refused(
    tmp_path: Path, index: int, key: str
) -> None:
    file = written(tmp_path, without(shipped(BINDINGS), ("bindings", index, key)))
    assert_refused(BINDINGS, file, f"$.bindings[{index}].{key}", "add it")


@pytest.mark.parametrize(
    ("at", "value", "place", "remedy"),
    [
        (("lanes", 2, "name"), "mid", "$.lanes[2].name", '"cheap"'),
        (("lanes", 5, "requires", "receipt"), False, "$.lanes[5].requires.receipt", "write true"),
        (("task_classes",), [], "$.task_classes", "at least 1"),
        (("chain_stages", 3, "maximum_lane"), "ultra", "$.chain_stages[3].maximum_lane", "pro"),
        (("escalation", "reasons", 0, "name"), "vip", "$.escalation.reasons[0].name", "one of"),
        (
            ("escalation", "reasons", 5),
            {"name": "safety_critical", "definition": "deployment-defined"},
            "$.escalation.reasons[5].name",
            "its own",
        ),
        (("task_classes", 1, "name"), "triage", "$.task_classes[1].name", "its own"),
        (("chain_stages", 1, "name"), "intake", "$.chain_stages[1].name", "its own"),
        (
            ("chain_stages", 0, "default_lane"),
            "cheap",
            "$.chain_stages[0].default_lane",
            "local-cheap or a cheaper",
        ),
        (
            ("task_classes", 4, "default_lane"),
            "high-end",
            "$.task_classes[4].default_lane",
            "standard or a cheaper",
        ),
        (
            ("task_classes", 0, "chain_stages", 0),
            "entry",
            "$.task_classes[0].chain_stages[0]",
            "add the stage",
        ),
        (
            ("de_escalation", "after_stage"),
            "plan",
            "$.de_escalation.after_stage",
            "add the stage",
        ),
        (
            ("chain_stages", 3, "maximum_lane"),
            "high-end",
            "$.de_escalation.applies_to[0]",
            "leave the stage out",
        ),
        (
            ("de_escalation", "applies_to", 1),
            "checks",
            "$.de_escalation.applies_to[1]",
            "add the stage",
        ),
    ],
)
@pytest.mark.req("SP-18", "SP-23", "SP-24")
def test_a_wrong_policy_is_refused(
    tmp_path: Path, at: Place, value: Any, place: str, remedy: str
) -> None:
    file = written(tmp_path, changed_at(shipped(POLICY), at, value))
    assert_refused(POLICY, file, place, remedy)


@pytest.mark.parametrize(
    ("at", "value", "place", "remedy"),
    [
        (("constraints", 1, "name"), "secrecy", "$.constraints[1].name", '"privacy"'),
        (("evaluated_before_route",), False, "$.evaluated_before_route", "write true"),
        (("on_budget_exhausted",), "overrun", "$.on_budget_exhausted", '"downgrade"'),
        (("latency_ceilings_ms", "pro"), 0, "$.latency_ceilings_ms.pro", "1 or more"),
        (
            ("required_signals", 4),
            {"name": "budget", "on_missing": "deny"},
            "$.required_signals",
            "once",
        ),
        (("quality_floors", 1, "task_class"), "triage", "$.quality_floors[1].task_class", "own"),
        (
            ("local_profiles",),
            [*shipped(OPTIMIZER)["local_profiles"], shipped(OPTIMIZER)["local_profiles"][0] | MORE],
            "$.local_profiles[2].profile",
            "own",
        ),
        (
            ("local_profiles", 1, "free_memory_mb_min"),
            1999,
            "$.local_profiles[1].free_memory_mb_min",
            "raise it",
        ),
    ],
)
@pytest.mark.req("SP-28", "SP-29")
def test_a_wrong_optimiser_is_refused(
    tmp_path: Path, at: Place, value: Any, place: str, remedy: str
) -> None:
    file = written(tmp_path, changed_at(shipped(OPTIMIZER), at, value))
    assert_refused(OPTIMIZER, file, place, remedy)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "is not JSON"),
        (b"\xff", "is not UTF-8"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": NaN}', "no number of JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1" * 5000, "number too long"),
        (None, "check the path"),
    ],
)
def test_a_file_that_cannot_be_read_is_another_exit_code(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "broken.json"
    if content is not None:
        path.write_bytes(content)
    done = run(POLICY, str(path), f"examples/{SHIPPED[POLICY]}", f"examples/{SHIPPED[BINDINGS]}")
    assert done.returncode == 2
    assert done.stderr.startswith(f"{path}: ")
    assert said in done.stderr.splitlines()[0]
    assert done.stdout == f"examples/{SHIPPED[POLICY]}: ok\n"


@pytest.mark.parametrize("document", [None, [], 7, "text", {}])
def test_a_document_of_another_shape_is_refused(tmp_path: Path, document: Any) -> None:
    assert run(OPTIMIZER, written(tmp_path, document)).returncode == 1


@every_validator
def test_a_bare_python_is_told_what_to_do(contract: str) -> None:
    done = run(contract, options=("-S",))
    assert done.returncode == 2
    assert "no jsonschema; run `make setup`" in done.stderr
    assert f"`.venv/bin/python {SCRIPTS[contract]}`" in done.stderr
