"""The one port to every model: what goes in, what comes out, and how a call fails."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, runtime_checkable

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.local_run import LocalRun
from pointwork.contract.outcome import FinishReason, TokenUsage
from pointwork.contract.prompt import Prompt
from pointwork.contract.tools import ToolCall
from pointwork.providers.departure import Clearance

OnStarted = Callable[[str], Awaitable[None]]
"""Called once with the vendor's own id of the call, before any of its answer is taken."""

OnText = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class CompletionRequest:
    """One call. ``model`` is the id the endpoint knows; ``max_output_tokens`` is always sent."""

    model: str
    prompt: Prompt = field(repr=False)
    max_output_tokens: int
    temperature: float
    timeout_seconds: float
    """Bounds the whole call, connect to last byte."""
    request_id: str
    """Ours, sent along for correlation; no vendor deduplicates by it."""
    seed: int | None = None
    answer_schema: dict[str, Any] | None = field(default=None, repr=False)
    effort: Literal["low", "medium", "high"] | None = None
    """Reasoning effort, where the endpoint takes one; None leaves it to the vendor."""
    clearance: Clearance | None = None
    """Leave to send it out of the house; None reaches addresses of the house only."""
    priority: int = 3
    """Of the task, 1 the most urgent; what serves one thing at a time orders by it."""
    queued_at: datetime | None = None
    """Since when the call waits to be made."""
    give_up_at: datetime | None = None
    """When whoever asked stops waiting; None bounds a wait by ``timeout_seconds``."""
    on_started: OnStarted | None = field(default=None, repr=False, compare=False)
    """Told the id under which the vendor's API can look the call up; other endpoints never tell."""
    on_text: OnText | None = field(default=None, repr=False, compare=False)
    """Called with each piece of the answer's text as it comes; returns at once and never raises.

    The pieces together are the text of the response, where one follows: a call may still fail.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class CompletionResponse:
    """A complete answer. ``usage`` is None where the provider sent none."""

    text: str = field(repr=False)
    """Empty where the model only calls tools."""
    served_model: str
    finish_reason: FinishReason
    usage: TokenUsage | None
    provider_request_id: str = ""
    tool_calls: tuple[ToolCall, ...] = field(default=(), repr=False)
    """Of tools that the prompt offers, with arguments that are JSON objects; nothing else."""
    local_run: LocalRun | None = None
    """What it ran on, where that is this house's."""


class ProviderError(Exception):
    """A failed call. The text names the endpoint and the status, never content or a key."""

    def __init__(
        self,
        kind: ProviderFailureKind,
        message: str,
        *,
        retry_after_seconds: int | None = None,
        usage: TokenUsage | None = None,
        provider_request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after_seconds = retry_after_seconds
        self.usage = usage
        self.provider_request_id = provider_request_id
        self.local_run: LocalRun | None = None
        """What the failed call used, where it ran in this house."""


OnProgress = Callable[[int], None]
"""Called with the number of characters received so far, for heartbeats and progress displays."""


class Provider(Protocol):
    """One endpoint. Implementations stream internally, so that cancelling frees the model."""

    async def complete(
        self, request: CompletionRequest, on_progress: OnProgress | None = None
    ) -> CompletionResponse:
        """Call the model once, with no retry.

        Raises:
            ProviderError: the call failed; ``kind`` is the same word for every vendor.
        """
        ...

    async def aclose(self) -> None: ...


@runtime_checkable
class QueuedProvider(Provider, Protocol):
    """An endpoint that serves few calls at a time, and says when a call would be sent."""

    def turn(self, request: CompletionRequest) -> AbstractAsyncContextManager[Provider]:
        """Wait until ``request`` can be sent at once: to what is given, while it is held.

        Neither the request's id nor its clearance need be known yet.

        Raises:
            ProviderError: no turn came by ``give_up_at``.
        """
        ...
