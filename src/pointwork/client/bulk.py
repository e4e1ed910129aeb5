"""Bulk runs: the tasks of a file sealed and on record, then run by one durable workflow."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice

from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import Priority
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from pointwork.client.direct import PointworkClient
from pointwork.client.rpc_errors import unavailable
from pointwork.contract.bulk import (
    PAGE_ITEMS,
    BulkCounts,
    BulkProgress,
    BulkRunState,
    PauseReason,
    bulk_workflow_id,
)
from pointwork.contract.failures import (
    PointworkError,
    TaskIdReusedError,
)
from pointwork.contract.names import (
    BULK_RUN,
    QUERY_PROGRESS,
    SIGNAL_CANCEL,
    SIGNAL_PAUSE,
    SIGNAL_RESUME,
    WORKFLOW_QUEUE,
)
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import TaskDeclaration, TaskRequest
from pointwork.ledger.bulk_runs import (
    BulkBook,
    BulkDraft,
    BulkRunEntry,
    BulkRunReusedError,
    BulkState,
)

PRIORITY_LOWEST = 5
_SEALED_AT_ONCE = 64
_QUERY_TIMEOUT = timedelta(seconds=5)
_TASK_TIMEOUT = timedelta(seconds=30)


class BulkRunEndedError(PointworkError):
    """The run has ended, so that nothing is left to pause, resume or cancel."""


@dataclass(frozen=True, slots=True)
class BulkItem:
    """One item before it is sealed."""

    position: int
    item_id: str
    declaration: TaskDeclaration
    prompt: Prompt = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class BulkView:
    """Where a run stands."""

    run: BulkRunEntry
    counts: BulkCounts
    in_flight: int = 0
    paused: PauseReason | None = None
    is_served: bool = True
    """A worker answers for its workflow, or it has ended."""
    was_terminated: bool = False
    """Its workflow was ended from outside; it goes on once it is started again."""


class BulkRuns:
    """Starts bulk runs and says how they stand. Every call may be repeated."""

    def __init__(self, client: PointworkClient, book: BulkBook) -> None:
        self._client = client
        self._book = book

    async def seal(
        self,
        draft: BulkDraft,
        items: Iterable[BulkItem],
        on_sealed: Callable[[int], None] = lambda count: None,
    ) -> BulkRunEntry:
        """Record the run and seal its items; where that was cut off it goes on.

        Args:
            draft: what makes the run this one and no other.
            items: every item in order; of a run that was sealed before, the same ones.
            on_sealed: told how many items were sealed since it was told last.

        Raises:
            BulkRunReusedError: the id, or an item's task id, was used for something else.
            BulkRunEndedError: the run was cancelled.
            TaskRefusedError: an item's content is empty or too large.
        """
        run = await asyncio.to_thread(self._book.begin, draft, datetime.now(UTC))
        _check_not_cancelled(run)
        for batch in _batches(items, _SEALED_AT_ONCE):
            requests = await asyncio.gather(*map(self._sealed, batch))
            if run.state is BulkState.SEALING:
                rows = [
                    (item.position, item.item_id, request)
                    for item, request in zip(batch, requests, strict=True)
                ]
                await asyncio.to_thread(self._book.add, draft.run_id, rows)
            on_sealed(len(batch))
        run = await asyncio.to_thread(self._book.finish_sealing, draft.run_id, datetime.now(UTC))
        if run.state is BulkState.CANCELLED:
            # Items that were sealed after the cancel end like those before it.
            await asyncio.to_thread(self._close, draft.run_id)
        _check_not_cancelled(run)
        return run

    async def _sealed(self, item: BulkItem) -> TaskRequest:
        try:
            return await self._client.seal(item.prompt, item.declaration)
        except TaskIdReusedError as error:
            raise BulkRunReusedError(f"item {item.item_id!r}: {error}") from None

    async def start(
        self, run_id: str, *, page_items: int = PAGE_ITEMS, items_per_history: int | None = None
    ) -> BulkRunEntry:
        """Start the run's workflow, unless it runs or the run has ended.

        Args:
            run_id: a run whose items are sealed.
            page_items: how many items the workflow reads at once.
            items_per_history: how many one history of it holds; None leaves the usual.

        Raises:
            BulkRunNotFoundError: there is none of this id.
            ServiceUnavailableError: Temporal cannot be reached.
        """
        run = await asyncio.to_thread(self._book.find, run_id)
        if run.state is not BulkState.SEALED:
            return run
        sizes = {} if items_per_history is None else {"items_per_history": items_per_history}
        state = BulkRunState(
            run_id=run_id,
            caller=run.caller,
            total=run.item_count,
            in_flight_max=run.in_flight_max,
            page_items=page_items,
            **sizes,
        )
        try:
            await self._client.temporal.start_workflow(
                BULK_RUN,
                state,
                id=bulk_workflow_id(run_id),
                task_queue=WORKFLOW_QUEUE,
                priority=Priority(priority_key=PRIORITY_LOWEST, fairness_key=run.caller[:64]),
                static_summary=f"{run.pack}: {run.item_count} items in bulk",
                task_timeout=_TASK_TIMEOUT,
            )
        except WorkflowAlreadyStartedError:
            pass
        except RPCError as error:
            raise unavailable(error) from None
        return run

    async def view(self, run_id: str) -> BulkView:
        """Where the run stands, as its workflow says, or as the ledger does where none answers.

        Raises:
            BulkRunNotFoundError: there is none of this id.
        """
        run = await asyncio.to_thread(self._book.find, run_id)
        if run.state is BulkState.SEALED:
            said = await self._progress(run)
            if isinstance(said, BulkProgress):
                return BulkView(
                    run=run, counts=said.counts, in_flight=said.in_flight, paused=said.paused
                )
            # It may have ended since it was read.
            run = await asyncio.to_thread(self._book.find, run_id)
            is_closed = said is not WorkflowExecutionStatus.RUNNING and said is not None
            counts = await asyncio.to_thread(self._book.counts, run_id)
            has_ended = run.state.has_ended
            return BulkView(
                run=run,
                counts=counts,
                is_served=has_ended,
                was_terminated=is_closed and not has_ended,
            )
        counts = await asyncio.to_thread(self._book.counts, run_id)
        return BulkView(run=run, counts=counts)

    async def pause(self, run_id: str) -> None:
        """Start no more items; those in flight go on.

        Raises:
            BulkRunNotFoundError, BulkRunEndedError: there is nothing to pause.
            ServiceUnavailableError: Temporal cannot be reached.
        """
        await self._tell(run_id, SIGNAL_PAUSE)

    async def resume(self, run_id: str) -> None:
        """Go on starting items; raises as ``pause``."""
        await self._tell(run_id, SIGNAL_RESUME)

    async def cancel(self, run_id: str) -> None:
        """Cancel the tasks that run, settle their money, and record the others as cancelled.

        Raises:
            As ``pause``.
        """
        run = await self._unended(run_id)
        if run.state is BulkState.SEALING:
            await asyncio.to_thread(self._close, run_id)
            return
        # One that was terminated, or never started, ends its items like any other.
        await self.start(run_id)
        await self._asked(self._handle(run_id).signal(SIGNAL_CANCEL))

    def _close(self, run_id: str) -> None:
        """End a run none of whose items has begun."""
        now = datetime.now(UTC)
        while self._book.close_items(run_id, PAGE_ITEMS, now) == PAGE_ITEMS:
            pass
        self._book.end(run_id, now, cancelled=True)

    async def _tell(self, run_id: str, signal: str) -> None:
        run = await self._unended(run_id)
        if run.state is BulkState.SEALING:
            msg = f"run {run_id} is not started; give its file to `pointwork bulk` again, first"
            raise PointworkError(msg)
        await self._asked(self._handle(run_id).signal(signal))

    async def _unended(self, run_id: str) -> BulkRunEntry:
        run = await asyncio.to_thread(self._book.find, run_id)
        if run.state.has_ended:
            msg = f"run {run_id} has ended, {run.state}; see `pointwork bulk status {run_id}`"
            raise BulkRunEndedError(msg)
        return run

    async def _asked(self, asked: Awaitable[None]) -> None:
        try:
            await asked
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise PointworkError(
                    "no workflow of the run is under way; give its file to `pointwork bulk` again, "
                    "with its --id"
                ) from None
            raise unavailable(error) from None

    async def _progress(self, run: BulkRunEntry) -> BulkProgress | WorkflowExecutionStatus | None:
        """What the workflow says of itself, or how it stands where no worker answers for it."""
        handle = self._handle(run.run_id)
        status = None
        try:
            status = (await handle.describe(rpc_timeout=_QUERY_TIMEOUT)).status
            if status is not WorkflowExecutionStatus.RUNNING:
                return status
            said: BulkProgress = await handle.query(
                QUERY_PROGRESS, result_type=BulkProgress, rpc_timeout=_QUERY_TIMEOUT
            )
        except RPCError:
            return status
        return said

    def _handle(self, run_id: str) -> WorkflowHandle[object, BulkProgress]:
        return self._client.temporal.get_workflow_handle(
            bulk_workflow_id(run_id), result_type=BulkProgress
        )


def _check_not_cancelled(run: BulkRunEntry) -> None:
    if run.state is BulkState.CANCELLED:
        raise BulkRunEndedError(f"run {run.run_id} was cancelled; give another --id")


def _batches(items: Iterable[BulkItem], size: int) -> Iterator[list[BulkItem]]:
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch
