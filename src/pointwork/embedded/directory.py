"""The one directory that holds an embedded deployment's state, and the lock of who runs on it."""

import asyncio
import fcntl
import os
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pointwork.contract.failures import PointworkError, ServiceUnavailableError
from pointwork.contract.names import NAMESPACE_DEFAULT

_LOCK_POLL_SECONDS = 0.05
_KILLED_WAIT_SECONDS = 1.0
_CRASHED_WAIT_SECONDS = 15.0


_Url = Annotated[str, Field(pattern=r"^http://[^:/]+:\d+(/\w*)?$")]


class EmbeddedError(PointworkError):
    """The embedded deployment cannot start. The text says which part and what to do."""


class AlreadyRunningError(EmbeddedError):
    """Another process runs on the same state directory."""


class NotRunningError(ServiceUnavailableError):
    """Nothing runs on the state directory."""


class Endpoints(BaseModel):
    """Where the running deployment is reached, all on loopback; kept so that restarts reuse it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    temporal_address: Annotated[str, Field(pattern=r"^[^:/]+:\d+$")]
    """``host:port`` of Temporal's gRPC service."""
    ui_url: _Url
    http_url: _Url
    metrics_url: _Url
    gateway_url: _Url | None = None
    """OpenAI's API, the routing API and the console; None where it was not started."""
    namespace: str = NAMESPACE_DEFAULT
    ledger_url: str
    payload_keys: Path | None = None
    """The file of the keys that seal its payloads; None where they are plain."""


class StateDirectory:
    """Layout and lock of a state directory; its files are for their owner alone."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._own_lock_fd: int | None = None
        self._parts_lock_fd: int | None = None

    @property
    def ledger_db(self) -> Path:
        return self.path / "ledger.db"

    @property
    def temporal_db(self) -> Path:
        return self.path / "temporal.db"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def models(self) -> Path:
        return self.path / "models"

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def endpoints_file(self) -> Path:
        return self.path / "endpoints.json"

    @property
    def _own_lock_file(self) -> Path:
        return self.run / "up.lock"

    @property
    def parts_lock_file(self) -> Path:
        return self.run / "parts.lock"

    def ready_file(self, worker: str) -> Path:
        """Where a worker writes its process id once it serves its queues."""
        return self.run / f"{worker}.ready"

    def create(self) -> None:
        """Make the directory, mode 0700, and take rights from others where they had any.

        Raises:
            EmbeddedError: it cannot be made or belongs to somebody else.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.path.stat().st_mode & 0o077:
                self.path.chmod(0o700)
            for directory in (self.logs, self.models, self.run):
                directory.mkdir(mode=0o700, exist_ok=True)
        except OSError as refused:
            raise EmbeddedError(
                f"state directory {self.path} cannot be used ({refused.strerror}); "
                "name one that you own with --state-dir"
            ) from refused

    @property
    def is_ours(self) -> bool:
        return self._own_lock_fd is not None

    @property
    def parts_lock_fd(self) -> int:
        """The descriptor that every part inherits and keeps open while it lives.

        Raises:
            ValueError: the lock is not held.
        """
        if self._parts_lock_fd is None:
            raise ValueError(f"the lock on {self.path} is not held; take it first")
        return self._parts_lock_fd

    async def lock(self) -> None:
        """Become the one who runs on the directory.

        Two locks, both dropped by the kernel when their holders are gone: one is ours alone and
        refuses a second run; the other is shared with the parts, so that a run after a crash
        waits until the last process that may still write here has ended.

        Raises:
            AlreadyRunningError: somebody else runs on it.
        """
        own_fd = _open_lock(self._own_lock_file)
        try:
            self._parts_lock_fd = await self._lock_both(own_fd)
        except BaseException:
            os.close(own_fd)
            raise
        self._own_lock_fd = own_fd

    def unlock(self) -> None:
        for fd in (self._parts_lock_fd, self._own_lock_fd):
            if fd is not None:
                os.close(fd)
        self._parts_lock_fd = self._own_lock_fd = None

    async def _lock_both(self, own_fd: int) -> int:
        # A run that was killed a moment ago may still be on its way out.
        if not await _lock_within(own_fd, _KILLED_WAIT_SECONDS):
            holder = os.pread(own_fd, 20, 0).decode(errors="replace").strip() or "unknown"
            raise AlreadyRunningError(
                f"pointwork already runs on {self.path} as process {holder}; use it, "
                f"stop it with `kill {holder}`, or name another --state-dir"
            )
        os.ftruncate(own_fd, 0)
        os.pwrite(own_fd, f"{os.getpid()}\n".encode(), 0)
        parts_fd = _open_lock(self.parts_lock_file)
        try:
            is_ours = await _lock_within(parts_fd, _CRASHED_WAIT_SECONDS)
        except BaseException:
            os.close(parts_fd)
            raise
        if not is_ours:
            os.close(parts_fd)
            raise AlreadyRunningError(
                f"processes of a crashed run still use {self.path}; end those that "
                f"`fuser {self.parts_lock_file}` lists and start again"
            )
        return parts_fd

    def write_endpoints(self, endpoints: Endpoints) -> None:
        """Keep the addresses for others to read, whole or not at all.

        Raises:
            EmbeddedError: the file cannot be written.
        """
        draft = self.endpoints_file.with_suffix(".part")
        try:
            draft.write_text(endpoints.model_dump_json(indent=2), encoding="utf-8")
            draft.replace(self.endpoints_file)
        except OSError as refused:
            raise EmbeddedError(
                f"{self.endpoints_file} cannot be written ({refused.strerror}); free space or "
                "correct the permissions there"
            ) from refused

    def remembered_endpoints(self) -> Endpoints | None:
        """Those of the last run; None where there are none that can be read."""
        try:
            return Endpoints.model_validate_json(self.endpoints_file.read_bytes())
        except (OSError, ValidationError):
            return None


def read_endpoints(state_dir: Path) -> Endpoints:
    """The addresses of the deployment that runs on ``state_dir``.

    Raises:
        NotRunningError: nothing runs there.
    """
    directory = StateDirectory(state_dir)
    endpoints = directory.remembered_endpoints()
    if endpoints is None or not _is_locked(directory.parts_lock_file):
        raise NotRunningError(
            f"nothing runs on {directory.path}; start it with "
            f"`pointwork up --state-dir {directory.path}`"
        )
    return endpoints


def find_app_root(start: Path) -> Path:
    """The nearest directory, ``start`` or above it, that holds the deployment's code and policies.

    Raises:
        EmbeddedError: there is none.
    """
    start = start.absolute()
    for candidate in (start, *start.parents):
        if (candidate / "workers" / "__main__.py").is_file() and (candidate / "policies").is_dir():
            return candidate
    raise EmbeddedError(
        f"neither {start} nor a directory above it holds workers/__main__.py and policies/; "
        "run this inside a checkout of Pointwork"
    )


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


async def _lock_within(fd: int, seconds: float) -> bool:
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if asyncio.get_running_loop().time() >= deadline:
                return False
        else:
            return True
        await asyncio.sleep(_LOCK_POLL_SECONDS)


def _is_locked(lock_file: Path) -> bool:
    try:
        fd = os.open(lock_file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
