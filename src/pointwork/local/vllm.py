"""Serves local models through vLLM: a server a model, all asleep but one (CX-8, CX-9, CX-69)."""

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pointwork.contract.local_run import ModelBuild
from pointwork.local.builds import cached_commit, folder_quantisation, folder_revision
from pointwork.local.lease import DeviceLease
from pointwork.local.runtime import LocalModelUnavailableError, RuntimeKind
from pointwork.local.vllm_api import Health, QueueDepth, SleepNotOfferedError
from pointwork.local.vllm_server import VllmLauncher, VllmModel, VllmServer, VllmServing

_POLL_SECONDS = 0.05

_logger = logging.getLogger(__name__)


class VllmRuntime:
    """``LocalRuntime`` over vLLM: a swap puts one server to sleep and wakes another.

    Servers are started one by one, when their model is first asked for or by ``prepare``, and each
    sleeps before the next starts: a start claims its share of the card. Where a server has no sleep
    mode it is stopped instead. What we started ends with us; attached servers only sleep and wake.

    Start it and use it from one event loop, in a thread that lives as long as the process: the
    kernel ends the children with the thread that started them.
    """

    kind: RuntimeKind = "vllm"

    def __init__(
        self,
        models: Mapping[str, VllmModel],
        log_dir: Path,
        *,
        lease: DeviceLease,
        serving: VllmServing,
        api_key: str = "",
        watch_seconds: float = 5.0,
    ) -> None:
        """``api_key``: what requests must carry, or empty; other users of the host share loopback.

        ``watch_seconds``: how often the loaded model's server is asked whether it still serves.
        The lease is taken with the first load unless it is held, and kept until ``aclose``.
        """
        self._models = dict(models)
        self._lease = lease
        self._serving = serving
        self._launcher = VllmLauncher(serving, log_dir, lease, api_key)
        self._watch_seconds = watch_seconds
        self._lock = asyncio.Lock()
        self._servers = {
            model: self._launcher.attach(model, known.attached_url)
            for model, known in models.items()
            if known.attached_url
        }
        self._awake: VllmServer | None = None
        self._build: ModelBuild | None = None
        self._unsettled: set[str] = set()
        """Models whose sleep or wake was begun and is not known to be through: such a server may
        hold memory and say that it sleeps."""
        self._watching: asyncio.Task[None] | None = None
        self._is_closed = False
        self._load_seconds: dict[str, float] = {}

    @property
    def load_seconds(self) -> Mapping[str, float]:
        """What the last load of each model took: freeing the card, then waking or starting."""
        return dict(self._load_seconds)

    @property
    def build(self) -> ModelBuild | None:
        return self._build

    @property
    def pid(self) -> int | None:
        """The process above the loaded model's server; None where somebody else started it."""
        awake = self._awake
        return awake.process.pid if awake and awake.process and awake.is_running else None

    def loaded(self) -> str | None:
        awake = self._awake
        return awake.model if awake and awake.is_running else None

    async def ensure_loaded(self, model: str) -> str:
        async with self._lock:
            known = self._known(model)
            awake = self._awake
            if awake and self.loaded() == model and await _serves(awake):
                return awake.api.base_url
            began = time.monotonic()
            await self._forget_awake()
            await self._lease.acquire()
            await self._free_card(but=model)
            server = await self._serve(model, known)
            self._build = await _build(server, known, self._serving.environment)
            self._awake = server
            self._watching = asyncio.create_task(self._watch(self._awake))
            self._load_seconds[model] = time.monotonic() - began
            _logger.info("loaded %s in %.2f s", model, self._load_seconds[model])
            return self._awake.api.base_url

    async def prepare(self) -> None:
        """Start every model's server, one by one, so that the first task of none waits for that.

        The first model is the one left awake. One that does not start is told of in the log, and
        tried again when it is asked for.
        """
        for model in reversed(self._models):
            try:
                await self.ensure_loaded(model)
            except LocalModelUnavailableError as unavailable:
                _logger.warning("%s", unavailable)

    async def is_available(self, model: str) -> bool:
        """Whether loading ``model`` is worth a try: asked without starting or waking anything."""
        known = self._models.get(model)
        if known is None or self._is_closed:
            return False
        if known.attached_url:
            return await self._servers[model].api.health() is not Health.DEAD
        return not self._launcher.obstacle(model, known)

    async def is_up(self, model: str) -> bool:
        """Whether the model's server answers at this moment, awake or asleep."""
        server = self._servers.get(model)
        return server is not None and server.is_running and await server.api.health() is Health.WELL

    async def unload(self) -> None:
        """As the port says; also any server that somebody else woke.

        Raises:
            LocalModelUnavailableError: an attached server keeps the card's memory.
        """
        async with self._lock:
            await self._forget_awake()
            await self._free_card(but=None)

    async def health(self) -> bool:
        awake = self._awake
        if awake is None or self.loaded() is None:
            return False
        return await awake.api.health() is Health.WELL

    async def queue_depth(self) -> QueueDepth | None:
        """What the loaded model's server has in work; None where it does not tell."""
        awake = self._awake
        return await _queue_depth(awake) if awake and self.loaded() else None

    async def aclose(self) -> None:
        async with self._lock:
            self._is_closed = True
            await self._forget_awake()
            try:
                for server in [each for each in self._servers.values() if each.is_own]:
                    await self._end(server)
                try:
                    await self._free_card(but=None)
                except LocalModelUnavailableError as error:
                    _logger.warning("the card is given back, and not all of it is free: %s", error)
            finally:
                self._lease.release()

    def _known(self, model: str) -> VllmModel:
        if self._is_closed:
            raise LocalModelUnavailableError(
                f"{model} is not loaded because the local runtime is shutting down"
            )
        known = self._models.get(model)
        if known is None:
            names = ", ".join(sorted(self._models)) or "none"
            raise LocalModelUnavailableError(
                f"{model} is not a model of this host (it has: {names}); add it to the host profile"
            )
        return known

    async def _forget_awake(self) -> None:
        """Until a load is through nothing counts as loaded, whatever happens to it."""
        self._awake = self._build = None
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _free_card(self, but: str | None) -> None:
        """No server but that of ``but`` has a model in the card's memory when this returns.

        Each is asked, since anybody on this host may wake one.
        """
        for server in list(self._servers.values()):
            if server.model != but:
                await self._put_away(server)

    async def _put_away(self, server: VllmServer) -> None:
        if server.is_own and not server.is_running:
            await self._end(server)
            return
        try:
            await self._put_to_sleep(server)
        except (SleepNotOfferedError, OSError) as cause:
            if server.is_own:
                if not isinstance(cause, SleepNotOfferedError):
                    _logger.warning(
                        "%s is stopped: it did not fall asleep (%s)", server.model, cause
                    )
                await self._end(server)
            elif await server.api.health() is not Health.DEAD:
                raise LocalModelUnavailableError(
                    f"the card is not free: the vLLM server of {server.model} at "
                    f"{server.api.base_url} did not fall asleep; stop it, or start it with "
                    "VLLM_SERVER_DEV_MODE=1 and --enable-sleep-mode"
                ) from cause

    async def _put_to_sleep(self, server: VllmServer) -> None:
        """Raises SleepNotOfferedError or OSError where it stays awake."""
        level, seconds = self._serving.sleep_level, self._serving.swap_timeout_seconds
        if level is None:
            raise SleepNotOfferedError
        if server.model in self._unsettled:
            if server.is_own:
                raise OSError("its last swap was broken off")
            await server.api.wake(level, seconds)
        elif await server.api.is_sleeping():
            return
        await self._await_drained(server)
        self._unsettled.add(server.model)
        await server.api.sleep(level, seconds)
        self._unsettled.discard(server.model)

    async def _await_drained(self, server: VllmServer) -> None:
        """Servers that cannot wait would abort what runs; ours runs nothing, but for a moment."""
        deadline = time.monotonic() + self._serving.swap_timeout_seconds
        while (depth := await _queue_depth(server)) is not None and not depth.is_empty:
            if time.monotonic() >= deadline:
                raise OSError(f"{depth.running} requests ran and {depth.waiting} waited")
            await asyncio.sleep(_POLL_SECONDS)

    async def _serve(self, model: str, known: VllmModel) -> VllmServer:
        server = self._servers.get(model)
        if server is not None and not await self._comes_up(server):
            server = None
        if server is None:
            server = await self._start(model, known)
            self._servers[model] = server
        try:
            await _check_model(server)
        except LocalModelUnavailableError:
            if server.is_own:
                await self._end(server)
            else:
                await self._put_away(server)
            raise
        return server

    async def _comes_up(self, server: VllmServer) -> bool:
        """Wake a server that runs; False where ours is gone or does not wake, and is to be started.

        Raises:
            LocalModelUnavailableError: somebody else's server does not serve.
        """
        try:
            if server.is_running:
                await self._wake(server)
                return True
        except OSError as cause:
            if not server.is_own:
                raise LocalModelUnavailableError(
                    f"the vLLM server of {server.model} at {server.api.base_url} does not serve "
                    f"({cause}); start it, or take it out of the host profile"
                ) from cause
            _logger.warning("%s is started anew: it did not wake up (%s)", server.model, cause)
        await self._end(server)
        return False

    async def _wake(self, server: VllmServer) -> None:
        level, seconds = self._serving.sleep_level or 1, self._serving.swap_timeout_seconds
        with suppress(SleepNotOfferedError):
            if server.model in self._unsettled:
                await server.api.sleep(level, seconds)
            if await server.api.is_sleeping():
                self._unsettled.add(server.model)
                await server.api.wake(level, seconds)
        if await server.api.health() is Health.DEAD:
            raise OSError("/health of the local model's server does not answer")
        self._unsettled.discard(server.model)

    async def _start(self, model: str, known: VllmModel) -> VllmServer:
        try:
            return await self._launcher.start(model, known)
        except LocalModelUnavailableError:
            sleepers = [each for each in self._servers.values() if each.is_own]
            if not sleepers or self._launcher.obstacle(model, known):
                raise
            # A sleeping server keeps a little of the card, and a start may want that little.
            _logger.warning("%s did not start; once more with the sleeping models stopped", model)
            for each in sleepers:
                await self._end(each)
            return await self._launcher.start(model, known)

    async def _end(self, server: VllmServer) -> None:
        await server.end()
        self._servers.pop(server.model, None)
        self._unsettled.discard(server.model)

    async def _watch(self, server: VllmServer) -> None:
        """A server that died, or was put to sleep by others, counts as loaded no more."""
        while True:
            await asyncio.sleep(self._watch_seconds)
            if not await _serves(server):
                _logger.warning("%s is loaded no more: its server stopped serving", server.model)
                self._awake = None
                return


async def _serves(server: VllmServer) -> bool:
    if await server.api.health() is Health.DEAD:
        return False
    try:
        return not await server.api.is_sleeping()
    except (SleepNotOfferedError, TimeoutError):
        return True
    except OSError:
        return False


async def _queue_depth(server: VllmServer) -> QueueDepth | None:
    """None where it does not tell: its statistics can be switched off."""
    try:
        return await server.api.queue_depth()
    except OSError:
        return None


async def _build(
    server: VllmServer, known: VllmModel, environment: Mapping[str, str]
) -> ModelBuild:
    """Of a server that is somebody else's, what the host profile says; it names no weights."""
    folder, revision, quantisation, version = Path(known.source), known.revision, "", ""
    with suppress(OSError):
        version = await server.api.version()
    if server.is_own and folder.is_dir():
        quantisation = folder_quantisation(folder)
        try:
            revision = await asyncio.to_thread(folder_revision, folder)
        except OSError as error:
            _logger.warning("%s has weights that cannot be read: %s", known.source, error)
    elif server.is_own:
        revision = cached_commit(known.source, revision, environment)
    return ModelBuild(
        revision=revision,
        quantisation=quantisation,
        runtime=VllmRuntime.kind,
        runtime_version=version,
    )


async def _check_model(server: VllmServer) -> None:
    """What listens may be another server than we think; its own word decides."""
    try:
        names = await server.api.served_models()
    except OSError as cause:
        raise LocalModelUnavailableError(
            f"the vLLM server of {server.model} does not say what it serves: {cause}"
        ) from cause
    if server.model not in names:
        raise LocalModelUnavailableError(
            f"the vLLM server of {server.model} serves {', '.join(names) or 'nothing'} instead; "
            "correct --served-model-name, or attached in the host profile"
        )
