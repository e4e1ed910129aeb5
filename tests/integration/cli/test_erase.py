"""`pointwork erase`: the text of tasks is gone, on the record, and nobody's by mistake."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from pointwork.cli.errors import ExitCode
from pointwork.ledger.audit import AuditChain
from pointwork.ledger.master_keys import MasterKeys
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.vault import ContentUnavailableError, TaskDraft, Vault
from tests.integration.cli.conftest import Call, Called
from tests.integration.ledger.records import NOW, outcome

WHY = ("--reason", "The person asked for it.")


@pytest.fixture
def erase(call: Call, state_dir: Path) -> Call:
    def call_erase(*arguments: object) -> Called:
        return call("erase", *arguments, "--state-dir", state_dir)

    return call_erase


@pytest.fixture
def sealed(ledger: Engine, state_dir: Path) -> dict[str, Any]:
    """Two ended tasks of ada, one that may run, and one of bob's."""
    vault = Vault(ledger, MasterKeys.load(state_dir / "master.key"))
    refs = {}
    tasks = {"ada-1": "ada", "ada-2": "ada", "ada-running": "ada", "bob-1": "bob"}
    for task_id, caller in tasks.items():
        draft = TaskDraft(task_id=task_id, caller=caller, pack="omega", declarations={})
        refs[task_id] = vault.accept(draft, [("prompt", b"hello", "text/plain")], NOW).refs
        if task_id != "ada-running":
            OutcomeLog(ledger).log(outcome(task_id, caller=caller), None, NOW)
    return refs


def readable(ledger: Engine, state_dir: Path, sealed: dict[str, Any]) -> set[str]:
    vault = Vault(ledger, MasterKeys.load(state_dir / "master.key"))
    found = set()
    for task_id, refs in sealed.items():
        try:
            vault.open(task_id, refs["prompt"])
        except ContentUnavailableError:
            continue
        found.add(task_id)
    return found


def told(ledger: Engine) -> list[tuple[str | None, str, str]]:
    return [
        (each.task_id, each.body["by"], each.body["reason"])
        for each in AuditChain(ledger).records(100)
        if each.kind == "erasure"
    ]


def test_named_tasks_are_erased_and_the_chain_tells_by_whom_and_why(
    erase: Call, ledger: Engine, state_dir: Path, sealed: dict[str, Any]
) -> None:
    done = erase("ada-1", "bob-1", *WHY)
    assert done.code == ExitCode.OK
    assert done.out == "Erased by owner: 2 tasks with 2 contents.\n"
    assert readable(ledger, state_dir, sealed) == {"ada-2", "ada-running"}
    assert told(ledger) == [
        ("ada-1", "owner", "The person asked for it."),
        ("bob-1", "owner", "The person asked for it."),
    ]
    assert AuditChain(ledger).verify().holds


def test_erasing_again_says_so_and_records_nothing(
    erase: Call, ledger: Engine, sealed: dict[str, Any]
) -> None:
    erase("ada-1", *WHY)
    again = json.loads(erase("ada-1", *WHY, "--json").out)
    assert (again["erased"], again["erased_before"]) == ([], 1)
    assert len(told(ledger)) == 1
    assert sealed


def test_a_caller_is_erased_with_yes_and_nobody_else(
    erase: Call, ledger: Engine, state_dir: Path, sealed: dict[str, Any]
) -> None:
    asked = erase("--caller", "ada", "--force", *WHY)
    assert asked.code == ExitCode.BAD_INPUT
    assert "would erase the content of 3 tasks of ada for good; give --yes" in asked.err
    assert readable(ledger, state_dir, sealed) == set(sealed)
    done = json.loads(erase("--caller", "ada", "--force", "--yes", *WHY, "--json").out)
    assert sorted(done["erased"]) == ["ada-1", "ada-2", "ada-running"]
    assert done["objects_deleted"]
    assert done["old_pages_forgotten"]
    assert readable(ledger, state_dir, sealed) == {"bob-1"}
    assert len(told(ledger)) == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("ada-running", *WHY), "1 of the tasks have no outcome and may run (ada-running)"),
        (("ada-1", "ada-running", *WHY), "or give --force; nothing was erased"),
        (("--caller", "ada", "--yes", *WHY), "or give --force; nothing was erased"),
        (("ada-1", "nobody", *WHY), "no task 'nobody' is in the vault"),
        (("--caller", "Ada", "--yes", *WHY), "no task of caller 'Ada' is in the vault"),
        (("ada-1", "--caller", "ada", *WHY), "it is not clear which tasks"),
        (WHY, "it is not clear which tasks"),
        (("ada-1", "--reason", "why"), "--reason has 3 characters"),
        (("ada-1",), "--reason"),
        (("ada-1", *WHY, "--as", "mallory"), "mallory has no key on this machine"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_erased(
    erase: Call,
    ledger: Engine,
    state_dir: Path,
    sealed: dict[str, Any],
    arguments: tuple[str, ...],
    says: str,
) -> None:
    refused = erase(*arguments)
    assert refused.code == ExitCode.BAD_INPUT
    assert len(refused.error_lines) == 1
    assert says in refused.err
    assert readable(ledger, state_dir, sealed) == set(sealed)
    assert told(ledger) == []


def test_an_erased_task_is_listed_and_shown_without_its_text(
    erase: Call, call: Call, state_dir: Path, sealed: dict[str, Any]
) -> None:
    erase("ada-1", *WHY)
    listed = call("list", "--state-dir", state_dir)
    assert "ada-1" in listed.out
    shown = call("show", "ada-1", "--state-dir", state_dir)
    assert "ada-1" in shown.out
    assert "hello" not in shown.out
    assert sealed


def test_erasing_needs_no_master_key(erase: Call, state_dir: Path, sealed: dict[str, Any]) -> None:
    (state_dir / "master.key").rename(state_dir / "lost")
    assert erase("ada-1", *WHY).code == ExitCode.OK
    assert sealed
