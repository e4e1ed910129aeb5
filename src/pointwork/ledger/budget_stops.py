"""Hard stops: a budget that was exceeded holds every task until a person resumes (OM-32, OM-33)."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, Engine, bindparam, select, update

from pointwork.ledger import audit
from pointwork.ledger.budget_alerts import tell
from pointwork.ledger.budget_tables import AlertKind
from pointwork.ledger.budget_windows import WINDOW
from pointwork.ledger.engine import read, transact


def stop(connection: Connection, windows: Iterable[str], task_id: str, now: datetime) -> list[str]:
    """Stop the windows, with the task that found them exceeded; returns those that were not yet."""
    stopped = []
    for key in sorted(set(windows)):
        row = connection.execute(_STOP, {"of_window": key, "at": now}).first()
        if row is None:
            continue
        stopped.append(key)
        tell(
            connection,
            AlertKind.STOPPED,
            key,
            now.isoformat(),
            task_id=task_id,
            amount_nano_usd=row.spent_nano_usd + row.reserved_nano_usd,
            limit_nano_usd=row.limit_nano_usd,
            now=now,
        )
    for key in stopped:
        audit.append(connection, "budget_stopped", {"window": key}, now, task_id=task_id)
    return stopped


class StopBook:
    """The stops that stand. Thread-safe; keeps no state outside the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def standing(self) -> dict[str, datetime]:
        """Since when each stopped window is."""
        with read(self._engine) as connection:
            return {row.window_key: row.stopped_at for row in connection.execute(_STANDING)}

    def resume(self, window_key: str, by: str, reason: str, now: datetime) -> bool:
        """Let tasks proceed again, as far as the window's limit goes; False where none is stopped.

        Tasks that wait for a person still wait for theirs: the caller approves them one by one.
        """

        def write(connection: Connection) -> bool:
            if connection.execute(_RESUME, {"of_window": window_key}).rowcount != 1:
                return False
            body = {"window": window_key, "resumed_by": by, "reason": reason}
            audit.append(connection, "budget_resumed", body, now)
            return True

        return transact(self._engine, write)


_STOP = (
    update(WINDOW)
    .where(WINDOW.c.window_key == bindparam("of_window"), WINDOW.c.stopped_at.is_(None))
    .values(stopped_at=bindparam("at"))
    .returning(WINDOW.c.spent_nano_usd, WINDOW.c.reserved_nano_usd, WINDOW.c.limit_nano_usd)
)
_STANDING = (
    select(WINDOW.c.window_key, WINDOW.c.stopped_at)
    .where(WINDOW.c.stopped_at.is_not(None))
    .order_by(WINDOW.c.stopped_at, WINDOW.c.window_key)
)
_RESUME = (
    update(WINDOW)
    .where(WINDOW.c.window_key == bindparam("of_window"), WINDOW.c.stopped_at.is_not(None))
    .values(stopped_at=None)
)
