"""Finishing a step that must not be lost when a cancel arrives while it waits."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def finish(step: Awaitable[T]) -> T:
    """Wait for ``step`` to end, however often the workflow is cancelled meanwhile.

    One ``asyncio.shield`` is not enough: the second cancel, or the first if it arrives while the
    shield waits, abandons the step. The caller decides what a cancel seen here means.
    """
    task = asyncio.ensure_future(step)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
    return task.result()
