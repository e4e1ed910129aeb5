"""``pointwork person`` and ``access``: who is known, whose keys count, and what is refused."""

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from pointwork.cli.errors import ExitCode
from pointwork.ledger.access_keys import AccessKeys
from pointwork.ledger.approvals import ApprovalBook
from tests.integration.cli.conftest import Call, row_counts


def test_the_owner_is_known_from_the_start(call: Call, state_dir: Path) -> None:
    [owner] = json.loads(call("person", "list", "--state-dir", state_dir, "--json").out)
    assert (owner["name"], owner["kind"], owner["roles"]) == ("owner", "person", ["owner"])
    assert len(owner["keys"]) == 1


def test_a_ledger_without_an_owner_gets_its_first_from_who_holds_the_owners_key(
    call: Call, state_dir: Path, ledger: Engine
) -> None:
    """As one on Postgres has none, which no `pointwork up` made."""
    with ledger.begin() as connection:
        connection.exec_driver_sql("DELETE FROM identity")
        connection.exec_driver_sql("DELETE FROM approver_key")
    here = ("--state-dir", state_dir)
    assert call("person", "add", "ada", "--role", "approver", *here).code == ExitCode.OK
    known = {each["name"]: each for each in json.loads(call("person", "list", *here, "--json").out)}
    assert known["owner"]["roles"] == ["owner"]
    assert len(known["owner"]["keys"]) == 1


def test_a_person_with_a_key_may_answer_and_after_its_revocation_not(
    call: Call, state_dir: Path, ledger: Engine
) -> None:
    here = ("--state-dir", state_dir)
    assert call("person", "add", "ada", "--role", "approver", *here).code == ExitCode.OK
    made = json.loads(call("person", "key", "ada", *here, "--json").out)
    assert stat.S_IMODE(Path(made["file"]).stat().st_mode) == 0o600
    book = ApprovalBook(ledger)
    assert {each.approver: each.barred for each in book.keys("somebody")}["ada"] == ""
    assert call("person", "revoke", made["key_id"], *here).code == ExitCode.OK
    assert "ada" not in {each.approver for each in book.keys("somebody")}
    again = call("person", "revoke", made["key_id"], *here)
    assert again.code != ExitCode.OK
    assert made["key_id"] in again.err


def test_a_service_of_a_group_is_listed_with_who_operates_it(call: Call, state_dir: Path) -> None:
    here = ("--state-dir", state_dir)
    call("person", "add", "team", "--kind", "group", *here)
    call("person", "add", "bot", "--kind", "service", "--role", "submitter", "--of", "team", *here)
    listed = call("person", "list", *here)
    assert "service" in listed.out
    assert "team" in listed.out


def test_a_disabled_person_is_shown_so_and_signs_nothing(
    call: Call, state_dir: Path, ledger: Engine
) -> None:
    here = ("--state-dir", state_dir)
    call("person", "add", "ada", "--role", "approver", *here)
    call("person", "key", "ada", *here)
    assert call("person", "disable", "ada", *here).code == ExitCode.OK
    assert "disabled" in call("person", "list", *here).out
    [key] = [each for each in ApprovalBook(ledger).keys("bot") if each.approver == "ada"]
    assert "was disabled" in key.barred


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("add", "owner", "--role", "auditor"), "'owner' is known already"),
        (("change", "nobody", "--role", "auditor"), "nobody is known as 'nobody'"),
        (("disable", "nobody"), "nobody is known as 'nobody'"),
        (("add", "ada/../x"), "holds a slash"),
        (("add", "team", "--kind", "group", "--role", "owner"), "a group has neither roles"),
        (("add", "ada", "--as", "mallory"), "mallory has no key on this machine"),
        (("key", "nobody"), "no person with the role approver"),
        (("key", "owner"), "exists"),
        (("revoke", "no-such-key"), "no key 'no-such-key' signs anything"),
    ],
    ids=lambda each: each if isinstance(each, str) else each[0],
)
def test_what_cannot_be_done_is_refused_with_a_reason_and_changes_nothing(
    call: Call, state_dir: Path, ledger: Engine, arguments: tuple[str, ...], says: str
) -> None:
    before = row_counts(ledger)
    called = call("person", *arguments, "--state-dir", state_dir)
    assert called.code not in (ExitCode.OK, None)
    assert says in called.err
    assert row_counts(ledger) == before


def test_only_an_owner_changes_who_is_known_what_is_spent_and_what_is_kept(
    call: Call, state_dir: Path
) -> None:
    here = ("--state-dir", state_dir)
    call("person", "add", "ada", "--role", "approver", *here)
    call("person", "key", "ada", *here)
    for arguments in (
        ("person", "add", "eve", "--role", "owner"),
        ("budget", "set", "3", "--pack", "omega", "--period", "day", "--reason", "a trial run"),
        ("erase", "t-1", "--reason", "asked for by its subject"),
    ):
        called = call(*arguments, "--as", "ada", *here)
        assert called.code != ExitCode.OK
        assert "ada has not the role owner" in called.err


def test_a_key_to_the_api_is_printed_once_listed_and_revoked(
    call: Call, state_dir: Path, ledger: Engine
) -> None:
    here = ("--state-dir", state_dir)
    call("person", "add", "bot", "--kind", "service", "--role", "submitter", *here)
    token = call("access", "create", "bot", "--days", "30", *here).out.strip()
    keys, now = AccessKeys(ledger), datetime.now(UTC)
    holder = keys.holder(token, now)
    assert holder is not None
    assert holder.name == "bot"
    listed = call("access", "list", *here)
    assert "bot" in listed.out
    assert token not in listed.out
    [key] = json.loads(call("access", "list", *here, "--json").out)
    assert call("access", "revoke", key["key_id"], *here).code == ExitCode.OK
    assert keys.holder(token, now) is None
    assert "revoked" in call("access", "list", *here).out
