"""Serves local models through llama.cpp's server, one child process a model, one at a time."""

import asyncio
import logging
import os
import secrets
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pointwork.contract.local_run import ModelBuild
from pointwork.local.builds import file_revision
from pointwork.local.child_log import open_child_log
from pointwork.local.lease import DeviceLease
from pointwork.local.loopback import asked
from pointwork.local.runtime import LocalModelUnavailableError, RuntimeKind

_POLL_SECONDS = 0.02
_STOP_GRACE_SECONDS = 3.0
_RUNTIME = "xllamacpp"
"""The package that carries the server, whose own build number says nothing."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class LlamaModel:
    """A GGUF file, how much context one request gets, and how many requests run together."""

    path: Path
    revision: str = ""
    """The only one that may be loaded, as ``file_revision`` writes it; empty takes any."""
    context_tokens: int = 4096
    parallel_requests: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class _Child:
    model: str
    process: Process
    base_url: str
    quantisation: str


class LlamaCppRuntime:
    """``LocalRuntime`` over llama.cpp (DC-21): a swap kills one child and starts another.

    Start it and use it from one event loop, in a thread that lives as long as the process: the
    kernel ends the child with the thread that started it.
    """

    kind: RuntimeKind = "llama_cpp"

    def __init__(
        self,
        models: Mapping[str, LlamaModel],
        log_dir: Path,
        *,
        lease: DeviceLease,
        api_key: str = "",
        load_timeout_seconds: float = 120.0,
    ) -> None:
        """``api_key``: what requests must carry, or empty; other users of the host share loopback.

        The lease is taken with the first load unless it is held, and kept until ``aclose``.
        """
        self._models = dict(models)
        self._log_dir = log_dir
        self._lease = lease
        self._api_key = api_key
        self._load_timeout_seconds = load_timeout_seconds
        self._lock = asyncio.Lock()
        self._child: _Child | None = None
        self._build: ModelBuild | None = None
        self._is_closed = False
        self._load_seconds: dict[str, float] = {}

    @property
    def load_seconds(self) -> Mapping[str, float]:
        """What the last load of each model took, measured from stop to answering."""
        return dict(self._load_seconds)

    @property
    def build(self) -> ModelBuild | None:
        return self._build

    @property
    def pid(self) -> int | None:
        """The process that holds the model, for signals about the device."""
        return self._child.process.pid if self._child and self.loaded() else None

    def installed_models(self) -> frozenset[str]:
        """Those whose weights are on this host."""
        return frozenset(name for name, known in self._models.items() if known.path.is_file())

    def loaded(self) -> str | None:
        child = self._child
        return child.model if child and child.process.returncode is None else None

    async def ensure_loaded(self, model: str) -> str:
        async with self._lock:
            if self._is_closed:
                raise LocalModelUnavailableError(
                    f"{model} is not loaded because the local runtime is shutting down"
                )
            if self._child and self.loaded() == model:
                return self._child.base_url
            known = self._models.get(model)
            if known is None:
                names = ", ".join(sorted(self._models)) or "none"
                raise LocalModelUnavailableError(
                    f"{model} is not a model of this host (it has: {names}); add it to the host "
                    "profile"
                )
            if not known.path.is_file():
                raise LocalModelUnavailableError(
                    f"{model} is not on this host: {known.path} is missing; run "
                    f"`pointwork models pull {model}`, or put a GGUF file there"
                )
            began = time.monotonic()
            await self._stop()
            await self._lease.acquire()
            self._child, revision = await self._load(model, known)
            self._build = ModelBuild(
                revision=revision,
                quantisation=self._child.quantisation,
                runtime=self.kind,
                runtime_version=f"{_RUNTIME} {version(_RUNTIME)}",
            )
            self._load_seconds[model] = time.monotonic() - began
            _logger.info("loaded %s in %.2f s", model, self._load_seconds[model])
            return self._child.base_url

    async def unload(self) -> None:
        async with self._lock:
            await self._stop()

    async def health(self) -> bool:
        child = self._child
        if child is None or self.loaded() is None:
            return False
        return await _is_healthy(child.base_url)

    async def aclose(self) -> None:
        async with self._lock:
            self._is_closed = True
            await self._stop()
            self._lease.release()

    async def _load(self, model: str, known: LlamaModel) -> tuple[_Child, str]:
        """The running server, and the revision of its weights, which are read meanwhile.

        Raises:
            LocalModelUnavailableError: it did not start, or the weights are not those wanted.
        """
        reading = asyncio.ensure_future(asyncio.to_thread(file_revision, known.path))
        try:
            child = await self._start(model, known)
        except BaseException:
            # A thread cannot be stopped, and nobody waits for what it still reads.
            reading.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            raise
        try:
            revision = await asyncio.shield(reading)
        except BaseException as error:
            reading.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            await _end(child.process)
            if isinstance(error, OSError):
                raise self._failed(model, f"has weights that cannot be read ({error})") from None
            raise
        if known.revision and revision != known.revision:
            await _end(child.process)
            raise LocalModelUnavailableError(
                f"the weights of {model} at {known.path} are {revision}, not {known.revision}; run "
                f"`pointwork models pull {model}`, which puts the right ones there"
            )
        return child, revision

    async def _start(self, model: str, known: LlamaModel) -> _Child:
        log = open_child_log(self._log_path(model))
        address_file = self._log_dir / f"{model}-{secrets.token_hex(8)}.address"
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command(model, known, address_file),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                # The child holds the lease as well: killed as we may be, the device counts as
                # taken until the child has let go of its memory.
                pass_fds=(self._lease.fileno(),),
            )
            try:
                return await self._await_ready(model, process, address_file)
            except BaseException:
                await _end(process)
                raise
        finally:
            os.close(log)
            address_file.unlink(missing_ok=True)

    async def _await_ready(self, model: str, process: Process, address_file: Path) -> _Child:
        try:
            async with asyncio.timeout(self._load_timeout_seconds):
                await _send_line(process, self._api_key)
                while not address_file.is_file():
                    if process.returncode is not None:
                        raise self._failed(model, f"ended with status {process.returncode}")
                    await asyncio.sleep(_POLL_SECONDS)
                base_url = f"{address_file.read_text(encoding='utf-8').rstrip('/')}/v1"
                quantisation = await self._await_health(model, process, base_url)
        except TimeoutError:
            raise self._failed(
                model, f"did not answer within {self._load_timeout_seconds:g} s"
            ) from None
        return _Child(model=model, process=process, base_url=base_url, quantisation=quantisation)

    async def _await_health(self, model: str, process: Process, base_url: str) -> str:
        """Wait until it serves; how its weights are quantised, where it says so."""
        while True:
            if process.returncode is not None:
                raise self._failed(model, f"ended with status {process.returncode}")
            if await _is_healthy(base_url):
                break
            await asyncio.sleep(_POLL_SECONDS)
        # The server answers under whatever name it is asked for, so its own word is checked.
        listed = (await asked(base_url, "/v1/models", api_key=self._api_key)).json()
        names = [entry["id"] for entry in listed["data"]]
        if names != [model]:
            raise self._failed(model, f"serves {', '.join(names)} instead")
        return str((listed["data"][0].get("meta") or {}).get("ftype", ""))

    async def _stop(self) -> None:
        if self._child is not None:
            await _end(self._child.process)
            self._child = None

    def _command(self, model: str, known: LlamaModel, address_file: Path) -> list[str]:
        cores = len(os.sched_getaffinity(0))
        return [
            *(sys.executable, "-m", "pointwork.local.llama_server"),
            *("--model", str(known.path)),
            *("--alias", model),
            *("--address-file", str(address_file)),
            *("--parent-pid", str(os.getpid())),
            *("--context-tokens", str(known.context_tokens)),
            *("--parallel", str(known.parallel_requests)),
            # Decoding on every core collapses as soon as anything else runs; reading may use all.
            *("--threads", str(max(1, cores - 1))),
            *("--threads-batch", str(cores)),
        ]

    def _log_path(self, model: str) -> Path:
        return self._log_dir / f"llama-{model}.log"

    def _failed(self, model: str, what: str) -> LocalModelUnavailableError:
        return LocalModelUnavailableError(
            f"the server of {model} {what}; its log is {self._log_path(model)}, and "
            f"`pointwork models pull {model}` checks its file"
        )


async def _send_line(process: Process, line: str) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(f"{line}\n".encode())
        await process.stdin.drain()
    except ConnectionError:
        return  # It ended already; the wait that follows says so.
    finally:
        process.stdin.close()


async def _end(process: Process) -> None:
    """Stop a child and wait for it, so that its memory is free when this returns."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_GRACE_SECONDS):
            await process.wait()
    except BaseException as interruption:
        process.kill()
        await asyncio.shield(process.wait())
        if not isinstance(interruption, TimeoutError):
            raise


async def _is_healthy(base_url: str) -> bool:
    try:
        return (await asked(base_url, "/health")).is_ok
    except OSError:
        return False
