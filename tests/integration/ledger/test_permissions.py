"""What left the house and what a person approved: invariants 9 and 10 name each damage."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from pointwork.contract.approval import ApprovalRequest, ApprovalVerdict
from pointwork.contract.canonical import canonical_bytes, sha256_hex
from pointwork.contract.decision import DecisionRecord, Grant, GrantKind, Site
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import Receipt, ReceiptKind
from pointwork.contract.task import PrivacyTier, Sensitivity
from pointwork.ledger.policies import RevisionStore
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, UNLIMITED, accept, decision, invoke, outcome

HOUR = timedelta(hours=1)
GRANT = Grant(
    kind=GrantKind.SENSITIVE_EGRESS, approval_id="a-1", approver="ada", ceiling_nano_usd=500
)
BOUNDARY = Receipt(
    kind=ReceiptKind.DATA_BOUNDARY,
    receipt_id="r-1",
    issuer="authority",
    task_id="t-1",
    expires_at=NOW + HOUR,
)


def decided(
    sensitivity: Sensitivity,
    grants: Sequence[Grant] = (),
    receipts: Sequence[Receipt] = (),
    tier: PrivacyTier = PrivacyTier.ANY,
    bundle_sha256: str = "b" * 64,
) -> DecisionRecord:
    record = decision("t-1", sensitivity=sensitivity)
    given = record.input
    policy = record.plan.policy.model_copy(update={"bundle_sha256": bundle_sha256})
    return record.model_copy(
        update={
            "plan": record.plan.model_copy(update={"policy": policy}),
            "input": given.model_copy(
                update={
                    "request": given.request.model_copy(update={"privacy_tier": tier}),
                    "snapshot": given.snapshot.model_copy(update={"receipts": tuple(receipts)}),
                    "grants": tuple(grants),
                }
            ),
        }
    )


def send(ledger: Ledger, record: DecisionRecord, site: Site = Site.PUBLIC_API) -> None:
    """A call of t-1 under this decision, recorded as it goes out."""
    accept(ledger.vault, "t-1")
    call = invoke("t-1")
    outside = call.candidate.model_copy(
        update={"site": site, "model": "far", "endpoint": "far-api"}
    )
    call = call.model_copy(update={"candidate": outside})
    ledger.budgets.reserve(
        record=record,
        part_id="t-1/1",
        task_id="t-1",
        invoke=call,
        amount_nano_usd=100,
        task_ceiling_nano_usd=UNLIMITED,
        windows=(),
        price_version="test-1",
        expires_in_seconds=3600,
        now=NOW,
    )
    ledger.attempts.begin(call, "t-1/1", NOW)
    ledger.outcomes.log(outcome("t-1"), None, NOW)


def approve(ledger: Ledger, at: datetime = NOW, approval_id: str = "a-1") -> None:
    """Ada approves what the tester asked for, within the hour."""
    request = ApprovalRequest(
        approval_id=approval_id,
        task_id="t-1",
        requester="tester",
        asks_for=GrantKind.SENSITIVE_EGRESS,
        reason=ReasonCode.PRIVACY,
        ceiling_nano_usd=500,
        policy_sha256="b" * 64,
        request_sha256="d" * 64,
        opened_at=NOW,
        expires_at=NOW + HOUR,
    )
    ledger.approvals.open(request, NOW)
    token = f"token-{approval_id}"
    assert ledger.approvals.close(approval_id, ApprovalVerdict.APPROVED, "ada", token, at)


def remember_pack(ledger: Ledger, privacy: dict[str, object]) -> str:
    """Put a pack with these privacy rules on record; the hash decisions name it by."""
    text = canonical_bytes({"pack": {"privacy": privacy}}).decode()
    sha256 = sha256_hex(text.encode())
    RevisionStore(ledger.engine).remember(sha256, "codex", "1", "a" * 64, text, NOW)
    return sha256


def broken(ledger: Ledger) -> list[str]:
    return [each.split(":")[0] for each in ledger.violations()]


@pytest.mark.req("OM-40", "OM-42")
@pytest.mark.parametrize("level", [Sensitivity.SENSITIVE, Sensitivity.RESTRICTED])
def test_sensitive_content_that_left_without_a_permission_is_named(
    ledger: Ledger, level: Sensitivity
) -> None:
    ledger.broken_on_purpose = True
    send(ledger, decided(level))
    (sentence,) = ledger.violations()
    assert sentence == (
        f"I9: attempt t-1/1 took {level} content of task t-1 to far-api (public_api), and nothing "
        "on record permits it"
    )


@pytest.mark.parametrize("level", [Sensitivity.PUBLIC, Sensitivity.PROPRIETARY])
def test_content_below_sensitive_is_not_this_rules_matter(
    ledger: Ledger, level: Sensitivity
) -> None:
    send(ledger, decided(level))


def test_sensitive_content_may_stay_in_the_house(ledger: Ledger) -> None:
    send(ledger, decided(Sensitivity.RESTRICTED), Site.LOCAL)


@pytest.mark.req("OM-42")
def test_a_persons_approval_on_record_permits_it(ledger: Ledger) -> None:
    approve(ledger)
    send(ledger, decided(Sensitivity.SENSITIVE, [GRANT]))


@pytest.mark.req("OM-42")
def test_no_approval_lets_restricted_content_out(ledger: Ledger) -> None:
    ledger.broken_on_purpose = True
    approve(ledger)
    send(ledger, decided(Sensitivity.RESTRICTED, [GRANT], [BOUNDARY]))
    assert broken(ledger) == ["I9"]


@pytest.mark.parametrize(
    ("changed", "is_sound"),
    [
        ({}, True),
        ({"expires_at": NOW}, False),
        ({"task_id": "t-2"}, False),
        ({"task_id": None, "subject": "somebody"}, False),
        ({"task_id": None}, False),
        ({"kind": ReceiptKind.EGRESS}, False),
    ],
)
def test_only_a_boundary_receipt_in_force_for_this_task_permits_it(
    ledger: Ledger, changed: dict[str, object], is_sound: bool
) -> None:
    ledger.broken_on_purpose = not is_sound
    send(ledger, decided(Sensitivity.SENSITIVE, (), [BOUNDARY.model_copy(update=changed)]))
    assert broken(ledger) == ([] if is_sound else ["I9"])


def test_a_pack_that_binds_by_the_tasks_own_tier_permits_what_that_tier_does(
    ledger: Ledger,
) -> None:
    sha256 = remember_pack(ledger, {"sensitive": "tier_only"})
    send(ledger, decided(Sensitivity.SENSITIVE, bundle_sha256=sha256))


def test_such_a_pack_permits_nothing_to_a_task_that_stays_here(ledger: Ledger) -> None:
    ledger.broken_on_purpose = True
    sha256 = remember_pack(ledger, {"sensitive": "tier_only"})
    record = decided(Sensitivity.SENSITIVE, tier=PrivacyTier.LOCAL_ONLY, bundle_sha256=sha256)
    send(ledger, record)
    assert broken(ledger) == ["I9"]


def test_a_pack_that_was_changed_in_the_record_permits_nothing(ledger: Ledger) -> None:
    ledger.broken_on_purpose = True
    sha256 = remember_pack(ledger, {"sensitive": "house_or_approved", "note": "x"})
    send(ledger, decided(Sensitivity.SENSITIVE, bundle_sha256=sha256))
    ledger.rows(
        "UPDATE policy_revision SET canonical_json = "
        "replace(canonical_json, 'house_or_approved', 'tier_only')"
    )
    assert broken(ledger) == ["I9", "I14"]


@pytest.mark.parametrize(
    ("site", "model", "is_sound"),
    [(Site.PRIVATE, "far", True), (Site.PRIVATE, "near", False), (Site.PUBLIC_API, "far", False)],
)
def test_an_approved_private_model_takes_sensitive_content(
    ledger: Ledger, site: Site, model: str, is_sound: bool
) -> None:
    ledger.broken_on_purpose = not is_sound
    sha256 = remember_pack(ledger, {"approved_private_models": [{"model": model}]})
    send(ledger, decided(Sensitivity.SENSITIVE, bundle_sha256=sha256), site)
    assert broken(ledger) == ([] if is_sound else ["I9"])


@pytest.fixture
def approved(ledger: Ledger) -> Ledger:
    """t-1 went out by Ada's approval, in time and with a token of its own."""
    approve(ledger, NOW + HOUR / 2)
    send(ledger, decided(Sensitivity.SENSITIVE, [GRANT]))
    assert ledger.violations() == []
    return ledger


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("DELETE FROM used_token", "was used with 0 tokens"),
        ("UPDATE used_token SET token_id = 'another'", "was used with 1 tokens"),
        (
            "INSERT INTO used_token SELECT 'second', approval_id, used_at FROM used_token",
            "was used with 2 tokens",
        ),
        ("UPDATE approval SET expires_at = opened_at", "after it had expired"),
        ("UPDATE approval SET approver = 'tester'", "approved by tester, who asked for it"),
        ("UPDATE approval SET approver = NULL", "approved by nobody"),
        ("UPDATE approval SET state = 'rejected'", "which nobody gave for task t-1"),
        ("UPDATE approval SET task_id = 't-2'", "which nobody gave for task t-1"),
        ("UPDATE approval SET approver = 'eve'", "counts on approval a-1 of ada"),
        ("UPDATE approval SET body = '{'", "cannot be read (JSONDecodeError)"),
        (
            "UPDATE approval SET body = replace(body, '\"asks_for\"', "
            '\'"approvers_min":2,"asks_for"\')',
            "was used with 1 tokens instead of its own 2",
        ),
    ],
)
def test_each_fault_of_a_used_approval_is_named(approved: Ledger, damage: str, says: str) -> None:
    approved.broken_on_purpose = True
    if "used_token" in damage:
        approved.rows("DELETE FROM approval_verdict")
    approved.rows(damage)
    found = [each for each in approved.violations() if each.startswith("I10: ")]
    assert any(says in each for each in found)


@pytest.mark.req("OM-42")
def test_a_grant_that_no_approval_stands_behind_is_named(ledger: Ledger) -> None:
    ledger.broken_on_purpose = True
    send(ledger, decided(Sensitivity.SENSITIVE, [GRANT]))
    assert broken(ledger) == ["I10"]


def test_an_approval_is_not_used_once_its_time_is_over(ledger: Ledger) -> None:
    """The person was in time, the record of it was not: nothing is opened by it."""
    approve(ledger, approval_id="a-0")
    request = ledger.approvals.find("a-0")
    assert request is not None
    ledger.approvals.open(request.model_copy(update={"approval_id": "a-1"}), NOW)
    late = (NOW + HOUR).astimezone(UTC)
    assert not ledger.approvals.close("a-1", ApprovalVerdict.APPROVED, "ada", "token-1", late)
    assert ledger.approvals.close("a-1", None, None, None, late)
