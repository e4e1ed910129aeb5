"""Bulk runs on record: items in order, ends that are their tasks' outcomes, and nothing twice."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from pointwork.contract.bulk import BulkCounts, item_task_id
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.task import TaskRequest
from pointwork.ledger.bulk_runs import (
    BulkBook,
    BulkDraft,
    BulkRunNotFoundError,
    BulkRunReusedError,
    BulkState,
)
from pointwork.ledger.sweeper import unrecorded_tasks
from pointwork.ledger.vault import ContentUnavailableError
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, accept, outcome

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def book(ledger: Ledger) -> BulkBook:
    return BulkBook(ledger.engine)


def draft(count: int, **changed: Any) -> BulkDraft:
    values: dict[str, Any] = {
        "run_id": "r",
        "caller": "tester",
        "pack": "omega",
        "item_count": count,
        "declared_sha256": "d" * 64,
        "in_flight_max": 4,
        "priority": 5,
    }
    return BulkDraft(**(values | changed))


def request(ledger: Ledger, item_id: str, run_id: str = "r") -> TaskRequest:
    task_id = item_task_id(run_id, item_id)
    refs = accept(ledger.vault, task_id).refs
    return TaskRequest(
        task_id=task_id, caller="tester", content=refs["prompt"], priority=5, submitted_at=NOW
    )


def sealed(ledger: Ledger, book: BulkBook, count: int) -> list[str]:
    """A run of so many items, ready to start; the ids of their tasks."""
    book.begin(draft(count), NOW)
    requests = [request(ledger, f"i{number}") for number in range(1, count + 1)]
    book.add("r", [(at, f"i{at}", each) for at, each in enumerate(requests, 1)])
    assert book.finish_sealing("r", NOW).state is BulkState.SEALED
    return [each.task_id for each in requests]


def end(ledger: Ledger, task_id: str, status: TaskStatus) -> None:
    ledger.outcomes.log(outcome(task_id, status), None, NOW)


def test_the_same_run_is_found_again_and_another_under_its_id_is_refused(
    ledger: Ledger, book: BulkBook
) -> None:
    begun = book.begin(draft(2), NOW)
    assert book.begin(draft(2, in_flight_max=9), LATER) == begun
    assert (begun.state, begun.in_flight_max, begun.created_at) == (BulkState.SEALING, 4, NOW)
    for changed in (
        {"declared_sha256": "e" * 64},
        {"caller": "other"},
        {"pack": "codex"},
        {"priority": 1},
    ):
        with pytest.raises(BulkRunReusedError, match="another --id"):
            book.begin(draft(2, **changed), NOW)
    with pytest.raises(BulkRunNotFoundError, match="bulk list"):
        book.find("unknown")


def test_a_run_is_not_sealed_before_its_last_item(ledger: Ledger, book: BulkBook) -> None:
    book.begin(draft(2), NOW)
    first = request(ledger, "i1")
    book.add("r", [(1, "i1", first)])
    book.add("r", [(1, "i1", first)])
    with pytest.raises(ValueError, match="1 of 2 items"):
        book.finish_sealing("r", NOW)
    book.add("r", [(2, "i2", request(ledger, "i2"))])
    assert book.finish_sealing("r", NOW).state is BulkState.SEALED
    assert book.finish_sealing("r", LATER).state is BulkState.SEALED


def test_items_are_handed_out_in_order_and_those_that_ended_are_counted_instead(
    ledger: Ledger, book: BulkBook
) -> None:
    tasks = sealed(ledger, book, 5)
    end(ledger, tasks[1], TaskStatus.SUCCEEDED)
    end(ledger, tasks[2], TaskStatus.DENIED)

    first = book.hand_out("r", 0, 2)
    assert [each.task_id for each in first.requests] == [tasks[0]]
    assert (first.last_position, first.is_last) == (2, False)
    assert first.ended == BulkCounts(done=1)
    assert book.hand_out("r", 0, 2) == first

    second = book.hand_out("r", 2, 3)
    assert [each.task_id for each in second.requests] == tasks[3:]
    assert (second.last_position, second.is_last, second.ended.failed) == (5, False, 1)
    last = book.hand_out("r", 5, 3)
    assert (last.requests, last.last_position, last.is_last) == ((), 5, True)


def test_a_page_stays_below_what_temporal_takes_and_the_next_goes_on_behind_it(
    ledger: Ledger, book: BulkBook
) -> None:
    book.begin(draft(5), NOW)
    asked = [f"corpus-{number:0120}" for number in range(256)]
    requests = [
        request(ledger, f"i{at}").model_copy(update={"sources": tuple(asked)}) for at in range(1, 6)
    ]
    one_bytes = len(requests[0].model_dump_json().encode())
    book.add("r", [(at, f"i{at}", each) for at, each in enumerate(requests, 1)])
    book.finish_sealing("r", NOW)
    first = BulkBook(ledger.engine, page_bytes_max=2 * one_bytes + 10).hand_out("r", 0, 200)
    assert (len(first.requests), first.last_position, first.is_last) == (2, 2, False)
    second = BulkBook(ledger.engine, page_bytes_max=1).hand_out("r", 2, 200)
    assert (len(second.requests), second.last_position, second.is_last) == (1, 3, False)
    rest = book.hand_out("r", 3, 200)
    assert (len(rest.requests), rest.last_position, rest.is_last) == (2, 5, True)


def test_the_sweep_asks_only_for_items_that_were_handed_out(ledger: Ledger, book: BulkBook) -> None:
    tasks = sealed(ledger, book, 3)
    accept(ledger.vault, "single")

    def asked() -> list[str]:
        return sorted(each.task_id for each in unrecorded_tasks(ledger.engine, LATER))

    assert asked() == ["single"]
    book.hand_out("r", 0, 2)
    book.hand_out("r", 0, 1)
    assert asked() == [*tasks[:2], "single"]
    book.end("r", NOW, cancelled=False)
    assert asked() == [*tasks, "single"]


def test_a_cancelled_run_records_what_never_began_and_leaves_what_ended(
    ledger: Ledger, book: BulkBook
) -> None:
    tasks = sealed(ledger, book, 5)
    end(ledger, tasks[0], TaskStatus.SUCCEEDED)
    assert [book.close_items("r", 3, LATER) for _ in range(3)] == [3, 1, 0]
    assert book.end("r", LATER, cancelled=True) == BulkCounts(done=1, cancelled=4)
    found = ledger.outcomes.find(tasks[4])
    assert found is not None
    assert (found.status, found.started_at, found.finished_at) == ("cancelled", NOW, LATER)
    assert "before this item began" in found.reason


def test_a_run_ends_once(ledger: Ledger, book: BulkBook) -> None:
    sealed(ledger, book, 1)
    book.end("r", NOW, cancelled=False)
    book.end("r", LATER, cancelled=True)
    run = book.find("r")
    assert (run.state, run.ended_at) == (BulkState.COMPLETED, NOW)
    assert book.recent(5) == [run]


def test_every_item_is_listed_in_order_with_its_outcome(ledger: Ledger, book: BulkBook) -> None:
    tasks = sealed(ledger, book, 12)
    end(ledger, tasks[10], TaskStatus.FAILED)
    found = list(book.entries("r"))
    assert [each.item_id for each in found] == [f"i{number}" for number in range(1, 13)]
    assert [each.task_id for each in found if each.outcome] == [tasks[10]]
    assert book.item_end(tasks[0]) is None
    ended = book.item_end(tasks[10])
    assert ended is not None
    assert ended.status is TaskStatus.FAILED


def test_an_items_row_outlives_its_text_and_proves_nothing_of_it(
    ledger: Ledger, book: BulkBook
) -> None:
    (task_id,) = sealed(ledger, book, 1)
    end(ledger, task_id, TaskStatus.SUCCEEDED)
    before = ledger.rows("SELECT * FROM bulk_item")
    ledger.vault.destroy_key(task_id, LATER)
    assert ledger.rows("SELECT * FROM bulk_item") == before
    ref = TaskRequest.model_validate_json(before[0]["body"]).content
    with pytest.raises(ContentUnavailableError, match="was erased"):
        ledger.another_vault().open(task_id, ref)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE bulk_run SET state = 'completed'",
        "UPDATE bulk_run SET state = 'lost'",
        "UPDATE bulk_run SET handed_position = -1",
        "UPDATE bulk_item SET task_id = 'r:i1'",
        "UPDATE bulk_item SET task_id = 'unknown'",
        "DELETE FROM bulk_run",
    ],
)
def test_the_database_itself_refuses_runs_that_make_no_sense(
    ledger: Ledger, book: BulkBook, damage: str
) -> None:
    sealed(ledger, book, 2)
    with pytest.raises(IntegrityError):
        ledger.rows(damage)
