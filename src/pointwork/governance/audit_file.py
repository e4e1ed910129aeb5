"""The audit events a governing authority takes over, as one file it can read: a line each.

The hashes chain the lines, so the file also tells whether the ledger's own end was cut off since.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from pointwork.governance.ports import AuditEvent

AUDIT_FILE = "audit.jsonl"
_TAIL_BYTES = 1 << 20


class FileAuditReceiver:
    """The port ``AuditReceiver`` over one file, which several processes may hand events to."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / AUDIT_FILE

    def taken_until(self) -> int:
        """Sequence of the last whole line; 0 before the first.

        Raises:
            OSError: the file cannot be read, or its last line is no event.
        """
        if not self._path.exists():
            return 0
        with self._path.open("rb") as file:
            return self._last_sequence(file.fileno())

    def take(self, events: Sequence[AuditEvent]) -> None:
        """Append what is not there yet, and return once it is on the disk.

        Raises:
            OSError: nothing is known to be kept; hand the events over again. Also where they do
                not follow the last line: a gap would look like a record that was taken out.
        """
        with self._locked() as descriptor:
            last = self._last_sequence(descriptor)
            new = [each for each in events if each.sequence > last]
            if new and new[0].sequence != last + 1:
                msg = f"{self._path} ends at {last}, and {new[0].sequence} does not follow it"
                raise OSError(msg)
            end = self._whole_bytes(descriptor)
            os.ftruncate(descriptor, end)
            os.lseek(descriptor, end, os.SEEK_SET)
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.writelines(each.model_dump_json().encode() + b"\n" for each in new)
            os.fsync(descriptor)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _tail(self, descriptor: int) -> bytes:
        size = os.fstat(descriptor).st_size
        return os.pread(descriptor, _TAIL_BYTES, max(0, size - _TAIL_BYTES))

    def _whole_bytes(self, descriptor: int) -> int:
        """Length up to the last line break: what a crash left of a line after it is none."""
        tail = self._tail(descriptor)
        return os.fstat(descriptor).st_size - len(tail) + tail.rfind(b"\n") + 1

    def _last_sequence(self, descriptor: int) -> int:
        lines = self._tail(descriptor).split(b"\n")[:-1]
        if not lines:
            return 0
        try:
            return AuditEvent.model_validate_json(lines[-1]).sequence
        except ValidationError:
            msg = f"the last line of {self._path} is no event; move the file away"
            raise OSError(msg) from None
