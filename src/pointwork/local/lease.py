"""A lease on the device itself: one activity slot serialises one process, not one GPU."""

import asyncio
import fcntl
import os
from pathlib import Path
from typing import Self

from pointwork.local.runtime import LocalModelUnavailableError

_POLL_SECONDS = 0.1


class DeviceBusyError(LocalModelUnavailableError):
    """Another process holds the device."""


class DeviceLease:
    """A lock on a file that stands for one device; the kernel drops it when its holders are gone.

    ``path`` must be the same for every worker of the card, so one path a device and host. The lock
    belongs to the open file: hand ``fileno()`` to the process that uses the device, and the lease
    lasts until that process has ended too, even when the worker was killed. The default wait covers
    the moment such a process needs to end.
    """

    def __init__(self, path: Path, *, wait_seconds: float = 10.0) -> None:
        self._path = path
        self._wait_seconds = wait_seconds
        self._fd: int | None = None

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()

    @property
    def is_held(self) -> bool:
        return self._fd is not None

    def fileno(self) -> int:
        """The descriptor that carries the lock.

        Raises:
            ValueError: the lease is not held.
        """
        if self._fd is None:
            raise ValueError(f"the lease on {self._path} is not held; acquire it first")
        return self._fd

    async def acquire(self) -> None:
        """Take the lease, waiting up to ``wait_seconds``; nothing happens where it is held.

        Raises:
            DeviceBusyError: another process still holds it.
        """
        if self._fd is not None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await self._lock(fd)
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def release(self) -> None:
        """Give the lease back; a process that was handed the descriptor keeps it until it ends."""
        if self._fd is not None:
            # Closing only: an explicit unlock would also unlock for the process that shares it.
            os.close(self._fd)
            self._fd = None

    async def _lock(self, fd: int) -> None:
        deadline = asyncio.get_running_loop().time() + self._wait_seconds
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if asyncio.get_running_loop().time() >= deadline:
                    raise DeviceBusyError(self._busy(fd)) from None
            else:
                return
            await asyncio.sleep(_POLL_SECONDS)

    def _busy(self, fd: int) -> str:
        holder = os.pread(fd, 20, 0).decode(errors="replace").strip() or "unknown"
        return (
            f"the device of {self._path} is held by process {holder}; stop that worker, or give "
            "this one a device and a lease file of its own"
        )
