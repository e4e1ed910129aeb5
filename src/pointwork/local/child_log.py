"""The log of a child that serves a model: kept until the first prompt, and of a bounded size."""

import asyncio
import os
from pathlib import Path

_LOG_BYTES_MAX = 5_000_000
_CHUNK_BYTES = 65_536


def open_child_log(path: Path) -> int:
    """A descriptor that appends to ``path``, for its owner alone; a long log is put aside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LOG_BYTES_MAX:
        path.replace(path.with_suffix(".log.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


class LogPump:
    """Copies what a child says into its log until ``hush``, and throws the rest away.

    A program that is not ours may log what it is asked, and from then on there are prompts.
    """

    def __init__(self, said: asyncio.StreamReader, log: Path) -> None:
        self._is_hushed = False
        self._pumping = asyncio.create_task(self._pump(said, log))

    def hush(self) -> None:
        """Write no more; call it before the first request is sent."""
        self._is_hushed = True

    async def aclose(self) -> None:
        """Wait for the end of what the child says; it must have ended."""
        await self._pumping

    async def _pump(self, said: asyncio.StreamReader, log: Path) -> None:
        fd = open_child_log(log)
        try:
            while chunk := await said.read(_CHUNK_BYTES):
                if not self._is_hushed:
                    os.write(fd, chunk)
        finally:
            os.close(fd)
