"""The worker of the one GPU queue: one host, one device lease, one model in memory at a time."""

import asyncio
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from temporalio.client import Client
from temporalio.worker import Worker

from pointwork.contract.names import TaskQueue
from pointwork.ledger.signals import SignalStore
from pointwork.local.llama_cpp import LlamaCppRuntime, LlamaModel
from pointwork.local.provider import LocalProvider
from pointwork.local.weights import installed_path
from pointwork.providers.dialects import LLAMA_CPP
from pointwork.providers.port import (
    CompletionRequest,
    CompletionResponse,
    OnProgress,
    Provider,
)
from workers.wiring import Parts, invoke_activities

LOCAL_ENDPOINT = "local-gpu"
"""The catalogue's name for the models of this host."""


class ResidencyReporter:
    """Tells the ledger which model is in memory, so that decisions can see it."""

    def __init__(
        self, provider: Provider, loaded: Callable[[], str | None], signals: SignalStore
    ) -> None:
        self._provider = provider
        self._loaded = loaded
        self._signals = signals
        self._reported: str | None = None

    async def complete(
        self, request: CompletionRequest, on_progress: OnProgress | None = None
    ) -> CompletionResponse:
        try:
            return await self._provider.complete(request, on_progress)
        finally:
            await self._report()

    async def aclose(self) -> None:
        await self._provider.aclose()

    async def _report(self) -> None:
        loaded = self._loaded()
        if loaded != self._reported:
            now = datetime.now(UTC)
            await asyncio.to_thread(self._signals.set_loaded_model, TaskQueue.GPU, loaded, now)
            self._reported = loaded


def gpu_models(parts: Parts) -> dict[str, LlamaModel]:
    """The host profile's models by the name requests carry, with their weights on this disk."""
    bundle = parts.library.all()[0]
    return {
        bundle.models[name].model.served_as: LlamaModel(
            path=installed_path(name, parts.settings.state_dir / "models"),
            context_tokens=bundle.models[name].model.context_tokens,
            parallel_requests=bundle.host.parallel_requests,
        )
        for name in bundle.host.local_models
    }


def build_gpu_worker(
    client: Client,
    parts: Parts,
    runtime: LlamaCppRuntime,
    aliases: Collection[str],
    api_key: str,
) -> Worker:
    """Registers ``invoke-model`` alone, as many at once as the loaded model serves in parallel."""
    # Imported here: the workers of the other queues, started by the same program, load no SDK.
    from pointwork.providers.openai import OpenAIProvider

    def connect_local(base_url: str) -> Provider:
        return OpenAIProvider(LOCAL_ENDPOINT, base_url, api_key, dialect=LLAMA_CPP)

    local = LocalProvider(runtime, connect_local, aliases)
    provider = ResidencyReporter(local, runtime.loaded, SignalStore(parts.engine))
    return Worker(
        client,
        task_queue=TaskQueue.GPU,
        activities=[invoke_activities(parts, {LOCAL_ENDPOINT: provider}).invoke_model],
        max_concurrent_activities=parts.library.all()[0].host.parallel_requests,
    )
