"""A vendor's own record takes the place of a full estimate, once, and nothing else does."""

import asyncio
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.money import PriceTier
from pointwork.contract.outcome import AttemptState, Settlement, TokenUsage
from pointwork.ledger.reconcile import (
    ASK_AGAIN_AFTER,
    LOOKED_UP_FOR,
    Reconciled,
    reconcile,
    reconcile_all,
    unknown_attempts,
)
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import (
    NOW,
    UNLIMITED,
    accept,
    answer,
    candidate,
    decision,
    invoke,
    outcome,
    reserve,
    window,
)

ENDPOINTS = ["acme-api"]


@dataclass(frozen=True, kw_only=True)
class Record:
    is_found: bool = True
    source: str = "acme_records"
    cost_nano_usd: int | None = None
    usage: TokenUsage | None = None


@dataclass
class Records:
    """An endpoint's records, and what it was asked."""

    record: Record
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def find(self, provider_request_id: str, attempt_id: str) -> Record:
        self.asked.append((provider_request_id, attempt_id))
        return self.record


@pytest.fixture
def lost(ledger: Ledger) -> Ledger:
    """Task t-1 whose one call was sent and lost, with its outcome logged at the full estimate."""
    accept(ledger.vault, "t-1")
    reserve(ledger.budgets, "t-1", windows=[window("day"), window("week")])
    ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    ledger.attempts.note_request_id("t-1/1", "gen-1")
    ledger.outcomes.log(outcome("t-1"), None, NOW)
    return ledger


def spent(ledger: Ledger) -> dict[str, int]:
    return {key: row[1] for key, row in ledger.budgets.read(["day", "week"]).items()}


def asked_of(ledger: Ledger, now: datetime = NOW) -> list[str]:
    return [each.attempt_id for each in unknown_attempts(ledger.engine, ENDPOINTS, now)]


def reconciliations(ledger: Ledger) -> list[dict[str, object]]:
    return [each.body for each in ledger.chain.records(100) if each.kind == "reconciled"]


@pytest.mark.parametrize("cost", [0, 40, 100])
def test_a_record_within_the_estimate_refunds_the_rest_in_every_window(
    lost: Ledger, cost: int
) -> None:
    before = lost.outcomes.find("t-1")
    assert spent(lost) == {"day": 100, "week": 100}
    assert reconcile(lost.engine, "t-1/1", Record(cost_nano_usd=cost), NOW) is Reconciled.CORRECTED
    assert spent(lost) == {"day": cost, "week": cost}
    (attempt,) = lost.outcomes.attempts("t-1")
    assert (attempt.state, attempt.cost_nano_usd) == (AttemptState.UNKNOWN, cost)
    assert attempt.settlement is Settlement.EXACT
    assert lost.rows("SELECT part_id FROM overrun") == []
    assert lost.outcomes.find("t-1") == before
    (body,) = reconciliations(lost)
    assert body == {
        "attempt_id": "t-1/1",
        "before_nano_usd": 100,
        "after_nano_usd": cost,
        "source": "acme_records",
    }


def test_a_record_above_the_estimate_is_an_overrun_that_people_are_told_of(lost: Ledger) -> None:
    reconcile(lost.engine, "t-1/1", Record(cost_nano_usd=1170), NOW)
    assert spent(lost) == {"day": 1170, "week": 1170}
    (overrun,) = lost.rows("SELECT held_nano_usd, cost_nano_usd, excess_nano_usd FROM overrun")
    assert overrun == {"held_nano_usd": 100, "cost_nano_usd": 1170, "excess_nano_usd": 1070}
    (alert,) = lost.rows("SELECT kind, subject FROM budget_alert WHERE kind = 'overrun'")
    assert alert["subject"] == "t-1/1"


def test_a_second_record_changes_nothing(lost: Ledger) -> None:
    reconcile(lost.engine, "t-1/1", Record(cost_nano_usd=40), NOW)
    again = reconcile(lost.engine, "t-1/1", Record(cost_nano_usd=70), NOW)
    assert again is Reconciled.EXACT_ALREADY
    assert spent(lost)["day"] == 40
    assert len(reconciliations(lost)) == 1
    assert asked_of(lost) == []


def test_a_usage_is_priced_at_what_the_call_was_held_at(ledger: Ledger) -> None:
    """500 input and 20 output tokens at 3 and 15 nano-USD each, with no cost in the record."""
    tier = PriceTier(
        input_per_mtok=3_000_000,
        output_per_mtok=15_000_000,
        cached_input_per_mtok=0,
        cache_write_per_mtok=0,
    )
    chosen = candidate(estimate_nano_usd=5000).model_copy(update={"prices": (tier,)})
    accept(ledger.vault, "t-1")
    ledger.budgets.reserve(
        record=decision("t-1", candidates=(chosen,)),
        part_id="t-1/1",
        task_id="t-1",
        invoke=invoke("t-1"),
        amount_nano_usd=5000,
        task_ceiling_nano_usd=UNLIMITED,
        windows=[window("day", 9000)],
        price_version="test-1",
        expires_in_seconds=3600,
        now=NOW,
    )
    ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    kind = ProviderFailureKind.STREAM_INTERRUPTED
    ledger.attempts.fail("t-1/1", kind, 5000, Settlement.AT_LEAST, 30, NOW)
    usage = TokenUsage(input_tokens=500, output_tokens=20)
    assert reconcile(ledger.engine, "t-1/1", Record(usage=usage), NOW) is Reconciled.CORRECTED
    (attempt,) = ledger.outcomes.attempts("t-1")
    assert (attempt.cost_nano_usd, attempt.usage) == (1800, usage)
    assert attempt.state is AttemptState.FAILED
    assert ledger.budgets.read(["day"]) == {"day": (9000, 1800)}


@pytest.mark.parametrize(
    "record",
    [
        Record(),
        Record(usage=TokenUsage(input_tokens=5, output_tokens=5)),
        Record(cost_nano_usd=-1),
        Record(cost_nano_usd=2**53),
    ],
    ids=["nothing", "usage of a call no decision prices", "negative", "beyond any call"],
)
def test_a_record_without_a_cost_refunds_nothing(lost: Ledger, record: Record) -> None:
    assert reconcile(lost.engine, "t-1/1", record, NOW) is Reconciled.NO_COST
    assert spent(lost) == {"day": 100, "week": 100}
    assert reconciliations(lost) == []


def test_a_call_whose_task_runs_is_left_to_its_answer(ledger: Ledger) -> None:
    accept(ledger.vault, "t-1")
    reserve(ledger.budgets, "t-1", windows=[window("day")])
    ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    assert asked_of(ledger) == []
    assert reconcile(ledger.engine, "t-1/1", Record(cost_nano_usd=4), NOW) is Reconciled.OPEN
    assert ledger.budgets.read(["day"]) == {"day": (1000, 100)}


def test_a_call_at_an_exact_cost_is_not_asked_about(ledger: Ledger) -> None:
    accept(ledger.vault, "t-1")
    reserve(ledger.budgets, "t-1", windows=[window("day")])
    ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    ledger.attempts.finish("t-1/1", **answer(cost=60))
    ledger.outcomes.log(outcome("t-1"), None, NOW)
    assert asked_of(ledger) == []
    found = reconcile(ledger.engine, "t-1/1", Record(cost_nano_usd=4), NOW)
    assert found is Reconciled.EXACT_ALREADY
    assert ledger.budgets.read(["day"]) == {"day": (1000, 60)}


def test_an_attempt_nobody_made_cannot_be_reconciled(ledger: Ledger) -> None:
    with pytest.raises(LookupError, match="no attempt ghost"):
        reconcile(ledger.engine, "ghost", Record(cost_nano_usd=4), NOW)


@pytest.mark.parametrize("late_cost", [10, 60, 900])
def test_an_answer_after_the_record_adds_the_text_and_no_money(
    lost: Ledger, late_cost: int
) -> None:
    reconcile(lost.engine, "t-1/1", Record(cost_nano_usd=40), NOW)
    late = lost.attempts.finish("t-1/1", **answer(cost=late_cost))
    assert (late.cost_nano_usd, late.settlement) == (40, Settlement.EXACT)
    assert spent(lost) == {"day": 40, "week": 40}
    assert lost.rows("SELECT part_id FROM overrun") == []


@pytest.mark.parametrize("late_cost", [60, 170])
def test_a_record_after_a_late_answer_corrects_what_the_house_could_only_bound(
    lost: Ledger, late_cost: int
) -> None:
    """A late answer corrects upwards only, so its part is still AT_LEAST."""
    lost.attempts.finish("t-1/1", **answer(cost=late_cost))
    assert spent(lost)["day"] == max(100, late_cost)
    assert asked_of(lost) == ["t-1/1"]
    reconcile(lost.engine, "t-1/1", Record(cost_nano_usd=55), NOW)
    assert spent(lost) == {"day": 55, "week": 55}


def test_a_late_answer_and_a_record_at_once_leave_one_cost(lost: Ledger) -> None:
    gate = threading.Barrier(2)

    def late() -> None:
        gate.wait()
        lost.attempts.finish("t-1/1", **answer(cost=130))

    def look() -> None:
        gate.wait()
        reconcile(lost.engine, "t-1/1", Record(cost_nano_usd=55), NOW)

    racers = [threading.Thread(target=each) for each in (late, look)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert spent(lost) == {"day": 55, "week": 55}
    (attempt,) = lost.outcomes.attempts("t-1")
    assert (attempt.state, attempt.cost_nano_usd) == (AttemptState.DONE, 55)


def test_only_calls_of_endpoints_with_records_are_asked_about(lost: Ledger) -> None:
    assert unknown_attempts(lost.engine, ["other-api"], NOW) == []
    assert unknown_attempts(lost.engine, [], NOW) == []
    (found,) = unknown_attempts(lost.engine, ENDPOINTS, NOW)
    assert (found.attempt_id, found.provider_request_id) == ("t-1/1", "gen-1")


def test_a_call_too_old_for_any_record_is_asked_about_no_more(lost: Ledger) -> None:
    assert asked_of(lost, NOW + LOOKED_UP_FOR) == ["t-1/1"]
    assert asked_of(lost, NOW + LOOKED_UP_FOR + timedelta(seconds=1)) == []


def test_the_id_of_a_call_that_ended_is_not_overwritten(lost: Ledger) -> None:
    lost.attempts.finish("t-1/1", **answer(cost=60, provider_request_id="gen-1"))
    lost.attempts.note_request_id("t-1/1", "gen-2")
    (row,) = lost.rows("SELECT provider_request_id FROM attempt")
    assert row["provider_request_id"] == "gen-1"


async def test_a_run_asks_with_the_id_on_record_and_posts_what_it_hears(lost: Ledger) -> None:
    records = Records(Record(cost_nano_usd=40))
    report = await reconcile_all(lost.engine, {"acme-api": records}, NOW)
    assert (report.asked, report.corrected) == (1, 1)
    assert records.asked == [("gen-1", "t-1/1")]
    assert spent(lost)["day"] == 40
    assert (await reconcile_all(lost.engine, {"acme-api": records}, NOW)).asked == 0


async def test_a_vendor_that_does_not_know_is_asked_again_later_and_nothing_moves(
    lost: Ledger,
) -> None:
    records = Records(Record(is_found=False, cost_nano_usd=0))
    report = await reconcile_all(lost.engine, {"acme-api": records}, NOW)
    assert (report.asked, report.corrected) == (1, 0)
    assert spent(lost) == {"day": 100, "week": 100}
    assert asked_of(lost) == []
    assert asked_of(lost, NOW + ASK_AGAIN_AFTER) == ["t-1/1"]


async def test_runs_that_overlap_correct_a_call_once(lost: Ledger) -> None:
    runs = [
        reconcile_all(lost.engine, {"acme-api": Records(Record(cost_nano_usd=40))}, NOW)
        for _ in range(4)
    ]
    reports = await asyncio.gather(*runs)
    assert sum(each.corrected for each in reports) == 1
    assert spent(lost)["day"] == 40
    assert len(reconciliations(lost)) == 1


def test_a_cost_changed_behind_the_chain_is_noticed(lost: Ledger) -> None:
    lost.broken_on_purpose = True
    reconcile(lost.engine, "t-1/1", Record(cost_nano_usd=40), NOW)
    lost.rows("UPDATE attempt SET cost_nano_usd = 4")
    assert any(each.startswith("I13") for each in lost.violations())
