"""Approvals end once, by somebody else, with a token that is used up (design 7)."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from pointwork.contract.approval import ApprovalRequest, ApprovalVerdict, ApproverKey
from pointwork.contract.decision import GrantKind
from pointwork.contract.reasons import ReasonCode
from pointwork.ledger.approver_keys import ApprovalConflictError
from pointwork.ledger.tables import ApprovalState
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW

APPROVED, REJECTED = ApprovalVerdict.APPROVED, ApprovalVerdict.REJECTED
KEY = ApproverKey(key_id="k1", approver="ada", public_key="cHVibGlj")


def request(approval_id: str = "a-1", ceiling: int = 500) -> ApprovalRequest:
    return ApprovalRequest(
        approval_id=approval_id,
        task_id="t-1",
        requester="tester",
        asks_for=GrantKind.COST,
        reason=ReasonCode.CEILING,
        ceiling_nano_usd=ceiling,
        policy_sha256="b" * 64,
        request_sha256="d" * 64,
        opened_at=NOW,
        expires_at=NOW + timedelta(hours=1),
    )


def kinds(ledger: Ledger) -> list[str]:
    return [record.kind for record in ledger.chain.records(100)]


def test_an_opened_approval_waits_with_everything_that_was_shown(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.approvals.open(request(), NOW)
    assert ledger.approvals.waiting() == [request()]
    assert ledger.approvals.find("a-1") == request()
    assert ledger.approvals.find("a-2") is None
    assert kinds(ledger) == ["approval_opened"]


def test_an_approval_id_stands_for_one_request(ledger: Ledger) -> None:
    ledger.approvals.open(request(), NOW)
    with pytest.raises(ApprovalConflictError, match="under a new id"):
        ledger.approvals.open(request(ceiling=501), NOW)


@pytest.mark.parametrize("verdict", [APPROVED, REJECTED])
def test_a_verdict_ends_the_wait_and_stays_findable(
    ledger: Ledger, verdict: ApprovalVerdict
) -> None:
    ledger.approvals.open(request(), NOW)
    assert ledger.approvals.close("a-1", verdict, "ada", "token-1", NOW)
    assert ledger.approvals.waiting() == []
    assert ledger.approvals.find("a-1") == request()
    assert ledger.approvals.state("a-1") == verdict.value
    record = ledger.chain.records(1, 1)[0]
    assert (record.kind, record.body["approver"]) == ("approval_closed", "ada")


def test_the_same_verdict_reported_again_is_the_same_success(ledger: Ledger) -> None:
    """The activity that reports it may run twice; nothing is written the second time."""
    ledger.approvals.open(request(), NOW)
    for _ in range(3):
        assert ledger.approvals.close("a-1", APPROVED, "ada", "token-1", NOW)
    assert kinds(ledger) == ["approval_opened", "approval_closed"]


@pytest.mark.parametrize(
    ("verdict", "approver", "token_id"),
    [
        (REJECTED, "ada", "token-1"),
        (APPROVED, "bob", "token-1"),
        (APPROVED, "ada", "token-2"),
        (None, None, None),
    ],
)
def test_an_ended_approval_does_not_change_and_the_try_is_recorded(
    ledger: Ledger, verdict: ApprovalVerdict | None, approver: str | None, token_id: str | None
) -> None:
    ledger.approvals.open(request(), NOW)
    assert ledger.approvals.close("a-1", APPROVED, "ada", "token-1", NOW)
    assert not ledger.approvals.close("a-1", verdict, approver, token_id, NOW)
    assert ledger.approvals.state("a-1") is ApprovalState.APPROVED
    assert kinds(ledger)[-1] == "approval_refused"


def test_a_token_answers_one_approval_only(ledger: Ledger) -> None:
    for approval_id in ("a-1", "a-2"):
        ledger.approvals.open(request(approval_id), NOW)
    assert ledger.approvals.close("a-1", APPROVED, "ada", "token-1", NOW)
    assert not ledger.approvals.close("a-2", APPROVED, "ada", "token-1", NOW)
    assert ledger.approvals.waiting() == [request("a-2")]


def test_one_token_in_many_hands_answers_one_approval(ledger: Ledger) -> None:
    for number in range(6):
        ledger.approvals.open(request(f"a-{number}"), NOW)

    def close(number: int) -> bool:
        return ledger.approvals.close(f"a-{number}", APPROVED, "ada", "token-1", NOW)

    with ThreadPoolExecutor(6) as pool:
        assert Counter(pool.map(close, range(6))) == {True: 1, False: 5}


def test_two_people_who_answer_at_once_leave_one_verdict(ledger: Ledger) -> None:
    ledger.approvals.open(request(), NOW)

    def close(number: int) -> bool:
        verdict = APPROVED if number % 2 else REJECTED
        return ledger.approvals.close("a-1", verdict, f"person-{number}", f"token-{number}", NOW)

    with ThreadPoolExecutor(6) as pool:
        assert Counter(pool.map(close, range(6))) == {True: 1, False: 5}


@pytest.mark.parametrize(
    ("approver", "token_id", "fault"),
    [
        ("tester", "token-1", "the approver is the requester"),
        (None, "token-1", "a verdict needs an approver and a token"),
        ("ada", None, "a verdict needs an approver and a token"),
    ],
)
def test_a_verdict_without_a_second_person_or_a_token_is_refused(
    ledger: Ledger, approver: str | None, token_id: str | None, fault: str
) -> None:
    ledger.approvals.open(request(), NOW)
    assert not ledger.approvals.close("a-1", APPROVED, approver, token_id, NOW)
    assert ledger.approvals.waiting() == [request()]
    assert ledger.chain.records(1, 1)[0].body["fault"] == fault


def test_a_verdict_on_an_approval_nobody_opened_is_refused(ledger: Ledger) -> None:
    assert not ledger.approvals.close("a-1", APPROVED, "ada", "token-1", NOW)
    assert kinds(ledger) == ["approval_refused"]


@pytest.mark.parametrize(
    ("hours_later", "state"), [(0, ApprovalState.VOID), (1, ApprovalState.EXPIRED)]
)
def test_an_approval_without_a_verdict_ends_void_or_expired(
    ledger: Ledger, hours_later: int, state: ApprovalState
) -> None:
    ledger.approvals.open(request(), NOW)
    for _ in range(2):
        closed_at = NOW + timedelta(hours=hours_later)
        assert ledger.approvals.close("a-1", None, None, None, closed_at)
    assert ledger.approvals.state("a-1") is state
    assert not ledger.approvals.close("a-1", APPROVED, "ada", "token-1", NOW)


def test_keys_are_added_and_revoked_on_the_record(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.approvals.add_key(KEY, NOW)
    assert ledger.approvals.keys() == [KEY]
    assert ledger.approvals.revoke_key("k1", NOW)
    kept = ["identity_added", "approver_key_added", "approver_key_revoked"]
    assert kinds(ledger) == kept
    assert not ledger.approvals.revoke_key("k1", NOW)
    assert ledger.approvals.keys() == []
    assert kinds(ledger) == kept


@pytest.mark.parametrize("key", [KEY, KEY.model_copy(update={"approver": "bob"})])
def test_a_revoked_or_taken_key_id_is_not_given_out_again(ledger: Ledger, key: ApproverKey) -> None:
    ledger.approvals.add_key(KEY, NOW)
    ledger.approvals.revoke_key("k1", NOW)
    with pytest.raises(ApprovalConflictError, match="give the key a new id"):
        ledger.approvals.add_key(key, NOW)


def test_revoking_one_key_leaves_the_others(ledger: Ledger) -> None:
    keys = [
        ApproverKey(key_id=f"{name}-1", approver=name, public_key="cHVibGlj")
        for name in ("ada", "bob")
    ]
    for key in keys:
        ledger.approvals.add_key(key, NOW)
    assert ledger.approvals.revoke_key("ada-1", NOW)
    assert not ledger.approvals.revoke_key("ada-1", NOW)
    assert ledger.approvals.keys() == [keys[1]]
