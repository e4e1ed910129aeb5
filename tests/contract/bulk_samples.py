"""One of each message of a bulk run, no field at its default."""

from pydantic import BaseModel

from pointwork.contract import bulk
from pointwork.contract.failures import FailureType
from pointwork.contract.outcome import TaskStatus
from tests.contract.decision_samples import REQUEST

COUNTS = bulk.BulkCounts(done=250, failed=3, cancelled=2, cost_nano_usd=1_300_000)
BULK_SAMPLES: tuple[BaseModel, ...] = (
    COUNTS,
    bulk.BulkItemEnd(
        status=TaskStatus.DENIED, failure=FailureType.BUDGET_EXCEEDED, cost_nano_usd=5
    ),
    bulk.BulkRunState(
        run_id="invoices-2026-03",
        caller="billing",
        total=1000,
        in_flight_max=16,
        page_items=100,
        items_per_history=300,
        after_position=300,
        counts=COUNTS,
        paused=bulk.PauseReason.BUDGET,
        failures_in_a_row=10,
        last_failure=FailureType.BUDGET_EXCEEDED,
    ),
    bulk.BulkProgress(
        run_id="invoices-2026-03",
        total=1000,
        counts=COUNTS,
        in_flight=4,
        paused=bulk.PauseReason.PERSON,
        is_ending=True,
    ),
    bulk.NextBulkItems(run_id="invoices-2026-03", after_position=300, items_max=100),
    bulk.BulkPage(requests=(REQUEST,), last_position=301, is_last=True, ended=COUNTS),
    bulk.CloseBulkItems(run_id="invoices-2026-03", items_max=100),
    bulk.EndBulkRun(run_id="invoices-2026-03", cancelled=True),
)
