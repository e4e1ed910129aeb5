"""Heartbeats of an activity that takes long, so that a lost worker's work is soon another's."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from temporalio import activity

HEARTBEAT_SECONDS = 2.0


@asynccontextmanager
async def beating() -> AsyncIterator[Callable[[int], None]]:
    """Heartbeats until it is left, each with the number that what is given was last called with."""
    progress = 0

    def on_progress(number: int) -> None:
        nonlocal progress
        progress = number

    async def beat() -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            activity.heartbeat(progress)

    heart = asyncio.create_task(beat())
    try:
        yield on_progress
    finally:
        heart.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await heart
