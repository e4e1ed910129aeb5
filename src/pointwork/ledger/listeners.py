"""Where the tokens of a task go while it is answered: the replica that holds its caller.

Only a process that may write to the ledger names an address here, so that nobody who starts a
workflow turns a worker on another host (docs/adr/0022).
"""

from datetime import datetime

from sqlalchemy import Engine, bindparam, delete, select

from pointwork.ledger.engine import insert_or_update, read, transact
from pointwork.ledger.tables import StreamListener, table_of

_LISTENER = table_of(StreamListener)


class Listeners:
    """Names and finds listeners. Thread-safe, no state."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def name(self, task_id: str, url: str, expires_at: datetime) -> None:
        """Say that the gateway at ``url`` holds the task's caller; the last one to say so does."""
        row = {"task_id": task_id, "url": url, "expires_at": expires_at}
        transact(self._engine, lambda c: c.execute(_NAME[c.dialect.name], row))

    def url_of(self, task_id: str) -> str | None:
        """Who listens to the task; None where nobody does."""
        with read(self._engine) as connection:
            found: str | None = connection.execute(_FIND, {"of_task": task_id}).scalar()
        return found

    def forget(self, before: datetime) -> int:
        """Drop the listeners whose request is over by then; how many there were."""
        deleted: int = transact(
            self._engine, lambda c: c.execute(_FORGET, {"before": before}).rowcount
        )
        return deleted


_FIND = select(_LISTENER.c.url).where(_LISTENER.c.task_id == bindparam("of_task"))
_FORGET = delete(_LISTENER).where(_LISTENER.c.expires_at < bindparam("before"))
_NAME = insert_or_update(
    _LISTENER,
    "task_id",
    values=lambda given: {"url": given.url, "expires_at": given.expires_at},
)
