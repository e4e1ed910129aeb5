"""What is kept twice agrees: an edit of one copy is named by the other (invariant 14)."""

import pytest

from pointwork.contract.approval import ApproverKey
from pointwork.contract.canonical import sha256_hex
from pointwork.ledger.policies import RevisionStore
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, accept, answer, invoke, outcome, reserve
from tests.integration.ledger.test_permissions import approve

KEY = ApproverKey(key_id="ada-1", approver="ada", public_key="cHVibGlj")


@pytest.fixture
def recorded(ledger: Ledger) -> Ledger:
    """Two tasks with an answer, an approval, a key and rules on record."""
    for task_id in ("t-1", "t-2"):
        accept(ledger.vault, task_id)
        reserve(ledger.budgets, task_id)
        ledger.attempts.begin(invoke(task_id), f"{task_id}/1", NOW)
        ledger.attempts.finish(f"{task_id}/1", **answer(cost=60))
        ledger.outcomes.log(outcome(task_id), None, NOW)
    approve(ledger)
    ledger.approvals.add_key(KEY, NOW)
    text = '{"pack":{"privacy":{}}}'
    sha256 = sha256_hex(text.encode())
    RevisionStore(ledger.engine).remember(sha256, "omega", "1", "a" * 64, text, NOW)
    assert ledger.violations() == []
    return ledger


@pytest.mark.req("OM-75", "OM-83")
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("UPDATE policy_revision SET canonical_json = '{}'", "rules omega 1 on record"),
        ("DELETE FROM decision WHERE task_id = 't-1'", "decision t-1#1 of task t-1"),
        (
            "UPDATE decision SET body = replace(body, 'internal', 'public')",
            "decision t-1#1 of task t-1",
        ),
        ("UPDATE decision SET sensitivity = 'public'", "a column of decision t-1#1 differs"),
        ("UPDATE decision SET sensitivity = NULL", "a column of decision t-2#1 differs"),
        ("UPDATE decision SET conversation = 'c-1'", "a column of decision t-1#1 differs"),
        ("UPDATE decision SET bundle_sha256 = 'x'", "a column of decision t-1#1 differs"),
        ("UPDATE outcome SET status = 'denied'", "outcome of task t-1 differs"),
        ("UPDATE outcome SET cost_nano_usd = 59", "outcome of task t-2 differs"),
        ("UPDATE outcome SET task_class = NULL", "outcome of task t-1 differs"),
        ("UPDATE approver_key SET public_key = 'bWluZQ=='", "key ada-1 of ada"),
        ("UPDATE approver_key SET approver = 'eve'", "key ada-1 of eve"),
        ("UPDATE approval SET approver = 'eve'", "approval a-1 is not as the chain tells"),
        (
            "UPDATE approval SET body = replace(body, '500', '5000')",
            "approval a-1 is not as the chain tells",
        ),
        ("DELETE FROM vault_content", "the answer of attempt t-1/1 is not in the vault"),
        ("UPDATE attempt SET answer_digest = 'x'", "the answer of attempt t-2/1 is not in the"),
    ],
)
def test_an_edit_of_one_copy_is_named_by_the_other(
    recorded: Ledger, damage: str, says: str
) -> None:
    recorded.broken_on_purpose = True
    recorded.rows(damage)
    found = [each for each in recorded.violations() if each.startswith("I14: ")]
    assert any(says in each for each in found)


def test_an_erased_task_has_no_answer_and_breaks_nothing(recorded: Ledger) -> None:
    recorded.vault.destroy_key("t-1", NOW)
    assert recorded.violations() == []


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("UPDATE task SET is_open = TRUE WHERE task_id = 't-1'", "open, and has an outcome"),
        ("DELETE FROM outcome WHERE task_id = 't-1'", "closed, and has no outcome"),
    ],
)
def test_a_task_whose_mark_differs_from_its_outcome_is_named(
    recorded: Ledger, damage: str, says: str
) -> None:
    recorded.broken_on_purpose = True
    recorded.rows(damage)
    assert any(f"task t-1 is marked as {says}" in each for each in recorded.violations())


def test_an_outcome_that_is_logged_again_closes_a_task_that_was_left_open(
    recorded: Ledger,
) -> None:
    """As a process of the version before leaves it, which knows no mark."""
    recorded.rows("UPDATE task SET is_open = TRUE WHERE task_id = 't-1'")
    stored = recorded.outcomes.find("t-1")
    assert stored is not None
    assert recorded.outcomes.log(stored, None, NOW) == stored
    assert recorded.violations() == []
