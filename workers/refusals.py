"""Verdicts that changed nothing, on the audit chain: the workflow's history keeps none of them."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

_log = logging.getLogger(__name__)
PENDING_MAX = 1_000
"""Beyond as many unwritten ones a refusal is logged and not kept: nobody floods the ledger."""


class Book(Protocol):
    def refused(
        self, task_id: str, approval_id: str, approver: str | None, fault: str, now: datetime
    ) -> None: ...


class RefusedVerdicts:
    """Writes each to the ledger, away from the thread that runs the workflow."""

    def __init__(self, book: Book, threads: Executor) -> None:
        self._book = book
        self._threads = threads
        self._room = threading.Semaphore(PENDING_MAX)

    def note(self, task_id: str, approval_id: str, approver: str | None, fault: str) -> None:
        _log.warning("verdict on task %s refused: %s", task_id, fault)
        if not self._room.acquire(blocking=False):
            return
        now = datetime.now(UTC)
        self._submit(lambda: self._book.refused(task_id, approval_id, approver, fault, now))

    def _submit(self, write: Callable[[], None]) -> None:
        def run() -> None:
            try:
                write()
            except SQLAlchemyError:
                _log.exception("a refused verdict could not be recorded")
            finally:
                self._room.release()

        try:
            self._threads.submit(run)
        except RuntimeError:
            # The worker is shutting down.
            self._room.release()
