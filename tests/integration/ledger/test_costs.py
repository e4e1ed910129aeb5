"""What the ledger says tasks cost, by every name and period (JG-21 to JG-25, OM-37 to OM-39)."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import Settlement, TaskStatus
from pointwork.ledger.costs import (
    CostBy,
    CostReport,
    Days,
    OverrunNotFoundError,
    review_overrun,
)
from pointwork.ledger.migrate import downgrade, migrate
from pointwork.ledger.sweeper import expire_parts
from tests.integration.ledger.charged import Charge, end, fail, run, send
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, answer, invoke, outcome, reserve, window

CHARGES = (
    Charge(task_id="a", cost=60, model="gpt", vendor="openai", worker="w-1", task_class="code"),
    Charge(task_id="b", cost=7, model="mini", vendor="openai", worker="w-2", task_class="ops"),
    Charge(task_id="c", cost=30, model="opus", vendor="anthropic", caller="ada", pack="codex"),
    Charge(task_id="d", cost=0, model="small-local", worker="w-1", task_class="ops"),
)


@pytest.fixture
def spent(ledger: Ledger) -> CostReport:
    """Four tasks of one call each."""
    for each in CHARGES:
        run(ledger, each)
    return CostReport(ledger.engine)


def totals(report: CostReport, by: CostBy, **asked: Any) -> dict[str, int]:
    return {each.name: each.cost_nano_usd for each in report.totals(by, **asked)}


@pytest.mark.req("JG-21")
def test_a_tasks_cost_is_the_sum_of_its_calls(ledger: Ledger) -> None:
    fail(ledger, Charge(task_id="t", cost=40), settlement=Settlement.AT_LEAST)
    last = Charge(task_id="t", number=2, cost=30)
    send(ledger, last)
    ledger.attempts.finish(last.part_id, **answer(cost=30))
    report = CostReport(ledger.engine)
    assert report.of_task("t").cost_nano_usd == 40
    logged = end(ledger, last)
    (task,) = report.dearest_tasks()
    assert task == report.of_task("t")
    assert (task.calls, task.cost_nano_usd, task.at_least_nano_usd) == (2, 70, 40)
    assert task.cost_nano_usd == sum(each.cost_nano_usd for each in logged.attempts)
    assert report.of_task("nobody").cost_nano_usd == 0


@pytest.mark.req("JG-22", "JG-23", "JG-25")
@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (CostBy.MODEL, {"gpt": 60, "opus": 30, "mini": 7, "small-local": 0}),
        (CostBy.VENDOR, {"openai": 67, "anthropic": 30, "acme": 0}),
        (CostBy.POLICY, {"code": 60, "bulk": 30, "ops": 7}),
        (CostBy.PACK, {"omega": 67, "codex": 30}),
        (CostBy.CALLER, {"tester": 67, "ada": 30}),
        (CostBy.WORKER, {"w-1": 60, "": 30, "w-2": 7}),
    ],
)
def test_totals_by_a_name_are_the_hand_summed_ones_dearest_first(
    spent: CostReport, by: CostBy, expected: dict[str, int]
) -> None:
    found = spent.totals(by)
    assert [(each.name, each.cost_nano_usd) for each in found] == list(expected.items())
    whole = spent.total()
    assert sum(each.cost_nano_usd for each in found) == whole.cost_nano_usd == 97
    assert sum(each.calls for each in found) == whole.calls == 4
    assert (whole.input_tokens, whole.output_tokens) == (40, 80)


def test_a_pack_is_asked_for_alone(spent: CostReport) -> None:
    assert totals(spent, CostBy.MODEL, pack="codex") == {"opus": 30}
    assert spent.packs() == ["codex", "omega"]
    assert [each.name for each in spent.dearest_tasks(pack="omega")] == ["a", "b", "d"]
    assert (spent.tasks_ended(), spent.tasks_ended(pack="codex")) == (4, 1)


@pytest.mark.req("JG-24")
def test_calls_across_the_edges_of_periods_fall_in_the_right_ones(ledger: Ledger) -> None:
    edges = {
        "2026-02-28T23:59:59.999999+00:00": 1,
        "2026-03-01T00:00:00+00:00": 2,
        "2026-03-01T23:30:00-11:00": 4,
        "2026-12-31T12:00:00+00:00": 8,
        "2027-01-01T00:00:00+00:00": 16,
    }
    for number, (moment, cost) in enumerate(edges.items()):
        run(ledger, Charge(task_id=f"t-{number}", cost=cost, at=datetime.fromisoformat(moment)))
    report = CostReport(ledger.engine)
    assert list(totals(report, CostBy.DAY).items()) == [
        ("2026-02-28", 1),
        ("2026-03-01", 2),
        ("2026-03-02", 4),
        ("2026-12-31", 8),
        ("2027-01-01", 16),
    ]
    assert list(totals(report, CostBy.WEEK).items()) == [
        ("2026-02-23 (2026-W09)", 3),
        ("2026-03-02 (2026-W10)", 4),
        ("2026-12-28 (2026-W53)", 24),
    ]
    assert list(totals(report, CostBy.MONTH).items()) == [
        ("2026-02", 1),
        ("2026-03", 6),
        ("2026-12", 8),
        ("2027-01", 16),
    ]
    march = Days(since=date(2026, 3, 1), until=date(2026, 3, 31))
    assert report.total(march).cost_nano_usd == 6
    assert [each.name for each in report.dearest_tasks(march)] == ["t-2", "t-1"]
    assert report.tasks_ended(Days(until=date(2026, 2, 28))) == 1
    assert report.total(Days(since=date(2027, 1, 1))).cost_nano_usd == 16


def test_a_time_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match=r"since 2026-03-02 is after until 2026-03-01; give"):
        Days(since=date(2026, 3, 2), until=date(2026, 3, 1))


def test_only_as_many_tasks_are_listed_as_were_asked_for(spent: CostReport) -> None:
    assert [each.name for each in spent.dearest_tasks(limit=2)] == ["a", "c"]


def test_a_call_sent_on_one_day_and_settled_on_the_next_counts_for_the_first(
    ledger: Ledger,
) -> None:
    late = Charge(task_id="t", at=datetime(2026, 3, 1, 23, 59, tzinfo=UTC))
    send(ledger, late)
    after = late.at + timedelta(minutes=2)
    ledger.attempts.finish(late.part_id, **answer(cost=60, now=after))
    ledger.outcomes.log(outcome("t", finished_at=after), None, after)
    assert totals(CostReport(ledger.engine), CostBy.DAY) == {"2026-03-01": 60}


def test_a_call_whose_fate_is_unknown_counts_in_full_and_as_at_least(ledger: Ledger) -> None:
    lost = Charge(task_id="t", amount=100)
    send(ledger, lost)
    end(ledger, lost, TaskStatus.CANCELLED)
    total = CostReport(ledger.engine).total()
    assert (total.calls, total.cost_nano_usd, total.at_least_nano_usd) == (1, 100, 100)
    assert (total.metered_calls, total.input_tokens) == (0, 0)


@pytest.mark.parametrize(("cost", "posted"), [(60, 100), (250, 250)])
def test_a_late_answer_corrects_the_days_sums(ledger: Ledger, cost: int, posted: int) -> None:
    lost = Charge(task_id="t", amount=100)
    send(ledger, lost)
    end(ledger, lost, TaskStatus.CANCELLED)
    ledger.attempts.finish(lost.part_id, **answer(cost=cost, now=NOW + timedelta(days=1)))
    (day,) = CostReport(ledger.engine).totals(CostBy.DAY)
    assert (day.calls, day.cost_nano_usd, day.at_least_nano_usd) == (1, posted, posted)
    assert (day.input_tokens, day.output_tokens) == (10, 20)
    assert day.above_estimate_calls == (1 if cost > 100 else 0)


def test_what_is_never_sent_counts_for_nothing(ledger: Ledger) -> None:
    reserve(ledger.budgets, "never-planned", is_planned=False)
    reserve(ledger.budgets, "swept", expires_in_seconds=-1)
    assert expire_parts(ledger.engine, NOW, lambda _: False) == 1
    end(ledger, Charge(task_id="never-planned"), TaskStatus.CANCELLED)
    assert ledger.rows("SELECT * FROM cost_day") == []


def test_a_swept_call_that_was_sent_counts_in_full(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t", expires_in_seconds=-1)
    ledger.attempts.begin(invoke("t"), "t/1", NOW)
    assert expire_parts(ledger.engine, NOW, lambda _: False) == 1
    assert totals(CostReport(ledger.engine), CostBy.CALLER) == {"tester": 100}


def test_a_call_sent_again_is_charged_to_the_same_names(ledger: Ledger) -> None:
    charge = Charge(task_id="t", worker="w-1", pack="codex")
    send(ledger, charge)
    again = ledger.attempts.begin(charge.invoke(), charge.part_id, NOW)
    ledger.attempts.finish(again.attempt_id, **answer(cost=60))
    end(ledger, charge)
    (worker,) = CostReport(ledger.engine).totals(CostBy.WORKER, pack="codex")
    assert (worker.name, worker.calls, worker.cost_nano_usd) == ("w-1", 2, 160)


def test_a_part_reserved_without_a_plan_is_charged_to_the_names_of_its_decision(
    ledger: Ledger,
) -> None:
    reserve(ledger.budgets, "t", is_planned=False)
    ledger.attempts.begin(invoke("t"), "t/1", NOW)
    kind = ProviderFailureKind.TIMEOUT
    ledger.attempts.fail("t/1", kind, 5, Settlement.EXACT, 1, NOW)
    report = CostReport(ledger.engine)
    assert totals(report, CostBy.PACK) == {"omega": 5}
    assert totals(report, CostBy.POLICY) == {"bulk": 5}


def test_the_error_of_estimates_is_told_by_model_from_metered_calls_alone(
    ledger: Ledger,
) -> None:
    run(ledger, Charge(task_id="a", model="gpt", amount=100, cost=25))
    run(ledger, Charge(task_id="b", model="gpt", amount=100, cost=150))
    fail(ledger, Charge(task_id="c", model="gpt", amount=1000, cost=0))
    send(ledger, Charge(task_id="d", model="lost", amount=100))
    for task_id in ("c", "d"):
        end(ledger, Charge(task_id=task_id), TaskStatus.FAILED)
    gpt, lost = sorted(CostReport(ledger.engine).totals(CostBy.MODEL), key=lambda each: each.name)
    assert (gpt.calls, gpt.metered_calls, gpt.above_estimate_calls) == (3, 2, 1)
    assert (gpt.metered_cost_nano_usd, gpt.metered_estimate_nano_usd) == (175, 200)
    assert gpt.actual_to_estimate == 0.875
    assert (lost.metered_calls, lost.actual_to_estimate) == (0, None)


@pytest.mark.req("OM-37", "OM-38", "OM-39")
def test_an_overrun_is_listed_with_its_task_model_cost_and_reason_until_a_person_has_seen_it(
    ledger: Ledger,
) -> None:
    run(ledger, Charge(task_id="t", model="gpt", amount=100, cost=150))
    run(ledger, Charge(task_id="fine", amount=100, cost=100))
    report = CostReport(ledger.engine)
    (overrun,) = report.overruns(only_unreviewed=True)
    assert (overrun.task_id, overrun.model, overrun.cost_nano_usd) == ("t", "gpt", 150)
    assert overrun.reason == "the call cost more than its worst-case estimate"
    assert (overrun.reviewed_at, overrun.reviewed_by) == (None, None)
    seen = review_overrun(ledger.engine, "t/1", by="ada", now=NOW)
    assert (seen.reviewed_by, seen.reviewed_at) == ("ada", NOW)
    assert report.overruns(only_unreviewed=True) == []
    assert report.overruns() == [seen]
    last = ledger.chain.records(10)[-1]
    assert (last.kind, last.task_id) == ("overrun_reviewed", "t")
    assert last.body == {"part_id": "t/1", "by": "ada", "excess_nano_usd": 50}


def test_the_first_review_of_an_overrun_stands(ledger: Ledger) -> None:
    run(ledger, Charge(task_id="t", amount=100, cost=150))
    first = review_overrun(ledger.engine, "t/1", by="ada", now=NOW)
    count = len(ledger.chain.records(10))
    again = review_overrun(ledger.engine, "t/1", by="bob", now=NOW + timedelta(days=1))
    assert again == first
    assert len(ledger.chain.records(10)) == count


def test_overruns_are_asked_for_by_pack_and_days(ledger: Ledger) -> None:
    run(ledger, Charge(task_id="t", amount=100, cost=150, pack="codex"))
    report = CostReport(ledger.engine)
    assert [each.task_id for each in report.overruns(pack="codex")] == ["t"]
    assert report.overruns(pack="omega") == []
    assert report.overruns(Days(since=NOW.date() + timedelta(days=1))) == []


def test_an_overrun_that_never_was_cannot_be_reviewed(ledger: Ledger) -> None:
    with pytest.raises(OverrunNotFoundError, match=r"no overrun has the part id 't/9'; see `"):
        review_overrun(ledger.engine, "t/9", by="ada", now=NOW)


def test_a_day_that_differs_from_its_parts_is_named(ledger: Ledger) -> None:
    run(ledger, Charge(task_id="t", cost=60))
    ledger.broken_on_purpose = True
    ledger.rows("UPDATE cost_day SET cost_nano_usd = cost_nano_usd - 1")
    assert ledger.violations() == [
        "I12: the costs of 2026-03-01 for omega/bulk/tester/-/acme/small-local differ from their "
        "posted parts by 0 calls and -1 nano-USD"
    ]
    ledger.rows("DELETE FROM cost_day")
    assert "by -1 calls and -60 nano-USD" in ledger.violations()[0]


@pytest.mark.req("DC-7")
def test_what_was_posted_before_the_days_were_kept_is_added_up_by_the_migration(
    ledger: Ledger,
) -> None:
    for each in CHARGES:
        run(ledger, each)
    send(ledger, Charge(task_id="open", worker="w-3"))
    reserve(ledger.budgets, "in-a-window", windows=[window("day")])
    lost = Charge(task_id="lost", model="gpt")
    send(ledger, lost)
    end(ledger, lost, TaskStatus.CANCELLED)
    kept = "SELECT * FROM cost_day ORDER BY model, worker, vendor"
    charged = "SELECT attempt_id, pack, task_class, caller, worker FROM attempt ORDER BY 1"
    packs = "SELECT task_id, pack FROM outcome ORDER BY 1"
    before = [ledger.rows(each) for each in (kept, charged, packs)]
    downgrade(ledger.engine, "0003")
    migrate(ledger.engine)
    assert [ledger.rows(each) for each in (kept, charged, packs)] == before


def test_two_calls_settled_at_once_lose_no_cost(ledger: Ledger) -> None:
    charges = [Charge(task_id=f"t-{number}") for number in range(8)]
    for each in charges:
        send(ledger, each)
        ledger.attempts.finish(each.part_id, **answer(cost=1))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda each: end(ledger, each), charges))
    assert CostReport(ledger.engine).total().cost_nano_usd == 8
