"""Overrides in the console: a person is shown the cost, acknowledges it, and ends them (OM-73)."""

from datetime import UTC, datetime, timedelta

import pytest

from pointwork.contract.identity import Role
from pointwork.contract.override_request import OverrideRequest, OverrideState
from pointwork.ledger.overrides import OverrideBook, OverrideEntry
from tests.integration.gateway.console.books import Books
from tests.integration.gateway.console.books import books as books
from tests.integration.gateway.console.books import sqlite_template as sqlite_template
from tests.integration.gateway.console.visitor import Visitor, forms, words
from tests.integration.ledger.overriding import CHEAP, DEAR, REASON, hold, overridden
from tests.integration.ledger.overriding import asked as requested
from tests.integration.ledger.records import accept, outcome

ID, COST = "override-1", "$0.0050"
PAGE = f"/overrides/{ID}"
AGREED = "Looked at the cost and agree."


def ask(books: Books, requester: str = "billing", **changed: object) -> OverrideRequest:
    """An override that waits, under the rules in force."""
    now = datetime.now(UTC)
    values = {
        "requester": requester,
        "starts_at": now,
        "ends_at": now + timedelta(days=1),
        "policy_sha256": books.gateway.library.active("omega").sha256,
    }
    made = requested(ID, **(values | changed))
    OverrideBook(books.ledger.engine).ask(made, now + timedelta(days=1), now)
    return made


def entry(books: Books) -> OverrideEntry:
    return OverrideBook(books.ledger.engine).find(ID, datetime.now(UTC))


async def send(visitor: Visitor, do: str, reason: str = AGREED, **spoiled: str) -> int:
    """Fill in a form of the page, and send it."""
    form = "acknowledge" if do == "acknowledge" else "revoke"
    shown = forms(await visitor.get(PAGE))[f"/console{PAGE}/{form}"]
    answer = await visitor.post(f"{PAGE}/{do}", **(shown | {"reason": reason} | spoiled))
    return answer.status_code


@pytest.mark.req("OM-73")
async def test_the_estimated_cost_is_shown_and_the_override_pending_until_a_person_acknowledges_it(
    books: Books,
) -> None:
    ask(books)
    visitor, name = await books.visitor(Role.APPROVER)
    page = words(await visitor.get(PAGE))
    assert f"{COST}, estimated" in page
    assert "It changes nothing until another person acknowledges what it costs." in page
    assert entry(books).state is OverrideState.PENDING
    assert await send(visitor, "acknowledge") == 303
    held = entry(books)
    assert (held.state, held.approver) == (OverrideState.ACTIVE, name)
    (verdict,) = books.gateway.approvals.verdicts(f"override/{ID}")
    assert (verdict.approver, verdict.reason) == (name, AGREED)
    told = words(await visitor.get(f"{PAGE}?said=acknowledge"))
    assert f"{name} acknowledged {COST}." in told
    assert AGREED in told


@pytest.mark.req("OM-73")
async def test_whoever_asked_never_acknowledges(books: Books) -> None:
    visitor, name = await books.visitor(Role.OWNER)
    made = ask(books, requester=name)
    page = await visitor.get(PAGE)
    assert f"/console{PAGE}/acknowledge" not in forms(page)
    other, _ = await books.visitor(Role.OWNER)
    shown = forms(await other.get(PAGE))[f"/console{PAGE}/acknowledge"]
    fields = shown | {"csrf": await visitor.csrf(), "reason": AGREED}
    answer = await visitor.post(f"{PAGE}/acknowledge", **fields)
    assert answer.status_code == 409
    assert entry(books).asked == made
    assert entry(books).state is OverrideState.PENDING


@pytest.mark.parametrize(
    ("spoiled", "status", "says"),
    [
        ({"reason": "short"}, 400, "The reason has 5 characters"),
        ({"request_sha256": "0" * 64}, 409, "another version of the request"),
        ({"policy_sha256": "0" * 64}, 409, "under another policy"),
        ({"ceiling_nano_usd": "1"}, 409, "below what the task may cost"),
        ({"ceiling_nano_usd": "much"}, 400, "The form is not whole"),
    ],
)
async def test_a_verdict_on_anything_but_what_stands_there_is_refused_and_loses_nothing(
    books: Books, spoiled: dict[str, str], status: int, says: str
) -> None:
    ask(books)
    visitor, _ = await books.visitor(Role.OWNER)
    shown = forms(await visitor.get(PAGE))[f"/console{PAGE}/acknowledge"]
    fields = shown | {"reason": AGREED} | spoiled
    answer = await visitor.post(f"{PAGE}/acknowledge", **fields)
    assert answer.status_code == status
    assert says in words(answer)
    assert fields["reason"] in words(answer)
    assert entry(books).state is OverrideState.PENDING


async def test_an_override_asked_under_rules_that_changed_since_is_refused(books: Books) -> None:
    ask(books, policy_sha256="b" * 64)
    visitor, _ = await books.visitor(Role.OWNER)
    assert await send(visitor, "acknowledge") == 409
    assert entry(books).state is OverrideState.PENDING


@pytest.mark.parametrize(
    ("do", "state"), [("revoke", OverrideState.REVOKED), ("strike", OverrideState.STRUCK)]
)
@pytest.mark.parametrize("is_held", [False, True])
async def test_an_owner_ends_an_override_once_whether_it_waits_or_holds(
    books: Books, do: str, state: OverrideState, is_held: bool
) -> None:
    ask(books)
    visitor, name = await books.visitor(Role.OWNER)
    if is_held:
        assert await send(visitor, "acknowledge") == 303
    stale = forms(await visitor.get(PAGE))[f"/console{PAGE}/revoke"]
    assert await send(visitor, do, "It is not needed any more.") == 303
    ended = entry(books)
    assert (ended.state, ended.ended_by) == (state, name)
    assert ended.ended_reason == "It is not needed any more."
    page = await visitor.get(PAGE)
    assert f"/console{PAGE}/revoke" not in forms(page)
    again = await visitor.post(f"{PAGE}/revoke", **stale, reason="Once more, to be sure.")
    assert again.status_code == 409
    assert f"is {state} already" in words(again)


async def test_the_tasks_it_moved_stand_there_with_both_routes_and_their_outcome(
    books: Books,
) -> None:
    ask(books)
    visitor, name = await books.visitor(Role.OWNER)
    await send(visitor, "acknowledge")
    ledger, now = books.ledger, datetime.now(UTC)
    record = overridden("task-1", ID)
    accept(ledger.vault, "task-1")
    hold(ledger.budgets, record, at=now)
    ledger.outcomes.log(outcome("task-1"), record, now)
    page = words(await visitor.get(PAGE))
    assert f"task-1 {CHEAP} {DEAR}" in page
    listed = words(await visitor.get("/overrides"))
    assert name in listed
    assert REASON in page


async def test_the_inbox_leads_to_the_page_of_an_override(books: Books) -> None:
    ask(books)
    visitor, _ = await books.visitor(Role.OWNER)
    assert f'href="/console{PAGE}"' in (await visitor.get("/inbox")).text
    led = await visitor.get(f"/inbox/{ID}")
    assert (led.status_code, led.headers["location"]) == (303, f"/console{PAGE}")


async def test_whoever_asked_sees_their_own_override_and_nobody_elses(books: Books) -> None:
    visitor, name = await books.visitor(Role.SUBMITTER)
    ask(books, requester=name)
    assert "It changes nothing until" in words(await visitor.get(PAGE))
    other, _ = await books.visitor(Role.SUBMITTER)
    foreign = await other.get(PAGE)
    unknown = await other.get("/overrides/override-2")
    assert (foreign.status_code, unknown.status_code) == (404, 404)
    said = "no override 'override-1' is yours to see"
    assert said in words(foreign).lower()
    assert said.replace("-1", "-2") in words(unknown).lower()


async def test_the_empty_list_says_how_to_ask_for_one(books: Books) -> None:
    visitor, _ = await books.visitor(Role.AUDITOR)
    assert "pointwork override create --pack" in words(await visitor.get("/overrides"))
    assert "under the pack codex" in words(await visitor.get("/overrides?pack=codex"))
