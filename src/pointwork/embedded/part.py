"""One supervised child process: started, watched, restarted, stopped."""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pointwork.embedded.directory import EmbeddedError
from pointwork.local.tether import tethered

_POLL_SECONDS = 0.05
_RESTART_DELAY_SECONDS = 0.5
_RESTART_DELAY_MAX_SECONDS = 30.0
_STEADY_SECONDS = 60.0
_TAIL_LINES = 20
_TAIL_BYTES = 8_192
_LOG_BYTES_MAX = 20_000_000


class PartState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DIED = "died"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class EmbeddedEvent:
    """What happened to one part, for a person who watches."""

    part: str
    state: PartState
    detail: str = ""


OnEvent = Callable[[EmbeddedEvent], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class PartSpec:
    """How to run a part and how to know that it serves."""

    name: str
    command: tuple[str, ...]
    cwd: Path
    log: Path
    is_ready: Callable[[int], Awaitable[bool]]
    """Told the process id; asked again and again until it says yes."""
    ready_timeout_seconds: float
    stop_grace_seconds: float
    start_attempts: int = 1
    """How often a start is tried whose process ends before it serves."""
    env: Mapping[str, str] | None = None
    """None inherits ours."""
    pass_fds: tuple[int, ...] = ()
    """Descriptors it is given, under the same numbers."""


class PartFailedError(EmbeddedError):
    """A part did not come up; the text ends with the last lines of its log."""

    def __init__(self, part: str, what: str, log: Path, log_tail: str) -> None:
        said = f"; it said:\n{log_tail}" if log_tail else ""
        super().__init__(f"{part} {what}; its log is {log}{said}")
        self.log_tail = log_tail


class _EndedEarlyError(PartFailedError):
    """It ended by itself before it served."""


class Part:
    """A child in a process group of its own, so that Ctrl-C at the terminal reaches us alone and
    we stop the parts in order; tied to us, so that none outlives us."""

    def __init__(self, spec: PartSpec, lock_fd: int, on_event: OnEvent) -> None:
        self._spec = spec
        self._lock_fd = lock_fd
        self._on_event = on_event
        self._process: Process | None = None
        self._log_start_bytes = 0

    @property
    def name(self) -> str:
        return self._spec.name

    @property
    def pid(self) -> int | None:
        """None where it does not run."""
        process = self._process
        return process.pid if process and process.returncode is None else None

    async def start(self) -> None:
        """Start the process and wait until it serves; again where it ends, as the spec allows.

        Raises:
            PartFailedError: it ended, or did not serve in time; it does not run any more then.
        """
        for _ in range(1, self._spec.start_attempts):
            try:
                return await self._start_once()
            except _EndedEarlyError as ended:
                self._tell(PartState.DIED, str(ended))
                await asyncio.sleep(_RESTART_DELAY_SECONDS)
        return await self._start_once()

    async def _start_once(self) -> None:
        self._tell(PartState.STARTING)
        try:
            process = await self._spawn()
            async with asyncio.timeout(self._spec.ready_timeout_seconds):
                await self._await_ready(process)
        except TimeoutError:
            await self._end()
            raise self._failed(
                f"was not ready after {self._spec.ready_timeout_seconds:g} s"
            ) from None
        except OSError as refused:
            await self._end()
            raise self._failed(f"could not be started ({refused.strerror})") from refused
        except BaseException:
            await self._end()
            raise
        self._tell(PartState.READY, f"process {process.pid}")

    async def watch(self) -> None:
        """Restart the process whenever it ends, sooner at first and later when it keeps ending."""
        delay_seconds = _RESTART_DELAY_SECONDS
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            if self._process is not None:
                status = await self._process.wait()
                self._kill_group()
                self._tell(PartState.DIED, f"status {status}")
            if clock() - began > _STEADY_SECONDS:
                delay_seconds = _RESTART_DELAY_SECONDS
            await asyncio.sleep(delay_seconds)
            delay_seconds = min(delay_seconds * 2, _RESTART_DELAY_MAX_SECONDS)
            try:
                await self.start()
            except PartFailedError as failed:
                self._tell(PartState.DIED, str(failed))

    async def stop(self) -> None:
        """End the process, gently at first. Nothing happens where it does not run."""
        if self._process is not None:
            await self._end()
            self._tell(PartState.STOPPED)

    async def _spawn(self) -> Process:
        log = self._open_log()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *tethered(self._spec.command, parent_pid=os.getpid()),
                cwd=self._spec.cwd,
                env=self._spec.env,
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
                pass_fds=(self._lock_fd, *self._spec.pass_fds),
            )
        finally:
            os.close(log)
        return self._process

    async def _await_ready(self, process: Process) -> None:
        while not await self._spec.is_ready(process.pid):
            if process.returncode is not None:
                raise self._failed(f"ended with status {process.returncode}", _EndedEarlyError)
            await asyncio.sleep(_POLL_SECONDS)

    async def _end(self) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(self._spec.stop_grace_seconds):
                    await process.wait()
            except TimeoutError:
                self._kill_group()
            except asyncio.CancelledError:
                self._kill_group()
                raise
            await process.wait()
        self._kill_group()
        self._process = None

    def _kill_group(self) -> None:
        """Also what the process started itself; whatever is left of the group."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _open_log(self) -> int:
        log = self._spec.log
        if log.exists() and log.stat().st_size > _LOG_BYTES_MAX:
            log.replace(log.with_suffix(".log.1"))
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._log_start_bytes = os.fstat(fd).st_size
        return fd

    def _failed(self, what: str, kind: type[PartFailedError] = PartFailedError) -> PartFailedError:
        return kind(self.name, what, self._spec.log, self._log_tail())

    def _log_tail(self) -> str:
        """The last lines since the last start; none where the log could not even be opened.

        Where a Go program panicked, the lines from there on: what ends its log is a stack."""
        if not self._spec.log.is_file():
            return ""
        with self._spec.log.open("rb") as log:
            size_bytes = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start_bytes, size_bytes - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        panics = [at for at, line in enumerate(lines) if line.startswith("panic:")]
        told = lines[panics[0] :][:_TAIL_LINES] if panics else lines[-_TAIL_LINES:]
        return "\n".join(told)

    def _tell(self, state: PartState, detail: str = "") -> None:
        self._on_event(EmbeddedEvent(self.name, state, detail))
