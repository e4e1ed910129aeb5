"""Named places where a test may end the process, so that crashes are chosen and not left to luck.

Nothing happens at any of them until the composition root arms one, which settings allow in the
development profile only (reliability 2.3; DC-1).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

EXIT_STATUS = 9
"""How a process ends at a failpoint: at once, with nothing flushed, as if it had been killed."""

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Failpoint(StrEnum):
    """Moments around what must not be lost or done twice, in the order a task passes them.

    ``before_…_commit`` stands inside the transaction, after its last statement.
    """

    BEFORE_RESERVE_COMMIT = "before_reserve_commit"
    AFTER_RESERVE_COMMIT = "after_reserve_commit"
    BEFORE_SENT_COMMIT = "before_sent_commit"
    AFTER_SENT_COMMIT = "after_sent_commit"
    AFTER_SOCKET_WRITE = "after_socket_write"
    """The whole request is with the kernel, no byte of an answer is here."""
    AFTER_FIRST_BYTE = "after_first_byte"
    """The first piece of the answer's body is here."""
    AFTER_BODY = "after_body"
    """The whole answer is here, and nowhere on disk."""
    BEFORE_FINISH_COMMIT = "before_finish_commit"
    AFTER_FINISH_COMMIT = "after_finish_commit"
    BEFORE_ACTIVITY_RETURN = "before_activity_return"
    """The call is recorded, and Temporal does not know it yet."""
    BEFORE_AUDIT_APPEND = "before_audit_append"
    AFTER_AUDIT_APPEND = "after_audit_append"
    BEFORE_SETTLE_COMMIT = "before_settle_commit"
    AFTER_SETTLE_COMMIT = "after_settle_commit"
    AFTER_OUTCOME = "after_outcome"
    """The outcome is recorded, and Temporal does not know it yet."""


@dataclass(frozen=True, slots=True)
class _Armed:
    point: Failpoint
    once: Path


_armed: _Armed | None = None


def arm(point: Failpoint, once: Path) -> None:
    """End this process when it first reaches ``point``, unless the file ``once`` exists by then.

    Of all processes armed with the same ``once``, one ends: the one that creates it. Started
    again with the same settings, it passes.
    """
    global _armed
    _armed = _Armed(point, once)


def reach(point: Failpoint) -> None:
    """Say that the process is here; it ends here where this point is armed."""
    if _armed is not None and _armed.point is point:
        _end_once(_armed.once)


def ending_at(point: Failpoint, work: Callable[[_In], _Out]) -> Callable[[_In], _Out]:
    """``work``, with ``point`` after its last step."""

    def run(argument: _In) -> _Out:
        result = work(argument)
        reach(point)
        return result

    return run


def _end_once(once: Path) -> None:
    try:
        marker = os.open(once, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return
    os.fsync(marker)
    folder = os.open(once.parent, os.O_RDONLY)
    os.fsync(folder)
    os._exit(EXIT_STATUS)
