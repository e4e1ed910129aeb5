"""Real processes that a test starts, kills, pauses and starts again: workers and Temporal's server.

Workers run what ``python -m workers`` runs, forked from a process that has imported it already:
a fresh interpreter would need seconds of processor time for each of a hundred restarts.
"""

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from pointwork.embedded.directory import StateDirectory
from pointwork.embedded.part import Part
from pointwork.embedded.temporal_server import Ports, choose_endpoints, server_spec
from workers.process import ALL, serve
from workers.settings import Settings

LOOK_EVERY_SECONDS = 0.02
READY_SECONDS_MAX = 120
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


async def until(is_so: Callable[[], bool], seconds_max: float = READY_SECONDS_MAX) -> None:
    """Wait for something that another process brings about.

    Raises:
        TimeoutError: it did not come about.
    """
    async with asyncio.timeout(seconds_max):
        while not is_so():
            await asyncio.sleep(LOOK_EVERY_SECONDS)


class Worker:
    """One process that serves one queue, or all but the GPU's."""

    def __init__(self, settings: Mapping[str, Any], what: str = ALL) -> None:
        """``settings``: what differs from the defaults; a ``state_dir`` of its own among it."""
        self._state_dir: Path = settings["state_dir"]
        self._state_dir.mkdir(parents=True, exist_ok=True)
        self._what = what
        self.is_serving = False
        self._process: ForkServerProcess = _FORKS.Process(
            target=_work, args=(dict(settings), what), daemon=True
        )

    async def start(self) -> None:
        """Start the process; it serves when this returns."""
        await asyncio.to_thread(self._process.start)
        mark = self._state_dir / "run" / f"{self._what}.ready"
        ready = str(self.pid)
        await until(lambda: not self.is_running or (mark.exists() and mark.read_text() == ready))
        if not self.is_running:
            log = (self._state_dir / "worker.log").read_text()[-2000:]
            raise AssertionError(f"the worker ended with {self._process.exitcode}:\n{log}")
        self.is_serving = True

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.is_alive()

    def send(self, number: signal.Signals) -> None:
        self.is_serving = number is signal.SIGCONT
        os.kill(self.pid, number)

    async def ended(self) -> int:
        """Wait for the process to end; its exit status, negative where a signal ended it."""
        await until(lambda: not self.is_running)
        assert self._process.exitcode is not None
        return self._process.exitcode

    async def kill(self) -> None:
        if self.is_running:
            self.send(signal.SIGKILL)
            await self.ended()


def _work(settings: dict[str, Any], what: str) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    log = os.open(settings["state_dir"] / "worker.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    logging.basicConfig(level=logging.INFO)
    asyncio.run(serve(Settings(**settings), what))
    os._exit(0)


def _end_with_parent() -> None:
    """Nothing may outlive a test run that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


class Server:
    """Temporal's dev server on a file, as ``pointwork up`` runs it."""

    def __init__(self, part: Part, address: str, directory: StateDirectory) -> None:
        self._part = part
        self.address = address
        self.database = directory.temporal_db

    async def start(self) -> None:
        """Start it, or start it again on the same file and port; it serves when this returns."""
        await self._part.start()

    async def kill(self) -> None:
        if self._part.pid is not None:
            os.kill(self._part.pid, signal.SIGKILL)
            await until(lambda: self._part.pid is None)


@asynccontextmanager
async def temporal(
    folder: Path, namespaces: Sequence[str] = (), options: Sequence[str] = ()
) -> AsyncIterator[Server]:
    """A server of the test's own, with namespaces besides ``default`` and more of its options."""
    directory = StateDirectory(folder)
    directory.create()
    await directory.lock()
    endpoints = choose_endpoints(directory, Ports())
    spec = server_spec(directory, endpoints)
    more = [word for each in namespaces for word in ("--namespace", each)]
    part = Part(
        replace(spec, command=(*spec.command, *more, *options)),
        directory.parts_lock_fd,
        lambda event: None,
    )
    server = Server(part, endpoints.temporal_address, directory)
    try:
        await server.start()
        yield server
    finally:
        await server.kill()
        directory.unlock()
