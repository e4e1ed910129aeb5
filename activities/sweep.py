"""``sweep-ledger``: what was ended from outside gets its outcome, and its money is freed."""

from typing import Protocol

from temporalio import activity

from activities.heartbeats import beating
from pointwork.contract.names import ActivityName
from pointwork.contract.sweep import Swept


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
        async with beating():
            return await self._sweeper.sweep(last)
