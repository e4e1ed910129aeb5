"""Serves local models through an Ollama that somebody runs, for development alone (CX-76)."""

import asyncio
import logging
import time
from collections.abc import Collection, Mapping
from typing import Any

from pointwork.contract.local_run import ModelBuild
from pointwork.local.lease import DeviceLease
from pointwork.local.loopback import asked
from pointwork.local.runtime import LocalModelUnavailableError, RuntimeKind
from pointwork.providers.dialects import OLLAMA
from pointwork.providers.relays import says_it_is_own

_POLL_SECONDS = 0.05
_FOR_EVER = -1
_NANOSECONDS = 1_000_000_000

_logger = logging.getLogger(__name__)


class OllamaRuntime:
    """``LocalRuntime`` over a running Ollama, which is never started nor stopped.

    Models it would pass on to its maker's cloud are refused: nothing says that they are elsewhere
    but their name and ``/api/show``. Whatever else it has in memory is unloaded (CX-8).
    """

    kind: RuntimeKind = "ollama"

    def __init__(
        self,
        models: Collection[str],
        url: str,
        *,
        lease: DeviceLease,
        load_timeout_seconds: float = 600.0,
    ) -> None:
        """``models`` by Ollama's names, such as ``llama3.2:1b``; ``url`` is its root on loopback.

        The lease is taken with the first load unless it is held, and kept until ``aclose``.
        """
        self._models = frozenset(models)
        self._url = url
        self._lease = lease
        self._load_timeout_seconds = load_timeout_seconds
        self._lock = asyncio.Lock()
        self._loaded: str | None = None
        self._build: ModelBuild | None = None
        self._is_closed = False
        self._load_seconds: dict[str, float] = {}

    @property
    def load_seconds(self) -> Mapping[str, float]:
        """What the last load of each model took, by Ollama's own ``load_duration``."""
        return dict(self._load_seconds)

    @property
    def build(self) -> ModelBuild | None:
        return self._build

    def loaded(self) -> str | None:
        return self._loaded

    async def ensure_loaded(self, model: str) -> str:
        async with self._lock:
            self._check(model)
            await self._lease.acquire()
            self._loaded = None
            try:
                quantisation = await self._check_own(model)
                in_memory = await self._in_memory()
                for other in in_memory.keys() - {_tagged(model)}:
                    await self._unload(other)
                if _tagged(model) not in in_memory:
                    await self._load(model)
                self._build = await self._identity(model, quantisation)
            except OSError as cause:
                raise LocalModelUnavailableError(
                    f"{model} is not loaded because Ollama at {self._url} does not serve it "
                    f"({cause}); run `ollama serve` and `ollama pull {model}`"
                ) from cause
            self._loaded = model
            return f"{self._url}/v1"

    async def unload(self) -> None:
        async with self._lock:
            await self._unload_loaded()

    async def health(self) -> bool:
        if self._loaded is None:
            return False
        try:
            return _tagged(self._loaded) in await self._in_memory()
        except OSError:
            return False

    async def aclose(self) -> None:
        async with self._lock:
            self._is_closed = True
            try:
                await self._unload_loaded()
            except LocalModelUnavailableError as unavailable:
                _logger.warning("%s", unavailable)
            finally:
                self._lease.release()

    def _check(self, model: str) -> None:
        if self._is_closed:
            raise LocalModelUnavailableError(
                f"{model} is not loaded because the local runtime is shutting down"
            )
        if model not in self._models:
            names = ", ".join(sorted(self._models)) or "none"
            raise LocalModelUnavailableError(
                f"{model} is not a model of this host (it has: {names}); add it to the host profile"
            )
        if OLLAMA.relayed_models.fullmatch(model):
            raise _relayed(model)

    async def _check_own(self, model: str) -> str:
        """Refuse a model of the maker's cloud; how one of our own is quantised."""
        shown = await self._post("/api/show", {"model": model})
        if not says_it_is_own(shown):
            raise _relayed(model)
        details = shown.get("details")
        return str(details.get("quantization_level", "")) if isinstance(details, dict) else ""

    async def _identity(self, model: str, quantisation: str) -> ModelBuild:
        """By Ollama's own digest of what is in memory, empty where it tells none."""
        told = await asked(self._url, "/api/version")
        said = told.json() if told.is_ok else {}
        version = said.get("version", "") if isinstance(said, dict) else ""
        digest = (await self._in_memory()).get(_tagged(model), "").removeprefix("sha256:")
        return ModelBuild(
            revision=f"sha256:{digest}" if digest else "",
            quantisation=quantisation,
            runtime=self.kind,
            runtime_version=str(version),
        )

    async def _load(self, model: str) -> None:
        began = time.monotonic()
        told = await self._post(
            "/api/generate", {"model": model, "stream": False, "keep_alive": _FOR_EVER}
        )
        duration_ns = told.get("load_duration")
        self._load_seconds[model] = (
            duration_ns / _NANOSECONDS if isinstance(duration_ns, int) else time.monotonic() - began
        )
        if _tagged(model) not in await self._in_memory():
            raise OSError("it is not among the loaded models")
        _logger.info("loaded %s in %.2f s", model, self._load_seconds[model])

    async def _unload_loaded(self) -> None:
        loaded, self._loaded = self._loaded, None
        if loaded is None:
            return
        try:
            await self._unload(_tagged(loaded))
        except OSError as cause:
            raise LocalModelUnavailableError(
                f"the card is not free: Ollama at {self._url} did not unload {loaded} ({cause}); "
                f"run `ollama stop {loaded}`"
            ) from cause

    async def _unload(self, model: str) -> None:
        await self._post("/api/generate", {"model": model, "stream": False, "keep_alive": 0})
        deadline = time.monotonic() + self._load_timeout_seconds
        # It answers when it has decided to unload; the memory is free a moment later.
        while model in await self._in_memory():
            if time.monotonic() >= deadline:
                raise OSError(f"it keeps {model} in memory")
            await asyncio.sleep(_POLL_SECONDS)

    async def _in_memory(self) -> dict[str, str]:
        """The digest of each model that is loaded, by its name."""
        answer = await asked(self._url, "/api/ps")
        if not answer.is_ok:
            raise OSError(f"/api/ps answered {answer.status}")
        try:
            return {
                _tagged(str(each["name"])): str(each.get("digest") or "")
                for each in answer.json()["models"]
            }
        except (KeyError, TypeError):
            raise OSError("/api/ps lists no models") from None

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await asked(
            self._url, path, method="POST", body=body, timeout_seconds=self._load_timeout_seconds
        )
        if not answer.is_ok:
            raise OSError(f"{path} answered {answer.status}")
        told = answer.json()
        if not isinstance(told, dict):
            raise OSError(f"{path} answered with something else than an object")
        return told


def _tagged(model: str) -> str:
    """A name as Ollama lists it."""
    return model if ":" in model else f"{model}:latest"


def _relayed(model: str) -> LocalModelUnavailableError:
    return LocalModelUnavailableError(
        f"{model} is not loaded: Ollama would pass it on to a cloud, and a local model stays in "
        "the house; name a model on its own disk"
    )
