"""A bulk run's steps on the ledger: its next items, how one of them ended, and its own end."""

from datetime import UTC, datetime
from typing import Protocol

from temporalio import activity
from temporalio.exceptions import ApplicationError

from pointwork.contract.bulk import (
    BulkCounts,
    BulkItemEnd,
    BulkPage,
    CloseBulkItems,
    EndBulkRun,
    NextBulkItems,
)
from pointwork.contract.names import ActivityName

TASK_RUNNING = "TASK_RUNNING"
"""Type of the error that asks to be tried again: the task has no outcome yet."""


class BulkRuns(Protocol):
    def hand_out(self, run_id: str, after_position: int, items_max: int) -> BulkPage: ...
    def item_end(self, task_id: str) -> BulkItemEnd | None: ...
    def close_items(self, run_id: str, items_max: int, now: datetime) -> int: ...
    def end(self, run_id: str, now: datetime, *, cancelled: bool) -> BulkCounts: ...


class BulkActivities:
    """Each is harmless when repeated."""

    def __init__(self, runs: BulkRuns) -> None:
        self._runs = runs

    @activity.defn(name=ActivityName.NEXT_BULK_ITEMS)
    def next_bulk_items(self, step: NextBulkItems) -> BulkPage:
        return self._runs.hand_out(step.run_id, step.after_position, step.items_max)

    @activity.defn(name=ActivityName.BULK_ITEM_OUTCOME)
    def bulk_item_outcome(self, task_id: str) -> BulkItemEnd:
        """How a task ended that something else started.

        Raises:
            ApplicationError: TASK_RUNNING, to be tried again, for as long as it has no outcome.
        """
        ended = self._runs.item_end(task_id)
        if ended is None:
            raise ApplicationError("the task has no outcome yet", type=TASK_RUNNING)
        return ended

    @activity.defn(name=ActivityName.CLOSE_BULK_ITEMS)
    def close_bulk_items(self, step: CloseBulkItems) -> int:
        """How many items without an outcome were recorded as cancelled."""
        return self._runs.close_items(step.run_id, step.items_max, datetime.now(UTC))

    @activity.defn(name=ActivityName.END_BULK_RUN)
    def end_bulk_run(self, step: EndBulkRun) -> BulkCounts:
        return self._runs.end(step.run_id, datetime.now(UTC), cancelled=step.cancelled)
