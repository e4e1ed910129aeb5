"""Comparisons and the choices people make between answers, on the record or not at all."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from pointwork.contract.approval import ApprovalRequest, ApprovalVerdict
from pointwork.contract.branches import BranchOption, Comparison, Selection
from pointwork.contract.decision import GrantKind
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import ContentRef
from pointwork.ledger.comparisons import ComparisonLog
from pointwork.ledger.tables import AnswerSelection, ApprovalState, table_of
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, outcome

APPROVED, REJECTED = ApprovalVerdict.APPROVED, ApprovalVerdict.REJECTED
DIFFER = Comparison(
    comparison_id="t-1/decision/1/comparison",
    kind="json",
    agree=False,
    letters=("A", "B"),
    differences=("/total",),
    differences_count=1,
)


def option(letter: str, model: str) -> BranchOption:
    answer = ContentRef(digest=letter.lower() * 64, bytes=5, media_type="text/plain")
    return BranchOption(letter=letter, model=model, answer=answer, cost_nano_usd=7)


OPTIONS = (option("A", "m-1"), option("B", "m-2"))
REQUEST = ApprovalRequest(
    approval_id="t-1/decision/1/choice",
    task_id="t-1",
    requester="tester",
    asks_for=GrantKind.CHOICE,
    reason=ReasonCode.ANSWERS_DIFFER,
    ceiling_nano_usd=0,
    policy_sha256="b" * 64,
    request_sha256="d" * 64,
    opened_at=NOW,
    expires_at=NOW + timedelta(hours=1),
    options=OPTIONS,
    comparison=DIFFER,
)
SELECTION = Selection(
    approval_id=REQUEST.approval_id,
    task_id="t-1",
    comparison_id=DIFFER.comparison_id,
    choice="B",
    model="m-2",
    answer=OPTIONS[1].answer,
    approver="ada",
    token_id="token-1",
    reason="It cites its sources.",
    chosen_at=NOW,
)


def compared(ledger: Ledger) -> None:
    ComparisonLog(ledger.engine).record(DIFFER, "t-1", "t-1/decision/1", NOW)


def waiting(ledger: Ledger) -> None:
    compared(ledger)
    ledger.approvals.open(REQUEST, NOW)


def kinds(ledger: Ledger) -> list[str]:
    return [record.kind for record in ledger.chain.records(100)]


def chosen(ledger: Ledger) -> list[dict[str, Any]]:
    return ledger.rows("SELECT task_id, choice, model, approver, token_id FROM answer_selection")


@pytest.mark.req("OM-55")
def test_a_comparison_is_a_row_and_a_link_of_the_chain_once(ledger: Ledger) -> None:
    log = ComparisonLog(ledger.engine)
    other = DIFFER.model_copy(update={"differences": ("/name",)})
    for each in (DIFFER, DIFFER, other):
        assert log.record(each, "t-1", "t-1/decision/1", NOW) == DIFFER
    assert log.of_task("t-1") == [DIFFER]
    assert log.of_task("t-2") == []
    (record,) = ledger.chain.records(10)
    assert (record.kind, record.task_id) == ("comparison", "t-1")
    assert record.body["decision_id"] == "t-1/decision/1"


@pytest.mark.req("OM-63")
def test_a_choice_is_a_row_with_the_person_the_branch_and_the_time(ledger: Ledger) -> None:
    waiting(ledger)
    for _ in range(2):
        assert ledger.approvals.close(
            REQUEST.approval_id, APPROVED, "ada", "token-1", NOW, SELECTION
        )
    (row,) = chosen(ledger)
    assert (row["choice"], row["model"], row["approver"]) == ("B", "m-2", "ada")
    assert kinds(ledger) == ["comparison", "approval_opened", "approval_closed", "selection"]
    (found,) = ledger.rows("SELECT comparison_id, chosen_at FROM answer_selection")
    assert found["comparison_id"] == DIFFER.comparison_id
    assert found["chosen_at"] is not None


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        (None, "the verdict chooses nothing"),
        ({"choice": "C"}, "none of the answers shown"),
        ({"model": "m-1"}, "none of the answers shown"),
        ({"answer": OPTIONS[0].answer}, "none of the answers shown"),
        ({"approver": "bob"}, "another person's"),
        ({"token_id": "token-2"}, "another person's"),
        ({"task_id": "t-2"}, "another approval"),
        ({"comparison_id": "c-2"}, "another approval"),
    ],
)
def test_a_choice_that_fits_nothing_shown_changes_nothing(
    ledger: Ledger, changed: dict[str, Any] | None, fault: str
) -> None:
    waiting(ledger)
    selection = None if changed is None else SELECTION.model_copy(update=changed)
    closed = ledger.approvals.close(REQUEST.approval_id, APPROVED, "ada", "token-1", NOW, selection)
    assert not closed
    assert fault in ledger.chain.records(100)[-1].body["fault"]
    assert ledger.approvals.state(REQUEST.approval_id) is ApprovalState.WAITING
    assert chosen(ledger) == []


@pytest.mark.parametrize("verdict", [REJECTED, None])
def test_a_rejection_and_silence_choose_nothing(
    ledger: Ledger, verdict: ApprovalVerdict | None
) -> None:
    waiting(ledger)
    approver, token_id = ("ada", "token-1") if verdict else (None, None)
    assert ledger.approvals.close(REQUEST.approval_id, verdict, approver, token_id, NOW)
    assert chosen(ledger) == []


def test_a_selection_on_another_kind_of_approval_is_refused(ledger: Ledger) -> None:
    compared(ledger)
    cost = REQUEST.model_copy(
        update={"asks_for": GrantKind.COST, "options": (), "comparison": None}
    )
    ledger.approvals.open(cost, NOW)
    assert not ledger.approvals.close(cost.approval_id, APPROVED, "ada", "token-1", NOW, SELECTION)
    assert chosen(ledger) == []


@pytest.mark.req("OM-63")
@pytest.mark.parametrize(
    "changed",
    [
        {"approver": None},
        {"approver": ""},
        {"choice": None},
        {"choice": "best"},
        {"chosen_at": None},
        {"token_id": None},
        {"token_id": "never used"},
        {"approval_id": "never asked"},
        {"comparison_id": "never compared"},
    ],
)
def test_the_database_itself_takes_no_choice_without_its_person_and_token(
    ledger: Ledger, changed: dict[str, Any]
) -> None:
    waiting(ledger)
    assert ledger.approvals.close(REQUEST.approval_id, APPROVED, "ada", "token-1", NOW, SELECTION)
    ledger.rows("DELETE FROM answer_selection")
    row = SELECTION.model_dump(exclude={"answer"}) | {"answer_digest": "b" * 64}
    table = table_of(AnswerSelection)
    with pytest.raises(IntegrityError), ledger.engine.begin() as connection:
        connection.execute(insert(table), row | changed)
    with ledger.engine.begin() as connection:
        connection.execute(insert(table), row)


def test_a_task_has_one_choice(ledger: Ledger) -> None:
    waiting(ledger)
    assert ledger.approvals.close(REQUEST.approval_id, APPROVED, "ada", "token-1", NOW, SELECTION)
    again = REQUEST.model_copy(update={"approval_id": "t-1/decision/2/choice"})
    ledger.approvals.open(again, NOW)
    second = SELECTION.model_copy(
        update={"approval_id": again.approval_id, "token_id": "token-2", "choice": "A"}
    )
    second = second.model_copy(update={"model": "m-1", "answer": OPTIONS[0].answer})
    with pytest.raises(IntegrityError):
        ledger.approvals.close(again.approval_id, APPROVED, "ada", "token-2", NOW, second)
    assert ledger.approvals.state(again.approval_id) is ApprovalState.WAITING


@pytest.mark.req("OM-61")
def test_an_answer_that_nobody_chose_from_several_that_differ_is_a_broken_invariant(
    ledger: Ledger,
) -> None:
    compared(ledger)
    ledger.outcomes.log(outcome("t-1", status=TaskStatus.SUCCEEDED), None, NOW)
    ledger.broken_on_purpose = True
    assert ledger.violations() == [
        "I11: task t-1 has an answer although its answers differed and no person chose"
    ]


def test_an_answer_of_several_that_agree_needs_no_persons_choice(ledger: Ledger) -> None:
    agreed = DIFFER.model_copy(update={"agree": True, "differences": (), "differences_count": 0})
    ComparisonLog(ledger.engine).record(agreed, "t-1", "t-1/decision/1", NOW)
    ledger.outcomes.log(outcome("t-1", status=TaskStatus.SUCCEEDED), None, NOW)
    assert ledger.violations() == []
