"""Who is known, what bars whom from answering, and keys to the API that are kept as hashes."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from pointwork.contract.approval import ApprovalVerdict, ApproverKey
from pointwork.contract.decision import Site
from pointwork.contract.identity import Identity, IdentityKind, Role
from pointwork.ledger.access_keys import AccessKeys
from pointwork.ledger.identities import Identities, IdentityConflictError
from pointwork.policy.bundle import PolicyLibrary
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW
from tests.integration.ledger.test_approvals import request

APPROVED, REJECTED = ApprovalVerdict.APPROVED, ApprovalVerdict.REJECTED
PAIRS = 100


def person(name: str, **fields: Any) -> Identity:
    values = {"name": name, "subject": name, "roles": (Role.APPROVER,), "created_at": NOW}
    return Identity(**(values | fields))


def key_of(name: str, **fields: Any) -> ApproverKey:
    return ApproverKey(key_id=f"{name}-1", approver=name, public_key="cHVibGlj", **fields)


def kinds(ledger: Ledger) -> list[str]:
    return [record.kind for record in ledger.chain.records(100)]


def test_an_account_is_added_changed_and_disabled_on_the_record(ledger: Ledger) -> None:
    known = Identities(ledger.engine)
    for _ in range(2):
        known.add(person("ada"), "owner")
    known.change(person("ada", roles=(Role.AUDITOR,), belongs_to=("team",)), "owner", NOW)
    assert known.disable("ada", "owner", NOW)
    assert not known.disable("ada", "owner", NOW)
    assert kinds(ledger) == ["identity_added", "identity_changed", "identity_disabled"]
    found = known.find("ada")
    assert found is not None
    assert (found.roles, found.belongs_to, found.disabled_at) == ((Role.AUDITOR,), ("team",), NOW)


def test_a_taken_or_an_unknown_name_is_refused_and_named(ledger: Ledger) -> None:
    known = Identities(ledger.engine)
    known.add(person("ada"), "owner")
    with pytest.raises(IdentityConflictError, match="'ada' is known already"):
        known.add(person("ada", roles=(Role.OWNER,)), "owner")
    for call in (
        lambda: known.change(person("bob"), "owner", NOW),
        lambda: known.disable("bob", "owner", NOW),
    ):
        with pytest.raises(IdentityConflictError, match="nobody is known as 'bob'"):
            call()


def test_the_only_owner_stays_one(ledger: Ledger) -> None:
    known = Identities(ledger.engine)
    known.add(person("ada", roles=(Role.OWNER,)), "ada")
    for call in (
        lambda: known.disable("ada", "ada", NOW),
        lambda: known.change(person("ada"), "ada", NOW),
    ):
        with pytest.raises(IdentityConflictError, match="'ada' is the only owner"):
            call()
    known.add(person("bob", roles=(Role.OWNER,)), "ada")
    assert known.disable("ada", "bob", NOW)


def test_a_key_says_whose_it_is_and_why_it_may_not_answer(ledger: Ledger) -> None:
    known = Identities(ledger.engine)
    known.add(person("team", kind=IdentityKind.GROUP, roles=()), "owner")
    known.add(person("bot", kind=IdentityKind.SERVICE, belongs_to=("team",)), "owner")
    known.add(person("ada", subject="sub-1", belongs_to=("team",)), "owner")
    known.add(person("ada-2", subject="sub-1"), "owner")
    known.add(person("bob"), "owner")
    known.add(person("eve", roles=(Role.AUDITOR,)), "owner")
    for name in ("ada", "ada-2", "bob", "bot", "eve"):
        ledger.approvals.add_key(key_of(name), NOW)
    barred = {each.approver: each.barred for each in ledger.approvals.keys("bot")}
    assert "operates bot" in barred["ada"]
    assert "operates bot" in barred["ada-2"]
    assert "only a person approves" in barred["bot"]
    assert "neither the role" in barred["eve"]
    assert barred["bob"] == ""
    asked_by_ada = {each.approver: each for each in ledger.approvals.keys("ada")}
    assert "the same person as ada" in asked_by_ada["ada-2"].barred
    assert asked_by_ada["ada-2"].person == "sub-1"


@pytest.mark.req("CX-82")
def test_no_local_model_of_any_pack_approves_even_with_a_key_and_the_role(
    ledger: Ledger, library: PolicyLibrary
) -> None:
    """GR-003: it is a service, and the approval waits on for a person."""
    known, book = Identities(ledger.engine), ledger.approvals
    bundles = [library.active(pack) for pack in library.packs]
    local = {
        name
        for bundle in bundles
        for name, each in bundle.models.items()
        if each.endpoint.site is Site.LOCAL
    }
    assert len(local) >= 1
    for name in sorted(local):
        known.add(person(name, kind=IdentityKind.SERVICE), "owner")
        book.add_key(key_of(name), NOW)
    book.open(request(), NOW)
    for key in book.keys("tester"):
        assert "only a person approves" in key.barred
        given = ("a-1", APPROVED, key.approver, f"token-{key.key_id}", NOW)
        assert not book.close(*given, key_id=key.key_id, reason="it builds")
    assert [each.approval_id for each in book.waiting()] == ["a-1"]


@pytest.mark.parametrize("spoil", ["revoked", "disabled", "requester's own", "never added"])
def test_the_ledger_refuses_a_verdict_whose_key_no_longer_counts(
    ledger: Ledger, spoil: str
) -> None:
    known, book = Identities(ledger.engine), ledger.approvals
    name = "tester" if spoil == "requester's own" else "ada"
    known.add(person(name), "owner")
    if spoil != "never added":
        book.add_key(key_of(name), NOW)
    book.open(request(), NOW)
    if spoil == "revoked":
        book.revoke_key("ada-1", NOW)
    if spoil == "disabled":
        known.disable("ada", "owner", NOW)
    given = ("a-1", APPROVED, name, "token-1", NOW)
    assert not book.close(*given, key_id=f"{name}-1", reason="I looked")
    assert kinds(ledger)[-1] == "approval_refused"
    assert [each.approval_id for each in book.waiting()] == ["a-1"]


def test_of_two_who_race_one_wins_a_hundred_times(ledger: Ledger) -> None:
    book = ledger.approvals
    for name in ("ada", "bob"):
        book.add_key(key_of(name), NOW)
    with ThreadPoolExecutor(8) as threads:
        for number in range(PAIRS):
            asked = f"a-{number}"
            book.open(request(asked), NOW)
            tries = [
                threads.submit(
                    book.close, asked, verdict, name, f"{asked}-{name}", NOW, key_id=f"{name}-1"
                )
                for name, verdict in (("ada", APPROVED), ("bob", REJECTED))
            ]
            won = [each.result() for each in tries]
            assert sorted(won) == [False, True]
            [given] = book.verdicts(asked)
            assert given.approver == ("ada" if won[0] else "bob")


def test_a_hundred_times_one_person_counts_once_however_many_accounts(ledger: Ledger) -> None:
    known, book = Identities(ledger.engine), ledger.approvals
    known.add(person("ada", subject="sub-1"), "owner")
    known.add(person("ada-2", subject="sub-1"), "owner")
    for name in ("ada", "ada-2", "bob"):
        book.add_key(key_of(name), NOW)
    with ThreadPoolExecutor(8) as threads:
        for number in range(PAIRS):
            asked = f"a-{number}"
            book.open(request(asked).model_copy(update={"approvers_min": 2}), NOW)
            tries = [
                threads.submit(
                    book.count,
                    asked,
                    name,
                    f"{asked}-{name}",
                    NOW,
                    key_id=f"{name}-1",
                    reason="I looked",
                )
                for name in ("ada", "ada-2")
            ]
            assert sorted(each.result() for each in tries) == [False, True]
            same = ("ada-2" if tries[0].result() else "ada", f"{asked}-again", NOW)
            assert not book.close(asked, APPROVED, *same, key_id=f"{same[0]}-1")
            assert book.close(asked, APPROVED, "bob", f"{asked}-bob", NOW, key_id="bob-1")
            assert len({each.subject for each in book.verdicts(asked)}) == 2


def test_one_approval_is_not_enough_where_two_are_asked_for(ledger: Ledger) -> None:
    ledger.approvals.add_key(key_of("ada"), NOW)
    ledger.approvals.open(request().model_copy(update={"approvers_min": 2}), NOW)
    assert not ledger.approvals.close("a-1", APPROVED, "ada", "token-1", NOW, key_id="ada-1")
    assert ledger.chain.records(100)[-1].body["fault"] == "2 persons must approve, and 1 did"


def test_the_same_yes_reported_again_is_the_same_success(ledger: Ledger) -> None:
    ledger.approvals.add_key(key_of("ada"), NOW)
    ledger.approvals.open(request().model_copy(update={"approvers_min": 2}), NOW)
    for _ in range(3):
        counted = ("a-1", "ada", "token-1", NOW)
        assert ledger.approvals.count(*counted, key_id="ada-1", reason="I looked")
    assert len(ledger.approvals.verdicts("a-1")) == 1


def test_a_key_to_the_api_opens_for_its_holder_until_it_ends(ledger: Ledger) -> None:
    keys = AccessKeys(ledger.engine)
    Identities(ledger.engine).add(person("billing", kind=IdentityKind.SERVICE), "owner")
    token = keys.create("billing", "owner", NOW, NOW + timedelta(days=1))
    holder = keys.holder(token, NOW)
    assert holder is not None
    assert holder.name == "billing"
    assert keys.holder(token, NOW + timedelta(days=1)) is None
    for wrong in ("", "pwk", token[:-1], f"{token}x", token.replace("pwk", "sk"), "pwk_00_x"):
        assert keys.holder(wrong, NOW) is None
    [key] = keys.all()
    assert keys.revoke(key.key_id, "owner", NOW)
    assert not keys.revoke(key.key_id, "owner", NOW)
    assert keys.holder(token, NOW) is None


def test_a_key_of_somebody_disabled_opens_nothing_and_nobody_unknown_gets_one(
    ledger: Ledger,
) -> None:
    known, keys = Identities(ledger.engine), AccessKeys(ledger.engine)
    known.add(person("billing", kind=IdentityKind.SERVICE), "owner")
    token = keys.create("billing", "owner", NOW)
    known.disable("billing", "owner", NOW)
    assert keys.holder(token, NOW) is None
    for name in ("billing", "nobody"):
        with pytest.raises(IdentityConflictError, match="nobody who may have a key"):
            keys.create(name, "owner", NOW)


def test_the_secret_of_a_key_stands_nowhere_in_the_ledger(ledger: Ledger) -> None:
    Identities(ledger.engine).add(person("billing", kind=IdentityKind.SERVICE), "owner")
    secret = AccessKeys(ledger.engine).create("billing", "owner", NOW).rpartition("_")[2]
    stored = [*ledger.rows("SELECT * FROM access_key"), *ledger.rows("SELECT * FROM audit")]
    assert len(stored) == 3
    assert secret not in str(stored)
