"""``sweep-ledger``: what was ended from outside gets its outcome, and its money is freed."""

import asyncio
import contextlib
from typing import Protocol

from temporalio import activity

from pointwork.contract.names import ActivityName
from pointwork.contract.sweep import Swept

HEARTBEAT_SECONDS = 2.0


class Sweeper(Protocol):
    async def sweep(self, last: Swept | None) -> Swept:
        """One bounded sweep, going on where the last one stopped. Repeats are harmless."""
        ...


class SweepActivities:
    def __init__(self, sweeper: Sweeper) -> None:
        self._sweeper = sweeper

    @activity.defn(name=ActivityName.SWEEP_LEDGER)
    async def sweep_ledger(self, last: Swept | None) -> Swept:
        """What the sweep did. It heartbeats, so that a lost worker's sweep is soon another's."""
        heart = asyncio.create_task(_beat())
        try:
            return await self._sweeper.sweep(last)
        finally:
            heart.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await heart


async def _beat() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(HEARTBEAT_SECONDS)
