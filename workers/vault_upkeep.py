"""What the sweep does for the vault: content whose time is over goes, and so do lost objects."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from pointwork.contract.sweep import SweepPlace
from pointwork.ledger.engine import forget_old_pages
from pointwork.ledger.orphans import GRACE, remove_orphans, shard_at
from pointwork.ledger.retention import KeptTask, Retention, erase_kept, kept_tasks
from pointwork.ledger.sealed_bytes import SealedBytes, SealedStoreError

WALK_SECONDS_MAX = 10.0
REST = timedelta(hours=1)
"""Between two walks over the tasks whose content is kept: retention is counted in days."""

IsKnown = Callable[[Collection[str]], Awaitable[Mapping[str, bool]]]
"""Whether Temporal knows a workflow of each task id, running or closed."""

_log = logging.getLogger(__name__)


class VaultUpkeep:
    """A bounded walk at a time. Every step can be repeated, so its place is kept in memory only."""

    def __init__(
        self,
        engine: Engine,
        store: SealedBytes,
        retention: Retention,
        *,
        walk_seconds_max: float = WALK_SECONDS_MAX,
        rest: timedelta = REST,
        grace: timedelta = GRACE,
    ) -> None:
        self._engine = engine
        self._store = store
        self._retention = retention
        self._walk_seconds_max = walk_seconds_max
        self._rest = rest
        self._grace = grace
        self._after: SweepPlace | None = None
        self._rests_until: datetime | None = None

    async def run(self, is_known: IsKnown, now: datetime | None = None) -> None:
        """Erase what retention takes now, and the objects of one shard that no row names.

        A store that does not answer is told in the log and tried again by the next sweep.
        """
        moment = now or datetime.now(UTC)
        erased = await self._erase_due(is_known, moment)
        if erased:
            await asyncio.to_thread(forget_old_pages, self._engine)
            _log.info("retention erased the content of %d tasks", erased)
        try:
            removed = await asyncio.to_thread(
                remove_orphans,
                self._engine,
                self._store,
                moment,
                shard=shard_at(moment),
                grace=self._grace,
            )
        except SealedStoreError as error:
            _log.warning("lost objects were not looked for: %s", error)
        else:
            if removed:
                _log.info("%d lost objects were removed from %s", removed, self._store.place)

    async def _erase_due(self, is_known: IsKnown, now: datetime) -> int:
        """How many tasks' content was erased. What is left of a walk is the next sweep's."""
        shortest = self._retention.shortest
        if shortest is None or (self._rests_until is not None and now < self._rests_until):
            return 0
        erased, stops_at = 0, time.monotonic() + self._walk_seconds_max
        while True:
            page = await asyncio.to_thread(
                kept_tasks, self._engine, self._retention, now - shortest, self._after
            )
            erased += await self._erase(page.tasks, is_known, now)
            self._after = page.last
            if page.last is None:
                self._rests_until = now + self._rest
                return erased
            if time.monotonic() > stops_at:
                return erased

    async def _erase(self, tasks: Collection[KeptTask], is_known: IsKnown, now: datetime) -> int:
        due = [each for each in tasks if each.erase_at is not None and each.erase_at <= now]
        ended = [each.task_id for each in due if each.ended_at is not None]
        unended = [each.task_id for each in due if each.ended_at is None]
        # One that runs is left alone, however old; so is one that ended and is yet to be recorded.
        known = await is_known(unended) if unended else {}
        unknown = [each for each in unended if not known[each]]
        return await self._take(ended, now, True) + await self._take(unknown, now, False)

    async def _take(self, task_ids: Collection[str], now: datetime, have_ended: bool) -> int:
        return await asyncio.to_thread(
            erase_kept,
            self._engine,
            self._store,
            list(task_ids),
            self._retention,
            now,
            have_ended=have_ended,
        )
