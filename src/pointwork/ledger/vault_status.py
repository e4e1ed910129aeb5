"""What the vault holds: contents by age and place, and what retention will take next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, case, func, select

from pointwork.contract.sweep import SweepPlace
from pointwork.ledger.engine import read
from pointwork.ledger.erasure import CONTENT, KEY
from pointwork.ledger.retention import Retention, kept_tasks

AGES_DAYS = (1, 7, 30, 90, 365)
"""Ages at which contents are counted apart, in days."""
_FOREVER = timedelta(days=100_000)


@dataclass(frozen=True, kw_only=True, slots=True)
class ContentsOfAge:
    """Contents younger than ``days_max`` days and not counted before; None is all older ones."""

    days_max: int | None
    contents: int
    bytes_count: int
    """Before they were sealed."""
    in_store: int
    """How many of them lie outside the ledger's table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyCounts:
    """Tasks by whether their content can be read still."""

    live: int
    erased: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """How many ended tasks retention takes within a time; and what it leaves alone."""

    within: Sequence[tuple[timedelta, int]]
    kept: int
    """Ended tasks that it takes later, or never."""
    unended: int
    """Tasks without an outcome. Those that run are never taken."""


def contents_by_age(engine: Engine, now: datetime) -> list[ContentsOfAge]:
    """Every content counted by its age, youngest first; it looks at every one."""
    ages = [
        (CONTENT.c.created_at > now - timedelta(days=days), at) for at, days in enumerate(AGES_DAYS)
    ]
    age = case(*ages, else_=len(AGES_DAYS)).label("age")
    query = select(
        age,
        func.count().label("contents"),
        func.sum(CONTENT.c.bytes_count).label("bytes_count"),
        func.count(CONTENT.c.object_name).label("in_store"),
    ).group_by(age)
    with read(engine) as connection:
        found = {row.age: row for row in connection.execute(query)}
    bounds = (*AGES_DAYS, None)
    return [
        ContentsOfAge(
            days_max=bounds[at],
            contents=found[at].contents,
            bytes_count=int(found[at].bytes_count),
            in_store=found[at].in_store,
        )
        for at in sorted(found)
    ]


def key_counts(engine: Engine) -> KeyCounts:
    with read(engine) as connection:
        row = connection.execute(_KEYS).one()
    return KeyCounts(live=row.live, erased=row.all - row.live)


def due(engine: Engine, retention: Retention, now: datetime, times: Sequence[timedelta]) -> Due:
    """How many tasks are taken within each of ``times`` from now; it looks at every live one."""
    counts, kept, unended = dict.fromkeys(times, 0), 0, 0
    after: SweepPlace | None = None
    while True:
        page = kept_tasks(engine, retention, now + _FOREVER, after)
        for task in page.tasks:
            if task.ended_at is None:
                unended += 1
                continue
            left = _FOREVER if task.erase_at is None else task.erase_at - now
            met = [each for each in times if left <= each]
            kept += not met
            for each in met:
                counts[each] += 1
        if page.last is None:
            return Due(within=tuple(counts.items()), kept=kept, unended=unended)
        after = page.last


_KEYS = select(func.count().label("all"), func.count(KEY.c.wrapped).label("live"))
