"""``BulkRun``: the tasks of one file, a few at a time, behind everything interactive.

It carries references and counts. An item's end is its task's outcome on the ledger; what is counted
here is for whoever watches. A failed item is that item's outcome and never the run's.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    ChildWorkflowError,
    FailureError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from activities.bulk import BulkActivities
    from pointwork.client.child import outcome_of, start_task
    from pointwork.contract.bulk import (
        BulkCounts,
        BulkItemEnd,
        BulkPage,
        BulkProgress,
        BulkRunState,
        CloseBulkItems,
        EndBulkRun,
        NextBulkItems,
        PauseReason,
    )
    from pointwork.contract.failures import FailureType
    from pointwork.contract.names import (
        BULK_RUN,
        QUERY_PROGRESS,
        SIGNAL_CANCEL,
        SIGNAL_PAUSE,
        SIGNAL_RESUME,
        TaskQueue,
    )
    from pointwork.contract.outcome import TaskOutcome, TaskStatus
    from pointwork.contract.task import TaskRequest
    from workflows.completion import finish

FAILURES_IN_A_ROW_MAX = 10
"""So many items that end for the same reason, which is none of their own, pause the run."""
_NOT_THE_ITEMS_OWN = {
    FailureType.BUDGET_EXCEEDED: PauseReason.BUDGET,
    FailureType.PROVIDERS_EXHAUSTED: PauseReason.PROVIDERS,
}
STEP_TIMEOUT = timedelta(seconds=60)
LEDGER_RETRY = RetryPolicy(initial_interval=timedelta(milliseconds=200), backoff_coefficient=2.0)
"""Steps on the ledger are idempotent, and no run goes on without them."""
ASK_AGAIN = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=60),
)
"""Of a task that another start has running: asked by the server, so that no history grows by it."""


@workflow.defn(name=BULK_RUN)
class BulkRun:
    """Starts items while it is not paused, and ends when each of them has ended."""

    @workflow.init
    def __init__(self, state: BulkRunState) -> None:
        self._state = state
        self._counts = state.counts
        self._paused = state.paused
        self._failures_in_a_row = state.failures_in_a_row
        self._last_failure = state.last_failure
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self._tasks: dict[str, workflow.ChildWorkflowHandle[Any, TaskOutcome]] = {}
        self._elsewhere: list[str] = []
        self._is_cancelled = False
        self._is_ending = False

    @workflow.run
    async def run(self, state: BulkRunState) -> BulkProgress:
        """How the items ended.

        A cancel, Temporal's own or the signal, cancels the tasks that run, waits until their money
        is settled and records those that never began as cancelled.
        """
        cancel: BaseException | None = None
        try:
            await self._serve(state)
        except (asyncio.CancelledError, ActivityError) as error:
            if not is_cancelled_exception(error):
                raise
            cancel, self._is_cancelled = error, True
        self._is_ending = True
        if self._is_cancelled:
            await self._stop()
        end = EndBulkRun(run_id=state.run_id, cancelled=self._is_cancelled)
        # The ledger's word: what the sweep records of a task that was ended from outside too.
        self._counts = await finish(_end(end))
        if cancel is not None:
            raise asyncio.CancelledError
        return self.progress()

    @workflow.query(name=QUERY_PROGRESS)
    def progress(self) -> BulkProgress:
        return BulkProgress(
            run_id=self._state.run_id,
            total=self._state.total,
            counts=self._counts,
            in_flight=len(self._in_flight),
            paused=self._paused,
            is_ending=self._is_ending,
        )

    @workflow.signal(name=SIGNAL_PAUSE, description="start no more items; those that run go on")
    def pause(self) -> None:
        self._paused = self._paused or PauseReason.PERSON

    @workflow.signal(name=SIGNAL_RESUME, description="go on starting items")
    def resume(self) -> None:
        self._paused = None
        self._failures_in_a_row = 0

    @workflow.signal(name=SIGNAL_CANCEL, description="cancel what runs and what never began")
    def cancel(self) -> None:
        self._is_cancelled = True

    async def _serve(self, state: BulkRunState) -> None:
        """Begin items in order, and return once all have ended or the run is cancelled."""
        position, begun = state.after_position, 0
        while True:
            page = await _next(
                NextBulkItems(
                    run_id=state.run_id, after_position=position, items_max=state.page_items
                )
            )
            self._counts = self._counts.plus(page.ended)
            for request in page.requests:
                if not await self._until(self._may_begin):
                    return
                self._begin(request)
            position, begun = page.last_position, begun + len(page.requests)
            if page.is_last:
                break
            if begun >= state.items_per_history or workflow.info().is_continue_as_new_suggested():
                if not await self._until(self._is_idle):
                    return
                workflow.continue_as_new(self._state_at(position))
        await self._until(self._is_idle)

    async def _until(self, is_met: Callable[[], bool]) -> bool:
        """Wait; False where the run was cancelled."""
        await workflow.wait_condition(lambda: self._is_cancelled or is_met())
        return not self._is_cancelled

    def _may_begin(self) -> bool:
        return self._paused is None and len(self._in_flight) < self._state.in_flight_max

    def _is_idle(self) -> bool:
        return not self._in_flight

    def _begin(self, request: TaskRequest) -> None:
        self._in_flight[request.task_id] = asyncio.create_task(self._item(request))

    async def _item(self, request: TaskRequest) -> None:
        task_id = request.task_id
        try:
            self._book(await self._ended(request))
        finally:
            self._in_flight.pop(task_id)
            self._tasks.pop(task_id, None)

    async def _ended(self, request: TaskRequest) -> BulkItemEnd:
        """How the item ended, whatever became of its task."""
        try:
            task = await start_task(request)
        except WorkflowAlreadyStartedError:
            return await self._ended_elsewhere(request)
        if self._is_cancelled:
            task.cancel()
        else:
            self._tasks[request.task_id] = task
        try:
            return _end_of(await task)
        except ChildWorkflowError as error:
            if is_cancelled_exception(error):
                return BulkItemEnd(status=TaskStatus.CANCELLED)
            outcome = outcome_of(error)
            # Terminated: the sweep records its outcome.
            return _end_of(outcome) if outcome else BulkItemEnd(status=TaskStatus.FAILED)

    async def _ended_elsewhere(self, request: TaskRequest) -> BulkItemEnd:
        """How a task ended that an earlier workflow of the run started."""
        self._elsewhere.append(request.task_id)
        if self._is_cancelled:
            await _cancel_elsewhere(request.task_id)
        try:
            return await _outcome(request.task_id)
        finally:
            self._elsewhere.remove(request.task_id)

    def _book(self, ended: BulkItemEnd) -> None:
        """Count an item, and pause where one after another fails for what none of them can help."""
        self._counts = self._counts.plus(ended.counts)
        is_same = ended.failure is not None and ended.failure == self._last_failure
        self._last_failure = ended.failure
        self._failures_in_a_row = self._failures_in_a_row + 1 if is_same else 1
        reason = _NOT_THE_ITEMS_OWN.get(ended.failure) if ended.failure else None
        if reason is not None and self._failures_in_a_row >= FAILURES_IN_A_ROW_MAX:
            self._paused = self._paused or reason

    async def _stop(self) -> None:
        """Cancel what runs and wait for it, then record what never began."""
        for task in self._tasks.values():
            task.cancel()
        for task_id in [*self._elsewhere]:
            await _cancel_elsewhere(task_id)
        await finish(asyncio.gather(*self._in_flight.values()))
        close = CloseBulkItems(run_id=self._state.run_id, items_max=self._state.page_items)
        while await finish(_close(close)) == close.items_max:
            pass

    def _state_at(self, position: int) -> BulkRunState:
        return self._state.model_copy(
            update={
                "after_position": position,
                "counts": self._counts,
                "paused": self._paused,
                "failures_in_a_row": self._failures_in_a_row,
                "last_failure": self._last_failure,
            }
        )


def _end_of(outcome: TaskOutcome) -> BulkItemEnd:
    return BulkItemEnd(
        status=outcome.status, failure=outcome.failure, cost_nano_usd=outcome.cost_nano_usd
    )


async def _cancel_elsewhere(task_id: str) -> None:
    # It may have ended meanwhile, which is as good.
    with suppress(FailureError):
        await finish(workflow.get_external_workflow_handle(task_id).cancel())


def _next(step: NextBulkItems) -> Awaitable[BulkPage]:
    return workflow.execute_activity_method(
        BulkActivities.next_bulk_items,
        step,
        task_queue=TaskQueue.LEDGER,
        start_to_close_timeout=STEP_TIMEOUT,
        retry_policy=LEDGER_RETRY,
        summary=f"items after {step.after_position}",
    )


def _outcome(task_id: str) -> Awaitable[BulkItemEnd]:
    return workflow.execute_activity_method(
        BulkActivities.bulk_item_outcome,
        task_id,
        task_queue=TaskQueue.LEDGER,
        start_to_close_timeout=STEP_TIMEOUT,
        retry_policy=ASK_AGAIN,
        summary="outcome of a task that was started before",
    )


def _close(step: CloseBulkItems) -> Awaitable[int]:
    return workflow.execute_activity_method(
        BulkActivities.close_bulk_items,
        step,
        task_queue=TaskQueue.LEDGER,
        start_to_close_timeout=STEP_TIMEOUT,
        retry_policy=LEDGER_RETRY,
        summary="record what never began as cancelled",
    )


def _end(step: EndBulkRun) -> Awaitable[BulkCounts]:
    return workflow.execute_activity_method(
        BulkActivities.end_bulk_run,
        step,
        task_queue=TaskQueue.LEDGER,
        start_to_close_timeout=STEP_TIMEOUT,
        retry_policy=LEDGER_RETRY,
        summary="record the run's end",
    )
