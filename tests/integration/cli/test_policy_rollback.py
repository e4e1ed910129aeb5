"""`policy rollback`: an owner puts an earlier version in force, and every command says so."""

import json
import re
import shlex
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from pointwork.cli.deployment import load_policy
from pointwork.cli.errors import ExitCode
from pointwork.contract.task import Sensitivity
from pointwork.ledger.activations import ActivationLog
from pointwork.policy.bundle import PolicyLibrary
from pointwork.policy.documents.load import load_library
from pointwork.policy.proving.cases import differences, read_cases
from tests.fakes.policy_facts import NOW, POLICIES, Situation
from tests.fakes.sealed_policies import copy_pack, seal_all
from tests.integration.cli.conftest import Call, Called, row_counts
from tests.integration.cli.decided import log, record, remember

HOSTS = ("embedded", "laptop", "rtx5090")
WHY = "Drafts go to the wrong model since 1.1."
HARD = Situation(task_class="high_stakes_logic", sensitivity=Sensitivity.PUBLIC)
CLAUDE_FIRST = (
    "rungs: [[gpt_class], [claude_class, gemini_class]]",
    "rungs: [[claude_class], [gpt_class, gemini_class]]",
)
UNREDACTED = ("redact_before_egress: true", "redact_before_egress: false")


def write_version(
    policies: Path, version: str, supersedes: str, *replaced: tuple[str, str]
) -> None:
    """A later version of omega beside the first, with these pieces of its text replaced."""
    document = (policies / "omega" / "1.0.yaml").read_text()
    for old, new in (('version: "1.0"', f'version: "{version}"'), *replaced):
        assert old in document, old
        document = document.replace(old, new, 1)
    document = document.replace("supersedes: null", f'supersedes: "{supersedes}"')
    (policies / "omega" / f"{version}.yaml").write_text(document)


@pytest.fixture
def policies(repository: Path, tmp_path: Path) -> Path:
    """Two sealed versions of omega; the later one prefers another model and redacts nothing."""
    folder = copy_pack(repository, tmp_path)
    write_version(folder, "1.1", "1.0", CLAUDE_FIRST, UNREDACTED)
    seal_all(folder)
    return folder


@pytest.fixture
def deployed(policies: Path, ledger: Engine) -> PolicyLibrary:
    """What a worker that started once left in the ledger."""
    library = load_library(policies, "embedded")
    for each in library.all():
        remember(ledger, each)
    return library


@pytest.fixture
def policy(call: Call, policies: Path, state_dir: Path) -> Call:
    def run(name: str, *arguments: object) -> Called:
        places = ("--policies-dir", policies, "--state-dir", state_dir)
        return call("policy", name, *arguments, *places)

    return run


@pytest.fixture
def rollback(policy: Call, deployed: PolicyLibrary) -> Call:
    def run(to: str, *arguments: object, by: str = "owner", why: str = WHY) -> Called:
        options = ("--to", to, "--by", by, "--reason", why)
        return policy("rollback", "omega", *options, *arguments)

    return run


def active(policy: Call) -> list[str]:
    listed = json.loads(policy("list", "--json").out)
    return [each["version"] for each in listed if each["active"]]


@pytest.mark.req("OM-85")
def test_a_rollback_puts_an_earlier_version_in_force_and_every_command_says_so(
    policy: Call, rollback: Call, call: Call, policies: Path, state_dir: Path
) -> None:
    assert active(policy) == ["1.1"]
    done = rollback("1.0")
    assert done.code == ExitCode.OK, done.err
    assert "Version 1.0 of omega decides every task that begins from now on." in done.err
    assert active(policy) == ["1.0"]
    places = ("--policies-dir", policies, "--state-dir", state_dir)
    assert f"by owner, instead of 1.1: {WHY}" in policy("show", "omega").out
    shown = json.loads(policy("show", "omega", "--json").out)
    assert shown["policy"]["version"] == "1.0"
    decided = call("decide", "--class", "high_stakes_logic", "--sensitivity", "public", *places)
    assert "omega 1.0" in decided.out
    doctor = call("doctor", *places, "--json")
    found = {each["check"]: each["found"] for each in json.loads(doctor.out)["checks"]}
    assert found["policy"] == "omega 1.0 (rolled back from 1.1)"


@pytest.mark.req("OM-85")
def test_decisions_after_a_rollback_match_the_golden_set_of_that_version(
    rollback: Call, policies: Path, state_dir: Path
) -> None:
    """On every host, whichever the command was given: a process reads the version as its own."""
    golden = read_cases(POLICIES / "cases" / "omega")

    def missed() -> set[str]:
        bundles = {host: load_policy(policies, host, state_dir).active("omega") for host in HOSTS}
        return {path.stem for path, case in golden.items() if differences(case, bundles)}

    assert missed()
    rollback("1.0")
    assert missed() == set()


def test_going_forward_again_is_an_entry_too(policy: Call, rollback: Call) -> None:
    rollback("1.0")
    assert rollback("1.1", why="The wrong model was mended.").code == ExitCode.OK
    assert active(policy) == ["1.1"]
    entries = json.loads(policy("activations", "omega", "--json").out)
    assert [(each["replaced"]["version"], each["policy"]["version"]) for each in entries] == [
        ("1.0", "1.1"),
        ("1.1", "1.0"),
    ]
    assert [each["number"] for each in entries] == [2, 1]
    told = policy("activations", "omega").out
    assert WHY in told
    assert "owner" in told


def test_a_version_that_is_deployed_later_takes_over(
    policy: Call, rollback: Call, policies: Path
) -> None:
    rollback("1.0")
    write_version(policies, "1.2", "1.1")
    seal_all(policies)
    assert active(policy) == ["1.2"]


def test_the_crossings_are_shown_before_anything_changes(
    rollback: Call, policy: Call, ledger: Engine, deployed: PolicyLibrary
) -> None:
    rollback("1.0")
    rules = deployed.deployed("omega")[0]
    for number in range(3):
        at = NOW + timedelta(minutes=number)
        log(ledger, record(f"task-{number}", HARD, rules, at=at))
    before = row_counts(ledger)
    done = rollback("1.1", "--dry-run")
    assert row_counts(ledger) == before
    assert active(policy) == ["1.0"]
    assert (
        "Of the last 3 recorded tasks 0 would end otherwise and 3 go to another model" in done.err
    )
    assert "redact_before_egress" in done.err
    assert "[privacy]" in done.err
    assert "Nothing was changed." in done.err


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("0.9", "pack 'omega' has no version '0.9' here; its versions are: 1.0, 1.1"),
        ("1.1", "version 1.1 of pack 'omega' decides already; name another"),
    ],
)
def test_a_version_that_cannot_be_rolled_back_to_is_refused(
    rollback: Call, policy: Call, ledger: Engine, to: str, said: str
) -> None:
    before = row_counts(ledger)
    done = rollback(to)
    assert (done.code, row_counts(ledger)) == (ExitCode.BAD_INPUT, before)
    assert said in done.err
    assert active(policy) == ["1.1"]


@pytest.mark.parametrize(
    ("by", "why", "said"),
    [
        ("mallory", WHY, "mallory has no key on this machine"),
        ("owner", "no", "--reason has 2 characters; say why in 8 to 500"),
        ("owner", "key sk-proj-Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MGFiY2RlZg", "a credential"),
    ],
)
def test_who_may_and_why_is_checked_before_anything_is_shown(
    rollback: Call, ledger: Engine, by: str, why: str, said: str
) -> None:
    before = row_counts(ledger)
    done = rollback("1.0", by=by, why=why)
    assert done.code == ExitCode.BAD_INPUT
    assert said in done.err
    assert "rules change" not in done.err
    assert row_counts(ledger) == before


def test_a_version_the_ledger_never_kept_needs_a_worker_first(policy: Call, ledger: Engine) -> None:
    done = policy("rollback", "omega", "--to", "1.0", "--by", "owner", "--reason", WHY)
    assert done.code == ExitCode.BAD_INPUT
    assert "start a worker with it first" in done.err
    assert ActivationLog(ledger).latest() == {}


def test_a_document_that_was_altered_is_no_version_to_go_back_to(
    rollback: Call, policies: Path, ledger: Engine
) -> None:
    with (policies / "omega" / "1.0.yaml").open("a") as document:
        document.write("high_volume_items: 7\n")
    done = rollback("1.0")
    assert done.code == ExitCode.BAD_POLICY
    assert ActivationLog(ledger).latest() == {}


def test_a_pack_nobody_rolled_back_says_so(policy: Call) -> None:
    assert "Nobody ever rolled pack omega back" in policy("activations", "omega").err


@pytest.mark.req("DC-17")
def test_the_commands_of_the_runbook_roll_back_one_after_the_other(
    policy: Call, deployed: PolicyLibrary, repository: Path
) -> None:
    """`diff` answers by its exit code that rules differ; nothing changes before the last."""
    runbook = (repository / "docs" / "operating" / "policy-rollback.md").read_text()
    assert "docs/operating/policy-rollback.md" in (repository / "ops" / "README.md").read_text()
    commands = [
        shlex.split(each)
        for each in re.findall(r"^ +pointwork policy (.+)$", runbook, re.MULTILINE)
    ]
    assert [each[0] for each in commands] == ["list", "activations", "diff", "rollback", "rollback"]
    for number, words in enumerate(commands):
        assert active(policy) == ["1.1"]
        code = policy(*words).code
        assert code == (1 if words[0] == "diff" else ExitCode.OK), (number, words)
    assert active(policy) == ["1.0"]
