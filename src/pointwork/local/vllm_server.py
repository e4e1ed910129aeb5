"""One vLLM server: started by us and ended with us, or somebody else's that we only ask."""

import asyncio
import logging
import os
import shutil
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pointwork.local.child_log import LogPump
from pointwork.local.lease import DeviceLease
from pointwork.local.loopback import free_port, is_our_listener
from pointwork.local.runtime import LocalModelUnavailableError
from pointwork.local.tether import tethered_tree
from pointwork.local.vllm_api import Health, SleepLevel, VllmApi

_logger = logging.getLogger(__name__)
_POLL_SECONDS = 0.05
_KILL_GRACE_SECONDS = 5.0
_LAST_WORDS_SECONDS = 10.0
_OFFLINE = {
    # A load takes nothing from the network and tells nobody about itself (CX-11).
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class VllmModel:
    """What ``vllm serve`` is to load, or where somebody else serves it."""

    source: str
    """A folder of weights, or the id of a repository that lies in the local cache."""
    revision: str = ""
    context_tokens: int = 4096
    parallel_requests: int = 1
    arguments: tuple[str, ...] = ()
    """Further arguments of ``vllm serve``, such as ``--tool-call-parser``."""
    attached_url: str = ""
    """``http://127.0.0.1:PORT/v1`` of a running server, which is never started nor stopped."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VllmServing:
    """How servers are started and swapped on this host."""

    command: tuple[str, ...] = ("vllm", "serve")
    environment: Mapping[str, str] = field(default_factory=dict)
    """All that a server is given, besides what the driver sets; nothing of ours is inherited."""
    gpu_memory_utilization: str = "0.9"
    sleep_level: SleepLevel | None = 1
    """None stops a server to free the card, and starts it anew."""
    start_timeout_seconds: float = 900.0
    swap_timeout_seconds: float = 120.0
    """For each step of a swap: requests that end, sleep, wake."""
    stop_grace_seconds: float = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class VllmServer:
    """A server that is up, or was; ``process`` is None where it is somebody else's."""

    model: str
    api: VllmApi
    process: Process | None = None
    log: LogPump | None = None
    stop_grace_seconds: float = 10.0

    @property
    def is_own(self) -> bool:
        return self.process is not None

    @property
    def is_running(self) -> bool:
        """Whether there is a process; of somebody else's nobody knows without asking."""
        return self.process is None or self.process.returncode is None

    async def end(self) -> None:
        """Stop our server and wait until nothing of it is left; not for somebody else's."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        ending = asyncio.create_task(self._await_end(self.process))
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            # Nobody goes on while it may hold the card's memory.
            await ending
            raise

    async def _await_end(self, process: Process) -> None:
        try:
            patience_seconds = self.stop_grace_seconds + _KILL_GRACE_SECONDS
            async with asyncio.timeout(patience_seconds):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        if self.log is not None:
            closing = asyncio.create_task(self.log.aclose())
            await asyncio.wait({closing}, timeout=_LAST_WORDS_SECONDS)
            if not closing.done():
                _logger.warning(
                    "something that the server of %s started outlives it; no other model is loaded "
                    "before that ends, as it may hold the card's memory",
                    self.model,
                )
            await closing


class VllmLauncher:
    """Starts servers, each on a loopback port of its own, tied to us and to the lease."""

    def __init__(
        self, serving: VllmServing, log_dir: Path, lease: DeviceLease, api_key: str
    ) -> None:
        self._serving = serving
        self._log_dir = log_dir
        self._lease = lease
        self._api_key = api_key

    def program(self) -> str | None:
        """The path of the program that would be started; None where there is none."""
        return shutil.which(
            self._serving.command[0], path=self._serving.environment.get("PATH", os.defpath)
        )

    def obstacle(self, model: str, known: VllmModel) -> str:
        """Why a start of ``model`` would fail, as far as can be seen before it; empty is none."""
        if self.program() is None:
            return (
                f"{model} is not loaded because {self._serving.command[0]!r} is no program of this "
                "host; install vLLM for the worker, or name another runtime in the host profile"
            )
        if Path(known.source).is_absolute() and not Path(known.source).is_dir():
            return (
                f"{model} is not on this host: the folder {known.source} is missing; put its "
                "weights there, or name their repository in the host profile (runtime.weights)"
            )
        return ""

    def attach(self, model: str, url: str) -> VllmServer:
        """Somebody else's server, not asked yet."""
        return VllmServer(model=model, api=VllmApi(url, self._api_key))

    async def start(self, model: str, known: VllmModel) -> VllmServer:
        """A server that answers, with its model in the card's memory.

        Raises:
            LocalModelUnavailableError: it is not installed, ended, or did not answer in time.
        """
        if obstacle := self.obstacle(model, known):
            raise LocalModelUnavailableError(obstacle)
        program = self.program()
        assert program is not None
        port = free_port()
        process = await asyncio.create_subprocess_exec(
            *tethered_tree(
                [program, *self._serving.command[1:], *self._arguments(model, known, port)],
                parent_pid=os.getpid(),
                grace_seconds=self._serving.stop_grace_seconds,
            ),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env=self._environment(),
            # The lease lasts as long as anything that may hold the card's memory.
            pass_fds=(self._lease.fileno(),),
        )
        assert process.stdout is not None
        server = VllmServer(
            model=model,
            api=VllmApi(f"http://127.0.0.1:{port}/v1", self._api_key),
            process=process,
            log=LogPump(process.stdout, self.log_path(model)),
            stop_grace_seconds=self._serving.stop_grace_seconds,
        )
        try:
            await self._await_ready(server, port)
        except BaseException:
            await server.end()
            raise
        return server

    def log_path(self, model: str) -> Path:
        return self._log_dir / f"vllm-{model.replace('/', '-')}.log"

    async def _await_ready(self, server: VllmServer, port: int) -> None:
        assert server.process is not None
        assert server.log is not None
        try:
            async with asyncio.timeout(self._serving.start_timeout_seconds):
                while await server.api.health() is not Health.WELL:
                    if server.process.returncode is not None:
                        raise self._failed(
                            server.model, f"ended with status {server.process.returncode}"
                        )
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise self._failed(
                server.model, f"did not answer in {self._serving.start_timeout_seconds:g} s"
            ) from None
        if not is_our_listener(port):
            raise self._failed(server.model, f"lost port {port} to another user of this host")
        server.log.hush()

    def _arguments(self, model: str, known: VllmModel, port: int) -> list[str]:
        sleeps = ["--enable-sleep-mode"] if self._serving.sleep_level is not None else []
        revision = ["--revision", known.revision] if known.revision else []
        return [
            known.source,
            *("--served-model-name", model),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--gpu-memory-utilization", self._serving.gpu_memory_utilization),
            *("--max-model-len", str(known.context_tokens)),
            *("--max-num-seqs", str(known.parallel_requests)),
            *sleeps,
            *revision,
            *known.arguments,
        ]

    def _environment(self) -> dict[str, str]:
        # The key is not on the command line, which every user of the host can read.
        key = {"VLLM_API_KEY": self._api_key} if self._api_key else {}
        # Without it there is neither sleep nor wake; the server listens on loopback alone.
        sleeps = {} if self._serving.sleep_level is None else {"VLLM_SERVER_DEV_MODE": "1"}
        return {**self._serving.environment, **_OFFLINE, **sleeps, **key}

    def _failed(self, model: str, what: str) -> LocalModelUnavailableError:
        return LocalModelUnavailableError(
            f"the vLLM server of {model} {what}; its log is {self.log_path(model)}"
        )
