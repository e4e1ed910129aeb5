"""Incidents in the console: an owner reviews, corrects and documents (OM-87)."""

from datetime import UTC, datetime

import pytest

from pointwork.contract.identity import Role
from pointwork.ledger.incident_steps import IncidentBook, IncidentState
from pointwork.ledger.incidents import policy_incident_id, record_policy_incident
from tests.integration.gateway.console.books import Books
from tests.integration.gateway.console.books import books as books
from tests.integration.gateway.console.books import sqlite_template as sqlite_template
from tests.integration.gateway.console.visitor import Visitor, forms, words

CODE, WHAT = "policy_document_altered", "omega 1.0 is not the document that was sealed"
ID = f"{CODE}/{policy_incident_id('omega', '1.0', WHAT)}"
PAGE = f"/incidents/{ID}"
FOUND = "An edit past the seal, by hand."


@pytest.fixture
def broken(books: Books) -> Books:
    """A ledger that has one incident."""
    record_policy_incident(books.ledger.engine, "omega", "1.0", CODE, WHAT, datetime.now(UTC))
    return books


def book(books: Books) -> IncidentBook:
    return IncidentBook(books.ledger.engine)


async def shown(visitor: Visitor) -> dict[str, str]:
    """The fields of the form as the page has it."""
    return forms(await visitor.get(PAGE))[f"/console{PAGE}"]


async def test_an_owner_takes_the_three_steps_and_each_is_on_record_under_their_name(
    broken: Books,
) -> None:
    visitor, name = await broken.visitor(Role.OWNER)
    assert WHAT in words(await visitor.get("/incidents"))
    for state in ("reviewed", "corrected", "documented"):
        fields = await shown(visitor)
        assert fields["step"] == state
        answer = await visitor.post(PAGE, **fields, reason=f"{state}: {FOUND}")
        assert answer.status_code == 303
        page = words(await visitor.get(answer.headers["location"].removeprefix("/console")))
        assert f"On record: the incident is {state}." in page
        assert f"{state}: {FOUND}" in page
    steps = book(broken).find(ID).steps
    assert [(each.state, each.by) for each in steps] == [
        (IncidentState.REVIEWED, name),
        (IncidentState.CORRECTED, name),
        (IncidentState.DOCUMENTED, name),
    ]
    assert "Nothing is left to do." in words(await visitor.get(PAGE))
    assert "Nothing is left to do" in words(await visitor.get("/incidents"))
    assert WHAT in words(await visitor.get("/incidents?state=documented"))
    assert "No incident is open." in words(await visitor.get("/incidents?state=open"))


@pytest.mark.parametrize("step", ["corrected", "documented", "open"])
async def test_a_form_for_another_step_than_the_next_is_refused_and_keeps_what_was_typed(
    broken: Books, step: str
) -> None:
    visitor, _ = await broken.visitor(Role.OWNER)
    answer = await visitor.post(PAGE, **(await shown(visitor) | {"step": step}), reason=FOUND)
    assert answer.status_code == 409
    assert f"is open and cannot become {step}" in words(answer)
    assert FOUND in words(answer)
    assert book(broken).find(ID).steps == ()


async def test_a_page_that_was_open_before_another_owner_reviewed_is_refused(
    broken: Books,
) -> None:
    first, name = await broken.visitor(Role.OWNER)
    second, _ = await broken.visitor(Role.OWNER)
    stale = await shown(second)
    await first.post(PAGE, **await shown(first), reason=FOUND)
    answer = await second.post(PAGE, **stale, reason="Another finding of mine.")
    assert answer.status_code == 409
    assert "it is corrected next" in words(answer)
    (step,) = book(broken).find(ID).steps
    assert (step.by, step.words) == (name, FOUND)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"reason": "short"}, "The reason has 5 characters"),
        ({"reason": FOUND, "step": "closed"}, "The form is not whole"),
    ],
)
async def test_a_form_that_is_not_right_is_told_why(
    broken: Books, fields: dict[str, str], says: str
) -> None:
    visitor, _ = await broken.visitor(Role.OWNER)
    answer = await visitor.post(PAGE, **(await shown(visitor) | fields))
    assert answer.status_code == 400
    assert says in words(answer)
    assert book(broken).find(ID).state is IncidentState.OPEN


async def test_an_auditor_reads_and_is_told_who_takes_the_next_step(broken: Books) -> None:
    visitor, _ = await broken.visitor(Role.AUDITOR)
    page = await visitor.get(PAGE)
    assert "An owner says here" in words(page)
    assert f"/console{PAGE}" not in forms(page)


async def test_an_incident_that_there_is_not_is_not_found(books: Books) -> None:
    visitor, _ = await books.visitor(Role.OWNER)
    assert (await visitor.get("/incidents/missing_classification/t-1")).status_code == 404
    answer = await visitor.act("/incidents/missing_classification/t-1", reason=FOUND)
    assert answer.status_code == 404
    assert "pointwork incident list" in words(await visitor.get("/incidents"))
