"""Lists of tasks: what a filter lets through, and where the next page begins."""

from datetime import timedelta

import pytest

from pointwork.contract.outcome import TaskStatus
from pointwork.ledger.task_list import BadCursorError, TaskList
from pointwork.ledger.vault import TaskDraft
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, outcome

ENDS = (TaskStatus.SUCCEEDED, TaskStatus.DENIED, TaskStatus.SUCCEEDED, TaskStatus.FAILED, None)


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """Twenty tasks, a second apart; every fifth has not ended."""
    for number in range(20):
        task_id, at = f"t-{number:02d}", NOW + timedelta(seconds=number)
        draft = TaskDraft(task_id=task_id, caller="tester", pack="omega", declarations={})
        ledger.vault.accept(draft, [("prompt", b"hello", "text/plain")], at)
        end = ENDS[number % len(ENDS)]
        if end is not None:
            ended = outcome(task_id).model_copy(update={"status": end})
            ledger.outcomes.log(ended, None, at)
    return ledger


def listed(tasks: TaskList, status: str | None, rows_max: int = 3) -> list[str]:
    """Ids over all pages, each of which begins where the one before ended."""
    found: list[str] = []
    page = tasks.page(rows_max=rows_max, status=status)
    found += [each.task_id for each in page.entries]
    while page.next_cursor is not None:
        page = tasks.page(rows_max=rows_max, status=status, cursor=page.next_cursor)
        found += [each.task_id for each in page.entries]
    return found


@pytest.mark.parametrize("rare_max", [0, 4, 2_000])
@pytest.mark.parametrize("status", [None, "running", "succeeded", "denied", "failed"])
def test_a_filter_lists_exactly_its_tasks_newest_first_however_many_there_are(
    filled: Ledger, status: str | None, rare_max: int
) -> None:
    wanted = [
        f"t-{number:02d}"
        for number in reversed(range(20))
        if status is None or (ENDS[number % len(ENDS)] or "running") == status
    ]
    assert listed(TaskList(filled.engine, rare_max), status) == wanted


def test_nothing_that_ended_so_is_an_empty_page(filled: Ledger) -> None:
    page = TaskList(filled.engine).page(status=TaskStatus.EXPIRED)
    assert (page.entries, page.next_cursor) == ((), None)


def test_a_cursor_of_nobody_is_refused(filled: Ledger) -> None:
    with pytest.raises(BadCursorError, match="leave it out"):
        TaskList(filled.engine).page(cursor="nobody")
