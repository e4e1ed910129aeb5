"""No record can hold an answer that nobody chose, and one function alone makes a selection."""

import ast
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pointwork.contract.branches import BranchOption, Comparison, Selection
from pointwork.contract.decision import Candidate, CostClass
from pointwork.contract.outcome import BranchState, BranchSummary, TaskOutcome, TaskStatus
from pointwork.contract.task import ContentRef
from tests.contract.decision_samples import ANSWER, CANDIDATE, START, TEXT
from tests.contract.samples import APPROVAL, OUTCOME, VERDICT
from workflows.branches import Branch, lettered, selection_of

REPOSITORY = Path(__file__).parents[2]
OTHER = ContentRef(digest="e" * 64, bytes=9, media_type=ANSWER.media_type)
DIFFER = Comparison(
    comparison_id="c-1",
    kind="text",
    agree=False,
    letters=("A", "B"),
    differences=("line 1",),
    differences_count=1,
)
SAME = Comparison(
    comparison_id="c-1", kind="text", agree=True, letters=("A", "B"), differences_count=0
)
CHOICE = Selection(
    approval_id="a-1",
    task_id="invoice-4711",
    comparison_id="c-1",
    choice="B",
    model="m-2",
    answer=OTHER,
    approver="ada",
    token_id="token-1",
    reason="It cites its sources.",
    chosen_at=START,
)


def branch(letter: str, answer: ContentRef) -> BranchSummary:
    return BranchSummary(
        number=1,
        model=f"m-{letter}",
        vendor="acme",
        state=BranchState.ANSWERED,
        letter=letter,
        answer=answer,
    )


BRANCHES = (branch("A", ANSWER), branch("B", OTHER))


def outcome(**fields: Any) -> TaskOutcome:
    values = OUTCOME.model_dump() | {
        "status": TaskStatus.SUCCEEDED,
        "failure": None,
        "branches": BRANCHES,
        "comparison": DIFFER,
        "selection": None,
        "answer": None,
    }
    return TaskOutcome.model_validate(values | fields)


@pytest.mark.req("OM-61")
@pytest.mark.parametrize("answer", [ANSWER, OTHER])
def test_an_answer_from_several_that_differ_needs_a_persons_choice(answer: ContentRef) -> None:
    with pytest.raises(ValidationError, match="no person chose"):
        outcome(answer=answer)


@pytest.mark.req("OM-60")
def test_an_answer_that_no_branch_gave_is_no_answer() -> None:
    with pytest.raises(ValidationError, match="none of the branches' answers"):
        outcome(answer=TEXT, selection=CHOICE)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"answer": ANSWER, "selection": CHOICE}, "not the one that the selection names"),
        ({"answer": None, "selection": CHOICE}, "not the one that the selection names"),
        ({"answer": OTHER, "selection": CHOICE, "comparison": None}, "name other answers"),
        ({"answer": ANSWER, "comparison": SAME, "branches": BRANCHES[:1]}, "name other answers"),
    ],
)
def test_an_answer_and_its_selection_are_one_thing(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        outcome(**fields)


def test_a_chosen_answer_an_agreed_one_and_none_at_all_can_be_recorded() -> None:
    assert outcome(answer=OTHER, selection=CHOICE).selection == CHOICE
    assert outcome(answer=ANSWER, comparison=SAME).answer == ANSWER
    assert outcome(status=TaskStatus.EXPIRED).answer is None


@pytest.mark.req("OM-61", "OM-63")
@pytest.mark.parametrize("field", ["approver", "choice", "token_id", "chosen_at"])
def test_a_selection_names_the_person_the_choice_the_token_and_the_time(field: str) -> None:
    values = CHOICE.model_dump()
    with pytest.raises(ValidationError):
        Selection.model_validate({**values, field: None})
    del values[field]
    with pytest.raises(ValidationError):
        Selection.model_validate(values)


def calls_of(name: str) -> list[tuple[str, str]]:
    """Where the deployment's code calls ``name``: file and function."""
    found = []
    for folder in ("src", "workflows", "activities", "workers"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            for function in ast.walk(ast.parse(path.read_text())):
                if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                    continue
                called = [n.func for n in ast.walk(function) if isinstance(n, ast.Call)]
                names = [ast.unparse(each).split(".")[-1] for each in called]
                found += [(path.name, function.name)] * (name in names)
    return found


@pytest.mark.req("OM-61")
def test_one_function_makes_a_selection_and_it_needs_a_persons_verdict() -> None:
    assert calls_of("Selection") == [("branches.py", "selection_of")]
    verdict = selection_of.__annotations__["verdict"]
    assert getattr(verdict, "__name__", verdict) == "Verdict"
    assert selection_of(APPROVAL, VERDICT.model_copy(update={"choice": None})) is None


def with_rank(candidate: Candidate, family: str, cost_class: CostClass) -> Candidate:
    return candidate.model_copy(update={"family": family, "cost_class": cost_class})


@pytest.mark.req("OM-62")
@pytest.mark.parametrize("task_id", ["t-1", "t-2", "t-3", "t-4"])
def test_family_cost_class_and_the_packs_order_leave_the_order_shown_as_it_is(
    task_id: str,
) -> None:
    models = [CANDIDATE.model_copy(update={"model": name}) for name in ("m-1", "m-2", "m-3")]
    cheap = [with_rank(each, "small", CostClass.LOWEST) for each in models]
    dear = [with_rank(each, "large", CostClass.HIGHEST) for each in reversed(models)]
    orders = {
        tuple(each.candidate.model for each in lettered(task_id, [Branch(c, 1) for c in listed]))
        for listed in (models, cheap, dear)
    }
    assert len(orders) == 1


@pytest.mark.req("OM-62")
def test_what_is_shown_of_an_answer_names_neither_family_nor_cost_class() -> None:
    assert [*BranchOption.model_fields] == ["letter", "model", "answer", "cost_nano_usd"]
