"""What becomes of an incident: an owner's steps, in one order, each told by the chain (OM-87)."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from pointwork.contract.identity import Role
from pointwork.ledger.identities import Identities, person_of, service_of
from pointwork.ledger.incident_steps import (
    IncidentBook,
    IncidentNotFoundError,
    IncidentState,
    StepConflictError,
    StepRefusedError,
)
from pointwork.ledger.incidents import policy_incident_id, record_policy_incident
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW

S = IncidentState
CODE = "policy_document_altered"
FIRST, LATER = ("omega 1.0 has hash b", "omega 1.0 has hash c")
WORDS = {
    S.REVIEWED: "An edit past the seal, by hand.",
    S.CORRECTED: "The sealed file was put back.",
    S.DOCUMENTED: "CHANGELOG.md, under Fixed.",
}


def incident_id(detail: str = FIRST) -> str:
    return f"{CODE}/{policy_incident_id('omega', '1.0', detail)}"


@pytest.fixture
def book(ledger: Ledger) -> IncidentBook:
    """Two incidents, and an owner, an approver and a service that says it is an owner."""
    for minutes, detail in enumerate((FIRST, LATER)):
        moment = NOW + timedelta(minutes=minutes)
        record_policy_incident(ledger.engine, "omega", "1.0", CODE, detail, moment)
    known = Identities(ledger.engine)
    known.add(person_of("ada", Role.OWNER, NOW), "ada")
    known.add(person_of("bob", Role.APPROVER, NOW), "ada")
    known.add(service_of("ci", NOW).model_copy(update={"roles": (Role.OWNER,)}), "ada")
    return IncidentBook(ledger.engine)


def told(ledger: Ledger) -> list[str]:
    found = ledger.chain.records(100)
    return [each.kind for each in found if each.kind.startswith("incident_")]


def test_an_incident_is_open_until_an_owner_took_each_step_in_turn(
    ledger: Ledger, book: IncidentBook
) -> None:
    assert book.find(incident_id()).state is S.OPEN
    for number, (state, words) in enumerate(WORDS.items()):
        at = NOW + timedelta(hours=number)
        entry = book.take(incident_id(), state, "ada", words, at)
        assert entry.state is state
        assert (entry.steps[-1].by, entry.steps[-1].words, entry.steps[-1].at) == ("ada", words, at)
    assert book.find(incident_id()) == entry
    assert [each.state for each in entry.steps] == [*WORDS]
    assert told(ledger) == ["incident_reviewed", "incident_corrected", "incident_documented"]
    last = ledger.chain.records(100)[-1]
    assert (last.body["taken_by"], last.body["words"]) == ("ada", WORDS[S.DOCUMENTED])
    assert book.find(incident_id(LATER)).state is S.OPEN


@pytest.mark.parametrize("reached", [S.OPEN, S.REVIEWED, S.CORRECTED, S.DOCUMENTED])
@pytest.mark.parametrize("wanted", S)
def test_no_state_is_skipped_and_none_is_reached_twice(
    ledger: Ledger, book: IncidentBook, reached: IncidentState, wanted: IncidentState
) -> None:
    order = list(S)
    for state in order[1 : order.index(reached) + 1]:
        book.take(incident_id(), state, "ada", WORDS[state], NOW)
    before = book.find(incident_id())
    if order.index(wanted) == order.index(reached) + 1:
        assert book.take(incident_id(), wanted, "ada", WORDS[wanted], NOW).state is wanted
        return
    with pytest.raises(StepConflictError, match=f"is {reached} and cannot become {wanted}"):
        book.take(incident_id(), wanted, "ada", "Out of its turn.", NOW)
    assert book.find(incident_id()) == before
    assert len(told(ledger)) == order.index(reached)


@pytest.mark.parametrize("by", ["bob", "ci", "nobody"])
def test_nobody_but_a_person_who_is_an_owner_takes_a_step_and_the_try_is_told(
    ledger: Ledger, book: IncidentBook, by: str
) -> None:
    with pytest.raises(StepRefusedError, match="no person with the role owner"):
        book.take(incident_id(), S.REVIEWED, by, WORDS[S.REVIEWED], NOW)
    assert book.find(incident_id()).state is S.OPEN
    assert told(ledger) == ["incident_step_refused"]


@pytest.mark.parametrize("unknown", ["", "policy_document_altered", "missing_classification/t-1"])
def test_what_no_incident_is_called_is_not_found(book: IncidentBook, unknown: str) -> None:
    with pytest.raises(IncidentNotFoundError, match="pointwork incident list"):
        book.take(unknown, S.REVIEWED, "ada", WORDS[S.REVIEWED], NOW)


def test_lists_are_latest_first_and_by_state(book: IncidentBook) -> None:
    def ids(state: IncidentState | None = None, *, only_unfinished: bool = False) -> list[str]:
        found = book.entries(10, state=state, only_unfinished=only_unfinished)
        return [each.incident_id for each in found]

    both = [incident_id(LATER), incident_id()]
    assert ids() == ids(S.OPEN) == ids(only_unfinished=True) == both
    for state in (S.REVIEWED, S.CORRECTED, S.DOCUMENTED):
        book.take(incident_id(), state, "ada", WORDS[state], NOW)
        assert (ids(state), ids(S.OPEN), ids()) == ([incident_id()], [incident_id(LATER)], both)
    assert ids(S.REVIEWED) == []
    assert ids(only_unfinished=True) == [incident_id(LATER)]
    assert book.unfinished_count() == 1
    assert len(book.entries(1)) == 1


def test_of_two_owners_at_once_one_takes_the_step(ledger: Ledger, book: IncidentBook) -> None:
    start = threading.Barrier(2)

    def take(words: str) -> str:
        start.wait()
        try:
            book.take(incident_id(), S.REVIEWED, "ada", words, NOW)
        except StepConflictError:
            return "conflict"
        return words

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(take, ("Found by ada.", "Found by eve.")))
    (winner,) = [each for each in done if each != "conflict"]
    assert [each.words for each in book.find(incident_id()).steps] == [winner]
    assert told(ledger) == ["incident_reviewed"]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("UPDATE incident_step SET taken_by = 'bob'", "is not as the chain tells"),
        ("UPDATE incident_step SET words = 'nothing'", "is not as the chain tells"),
        ("DELETE FROM incident_step", "that row is gone"),
    ],
)
def test_a_step_that_was_changed_past_the_book_is_named(
    ledger: Ledger, book: IncidentBook, damage: str, says: str
) -> None:
    book.take(incident_id(), S.REVIEWED, "ada", WORDS[S.REVIEWED], NOW)
    ledger.broken_on_purpose = True
    ledger.rows(damage)
    assert any(says in each for each in ledger.violations())
