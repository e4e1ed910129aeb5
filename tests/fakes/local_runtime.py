"""A local runtime without a model, and the adapter to it: they note every load and every call."""

import asyncio
from dataclasses import dataclass, field

from pointwork.contract.local_run import ModelBuild
from pointwork.contract.outcome import FinishReason, TokenUsage
from pointwork.local.runtime import LocalModelUnavailableError, RuntimeKind
from pointwork.providers.port import CompletionRequest, CompletionResponse, OnProgress


@dataclass
class FakeRuntime:
    """Loads at once, unless ``loading`` is cleared; refuses the models in ``broken``."""

    broken: set[str] = field(default_factory=set)
    failing_loads: int = 0
    """So many loads fail before one succeeds."""
    loads: list[str] = field(default_factory=list)
    running: list[str] = field(default_factory=list)
    """The models with a generation under way."""
    swaps_under_a_generation: int = 0
    loading: asyncio.Event = field(default_factory=asyncio.Event)
    is_closed: bool = False
    kind: RuntimeKind = "llama_cpp"
    build: ModelBuild | None = None
    _loaded: str | None = None

    def __post_init__(self) -> None:
        self.loading.set()

    async def ensure_loaded(self, model: str) -> str:
        if model != self._loaded and self.failing_loads:
            self.failing_loads -= 1
            self._loaded = None
            raise LocalModelUnavailableError(f"{model} did not start; see its log")
        if model in self.broken:
            raise LocalModelUnavailableError(f"{model} did not start; see its log")
        if model != self._loaded:
            if self.running:
                self.swaps_under_a_generation += 1
            self._loaded = None
            await self.loading.wait()
            await asyncio.sleep(0)
            self.loads.append(model)
            self._loaded = model
        return f"http://127.0.0.1:{len(self.loads)}/v1"

    def loaded(self) -> str | None:
        return self._loaded

    def die(self) -> None:
        """As when the server process is killed."""
        self._loaded = None

    async def unload(self) -> None:
        self._loaded = None

    async def health(self) -> bool:
        return self._loaded is not None

    async def aclose(self) -> None:
        self.is_closed = True
        self._loaded = None


@dataclass
class FakeServer:
    """The adapter to one running server; answers when ``gate`` is open."""

    runtime: FakeRuntime
    base_url: str
    gate: asyncio.Event
    requests: list[CompletionRequest] = field(default_factory=list)
    is_closed: bool = False
    wrong_loads: int = 0

    async def complete(
        self, request: CompletionRequest, on_progress: OnProgress | None = None
    ) -> CompletionResponse:
        self.requests.append(request)
        self.runtime.running.append(request.model)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
            if self.runtime.loaded() not in (request.model, None):
                self.wrong_loads += 1
        finally:
            self.runtime.running.remove(request.model)
        return CompletionResponse(
            text="An answer.",
            served_model=request.model,
            finish_reason=FinishReason.STOP,
            usage=TokenUsage(input_tokens=1, output_tokens=1),
        )

    async def aclose(self) -> None:
        self.is_closed = True
