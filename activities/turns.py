"""A call waits for its turn, where few are served at a time, before anything says it was sent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError

from pointwork.providers.port import CompletionRequest, Provider, QueuedProvider

REPORT_MARGIN = timedelta(seconds=10)
WORKER_STOPPING = "WORKER_STOPPING"
"""Retried by Temporal, on whichever worker serves the queue next: nothing was sent."""


@asynccontextmanager
async def in_turn(provider: Provider, request: CompletionRequest) -> AsyncIterator[Provider]:
    """What to send ``request`` to, held while it is the request's turn.

    A worker that is told to stop hands back at once what still waits.

    Raises:
        ProviderError: no turn came in time, or the model does not load.
        ApplicationError: ``WORKER_STOPPING``.
    """
    if not isinstance(provider, QueuedProvider):
        yield provider
        return
    async with AsyncExitStack() as held:
        try:
            async with asyncio.timeout(None) as patience:
                watching = asyncio.create_task(_end_at_shutdown(patience))
                try:
                    ready = await held.enter_async_context(provider.turn(request))
                finally:
                    watching.cancel()
        except TimeoutError:
            if not patience.expired():
                raise
            message = "the worker stops before the call's turn came; another takes it up"
            raise ApplicationError(message, type=WORKER_STOPPING) from None
        yield ready


async def _end_at_shutdown(patience: asyncio.Timeout) -> None:
    await activity.wait_for_worker_shutdown()
    patience.reschedule(asyncio.get_running_loop().time())


def give_up_at(info: activity.Info) -> datetime | None:
    """So long before the server's own limit that the call still reports what it came to."""
    if info.schedule_to_close_timeout is None:
        return None
    limit = info.schedule_to_close_timeout
    return info.scheduled_time + max(limit - REPORT_MARGIN, limit / 2)


def is_shutdown() -> bool:
    """Whether the activity is cancelled because its worker stops."""
    details = activity.cancellation_details()
    return details is not None and details.worker_shutdown
