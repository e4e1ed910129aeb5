"""`pointwork incident`: an owner reviews, corrects and documents; nobody skips a step."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from pointwork.cli.errors import ExitCode
from pointwork.ledger.incidents import policy_incident_id, record_policy_incident
from tests.integration.cli.conftest import Call, Called

CODE, WHAT = "policy_document_altered", "omega 1.0 is not the document that was sealed"
ID = f"{CODE}/{policy_incident_id('omega', '1.0', WHAT)}"
REVIEW = ("review", ID, "--found", "An edit past the seal.")
CORRECT = ("correct", ID, "--how", "The sealed file was put back.")
DOCUMENT = ("document", ID, "--where", "CHANGELOG.md, under Fixed.")


@pytest.fixture
def incident(call: Call, state_dir: Path, ledger: Engine) -> Call:
    """The command on a ledger that has one incident."""
    record_policy_incident(ledger, "omega", "1.0", CODE, WHAT, datetime.now(UTC))

    def call_incident(*arguments: object) -> Called:
        return call("incident", *arguments, "--state-dir", state_dir)

    return call_incident


def shown(incident: Call) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(incident("show", ID, "--json").out)
    return found


def test_an_incident_is_listed_with_its_state_and_shown_with_what_comes_next(
    incident: Call,
) -> None:
    listed = incident("list")
    assert (listed.code, ID in listed.out, " open " in listed.out) == (ExitCode.OK, True, True)
    called = incident("show", ID)
    assert called.code == ExitCode.OK
    assert WHAT in called.out
    assert f"pointwork incident review {ID} --found" in called.out + called.err
    assert json.loads(incident("list", "--state", "reviewed", "--json").out) == []


def test_an_owner_takes_the_three_steps_in_turn(incident: Call) -> None:
    for command, state in ((REVIEW, "reviewed"), (CORRECT, "corrected"), (DOCUMENT, "documented")):
        called = incident(*command)
        assert called.code == ExitCode.OK
        assert f"{ID} is {state}." in called.out + called.err
    steps = [(each["state"], each["by"], each["words"]) for each in shown(incident)["steps"]]
    assert steps == [
        ("reviewed", "owner", REVIEW[-1]),
        ("corrected", "owner", CORRECT[-1]),
        ("documented", "owner", DOCUMENT[-1]),
    ]
    assert json.loads(incident("list", "--state", "documented", "--json").out) == [shown(incident)]


@pytest.mark.parametrize("command", [CORRECT, DOCUMENT])
def test_a_step_out_of_its_turn_is_refused_and_changes_nothing(
    incident: Call, command: tuple[str, ...]
) -> None:
    called = incident(*command)
    assert called.code == ExitCode.BAD_INPUT
    (line,) = called.error_lines
    assert "is open and cannot become" in line
    assert "it is reviewed next" in line
    assert shown(incident)["steps"] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((*REVIEW[:3], "short"), "--found has 5 characters"),
        ((*REVIEW, "--by", "nobody"), "nobody has no key on this machine"),
        (("show", f"{CODE}/t-1"), "no incident has the id"),
        (("list", "--state", "closed"), "--state 'closed' is none; give one of"),
    ],
)
def test_bad_input_is_named_with_its_remedy(
    incident: Call, arguments: tuple[str, ...], says: str
) -> None:
    called = incident(*arguments)
    assert called.code == ExitCode.BAD_INPUT
    assert says in called.error_lines[0]
    assert shown(incident)["state"] == "open"
