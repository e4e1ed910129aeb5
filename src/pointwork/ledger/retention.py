"""How long content is kept, by how careful it is; records are kept whatever happens to content.

Content goes by the destruction of its task's key, as in ``erasure``. Nothing here, or anywhere else
in Pointwork, deletes an outcome, a decision or a record of the chain (OM-81).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, and_, bindparam, delete, exists, or_, select, update

from pointwork.contract.sweep import SweepPlace
from pointwork.contract.task import Sensitivity
from pointwork.ledger import audit
from pointwork.ledger.engine import read, transact
from pointwork.ledger.erasure import CONTENT, KEY, OUTCOME, delete_objects
from pointwork.ledger.sealed_bytes import SealedBytes
from pointwork.ledger.tables import Decision, table_of

DAYS_MAX = 36_500
DAYS_DEFAULT: Mapping[Sensitivity, int | None] = {
    Sensitivity.PUBLIC: 365,
    Sensitivity.INTERNAL: 180,
    Sensitivity.PROPRIETARY: 90,
    Sensitivity.SENSITIVE: 60,
    Sensitivity.RESTRICTED: 30,
}
ROWS_PER_PAGE = 1000
TASKS_PER_ERASURE = 100
"""In one transaction, and so in one ``retention`` record, which names them all."""

_DECISION = table_of(Decision)


@dataclass(frozen=True)
class Retention:
    """Days that content is kept after its task has ended; None keeps it until somebody erases it.

    A task of which no sensitivity is on record counts as restricted.
    """

    days: Mapping[Sensitivity, int | None]

    @classmethod
    def over_defaults(cls, days: Mapping[Sensitivity, int | None]) -> "Retention":
        return cls({**DAYS_DEFAULT, **days})

    @property
    def shortest(self) -> timedelta | None:
        """None where nothing is ever erased."""
        given = [each for each in self.days.values() if each is not None]
        return timedelta(days=min(given)) if given else None

    def of(self, sensitivity: Sensitivity | None) -> timedelta | None:
        days = self.days[sensitivity or Sensitivity.RESTRICTED]
        return None if days is None else timedelta(days=days)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptTask:
    """A task whose content is there still."""

    task_id: str
    ended_at: datetime | None
    """None where it has no outcome: it may run."""
    erase_at: datetime | None
    """From when retention takes its content; None for never."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptPage:
    """Some of them, oldest first. ``last`` is where the next page goes on; None after the end."""

    tasks: tuple[KeptTask, ...]
    last: SweepPlace | None


def parse_days(text: str) -> dict[Sensitivity, int | None]:
    """Days by sensitivity from JSON such as ``{"public": 90, "internal": null}``.

    Raises:
        ValueError: it is none; the text names the key and what it takes.
    """
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        msg = 'is no JSON object of days by sensitivity; give one such as {"public": 90}'
        raise ValueError(msg)  # noqa: TRY004  (what was given is a text, of the right type)
    return {_level(name): _days(name, value) for name, value in given.items()}


def kept_tasks(
    engine: Engine,
    retention: Retention,
    accepted_before: datetime,
    after: SweepPlace | None = None,
) -> KeptPage:
    """A page of the tasks accepted before a moment whose content is there, from ``after`` on.

    One without an outcome is taken to have ended when it was accepted: whoever erases it must know
    that it does not run.
    """
    query = _LIVE if after is None else _LIVE_AFTER
    values: dict[str, Any] = {"before": accepted_before}
    if after is not None:
        values |= {"after_at": after.at, "after_id": after.row_id}
    with read(engine) as connection:
        rows = connection.execute(query, values).all()
        levels = _sensitivities(connection, [row.task_id for row in rows])
    tasks = tuple(_kept(row, levels.get(row.task_id), retention) for row in rows)
    is_full = len(rows) == ROWS_PER_PAGE
    last = SweepPlace(at=rows[-1].created_at, row_id=rows[-1].task_id) if is_full else None
    return KeptPage(tasks=tasks, last=last)


def erase_kept(
    engine: Engine,
    store: SealedBytes,
    task_ids: Sequence[str],
    retention: Retention,
    now: datetime,
    *,
    have_ended: bool = True,
) -> int:
    """Erase the content of tasks whose time is over, a bounded batch a transaction.

    Args:
        engine: the ledger.
        store: where sealed bytes lie outside its table.
        task_ids: which; one that was erased meanwhile is left as it is.
        retention: what they were kept by; it goes into the audit record of each batch.
        now: when.
        have_ended: only tasks with an outcome; False is for those without one of which it is
            known that no workflow runs them, and erases only such.

    Returns:
        How many tasks' content was erased.
    """
    erased = 0
    wanted = sorted(task_ids)
    for at in range(0, len(wanted), TASKS_PER_ERASURE):
        batch = _Batch(wanted[at : at + TASKS_PER_ERASURE], retention, now, have_ended)
        count, objects = transact(engine, batch)
        delete_objects(store, objects)
        erased += count
    return erased


class _Batch:
    """Some tasks' erasure, inside a transaction that looks again at what it was told."""

    def __init__(
        self, task_ids: Sequence[str], retention: Retention, now: datetime, have_ended: bool
    ) -> None:
        self._task_ids = task_ids
        self._retention = retention
        self._now = now
        self._erase = _ERASE_ENDED if have_ended else _ERASE_UNENDED

    def __call__(self, connection: Connection) -> tuple[int, list[str]]:
        wanted = {"of_tasks": self._task_ids, "at": self._now}
        erased = sorted(connection.execute(self._erase, wanted).scalars().all())
        if not erased:
            return 0, []
        names = connection.execute(_DELETE_CONTENTS, {"of_tasks": erased}).scalars().all()
        body = {
            "tasks": erased,
            "contents_erased": len(names),
            "days": {level.value: days for level, days in self._retention.days.items()},
        }
        audit.append(connection, "retention", body, self._now)
        return len(erased), [name for name in names if name is not None]


def _kept(row: Any, sensitivity: Sensitivity | None, retention: Retention) -> KeptTask:
    if row.is_restricted:
        sensitivity = Sensitivity.RESTRICTED
    keep_for = retention.of(sensitivity)
    since = row.finished_at or row.created_at
    return KeptTask(
        task_id=row.task_id,
        ended_at=row.finished_at,
        erase_at=None if keep_for is None else since + keep_for,
    )


def _sensitivities(
    connection: Connection, task_ids: Sequence[str]
) -> dict[str, Sensitivity | None]:
    """The most careful level on record of each task. It only rises, so the highest is the last."""
    found: dict[str, Sensitivity | None] = {}
    if not task_ids:
        return found
    for row in connection.execute(_LEVELS, {"of_tasks": list(task_ids)}):
        level = Sensitivity.RESTRICTED if row.is_restricted else row.sensitivity
        given = None if level is None else Sensitivity(level)
        found[row.task_id] = Sensitivity.highest(found.get(row.task_id), given)
    return found


def _level(name: str) -> Sensitivity:
    try:
        return Sensitivity(name)
    except ValueError:
        msg = f"{name!r} is no sensitivity; give {', '.join(Sensitivity)}"
        raise ValueError(msg) from None


def _days(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= DAYS_MAX:
        return value
    msg = f"{name} is {value!r}; give 1 to {DAYS_MAX} days, or null to keep it"
    raise ValueError(msg)


_LIVE = (
    select(
        KEY.c.task_id,
        KEY.c.created_at,
        OUTCOME.c.finished_at,
        OUTCOME.c.is_restricted,
    )
    .outerjoin(OUTCOME, OUTCOME.c.task_id == KEY.c.task_id)
    .where(KEY.c.wrapped.is_not(None), KEY.c.created_at < bindparam("before"))
    .order_by(KEY.c.created_at, KEY.c.task_id)
    .limit(ROWS_PER_PAGE)
)
_LIVE_AFTER = _LIVE.where(
    or_(
        KEY.c.created_at > bindparam("after_at"),
        and_(KEY.c.created_at == bindparam("after_at"), KEY.c.task_id > bindparam("after_id")),
    )
)
_LEVELS = select(_DECISION.c.task_id, _DECISION.c.sensitivity, _DECISION.c.is_restricted).where(
    _DECISION.c.task_id.in_(bindparam("of_tasks", expanding=True))
)
_HAS_OUTCOME = exists().where(OUTCOME.c.task_id == KEY.c.task_id)
_ERASE = (
    update(KEY)
    .where(KEY.c.task_id.in_(bindparam("of_tasks", expanding=True)), KEY.c.wrapped.is_not(None))
    .values(wrapped=None, erased_at=bindparam("at"))
    .returning(KEY.c.task_id)
)
_ERASE_ENDED = _ERASE.where(_HAS_OUTCOME)
_ERASE_UNENDED = _ERASE.where(~_HAS_OUTCOME)
_DELETE_CONTENTS = (
    delete(CONTENT)
    .where(CONTENT.c.task_id.in_(bindparam("of_tasks", expanding=True)))
    .returning(CONTENT.c.object_name)
)
