"""Objects in the store that no row names: what a crash, a repeat or a failed deletion left behind.

An object is written before its row, so a young one may be about to get it. None of the others ever
will: a name is random and never written twice.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Engine, bindparam, select

from pointwork.ledger.engine import read
from pointwork.ledger.erasure import CONTENT
from pointwork.ledger.sealed_bytes import SHARDS, SealedBytes, StoredObject, task_of

GRACE = timedelta(hours=24)
"""Far above what may lie between an object and its row, a suspended machine included."""
_ASKED_AT_ONCE = 500


def shard_at(now: datetime) -> int:
    """The shard whose turn it is: another each minute, so all in four and a half hours.

    It follows from the time, so that no worker has to remember where the last one stopped.
    """
    return int(now.timestamp()) // 60 % SHARDS


def remove_orphans(
    engine: Engine,
    store: SealedBytes,
    now: datetime,
    *,
    shard: int,
    grace: timedelta = GRACE,
) -> int:
    """Delete the objects of a shard that are older than ``grace`` and that no row names.

    Returns:
        How many were deleted.

    Raises:
        SealedStoreError: the store does not answer; the next round sees what is left.
    """
    removed = 0
    for page in store.listed(shard):
        old = [each for each in page if each.modified_at <= now - grace]
        for at in range(0, len(old), _ASKED_AT_ONCE):
            orphans = _unnamed(engine, old[at : at + _ASKED_AT_ONCE])
            store.delete(orphans)
            removed += len(orphans)
    return removed


def _unnamed(engine: Engine, objects: Sequence[StoredObject]) -> list[str]:
    """Those that no row names; what is none of ours is left alone."""
    ours = {each.name: task_id for each in objects if (task_id := task_of(each.name))}
    with read(engine) as connection:
        named = set(connection.execute(_NAMED, {"of_tasks": sorted(set(ours.values()))}).scalars())
    return [name for name in ours if name not in named]


_NAMED = select(CONTENT.c.object_name).where(
    CONTENT.c.task_id.in_(bindparam("of_tasks", expanding=True)),
    CONTENT.c.object_name.is_not(None),
)
