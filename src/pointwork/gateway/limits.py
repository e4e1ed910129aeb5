"""What one key may ask at a time, and how large a request may be.

Limits are this replica's own: they keep one caller from taking all of it. Where the operator sets a
rate for all replicas together it is kept besides (``shared_rate``). What a caller may spend is the
ledger's to say, for every replica at once.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pointwork.contract.task import CONTENT_BYTES_MAX
from pointwork.gateway.problems import ProblemError, respond, too_many
from pointwork.gateway.shared_rate import SharedRate

_PASSED_OVER_FACTOR, _PASSED_OVER_SECONDS = 8, 10.0


@dataclass(frozen=True)
class Limits:
    """Per replica and key."""

    body_bytes_max: int = 2 * CONTENT_BYTES_MAX
    requests_a_second: float = 200.0
    burst: int = 400
    in_flight_max: int = 200


class _Bucket:
    """Requests left, refilled with time."""

    def __init__(self, limits: Limits, now: float) -> None:
        self.left = float(limits.burst)
        self.at = now
        self.in_flight = 0


class CallLimits:
    """Counts requests by key holder. For use in one event loop."""

    def __init__(
        self,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        shared: SharedRate | None = None,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._shared = shared
        self._buckets: dict[str, _Bucket] = {}

    @asynccontextmanager
    async def one(self, holder: str) -> AsyncIterator[None]:
        """Hold a place for one request of ``holder``.

        Raises:
            ProblemError: 429 with the seconds to wait, where the rate or the places are used up;
                503 where a rate is shared and the ledger does not answer.
        """
        bucket = self._taken(holder)
        bucket.in_flight += 1
        try:
            if self._shared is not None:
                await self._shared.take(holder)
            yield
        finally:
            bucket.in_flight -= 1

    def _taken(self, holder: str) -> _Bucket:
        limits, now = self._limits, self._clock()
        bucket = self._buckets.setdefault(holder, _Bucket(limits, now))
        refilled = bucket.left + (now - bucket.at) * limits.requests_a_second
        bucket.left, bucket.at = min(float(limits.burst), refilled), now
        if bucket.in_flight >= limits.in_flight_max:
            raise too_many(
                f"{holder!r} has {bucket.in_flight} requests in flight, the most it may have here; "
                "wait for one of them",
                1.0,
            )
        if bucket.left < 1:
            raise too_many(
                f"{holder!r} sends more than {limits.requests_a_second:g} requests a second; slow "
                "down",
                (1 - bucket.left) / limits.requests_a_second,
            )
        bucket.left -= 1
        return bucket


class BodyLimit:
    """Refuses a body past the limit before it is read whole, whatever its headers say."""

    def __init__(self, app: ASGIApp, bytes_max: int) -> None:
        self._app = app
        self._bytes_max = bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"")
        if declared.isdigit() and int(declared) > self._bytes_max:
            await self._refuse(scope, receive, send)
            return
        seen, is_refused, is_read = 0, False, False

        async def bounded() -> Message:
            nonlocal seen, is_refused, is_read
            message = await receive()
            seen += len(message.get("body", b""))
            is_read = not message.get("more_body", False)
            if seen > self._bytes_max:
                is_refused = True
                return {"type": "http.disconnect"}
            return message

        async def guarded(message: Message) -> None:
            if not is_refused:
                await send(message)

        try:
            await self._app(scope, bounded, guarded)
        except Exception:
            if not is_refused:
                raise
        if is_refused:
            await self._refuse(scope, receive, send, is_read=is_read)

    async def _refuse(
        self, scope: Scope, receive: Receive, send: Send, *, is_read: bool = False
    ) -> None:
        detail = f"the body has more than {self._bytes_max} bytes; send less"
        closes = {"connection": "close"}
        problem = ProblemError(413, "body_too_large", detail, headers=closes)
        answer = respond(Request(scope), problem)
        start = {"status": answer.status_code, "headers": answer.raw_headers}
        await send({"type": "http.response.start", **start})
        await send({"type": "http.response.body", "body": answer.body, "more_body": True})
        if not is_read:
            await self._pass_over(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pass_over(self, receive: Receive) -> None:
        """Take some of the rest and keep none of it: the answer is out, but whoever still sends
        while we hang up never reads it."""
        left = _PASSED_OVER_FACTOR * self._bytes_max
        with suppress(TimeoutError):
            async with asyncio.timeout(_PASSED_OVER_SECONDS):
                while left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return
