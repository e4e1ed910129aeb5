"""``SweepLedger``: one firing of the schedule that keeps the ledger free of what nobody settles."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.sweep import SweepActivities
    from pointwork.contract.names import SWEEP_LEDGER, TaskQueue
    from pointwork.contract.sweep import Swept

SWEEP_TIMEOUT = timedelta(minutes=3)
"""Well above the bounds of the sweep's own walks: reached where a database or a vendor hangs."""
HEARTBEAT_TIMEOUT = timedelta(seconds=30)
RETRY = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=3)
"""The next firing is a minute away, so a fault that lasts is left to it."""


@workflow.defn(name=SWEEP_LEDGER)
class SweepLedger:
    """Goes on where the last sweep that ended well has stopped (design 5; reliability 2.1)."""

    @workflow.run
    async def run(self) -> Swept:
        last = workflow.get_last_completion_result(Swept)
        return await workflow.execute_activity_method(
            SweepActivities.sweep_ledger,
            last,
            task_queue=TaskQueue.LEDGER,
            start_to_close_timeout=SWEEP_TIMEOUT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RETRY,
            summary="free what nobody will settle",
        )
