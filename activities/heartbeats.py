"""Activities that take long: heartbeats, so that a lost worker's work is soon another's, and
commits that a cancel does not cut."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

from temporalio import activity

P = ParamSpec("P")
T = TypeVar("T")

HEARTBEAT_SECONDS = 2.0


@asynccontextmanager
async def beating(
    every_seconds: float = HEARTBEAT_SECONDS,
) -> AsyncIterator[Callable[[int], None]]:
    """Heartbeats until it is left, each with the number that what is given was last called with."""
    progress = 0

    def on_progress(number: int) -> None:
        nonlocal progress
        progress = number

    async def beat() -> None:
        while True:
            await asyncio.sleep(every_seconds)
            activity.heartbeat(progress)

    heart = asyncio.create_task(beat())
    try:
        yield on_progress
    finally:
        heart.cancel()
        # Not by awaiting it, which would take a cancel of ours for its own.
        await asyncio.wait([heart])
        if not heart.cancelled():
            heart.result()


async def to_its_end(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What ``work`` returns, run in a thread to its end even if the activity is cancelled.

    A thread that has begun is not stopped by a cancel, but one that still waits for its turn is:
    what it was to commit would be lost. The cancel goes on afterwards.
    """
    doing = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])
        if not doing.cancelled():
            doing.exception()  # Seen; what matters now is that we are to stop.
        raise
