"""Shows an answer to whoever listens while the model writes it, beside the call that is recorded.

A courtesy: whatever becomes of it, the call, its cost and its answer are the same (docs/adr/0022).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Protocol

from activities.restoring import Restorer
from pointwork.contract.outcome import Invoke
from pointwork.providers.port import CompletionRequest


class TokenSink(Protocol):
    """One listener. Both methods return at once and never raise."""

    def write(self, piece: str) -> None: ...

    def end(self, *, is_whole: bool) -> None:
        """No more text comes: the answer is whole, or the call failed."""
        ...


class TokenSinks(Protocol):
    async def open(self, call: Invoke, attempt_id: str) -> TokenSink | None:
        """A way to whoever listens to the task; None where nobody does. Never raises."""
        ...


@asynccontextmanager
async def shown(
    sinks: TokenSinks,
    call: Invoke,
    request: CompletionRequest,
    mapping: bytes | None,
    restorer: Restorer,
) -> AsyncIterator[CompletionRequest]:
    """``request``, with its text going to a listener where the plan allows that and one is there.

    Placeholders of a redacted prompt are filled in, also those that a piece cuts.
    """
    sink = await sinks.open(call, request.request_id) if call.streams_tokens else None
    if sink is None:
        yield request
        return
    if mapping is None:
        on_text, rest = sink.write, None
    else:
        restoring = restorer.stream(mapping)
        rest = restoring.finish

        def on_text(piece: str) -> None:
            sink.write(restoring.feed(piece))

    is_whole = False
    try:
        yield replace(request, on_text=on_text)
        if rest is not None:
            sink.write(rest())
        is_whole = True
    finally:
        sink.end(is_whole=is_whole)
