"""The live facts a decision reads, all as of one moment."""

from datetime import timedelta

import pytest

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.task import Sensitivity
from pointwork.ledger.signals import UNHEALTHY_FOR_SECONDS, SignalReading
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, decision, outcome, reserve, window

LIMITED = ProviderFailureKind.RATE_LIMITED


def read(ledger: Ledger, seconds_later: int = 0) -> SignalReading:
    return ledger.signals.read(
        window_keys=["day", "week"],
        endpoints=["acme-api", "other-api"],
        conversation="chat-1",
        queue="gpu-5090",
        now=NOW + timedelta(seconds=seconds_later),
    )


def test_an_empty_ledger_knows_nothing_and_says_nothing(ledger: Ledger) -> None:
    assert read(ledger) == SignalReading()


def test_everything_comes_in_one_reading(ledger: Ledger) -> None:
    reserve(ledger.budgets, "t-1", windows=[window("day")])
    record = decision("t-2", sensitivity=Sensitivity.SENSITIVE, conversation="chat-1")
    ledger.outcomes.log(outcome("t-2"), record, NOW)
    ledger.signals.set_loaded_model("gpu-5090", "smollm2", NOW)
    until = NOW + timedelta(seconds=20)
    ledger.signals.record_endpoint("acme-api", False, LIMITED, until, NOW)
    reading = read(ledger)
    assert reading.budgets["day"].committed_nano_usd == 100
    assert reading.budgets["day"].limit_nano_usd == 1000
    assert reading.loaded_model == "smollm2"
    assert reading.conversation_sensitivity is Sensitivity.SENSITIVE
    assert reading.rate_limited_until == {"acme-api": until}
    assert reading.endpoints["acme-api"].consecutive_failures == 1
    assert reading.unhealthy_endpoints == frozenset()


def test_three_failures_in_a_row_make_an_endpoint_unhealthy_for_a_while(ledger: Ledger) -> None:
    unhealthy = []
    for _ in range(3):
        ledger.signals.record_endpoint("acme-api", False, ProviderFailureKind.OVERLOADED, None, NOW)
        unhealthy.append("acme-api" in read(ledger).unhealthy_endpoints)
    assert unhealthy == [False, False, True]
    assert read(ledger, UNHEALTHY_FOR_SECONDS - 1).unhealthy_endpoints == {"acme-api"}
    assert read(ledger, UNHEALTHY_FOR_SECONDS).unhealthy_endpoints == frozenset()


def test_one_success_clears_the_count_and_the_wait(ledger: Ledger) -> None:
    for _ in range(3):
        ledger.signals.record_endpoint("acme-api", False, LIMITED, NOW + timedelta(seconds=60), NOW)
    ledger.signals.record_endpoint("acme-api", True, None, None, NOW)
    reading = read(ledger)
    assert (reading.unhealthy_endpoints, reading.rate_limited_until) == (frozenset(), {})
    state = ledger.signals.endpoint_signals(["acme-api"])["acme-api"]
    assert (state.consecutive_failures, state.last_failure_at) == (0, NOW)


def test_a_wait_that_is_over_is_not_reported(ledger: Ledger) -> None:
    ledger.signals.record_endpoint("acme-api", False, LIMITED, NOW + timedelta(seconds=20), NOW)
    assert read(ledger, 20).rate_limited_until == {}


def test_a_success_after_a_success_writes_nothing(ledger: Ledger) -> None:
    ledger.signals.record_endpoint("acme-api", True, None, None, NOW)
    ledger.signals.record_endpoint("acme-api", True, None, None, NOW + timedelta(days=1))
    (row,) = ledger.rows("SELECT consecutive_failures FROM endpoint_health")
    assert row["consecutive_failures"] == 0
    with ledger.engine.begin() as connection:
        stamps = connection.exec_driver_sql("SELECT updated_at FROM endpoint_health").all()
    assert "2026-03-01" in str(stamps[0][0])


@pytest.mark.parametrize("model", ["gemma", None])
def test_the_model_last_reported_is_the_one_in_memory(ledger: Ledger, model: str | None) -> None:
    ledger.signals.set_loaded_model("gpu-5090", "smollm2", NOW)
    ledger.signals.set_loaded_model("gpu-5090", model, NOW)
    assert ledger.signals.loaded_model("gpu-5090") == model
    assert ledger.signals.loaded_model("other") is None
