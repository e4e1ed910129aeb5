"""One disk write for every transaction that waits: SQLite's writers take turns anyway.

A commit costs a flush to disk, milliseconds in which no other writer may begin. So the thread
whose turn it is runs all the work that queued up meanwhile in one transaction, each piece in a
savepoint of its own, and flushes once. Nobody gets a result before that flush: a piece of work is
committed or it failed, as if it had run alone.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Connection, Engine

BATCH_MAX = 64

_T = TypeVar("_T")


class _Entry(Generic[_T]):
    """A piece of work and how it went. ``error`` stands until the flush has succeeded."""

    def __init__(self, work: Callable[[Connection], _T]) -> None:
        self._work = work
        self._value: _T | None = None
        self.has_run = False
        self.error: BaseException | None = None

    def run(self, connection: Connection) -> None:
        self._value = self._work(connection)

    def result(self) -> _T:
        if self.error is not None:
            raise self.error
        return cast(_T, self._value)


class GroupCommit:
    """The queue of writers on one engine of this process."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._waiting: deque[_Entry[Any]] = deque()

    def run(self, engine: Engine, work: Callable[[Connection], _T]) -> _T:
        """Run ``work`` in a write transaction, alone or with others, and return once it is safe.

        An exception of ``work`` undoes its own writes only. Where the transaction as a whole
        fails, the disk being full, every piece of work in it fails with the same exception.
        """
        entry = _Entry(work)
        self._waiting.append(entry)
        with self._turn:
            while not entry.has_run:
                self._run_batch(engine)
        return entry.result()

    def _run_batch(self, engine: Engine) -> None:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_MAX))]
        try:
            with engine.begin() as connection:
                if len(batch) == 1:
                    batch[0].run(connection)
                else:
                    for entry in batch:
                        _run_apart(entry, connection)
        except BaseException as error:
            # Whatever ended the transaction ended it for all of them; none may wait for ever.
            for entry in batch:
                entry.error = entry.error or error
            if not isinstance(error, Exception):
                raise
        finally:
            for entry in batch:
                entry.has_run = True


def _run_apart(entry: _Entry[Any], connection: Connection) -> None:
    savepoint = connection.begin_nested()
    try:
        entry.run(connection)
    except Exception as error:  # noqa: BLE001  (handed to the thread that brought the work)
        savepoint.rollback()
        entry.error = error
    else:
        savepoint.commit()
