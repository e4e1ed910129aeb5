"""What `pointwork spec` prints, and how it refuses."""

import json
from pathlib import Path

import pytest

from pointwork.cli.errors import CliError, ExitCode
from pointwork.cli.main import main
from pointwork.cli.screen import Screen
from pointwork.cli.spec import read_block, read_risk, show_block, show_risk
from pointwork.policy.specs.spec_block import SPEC_BYTES_MAX
from tests.fakes.codex_rules import high_risk_groups, spec_rules


@pytest.fixture
def specs(repository: Path) -> Path:
    return repository / "examples" / "specs"


@pytest.fixture
def diffs(repository: Path) -> Path:
    return repository / "tests" / "policy" / "diffs"


def test_a_good_spec_is_shown_as_facts(specs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = specs / "full.md"
    show_block(Screen(), read_block(path, spec_rules()), path)
    shown = capsys.readouterr()
    assert "architect, implementer, judge" in shown.out
    assert "valid" in shown.err


def test_the_same_as_one_document(specs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = specs / "infrastructure-only.md"
    show_block(Screen(as_json=True), read_block(path, spec_rules()), path)
    document = json.loads(capsys.readouterr().out)
    assert (document["valid"], document["infrastructure_only"]) == (True, True)


def test_a_bad_spec_is_one_sentence_and_a_wrong_document(specs: Path) -> None:
    path = specs / "bad-version.md"
    with pytest.raises(CliError) as caught:
        read_block(path, spec_rules())
    assert caught.value.exit_code is ExitCode.BAD_POLICY
    assert str(caught.value).startswith(f"{path}:7: Policy is ")
    assert "; cite the policy in force" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"one\ntwo \xff\n", ":2: byte 8 is not UTF-8"),
        (b"x" * (SPEC_BYTES_MAX + 1), "over 1000000 bytes"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "spec.md"
    path.write_bytes(content)
    with pytest.raises(CliError, match=says) as caught:
        read_block(path, spec_rules())
    assert caught.value.exit_code is ExitCode.BAD_POLICY


def test_a_risky_change_is_told_by_group_and_place(
    diffs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = diffs / "hr_tooling" / "hits-an-edit-under-policies.diff"
    show_risk(Screen(), read_risk(str(path), high_risk_groups()))
    shown = capsys.readouterr()
    assert "hr_tooling  policies/codex/2.0.0.yaml:3" in shown.out
    assert "cloud Judge required" in shown.err
    show_risk(Screen(as_json=True), read_risk(str(path), high_risk_groups()))
    assert json.loads(capsys.readouterr().out)["high_risk"] is True


def test_a_harmless_change_is_told_as_such(diffs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = diffs / "hr_tooling" / "misses-a-text-about-policies.diff"
    show_risk(Screen(), read_risk(str(path), high_risk_groups()))
    shown = capsys.readouterr()
    assert (shown.out, shown.err[:14]) == ("", "Not High-Risk,")


def test_a_text_that_is_no_diff_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "change.diff"
    path.write_bytes(b"hello \xff\n")
    with pytest.raises(CliError, match=r"change\.diff: line 1: holds no change.*; give the output"):
        read_risk(str(path), high_risk_groups())


@pytest.mark.parametrize("command", ["check", "risk"])
def test_both_commands_are_there(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spec", command, "--help"]) == ExitCode.OK
    assert "--json" in capsys.readouterr().out
