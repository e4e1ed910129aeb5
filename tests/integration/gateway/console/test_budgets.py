"""Budgets in the console: the code of `pointwork budget`, under the rights of whoever looks."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlencode
from uuid import uuid4

import httpx2
import pytest

from pointwork.contract.identity import Role
from pointwork.contract.outcome import ReserveOutcome, TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.ledger.audit import AuditChain
from pointwork.ledger.budget_alerts import AlertBook
from pointwork.ledger.budget_settings import BudgetSettings
from pointwork.ledger.budget_stops import StopBook, stop
from pointwork.ledger.budgets import BudgetBook
from pointwork.ledger.engine import transact
from pointwork.policy.engine.windows import windows_at
from tests.integration.gateway.console.books import Books
from tests.integration.gateway.console.books import books as books
from tests.integration.gateway.console.books import sqlite_template as sqlite_template
from tests.integration.gateway.console.visitor import Visitor, forms, words
from tests.integration.gateway.house import House
from tests.integration.ledger.charged import Charge, run
from tests.integration.ledger.records import decision
from tests.workflows.stack import STRICT_PACK

OMEGA_DAY = {"pack": "omega", "scope": "pack", "subject": "omega", "period": "day"}
OF_ADA = {"pack": "omega", "scope": "caller", "subject": "ada", "period": "week"}
WHY = "The quarter is closing."
LIMIT_OF_A_CALLER = 10_000_000
"""Of the strict pack, a day, in nano-USD."""


def url_of(named: dict[str, str]) -> str:
    return f"/budgets/one?{urlencode(named)}"


async def fill_in(
    visitor: Visitor, named: dict[str, str], do: str = "set", **typed: str
) -> httpx2.Response:
    """Open the budget's page, fill in its form and press a button."""
    shown = forms(await visitor.get(url_of(named)))["/console/budgets/limit"]
    return await visitor.post("/budgets/limit", **(shown | {"reason": WHY, "do": do} | typed))


def settings(books: Books) -> list[tuple[int | None, Decimal | None, str]]:
    found = BudgetSettings(books.ledger.engine).all_in_force()
    return [(each.limit_nano_usd, each.alert_ratio, each.set_by) for each in found]


async def test_each_budget_is_shown_with_its_limit_what_is_spent_and_what_is_held(
    books: Books,
) -> None:
    visitor, _ = await books.visitor(Role.AUDITOR)
    before = words(await visitor.get("/budgets"))
    assert "omega, a day open" in before
    assert "juggernaut, a week" in before
    assert books.hold(1_250_000) is ReserveOutcome.RESERVED
    run(books.ledger, Charge(task_id="t-1", cost=1_000_000_007, at=datetime.now(UTC)))
    page = await visitor.get("/budgets")
    assert "$0.00125" in words(page)
    assert "the pack" in words(page)
    assert "$1.000000007 in 30 days, at most $1.000000007 on one" in words(page)
    assert page.text.count("<title>") == 31


@pytest.mark.req("OM-31", "CX-90")
async def test_a_limit_set_in_the_console_holds_at_once_and_the_chain_tells_who_set_it(
    books: Books,
) -> None:
    visitor, name = await books.visitor(Role.OWNER)
    assert books.hold(40_000) is ReserveOutcome.RESERVED
    done = await fill_in(visitor, OMEGA_DAY, limit="$0.00005", alert_at="0.8")
    assert done.headers["location"] == (
        "/console/budgets/one?pack=omega&scope=pack&period=day&said=set"
    )
    assert settings(books) == [(50_000, Decimal("0.8000"), name)]
    assert books.hold(10_001) is ReserveOutcome.EXCEEDS_LIMIT
    assert books.hold(10_000) is ReserveOutcome.RESERVED
    page = words(await visitor.http.get(done.headers["location"]))
    assert "The limit holds from now on" in page
    assert f"set by {name}" in page
    (told,) = [each for each in books.ledger.chain.records(100) if each.kind == "budget_set"]
    assert (told.body["set_by"], told.body["reason"]) == (name, WHY)


@pytest.mark.parametrize(
    ("typed", "amount"), [("0.000000001", 1), ("12.50", 12_500_000_000), (" $0 ", 0)]
)
async def test_dollars_are_taken_to_the_nano_dollar(books: Books, typed: str, amount: int) -> None:
    visitor, name = await books.visitor(Role.OWNER)
    assert (await fill_in(visitor, OF_ADA, limit=typed)).status_code == 303
    assert settings(books) == [(amount, None, name)]


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ({"limit": "ten"}, "USD 'ten' is no amount; give dollars with at most nine decimals"),
        ({"limit": ""}, "USD '' is no amount"),
        ({"limit": "-1"}, "USD '-1' is no amount"),
        ({"limit": "0.0000000001"}, "USD '0.0000000001' is no amount"),
        ({"limit": "5", "alert_at": "80"}, "Alert-at '80' is no share of a budget"),
        ({"limit": "5", "reason": "why"}, "The reason has 3 characters"),
        ({"limit": "5", "reason": "AKIAIOSFODNN7EXAMPLE is it"}, "seems to hold a credential"),
        ({"limit": "5", "do": "raise"}, "Press one of the two buttons"),
    ],
    ids=str,
)
async def test_what_cannot_be_meant_comes_back_as_it_was_typed_and_changes_nothing(
    books: Books, typed: dict[str, str], says: str
) -> None:
    visitor, _ = await books.visitor(Role.OWNER)
    refused = await fill_in(visitor, OMEGA_DAY, **typed)
    assert refused.status_code == 400
    assert says in words(refused)
    assert f'maxlength="40" value="{typed["limit"]}"' in refused.text
    assert settings(books) == []


async def test_a_form_that_shows_an_older_limit_comes_back_with_the_new_one_and_what_was_typed(
    books: Books,
) -> None:
    visitor, _ = await books.visitor(Role.OWNER)
    other, name = await books.visitor(Role.OWNER)
    shown = forms(await visitor.get(url_of(OMEGA_DAY)))["/console/budgets/limit"]
    assert (await fill_in(other, OMEGA_DAY, limit="7")).status_code == 303
    late = {"limit": "9", "reason": "The trial goes on.", "do": "set"}
    refused = await visitor.post("/budgets/limit", **(shown | late))
    assert refused.status_code == 409
    assert "The limit changed since this page was opened" in words(refused)
    assert "limit $7.0000" in words(refused)
    assert 'value="9"' in refused.text
    assert "The trial goes on." in refused.text
    assert settings(books) == [(7_000_000_000, None, name)]
    again = forms(refused)["/console/budgets/limit"]
    assert (await visitor.post("/budgets/limit", **(again | late))).status_code == 303
    assert [limit for limit, *_ in settings(books)] == [9_000_000_000]


async def test_a_budget_given_back_has_its_packs_limit_again(books: Books) -> None:
    visitor, _ = await books.visitor(Role.OWNER)
    untouched = await visitor.get(url_of(OMEGA_DAY))
    assert "Give it back" not in untouched.text
    await fill_in(visitor, OMEGA_DAY, limit="1", alert_at="0.5")
    kept = await visitor.get(url_of(OMEGA_DAY))
    assert 'maxlength="20" value="0.5"' in kept.text
    done = await fill_in(visitor, OMEGA_DAY, do="unset")
    page = words(await visitor.http.get(done.headers["location"]))
    assert "given back to its pack" in page
    assert "set by the pack" in page
    assert [limit for limit, *_ in settings(books)] == [None]


async def test_a_limit_under_what_is_held_says_that_nothing_new_is_admitted(books: Books) -> None:
    visitor, _ = await books.visitor(Role.OWNER)
    assert books.hold(1_000) is ReserveOutcome.RESERVED
    done = await fill_in(visitor, OMEGA_DAY, limit="0")
    page = words(await visitor.http.get(done.headers["location"]))
    assert "-$0.000001" in page
    assert "nothing new is admitted until enough of it is released" in page


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({**OF_ADA, "subject": ""}, "It is not clear which caller; name one, or give &#39;*&#39;"),
        ({**OF_ADA, "scope": "class", "subject": "chatt"}, "For &#39;chatt&#39; is no class"),
        ({**OF_ADA, "scope": "team"}, "Scope &#39;team&#39; is none"),
        ({**OF_ADA, "period": "year"}, "Period &#39;year&#39; is none"),
        ({**OF_ADA, "pack": "omegga"}, "omegga"),
    ],
    ids=str,
)
async def test_a_budget_that_there_cannot_be_is_asked_for_again_with_what_was_chosen(
    books: Books, named: dict[str, str], says: str
) -> None:
    visitor, _ = await books.visitor(Role.AUDITOR)
    page = await visitor.get(url_of(named))
    assert page.status_code == 400
    assert says in page.text
    assert f'name="subject" value="{named["subject"]}"' in page.text


async def test_whoever_may_not_govern_reads_budgets_and_finds_no_form(books: Books) -> None:
    books.hold(1_000)
    visitor, _ = await books.visitor(Role.APPROVER)
    for path in ("/budgets", url_of(OMEGA_DAY)):
        page = await visitor.get(path)
        assert page.status_code == 200
        assert {*forms(page)} <= {"", "/console/sign-out", "/console/budgets/one"}
    submitter, _ = await books.visitor(Role.SUBMITTER)
    assert (await submitter.get("/budgets")).status_code == 403
    assert "/console/budgets" not in (await submitter.get("/tasks")).text


@pytest.mark.req("JG-28")
async def test_an_alert_is_shown_until_somebody_has_seen_it(books: Books) -> None:
    visitor, name = await books.visitor(Role.OWNER)
    await fill_in(visitor, OMEGA_DAY, limit="0.000001", alert_at="0.8")
    books.hold(900)
    shown = words(await visitor.get("/budgets"))
    assert "has $0.0000009 of $0.000001 spent and held" in shown
    alerts = AlertBook(books.ledger.engine)
    first = alerts.alerts()[0]
    done = await visitor.act("/budgets/seen", alert_id=first.alert_id)
    assert done.headers["location"] == "/console/budgets?said=seen"
    assert first.alert_id not in {each.alert_id for each in alerts.alerts()}
    again = await visitor.act("/budgets/seen", alert_id=first.alert_id)
    assert again.headers["location"].endswith("said=seen-before")
    assert {each.seen_by for each in alerts.alerts(seen=True)} == {name, None}


async def test_seeing_all_alerts_leaves_those_that_came_after_the_page(books: Books) -> None:
    visitor, _ = await books.visitor(Role.OWNER)
    await fill_in(visitor, OMEGA_DAY, limit="0.000001", alert_at="0.8")
    books.hold(900)
    page = await visitor.get("/budgets")
    until = forms(page)["/console/budgets/seen"]["until"]
    later = datetime.fromisoformat(until) + timedelta(seconds=1)
    alerts = AlertBook(books.ledger.engine)
    shown = {each.alert_id for each in alerts.alerts()}
    stopped = windows_at(
        books.gateway.library.active("omega").pack, datetime.now(UTC), caller="ada"
    )
    stop_at(books, [stopped[0].key], later)
    await visitor.act("/budgets/seen", until=until)
    left = alerts.alerts()
    assert len(left) == 1
    assert left[0].kind == "stopped"
    assert {each.alert_id for each in left}.isdisjoint(shown)
    assert (await visitor.act("/budgets/seen", until="soon")).status_code == 400


def stop_at(books: Books, keys: list[str], moment: datetime) -> None:
    transact(books.ledger.engine, lambda connection: stop(connection, keys, "t-1", moment))


async def _stopped(house: House, caller: str, count: int = 1) -> list[str]:
    """Tasks that a spent budget holds; should midnight come, tomorrow's is spent as well."""
    pack = house.stack.parts.library.active(STRICT_PACK).pack
    for day in range(2):
        moment, task_id = datetime.now(UTC) + timedelta(days=day), f"{caller}-{day}"
        BudgetBook(house.gateway.engine).reserve(
            record=decision(task_id),
            part_id=f"{task_id}/1",
            task_id=task_id,
            invoke=None,
            amount_nano_usd=LIMIT_OF_A_CALLER,
            task_ceiling_nano_usd=LIMIT_OF_A_CALLER,
            windows=windows_at(pack, moment, caller=caller),
            price_version="test-1",
            expires_in_seconds=3600,
            now=moment,
        )
    return [await _held(house, caller) for _ in range(count)]


async def _held(house: House, caller: str) -> str:
    task = house.stack.declare(pack=STRICT_PACK, caller=caller, task_class="high_stakes_logic")
    await house.stack.client.submit(Prompt.from_text("Decide this."), task)
    await house.stack.open_approval(task.task_id)
    return task.task_id


def of_caller(caller: str) -> dict[str, str]:
    return {"pack": STRICT_PACK, "scope": "caller", "subject": caller, "period": "day"}


async def owner(house: House) -> tuple[Visitor, str]:
    person, visitor = house.person(Role.OWNER), Visitor(house.gateway)
    await visitor.sign_in(person)
    return visitor, person.name


async def press_resume(visitor: Visitor, caller: str, **typed: str) -> httpx2.Response:
    shown = forms(await visitor.get(url_of(of_caller(caller))))["/console/budgets/resume"]
    return await visitor.post("/budgets/resume", **(shown | {"reason": WHY, "tasks": "1"} | typed))


@pytest.mark.req("OM-32", "OM-33")
async def test_resuming_in_the_console_ends_the_stop_and_lets_the_waiting_tasks_run(
    house: House,
) -> None:
    caller = f"resumed-{uuid4().hex[:6]}"
    visitor, name = await owner(house)
    tasks = await _stopped(house, caller, count=2)
    page = words(await visitor.get(url_of(of_caller(caller))))
    assert "2 tasks wait for it" in page
    done = await press_resume(visitor, caller)
    assert done.headers["location"].endswith("said=resumed-tasks")
    for task_id in tasks:
        assert (await house.stack.recorded(task_id)).status is TaskStatus.SUCCEEDED
    chain = AuditChain(house.gateway.engine).records(100_000)
    resumed = [each.body for each in chain if each.kind == "budget_resumed"]
    assert (resumed[-1]["resumed_by"], resumed[-1]["reason"]) == (name, WHY)
    again = await visitor.get(url_of(of_caller(caller)))
    assert "/console/budgets/resume" not in forms(again)


async def test_resuming_without_the_tasks_leaves_each_to_be_approved(house: House) -> None:
    caller = f"left-{uuid4().hex[:6]}"
    visitor, _ = await owner(house)
    (task_id,) = await _stopped(house, caller)
    done = await press_resume(visitor, caller, tasks="")
    assert done.headers["location"].endswith("said=resumed")
    assert (await house.stack.open_approval(task_id)).task_id == task_id
    await house.stack.client.cancel(task_id)


async def test_a_resume_that_cannot_be_taken_leaves_the_stop_and_what_was_typed(
    house: House,
) -> None:
    visitor, name = await owner(house)
    caller = f"kept-{uuid4().hex[:6]}"
    (task_id,) = await _stopped(house, caller)
    shown = forms(await visitor.get(url_of(of_caller(caller))))["/console/budgets/resume"]
    later = await _held(house, caller)
    typed = {"reason": WHY, "tasks": "1"}
    stale = await visitor.post("/budgets/resume", **(shown | typed))
    (own,) = await _stopped(house, name)
    refused = await press_resume(visitor, name)
    short = await press_resume(visitor, caller, reason="go")
    for each, says in (
        (stale, "Other tasks wait by now than this page showed"),
        (refused, f"You asked for task {own} and may not approve it"),
        (short, "The reason has 2 characters"),
    ):
        assert each.status_code == 400
        assert says in words(each)
    assert WHY in stale.text
    standing = " ".join(StopBook(house.gateway.engine).standing())
    assert caller in standing
    assert name in standing
    for each_id in (task_id, later, own):
        await house.stack.client.cancel(each_id)


async def test_a_budget_that_is_not_stopped_cannot_be_resumed(books: Books) -> None:
    visitor, _ = await books.visitor(Role.OWNER)
    refused = await visitor.act("/budgets/resume", **OMEGA_DAY, reason=WHY)
    assert refused.status_code == 400
    assert "not stopped any more" in words(refused)
