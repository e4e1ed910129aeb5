"""Which answers may be acted on: a draft only after another task has reviewed it (CX-44)."""

import pytest

from pointwork.contract.outcome import TaskStatus
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, outcome


def test_an_answer_that_is_no_draft_is_final_once_it_is_recorded(ledger: Ledger) -> None:
    assert not ledger.outcomes.is_final("t-1")
    ledger.outcomes.log(outcome("t-1"), None, NOW)
    assert ledger.outcomes.is_final("t-1")


@pytest.mark.parametrize("is_draft", [True, False])
@pytest.mark.parametrize(
    "status", [each for each in TaskStatus if each is not TaskStatus.SUCCEEDED and each.is_terminal]
)
def test_a_task_without_an_answer_has_nothing_that_is_final(
    ledger: Ledger, status: TaskStatus, is_draft: bool
) -> None:
    ledger.outcomes.log(outcome("t-1", status, is_draft=is_draft), None, NOW)
    assert not ledger.outcomes.is_final("t-1")


@pytest.mark.req("CX-44")
def test_a_draft_is_final_when_a_review_of_it_and_of_no_other_has_succeeded(
    ledger: Ledger,
) -> None:
    for task_id in ("draft-1", "draft-2"):
        ledger.outcomes.log(outcome(task_id, is_draft=True), None, NOW)
    failed = outcome("review-1", TaskStatus.FAILED, reviews="draft-1")
    ledger.outcomes.log(failed, None, NOW)
    assert not ledger.outcomes.is_final("draft-1")
    ledger.outcomes.log(outcome("review-2", reviews="draft-2"), None, NOW)
    assert not ledger.outcomes.is_final("draft-1")
    assert ledger.outcomes.is_final("draft-2")
    ledger.outcomes.log(outcome("review-3", reviews="draft-1"), None, NOW)
    assert ledger.outcomes.is_final("draft-1")
