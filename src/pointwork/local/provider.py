"""The local model behind the same port as every vendor, with swaps kept away from generations."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

from pointwork.contract.failures import ProviderFailureKind
from pointwork.local.runtime import LocalModelUnavailableError, LocalRuntime
from pointwork.providers.port import (
    CompletionRequest,
    CompletionResponse,
    OnProgress,
    Provider,
    ProviderError,
)

MakeProvider = Callable[[str], Provider]
"""Builds the adapter for a base URL; called anew whenever a model's server comes up."""


@dataclasses.dataclass(slots=True)
class _Line:
    """The adapter to one running server, and how many calls are on it."""

    base_url: str
    provider: Provider
    calls: int = 0


class LocalProvider:
    """Loads the model a request names, then delegates to the adapter of its server (DC-21).

    Requests for the loaded model run together. A request for another model waits until they are
    done and then swaps; those who come after it wait behind it, so that nobody starves.
    """

    def __init__(
        self, runtime: LocalRuntime, make_provider: MakeProvider, aliases: Collection[str]
    ) -> None:
        """``aliases``: the model names that requests may carry."""
        self._runtime = runtime
        self._make_provider = make_provider
        self._aliases = frozenset(aliases)
        self._door = asyncio.Lock()
        self._idle = asyncio.Event()
        self._idle.set()
        self._calls = 0
        self._line: _Line | None = None

    async def complete(
        self, request: CompletionRequest, on_progress: OnProgress | None = None
    ) -> CompletionResponse:
        """As ``Provider.complete``; waiting and loading count towards ``timeout_seconds``."""
        if request.model not in self._aliases:
            raise ProviderError(
                ProviderFailureKind.MODEL_NOT_FOUND,
                f"local: {request.model} is none of the local models "
                f"({', '.join(sorted(self._aliases))}); correct served_as in the model catalogue",
            )
        began = time.monotonic()
        async with self._line_to(request) as line:
            seconds_left = request.timeout_seconds - (time.monotonic() - began)
            if seconds_left <= 0:
                raise _too_late(request)
            return await line.provider.complete(
                dataclasses.replace(request, timeout_seconds=seconds_left), on_progress
            )

    async def aclose(self) -> None:
        """Close the adapter and unload the model."""
        line, self._line = self._line, None
        if line is not None:
            await line.provider.aclose()
        await self._runtime.aclose()

    @asynccontextmanager
    async def _line_to(self, request: CompletionRequest) -> AsyncIterator[_Line]:
        try:
            async with asyncio.timeout(request.timeout_seconds), self._door:
                if self._runtime.loaded() != request.model:
                    await self._idle.wait()
                line = await self._connect(request.model)
                self._enter(line)
        except TimeoutError:
            raise _too_late(request) from None
        except LocalModelUnavailableError as unavailable:
            raise ProviderError(
                ProviderFailureKind.LOCAL_MODEL_UNAVAILABLE, f"local: {unavailable}"
            ) from unavailable
        try:
            yield line
        finally:
            await self._leave(line)

    async def _connect(self, model: str) -> _Line:
        base_url = await self._runtime.ensure_loaded(model)
        if self._line is not None and self._line.base_url == base_url:
            return self._line
        superseded, self._line = self._line, _Line(base_url, self._make_provider(base_url))
        if superseded is not None and superseded.calls == 0:
            await superseded.provider.aclose()
        return self._line

    def _enter(self, line: _Line) -> None:
        line.calls += 1
        self._calls += 1
        self._idle.clear()

    async def _leave(self, line: _Line) -> None:
        line.calls -= 1
        self._calls -= 1
        if self._calls == 0:
            self._idle.set()
        if line is not self._line and line.calls == 0:
            await line.provider.aclose()


def _too_late(request: CompletionRequest) -> ProviderError:
    return ProviderError(
        ProviderFailureKind.LOCAL_MODEL_UNAVAILABLE,
        f"local: {request.model} did not come free within {request.timeout_seconds:g} s; "
        "run fewer tasks at a time or raise the model's timeout_seconds",
    )
