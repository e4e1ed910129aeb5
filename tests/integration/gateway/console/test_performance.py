"""Performance in the console: the scorecard, the measured windows, and the newest calls."""

from datetime import UTC, datetime, timedelta

import pytest

from pointwork.contract.identity import Role
from pointwork.juggernaut.scorecard import measure, scorecard
from pointwork.ledger.traffic import CallSample, Traffic
from tests.integration.gateway.console.books import Books
from tests.integration.gateway.console.books import books as books
from tests.integration.gateway.console.books import sqlite_template as sqlite_template
from tests.integration.gateway.console.visitor import words
from tests.integration.ledger.charged import Charge, fail, run, send
from tests.integration.ledger.records import answer

NOW = datetime.now(UTC)


def charge(task_id: str, model: str = "gpt-4o", **known: object) -> Charge:
    given = {"pack": "juggernaut", "task_class": "code", "at": NOW - timedelta(minutes=1)}
    return Charge(task_id=task_id, model=model, **(given | known))  # type: ignore[arg-type]


@pytest.fixture
def called(books: Books) -> Books:
    """Nine calls that succeed and one that fails, of two policies; and a call of another pack."""
    for number in range(9):
        policy = "ops" if number < 3 else "code"
        run(books.ledger, charge(f"good-{number}", cost=40_000_000, task_class=policy))
    bad = charge("bad", cost=0)
    fail(books.ledger, bad)
    run(books.ledger, charge("of-omega", model="small-local", pack="omega"))
    return books


@pytest.mark.req("JG-58", "JG-59", "JG-60", "JG-61", "JG-62")
async def test_the_scorecard_has_each_goal_with_its_figure_its_bound_and_its_days(
    called: Books,
) -> None:
    visitor, _ = await called.visitor(Role.AUDITOR)
    page = words(await visitor.get("/performance"))
    until = datetime.now(UTC).date()
    assert f"{until - timedelta(days=6)} to {until}, UTC days" in page
    for line in (
        "Average cost of a task met $0.0400 under $0.0500 9 tasks that ended",
        "Calls that succeeded missed 90.00 % at least 95 % 9 of 10 calls, over all models",
        "Average time of a call met 12 ms under 5,000 ms 9 calls that succeeded",
        "Daily and weekly budgets met none overspent",
        "Balanced use of the policies missed 0.44 at least 0.50 of 1 normal 0.0 %, "
        "deep_research 0.0 %, code 70.0 %, ops 30.0 %",
    ):
        assert line in page


async def test_the_figures_on_the_page_are_those_of_the_scorecard(called: Books) -> None:
    visitor, _ = await called.visitor(Role.AUDITOR)
    page = words(await visitor.get("/performance"))
    bundle = called.gateway.library.active("juggernaut")
    scores = scorecard(measure(called.ledger.engine, bundle, datetime.now(UTC)))
    assert len(scores) == 5
    assert all(f"{each.measured} {each.bound} {each.basis}" in page for each in scores)


@pytest.mark.req("JG-50")
async def test_a_measured_pack_shows_how_each_of_its_models_did(called: Books) -> None:
    visitor, _ = await called.visitor(Role.AUDITOR)
    page = words(await visitor.get("/performance"))
    assert "Models of juggernaut" in page
    assert "gpt-4o 10 90.0 % 12 ms 30 $0.3600 – overloaded: 1" in page
    assert "Models of omega" not in page


async def test_the_newest_calls_of_every_pack_are_sampled_by_model(called: Books) -> None:
    visitor, _ = await called.visitor(Role.AUDITOR)
    page = words(await visitor.get("/performance"))
    assert "gpt-4o 10 90.0 % 12 ms 12 ms" in page
    assert "small-local 1 100.0 % 12 ms 12 ms" in page
    assert Traffic(called.ledger.engine).samples(NOW) == []
    assert Traffic(called.ledger.engine).samples(NOW - timedelta(hours=1))[1] == CallSample(
        model="small-local", calls=1, answered=1, median_ms=12, p95_ms=12
    )


def test_half_and_nineteen_of_twenty_calls_are_no_slower_than_the_quantiles(books: Books) -> None:
    for number in range(20):
        of = charge(f"t-{number}")
        took = answer(duration_ms=1 + (number * 7) % 20, now=of.at)
        books.ledger.attempts.finish(send(books.ledger, of), **took)
    (sample,) = Traffic(books.ledger.engine).samples(NOW - timedelta(hours=1))
    assert (sample.calls, sample.median_ms, sample.p95_ms) == (20, 10, 19)


async def test_before_any_call_each_goal_is_not_measured_and_says_how_to_begin(
    books: Books,
) -> None:
    visitor, _ = await books.visitor(Role.AUDITOR)
    page = words(await visitor.get("/performance"))
    assert page.count("not measured") == 4
    assert "Daily and weekly budgets met none overspent" in page
    assert "pointwork run --pack juggernaut" in page
