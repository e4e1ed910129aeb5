"""Starts, watches and stops every part of an embedded deployment, in order."""

import asyncio
import socket
import sys
from pathlib import Path

from pointwork.embedded.directory import EmbeddedError, Endpoints, StateDirectory
from pointwork.embedded.listening import gateway_listener
from pointwork.embedded.part import OnEvent, Part, PartFailedError, PartSpec
from pointwork.embedded.temporal_server import LOOPBACK, Ports, choose_endpoints, server_spec

GATEWAY = "gateway"
WORKERS = ("all", "gpu", GATEWAY)
"""One process serves every queue but the GPU's, so that a load of a model delays only its own."""

_PORT_TRIES_MAX = 3
_PORT_TAKEN = "address already in use"
_WORKER_READY_TIMEOUT_SECONDS = 120.0
_WORKER_STOP_GRACE_SECONDS = 15.0


class Embedded:
    """A deployment on one state directory (design 10). Every part ends with this process.

    Use it from the thread that lives as long as the process: the kernel ends the parts with the
    thread that started them.
    """

    def __init__(
        self,
        state_dir: Path,
        app_root: Path,
        *,
        ports: Ports | None = None,
        workers: tuple[str, ...] = WORKERS,
        payload_keys: Path | None = None,
        accepts_plaintext: bool = False,
    ) -> None:
        """``app_root``: the checkout with ``workers/`` and ``policies/``, see ``find_app_root``.

        ``payload_keys`` seal what Temporal stores, and are noted for whoever connects.
        """
        self._directory = StateDirectory(state_dir)
        self._app_root = app_root.absolute()
        self._ports = ports or Ports()
        self._worker_names = workers
        self._payload_keys = payload_keys
        self._accepts_plaintext = accepts_plaintext
        self._server: Part | None = None
        self._workers: list[Part] = []
        self._watches: list[asyncio.Task[None]] = []
        self._endpoints: Endpoints | None = None
        self._listener: socket.socket | None = None

    @property
    def endpoints(self) -> Endpoints:
        """Where the deployment is reached.

        Raises:
            EmbeddedError: it was not started.
        """
        if self._endpoints is None:
            raise EmbeddedError("the deployment was not started; call start() first")
        return self._endpoints

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the parts that run, by name."""
        parts = [self._server, *self._workers] if self._server else self._workers
        return {part.name: part.pid for part in parts if part.pid is not None}

    async def start(self, on_event: OnEvent) -> Endpoints:
        """Start the server, then the workers, and return when all serve; restart what ends later.

        ``on_event`` is called from this event loop, also after ``start`` has returned.

        Raises:
            AlreadyRunningError: another process runs on the state directory.
            EmbeddedError: a part did not come up; the text ends with its log's last lines. What
                was started is stopped again.
        """
        self._directory.create()
        await self._directory.lock()
        try:
            if GATEWAY in self._worker_names:
                self._listener = gateway_listener(self._directory, self._ports)
            self._endpoints = await self._start_server(on_event)
            await self._start_workers(on_event)
        except BaseException:
            await self.stop()
            raise
        return self._endpoints

    async def wait(self) -> None:
        """Wait for as long as the parts are watched; cancelling it stops nothing.

        Raises:
            Exception: what ended the watch, which is a bug.
        """
        if self._watches:
            done, _ = await asyncio.wait(self._watches, return_when=asyncio.FIRST_EXCEPTION)
            for watch in done:
                if not watch.cancelled():
                    watch.result()

    async def stop(self) -> None:
        """Stop the workers, then the server; leaves no process. May be called at any time."""
        watches, self._watches = self._watches, []
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)
        workers, self._workers = self._workers, []
        await asyncio.gather(*(worker.stop() for worker in workers))
        if self._server is not None:
            await self._server.stop()
            self._server = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._directory.is_ours:
            for name in self._worker_names:
                self._directory.ready_file(name).unlink(missing_ok=True)
            self._directory.unlock()

    async def _start_server(self, on_event: OnEvent) -> Endpoints:
        tries = 0
        while True:
            tries += 1
            endpoints = choose_endpoints(self._directory, self._ports).model_copy(
                update={"payload_keys": self._payload_keys, "gateway_url": self._gateway_url()}
            )
            # Before the server is up: whoever reads the file now waits at the right address.
            self._directory.write_endpoints(endpoints)
            spec = server_spec(self._directory, endpoints)
            self._server = Part(spec, self._directory.parts_lock_fd, on_event)
            try:
                await self._server.start()
            except PartFailedError as failed:
                # Somebody may take a free port between our look and the server's.
                if _PORT_TAKEN not in failed.log_tail or tries == _PORT_TRIES_MAX:
                    raise
            else:
                self._watches.append(asyncio.create_task(self._server.watch()))
                return endpoints

    async def _start_workers(self, on_event: OnEvent) -> None:
        for name in self._worker_names:
            self._workers.append(
                Part(self._worker_spec(name), self._directory.parts_lock_fd, on_event)
            )
        starts = [asyncio.create_task(worker.start()) for worker in self._workers]
        try:
            await asyncio.gather(*starts)
        except BaseException:
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
            raise
        self._watches += [asyncio.create_task(worker.watch()) for worker in self._workers]

    def _gateway_url(self) -> str | None:
        if self._listener is None:
            return None
        return f"http://{LOOPBACK}:{self._listener.getsockname()[1]}"

    def _worker_spec(self, name: str) -> PartSpec:
        # The socket is ours, so that nobody takes the port while the gateway starts anew, and
        # who calls meanwhile waits instead of being refused.
        fd = self._listener.fileno() if name == GATEWAY and self._listener else None
        ready_file = self._directory.ready_file(name)

        async def is_ready(pid: int) -> bool:
            try:
                return ready_file.read_text(encoding="utf-8").strip() == str(pid)
            except FileNotFoundError:
                return False

        return PartSpec(
            name=name,
            command=(
                *(sys.executable, "-m", "workers", name),
                *("--state-dir", str(self._directory.path)),
                *(("--payload-keys", str(self._payload_keys)) if self._payload_keys else ()),
                *(("--accept-plaintext-payloads",) if self._accepts_plaintext else ()),
                *(("--fd", str(fd)) if fd is not None else ()),
            ),
            pass_fds=(fd,) if fd is not None else (),
            cwd=self._app_root,
            log=self._directory.logs / f"worker-{name}.log",
            is_ready=is_ready,
            ready_timeout_seconds=_WORKER_READY_TIMEOUT_SECONDS,
            stop_grace_seconds=_WORKER_STOP_GRACE_SECONDS,
        )
