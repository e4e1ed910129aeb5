"""Waits for a task as a request does: for the answer, or for the news that a person must decide."""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Any

from fastapi.responses import JSONResponse

from pointwork.client import PointworkClient
from pointwork.contract.approval import ApprovalRequest
from pointwork.contract.failures import ServiceUnavailableError, TaskFailedError
from pointwork.contract.outcome import TaskOutcome
from pointwork.contract.task import TaskRequest
from pointwork.ledger.approvals import ApprovalBook

_log = logging.getLogger(__name__)

_FIRST_LOOK_SECONDS = 0.3
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class StillRuns:
    """No answer yet: the task goes on without the request."""

    task_id: str
    approval: ApprovalRequest | None
    """What a person is asked; None where only time ran out."""

    @property
    def body(self) -> dict[str, Any]:
        """What a caller is told, with where to look next."""
        waits = self.approval
        return {
            "task_id": self.task_id,
            "status": "pending_approval" if waits else "running",
            "approval_id": waits.approval_id if waits else None,
            "asks_for": waits.asks_for if waits else None,
            "expires_at": waits.expires_at.isoformat() if waits else None,
            "url": f"/v1/tasks/{self.task_id}",
        }


def accepted(waiting: StillRuns) -> JSONResponse:
    """202 with the link where the task's answer will be."""
    body = {"id": waiting.task_id, "object": "pointwork.task", "pointwork": waiting.body}
    links = {"location": waiting.body["url"], "pointwork-task-id": waiting.task_id}
    return JSONResponse(body, 202, links)


class Starts:
    """The starts of tasks whose requests went away, before Temporal may have heard of them."""

    def __init__(self, client: PointworkClient) -> None:
        self._client = client
        self._running: set[asyncio.Task[None]] = set()

    def let(self, request: TaskRequest) -> None:
        """Have the task started, or found to be; nobody waits for it."""
        task = asyncio.create_task(self._start(request))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def settled(self, seconds_max: float) -> None:
        """Wait until every start is known, or so long."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds_max)

    async def _start(self, request: TaskRequest) -> None:
        try:
            await self._client.start_sealed(request)
        except ServiceUnavailableError as error:
            _log.warning(
                "task %s, whose caller has left, did not start: %s", request.task_id, error
            )


class Answering:
    """Runs tasks for requests. A request that goes away leaves its task running."""

    def __init__(self, client: PointworkClient, approvals: ApprovalBook, starts: Starts) -> None:
        self._client = client
        self._approvals = approvals
        self._starts = starts

    async def run(
        self,
        request: TaskRequest,
        *,
        open_seconds: float,
        person_seconds: float | None,
    ) -> TaskOutcome | StillRuns:
        """The outcome of a sealed task; or that it runs on: a person must decide, or time is up.

        Args:
            open_seconds: the longest the request stays open.
            person_seconds: how long to wait for a person; None does not.

        Raises:
            PointworkError: as ``PointworkClient.run_sealed``.
        """
        running = asyncio.create_task(self._client.run_sealed(request))
        try:
            found = await self._watched(running, request.task_id, open_seconds, person_seconds)
        except asyncio.CancelledError:
            self._starts.let(request)
            raise
        if isinstance(found, StillRuns) and found.approval is None:
            # Time may have run out before Temporal heard of the task, which is said to go on.
            await self._client.start_sealed(request)
        return found

    async def follow(
        self, task_id: str, *, open_seconds: float, person_seconds: float | None
    ) -> TaskOutcome | StillRuns:
        """The recorded outcome of a task that was submitted, however it ended; else as ``run``.

        Raises:
            TaskNotFoundError: it was never started.
        """
        running = asyncio.create_task(self._ended(task_id))
        return await self._watched(running, task_id, open_seconds, person_seconds)

    async def _ended(self, task_id: str) -> TaskOutcome:
        try:
            return await self._client.result(task_id)
        except TaskFailedError:
            recorded = await self._client.outcome(task_id)
            if recorded is None:
                raise
            return recorded

    async def _watched(
        self,
        running: "asyncio.Task[TaskOutcome]",
        task_id: str,
        open_seconds: float,
        person_seconds: float | None,
    ) -> TaskOutcome | StillRuns:
        limit = open_seconds if person_seconds is None else min(open_seconds, person_seconds)
        deadline = asyncio.get_running_loop().time() + limit
        look_after = _FIRST_LOOK_SECONDS
        try:
            while True:
                left = deadline - asyncio.get_running_loop().time()
                await asyncio.wait({running}, timeout=max(0.0, min(look_after, left)))
                if running.done():
                    return running.result()
                if left <= 0 or person_seconds is None:
                    waits = await self._open_approval(task_id)
                    if left <= 0 or waits is not None:
                        return StillRuns(task_id, waits)
                look_after = _LOOK_SECONDS
        finally:
            if not running.done():
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await running

    async def _open_approval(self, task_id: str) -> ApprovalRequest | None:
        """As ``open_approval``; a look that failed is made again, and ends no request."""
        try:
            return await self.open_approval(task_id)
        except Exception as error:  # noqa: BLE001  the answer is what is waited for
            _log.warning("no look at the approvals of %s: %s", task_id, type(error).__name__)
            return None

    async def open_approval(self, task_id: str) -> ApprovalRequest | None:
        """What a person is asked about the task now."""
        return await asyncio.to_thread(self._approvals.open_of, task_id)
