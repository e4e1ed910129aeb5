"""The local model behind the same port as every vendor; its turns come from the lane."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.local_run import LocalRun, ModelBuild
from pointwork.local.energy import ElectricityMeter, Share
from pointwork.local.lane import LocalLane, Ticket
from pointwork.local.paces import RunPaces
from pointwork.local.runtime import LocalModelUnavailableError
from pointwork.policy.documents.host import WaitBounds
from pointwork.providers.port import (
    CompletionRequest,
    CompletionResponse,
    OnProgress,
    Provider,
    ProviderError,
)

MakeProvider = Callable[[str], Provider]
"""Builds the adapter for a base URL; called anew whenever a model's server comes up."""

TOKENS_PER_SECOND_GUESS = 20.0
"""Of a model that has not answered yet; low, so that nobody's bound is planned away."""


@dataclasses.dataclass(slots=True)
class _Line:
    """The adapter to one running server, and how many calls are on it."""

    base_url: str
    provider: Provider
    calls: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class _Turn:
    """The server, while it is a request's turn on it."""

    provider: Provider
    paces: RunPaces
    build: ModelBuild | None
    meter: ElectricityMeter | None

    async def complete(
        self, request: CompletionRequest, on_progress: OnProgress | None = None
    ) -> CompletionResponse:
        seconds = request.timeout_seconds
        if request.give_up_at is not None:
            seconds = min(seconds, _seconds_until(request.give_up_at))
        began = time.monotonic()
        timed, share = dataclasses.replace(request, timeout_seconds=seconds), None
        try:
            with self.meter.call() if self.meter else nullcontext() as share:
                response = await self.provider.complete(timed, on_progress)
        except ProviderError as error:
            error.local_run = self._run(share)
            raise
        if response.usage is not None:
            took = time.monotonic() - began
            self.paces.note(request.model, response.usage.output_tokens, took)
        return dataclasses.replace(response, local_run=self._run(share))

    def _run(self, share: Share | None) -> LocalRun:
        return LocalRun(
            build=self.build,
            energy_millijoules=share.millijoules if share else None,
            electricity_nano_usd=share.nano_usd if share else None,
        )

    async def aclose(self) -> None:
        """The adapter is the provider's to close, and the server the runtime's."""


class LocalProvider:
    """Waits for its turn in the lane, then delegates to the adapter of the model's server (DC-21).

    A request waits until ``give_up_at``, and for ``timeout_seconds`` where it names no such time;
    its generation then has ``timeout_seconds`` of its own.
    """

    def __init__(
        self,
        lane: LocalLane,
        make_provider: MakeProvider,
        aliases: Collection[str],
        bounds: WaitBounds,
        meter: ElectricityMeter | None = None,
    ) -> None:
        """``aliases``: the model names that requests may carry."""
        self._lane = lane
        self._make_provider = make_provider
        self._aliases = frozenset(aliases)
        self._bounds = bounds
        self._meter = meter
        self._paces = RunPaces(TOKENS_PER_SECOND_GUESS)
        self._line: _Line | None = None

    async def complete(
        self, request: CompletionRequest, on_progress: OnProgress | None = None
    ) -> CompletionResponse:
        """As ``Provider.complete``; a model that does not come free in time is unavailable."""
        async with self.turn(request) as ready:
            return await ready.complete(request, on_progress)

    @asynccontextmanager
    async def turn(self, request: CompletionRequest) -> AsyncIterator[Provider]:
        """The server of the request's model, loaded and free for it (``QueuedProvider.turn``)."""
        if request.model not in self._aliases:
            raise ProviderError(
                ProviderFailureKind.MODEL_NOT_FOUND,
                f"local: {request.model} is none of the local models "
                f"({', '.join(sorted(self._aliases))}); correct served_as in the model catalogue",
            )
        async with self._line_of(request, datetime.now(UTC)) as line:
            yield _Turn(line.provider, self._paces, self._lane.build, self._meter)

    async def aclose(self) -> None:
        """Turn away who waits and close the adapter; the runtime is its owner's to close."""
        await self._lane.aclose()
        line, self._line = self._line, None
        if line is not None:
            await line.provider.aclose()

    @asynccontextmanager
    async def _line_of(self, request: CompletionRequest, now: datetime) -> AsyncIterator[_Line]:
        wait_seconds = request.timeout_seconds
        if request.give_up_at is not None:
            wait_seconds = _seconds_until(request.give_up_at)
        waited = (now - request.queued_at).total_seconds() if request.queued_at else 0.0
        ticket = Ticket(
            model=request.model,
            bound_seconds=self._bounds.of(request.priority),
            waited_seconds=max(0.0, waited),
            run_seconds=self._paces.seconds(
                request.model, request.max_output_tokens, request.timeout_seconds
            ),
        )
        try:
            async with asyncio.timeout(wait_seconds) as limit, self._lane.place(ticket) as base_url:
                limit.reschedule(None)
                line = await self._connect(base_url)
                line.calls += 1
                try:
                    yield line
                finally:
                    await self._let_go(line)
        except TimeoutError:
            if not limit.expired():
                raise
            raise _too_late(request, wait_seconds) from None
        except LocalModelUnavailableError as unavailable:
            raise ProviderError(
                ProviderFailureKind.LOCAL_MODEL_UNAVAILABLE, f"local: {unavailable}"
            ) from unavailable

    async def _connect(self, base_url: str) -> _Line:
        if self._line is not None and self._line.base_url == base_url:
            return self._line
        superseded, self._line = self._line, _Line(base_url, self._make_provider(base_url))
        line = self._line
        if superseded is not None and superseded.calls == 0:
            await superseded.provider.aclose()
        return line

    async def _let_go(self, line: _Line) -> None:
        line.calls -= 1
        if line is not self._line and line.calls == 0:
            await line.provider.aclose()


def _seconds_until(moment: datetime) -> float:
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _too_late(request: CompletionRequest, waited_seconds: float) -> ProviderError:
    return ProviderError(
        ProviderFailureKind.LOCAL_MODEL_UNAVAILABLE,
        f"local: {request.model} did not come free within {waited_seconds:g} s; "
        "run fewer tasks at a time or allow them more time (the pack's deadline_seconds)",
    )
