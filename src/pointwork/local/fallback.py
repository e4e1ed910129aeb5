"""One runtime that stands in for another, never in silence (CX-69, CX-84)."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from pointwork.contract.local_run import ModelBuild
from pointwork.local.lease import DeviceBusyError
from pointwork.local.runtime import LocalModelUnavailableError, LocalRuntime, RuntimeKind

RETRY_AFTER_SECONDS = 300.0
_RETRY_AFTER_GROWTH = 2.0
_GROWTHS_MAX = 12
_RETRY_AFTER_SECONDS_MAX = 3600.0

_logger = logging.getLogger(__name__)


class PrimaryRuntime(LocalRuntime, Protocol):
    """A runtime that another may stand in for."""

    async def is_available(self, model: str) -> bool:
        """Whether a load is worth a try; asked without starting anything."""
        ...

    async def is_up(self, model: str) -> bool:
        """Whether the model's server answers at this moment, awake or asleep."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeChange:
    """A model is served by another runtime than before: a line for the audit chain."""

    model: str
    from_runtime: RuntimeKind
    to_runtime: RuntimeKind
    cause: str
    is_fallback: bool
    """False where the primary serves again."""


RecordChange = Callable[[RuntimeChange], Awaitable[None]]
"""Writes the line; until it is written nobody is served by the fallback."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Outage:
    """One model that the primary does not serve."""

    cause: str
    failures: int
    retry_at: float


class FallbackRuntime:
    """``LocalRuntime`` that serves by ``primary``, and by ``fallback`` what that cannot.

    Each load by the fallback, and the return from it, is recorded before anybody is served. The
    primary is tried again after ``retry_after_seconds``, which double with each failure in a row,
    or at a swap to a model whose server answers again. When the time is over ``loaded`` is None,
    so that there is a next load. Both share one device: whoever serves, the other has let go of its
    memory before.
    """

    def __init__(
        self,
        primary: PrimaryRuntime,
        fallback: LocalRuntime,
        fallback_models: Collection[str],
        record: RecordChange,
        *,
        retry_after_seconds: float = RETRY_AFTER_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``fallback_models``: those the fallback has weights of; others the primary alone serves.

        ``now``: seconds of a clock that only goes forward.
        """
        self._primary = primary
        self._fallback = fallback
        self._fallback_models = frozenset(fallback_models)
        self._record = record
        self._retry_after_seconds = retry_after_seconds
        self._now = now
        self._lock = asyncio.Lock()
        self._serving: LocalRuntime = primary
        self._outages: dict[str, _Outage] = {}

    @property
    def kind(self) -> RuntimeKind:
        return self._serving.kind

    @property
    def build(self) -> ModelBuild | None:
        return self._serving.build

    def loaded(self) -> str | None:
        loaded = self._serving.loaded()
        if self._serving is self._fallback and loaded is not None and self._is_due(loaded):
            return None
        return loaded

    async def ensure_loaded(self, model: str) -> str:
        async with self._lock:
            if model in self._fallback_models and not await self._is_worth_a_try(model):
                return await self._by_fallback(model)
            try:
                return await self._by_primary(model)
            except DeviceBusyError:
                raise  # Nor could the fallback have the card.
            except LocalModelUnavailableError as unavailable:
                if model not in self._fallback_models:
                    raise
                self._note_failure(model, str(unavailable))
                return await self._by_fallback(model)

    async def unload(self) -> None:
        async with self._lock:
            await self._fallback.unload()
            await self._primary.unload()

    async def health(self) -> bool:
        return await self._serving.health()

    async def aclose(self) -> None:
        async with self._lock:
            # First whose servers hold no lease themselves: the first to close gives it back.
            try:
                await self._primary.aclose()
            finally:
                await self._fallback.aclose()

    def _is_due(self, model: str) -> bool:
        outage = self._outages.get(model)
        return outage is None or self._now() >= outage.retry_at

    async def _is_worth_a_try(self, model: str) -> bool:
        outage = self._outages.get(model)
        if outage is None:
            return True
        if self._is_due(model):
            if await self._primary.is_available(model):
                return True
            self._note_failure(model, outage.cause)
            return False
        return self._fallback.loaded() != model and await self._primary.is_up(model)

    def _note_failure(self, model: str, cause: str) -> None:
        before = self._outages.get(model)
        failures = before.failures if before else 0
        growths = min(failures, _GROWTHS_MAX)
        wait_seconds = self._retry_after_seconds * _RETRY_AFTER_GROWTH**growths
        self._outages[model] = _Outage(
            cause=cause,
            failures=failures + 1,
            retry_at=self._now() + min(wait_seconds, _RETRY_AFTER_SECONDS_MAX),
        )

    async def _by_primary(self, model: str) -> str:
        await self._fallback.unload()
        self._serving = self._primary
        base_url = await self._primary.ensure_loaded(model)
        if model in self._outages:
            await self._tell(model, is_fallback=False, cause="the primary serves it again")
            del self._outages[model]
        return base_url

    async def _by_fallback(self, model: str) -> str:
        if self._serving is self._fallback and self._fallback.loaded() == model:
            return await self._fallback.ensure_loaded(model)
        # It may have got as far as taking the card's memory.
        await self._primary.unload()
        # Not the fallback before the line is written: a try that failed midway is repeated.
        self._serving = self._primary
        base_url = await self._fallback.ensure_loaded(model)
        await self._tell(model, is_fallback=True, cause=self._outages[model].cause)
        self._serving = self._fallback
        return base_url

    async def _tell(self, model: str, *, is_fallback: bool, cause: str) -> None:
        before, after = self._primary.kind, self._fallback.kind
        if not is_fallback:
            before, after = after, before
        _logger.warning("%s is served by %s instead of %s: %s", model, after, before, cause)
        await self._record(
            RuntimeChange(
                model=model,
                from_runtime=before,
                to_runtime=after,
                cause=cause,
                is_fallback=is_fallback,
            )
        )
