"""Costs in the console: the figures of `pointwork costs`, and looking at what cost too much."""

from datetime import UTC, datetime, timedelta

import pytest

from pointwork.contract.identity import Role
from pointwork.gateway.console.costs import SUMMED_BY
from pointwork.ledger.costs import CostBy, CostReport, Days
from tests.integration.gateway.console.books import Books
from tests.integration.gateway.console.books import books as books
from tests.integration.gateway.console.books import sqlite_template as sqlite_template
from tests.integration.gateway.console.visitor import words
from tests.integration.ledger.charged import Charge, run

NOW = datetime.now(UTC)
EARLIER = NOW - timedelta(days=40)


@pytest.fixture
def spent(books: Books) -> Books:
    """Two tasks of today and one of another pack, forty days ago, that cost too much."""
    for each in (
        Charge(task_id="a", cost=60_000, amount=100_000, model="gpt", worker="w-1", at=NOW),
        Charge(task_id="b", cost=1_500_000_007, amount=2_000_000_000, model="opus", at=NOW),
        Charge(task_id="c", cost=300, amount=200, model="mini", pack="codex", at=EARLIER),
    ):
        run(books.ledger, each)
    return books


@pytest.mark.parametrize("by", SUMMED_BY)
@pytest.mark.req("JG-22", "JG-23", "JG-24", "JG-25")
async def test_every_total_of_the_ledger_is_on_the_page_in_its_order(
    spent: Books, by: CostBy
) -> None:
    visitor, _ = await spent.visitor(Role.AUDITOR)
    page = words(await visitor.get(f"/costs?by={by}"))
    totals = CostReport(spent.ledger.engine).totals(by)
    if by in (CostBy.DAY, CostBy.WEEK, CostBy.MONTH):
        totals.reverse()
    place = page.index("Output tokens")
    for each in totals:
        place = page.index(each.name or "–", place)
    assert "$1.500060307 in 3 calls in all." in page


async def test_pack_and_days_narrow_the_totals_and_the_pack_the_chart(spent: Books) -> None:
    visitor, _ = await spent.visitor(Role.AUDITOR)
    day = EARLIER.date()
    page = words(await visitor.get(f"/costs?by=pack&since={day}&until={day}"))
    assert "$0.0000003 in 1 call in all." in page
    page = words(await visitor.get("/costs?pack=omega"))
    assert "$1.500060007 in 2 calls in all." in page
    assert "The last 30 days of omega" in page
    assert "$1.500060007 in 30 days" in page
    page = words(await visitor.get("/costs?pack=codex"))
    assert "$0.0000 in 30 days" in page
    empty = words(await visitor.get(f"/costs?pack=omega&since={day}&until={day}"))
    assert "Nothing was spent on these days under this pack." in empty
    unknown = words(await visitor.get("/costs?pack=omegga"))
    assert "The pack omegga has cost nothing here; choose one of codex, omega." in unknown


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("since=2026-02-30", "From '2026-02-30' is no date; give a day of the calendar as YYYY-"),
        ("until=soon", "To 'soon' is no date"),
        ("since=2026-03-02&until=2026-03-01", "Since 2026-03-02 is after until 2026-03-01; give"),
    ],
)
async def test_a_day_that_there_is_not_is_named_and_stays_in_its_field(
    spent: Books, query: str, says: str
) -> None:
    visitor, _ = await spent.visitor(Role.AUDITOR)
    page = await visitor.get(f"/costs?pack=omega&{query}")
    assert page.status_code == 400
    assert says in words(page)
    for typed in query.split("&"):
        assert f'value="{typed.partition("=")[2]}"' in page.text


async def test_the_empty_page_says_how_a_first_cost_comes_about(books: Books) -> None:
    visitor, _ = await books.visitor(Role.AUDITOR)
    page = words(await visitor.get("/costs"))
    assert "Nothing was spent yet." in page
    assert "pointwork run" in page


@pytest.mark.req("OM-37", "OM-38")
async def test_a_cost_above_its_hold_is_listed_until_an_owner_has_looked_at_it(
    spent: Books,
) -> None:
    auditor, _ = await spent.visitor(Role.AUDITOR)
    seen = await auditor.get("/costs")
    assert "the call cost more than its worst-case estimate" in words(seen)
    assert "/console/costs/review" not in seen.text
    assert (await auditor.act("/costs/review", part_id="c/1")).status_code == 403
    owner, name = await spent.visitor(Role.OWNER)
    done = await owner.act("/costs/review", part_id="c/1")
    assert done.headers["location"] == "/console/costs?said=reviewed#overruns"
    (record,) = CostReport(spent.ledger.engine).overruns(Days())
    assert record.reviewed_by == name
    assert "No call waits to be looked at" in words(await owner.get("/costs"))
    other, _ = await spent.visitor(Role.OWNER)
    late = await other.act("/costs/review", part_id="c/1")
    assert late.headers["location"] == "/console/costs?said=reviewed-before#overruns"
    assert (await owner.act("/costs/review", part_id="c/9")).status_code == 404
