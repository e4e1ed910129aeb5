"""The audit chain in the console: its records, the log line, and verifying the last of them."""

import pytest

from pointwork.contract.identity import Role
from pointwork.ledger.audit import AuditChain
from pointwork.ledger.logline import render_log_line
from tests.integration.gateway.console.books import Books
from tests.integration.gateway.console.books import books as books
from tests.integration.gateway.console.books import sqlite_template as sqlite_template
from tests.integration.gateway.console.visitor import Visitor, words
from tests.integration.ledger.charged import Charge, run
from tests.integration.ledger.records import NOW


@pytest.fixture
async def auditor(books: Books) -> Visitor:
    """Somebody who may read, before a chain in which two tasks ended."""
    for task_id in ("task-a", "task-b"):
        run(books.ledger, Charge(task_id=task_id, cost=7, amount=100, model="gpt", at=NOW))
    visitor, _ = await books.visitor(Role.AUDITOR)
    return visitor


def chain(books: Books) -> AuditChain:
    return AuditChain(books.ledger.engine)


async def test_records_stand_latest_first_with_the_log_line_of_each_outcome(
    books: Books, auditor: Visitor
) -> None:
    page = words(await auditor.get("/audit"))
    found = chain(books).records(100)
    place = page.index("When")
    for each in reversed(found):
        place = page.index(f" {each.sequence} {each.kind.replace('_', ' ')} ", place)
    for task_id in ("task-a", "task-b"):
        outcome = books.ledger.outcomes.find(task_id)
        assert outcome is not None
        assert render_log_line(outcome) in page


async def test_kind_and_task_narrow_the_records(books: Books, auditor: Visitor) -> None:
    page = words(await auditor.get("/audit?kind=outcome"))
    assert "task-a" in page
    assert "task-b" in page
    assert "identity added" not in page.partition("When")[2]
    page = words(await auditor.get("/audit?task=task-a"))
    assert "task-a" in page
    assert "task-b" not in page
    assert "The chain has no such record." in words(await auditor.get("/audit?task=task-c"))
    assert chain(books).kinds() == sorted({each.kind for each in chain(books).records(100)})


async def test_older_records_are_a_page_away(books: Books, auditor: Visitor) -> None:
    for _ in range(60):
        books.person(Role.AUDITOR)
    first = await auditor.get("/audit")
    last = chain(books).latest(1)[0].sequence
    older = await auditor.get(f"/audit?before={last - 49}")
    assert f'href="/console/audit?before={last - 49}"' in first.text
    assert f'data-row="{last - 49}"' in first.text
    assert f'data-row="{last - 50}"' not in first.text
    assert f'data-row="{last - 50}"' in older.text
    assert f'data-row="{last - 49}"' not in older.text


async def test_one_record_is_shown_in_full_and_none_that_there_is_not(
    books: Books, auditor: Visitor
) -> None:
    (record,) = [e for e in chain(books).records(100) if e.task_id == "task-a"][-1:]
    page = words(await auditor.get(f"/audit/{record.sequence}"))
    assert record.hash in page
    assert "decisions_sha256" in page
    assert (await auditor.get("/audit/999999")).status_code == 404
    assert (await auditor.get("/audit/0")).status_code == 400


async def test_verifying_says_which_records_it_looked_at(books: Books, auditor: Visitor) -> None:
    last = chain(books).latest(1)[0].sequence
    whole = words(await auditor.get("/audit/verify"))
    assert f"Records 1 to {last} hold" in whole
    assert "That is the whole chain." in whole
    some = words(await auditor.get("/audit/verify?last=2"))
    assert f"Records {last - 1} to {last} hold" in some
    assert f"Records 1 to {last - 2} were not looked at" in some
    assert "pointwork audit verify" in some
    assert (await auditor.get("/audit/verify?last=5001")).status_code == 400


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("UPDATE audit SET record = replace(record, 'a', 'b') WHERE sequence = {at}", "its hash"),
        ("UPDATE audit SET kind = 'nothing' WHERE sequence = {at}", "column kind"),
        ("DELETE FROM audit WHERE sequence = {at}", "is missing"),
    ],
)
async def test_verifying_names_the_first_record_that_does_not_hold(
    books: Books, auditor: Visitor, damage: str, says: str
) -> None:
    last = chain(books).latest(1)[0].sequence
    books.ledger.broken_on_purpose = True
    with books.ledger.engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.exec_driver_sql(damage.format(at=last - 1))
    page = words(await auditor.get("/audit/verify?last=3"))
    assert f"Record {last - 1} is the first that does not hold" in page
    assert says in page
