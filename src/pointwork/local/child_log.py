"""The log of a child that serves a model: kept until the first prompt, and of a bounded size."""

import asyncio
import logging
import os
from pathlib import Path
from typing import Self

_logger = logging.getLogger(__name__)

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
        with _Log(log) as file:
            while chunk := await said.read(_CHUNK_BYTES):
                if not self._is_hushed:
                    file.write(chunk)


class _Log:
    """Writes while it can. A child whose pipe nobody reads stands still, so no error ends that."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def __enter__(self) -> Self:
        try:
            self._fd = open_child_log(self._path)
        except OSError as error:
            self._gives_up(error)
        return self

    def write(self, chunk: bytes) -> None:
        if self._fd is None:
            return
        try:
            os.write(self._fd, chunk)
        except OSError as error:
            self._gives_up(error)

    def __exit__(self, *_: object) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _gives_up(self, error: OSError) -> None:
        _logger.warning("%s is not written any more: %s", self._path, error.strerror)
        self.__exit__()
