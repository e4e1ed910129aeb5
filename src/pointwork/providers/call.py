"""One call from start to end: its deadline, its single request, and the word for how it failed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import httpx2

from pointwork.contract.failures import ProviderFailureKind as Kind
from pointwork.providers.departure import Clearance
from pointwork.providers.egress import (
    Exchange,
    ResponseTooLargeError,
    single_exchange,
)
from pointwork.providers.failures import provider_error, provider_request_id, refusal_of
from pointwork.providers.port import ProviderError

_EVENT_STREAM = "text/event-stream"

Event = TypeVar("Event")
Response = TypeVar("Response", covariant=True)


class AnswerReading(Protocol[Response]):
    """What a call fills as the answer arrives; the two are asked when the call has ended."""

    @property
    def has_text(self) -> bool: ...

    def completion(self) -> Response: ...


class UnreadableEventError(Exception):
    """The endpoint sent something that is not an event of its own protocol."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """What one call needs to know; ``error_body`` gives the body an SDK's exception carries."""

    endpoint: str
    clearance: Clearance | None
    """Leave to send it; None sends it to an address of the house or nowhere."""
    timeout_seconds: float
    vendor_errors: tuple[type[Exception], ...]
    error_body: Callable[[Exception], object]

    async def run(
        self, reading: AnswerReading[Response], read: Callable[[Exchange], Awaitable[None]]
    ) -> Response:
        """Run ``read``, which sends the request and fills ``reading``, under the deadline.

        The failure is raised outside of any except block: an SDK's exception holds the request and
        the answer, and must not travel on as the context of ours.

        Raises:
            ProviderError: the call failed.
        """
        exchange = Exchange()
        cleared = clearance_for(self.endpoint, self.clearance)
        caught: tuple[type[Exception], ...] = (httpx2.HTTPError, *self.vendor_errors)
        try:
            async with (
                asyncio.timeout(self.timeout_seconds) as deadline,
                single_exchange(cleared) as exchange,
            ):
                await read(exchange)
                return reading.completion()
        except TimeoutError:
            if not deadline.expired():
                raise
            # A request that never left owes nothing, so it must not be taken for one that may.
            kind = Kind.TIMEOUT if exchange.is_sent else Kind.CONNECTION_FAILED
            failure = self._failure(kind, exchange)
        except UnreadableEventError:
            failure = self._failure(Kind.MALFORMED_RESPONSE, exchange)
        except caught as error:
            failure = self._failure_of(error, reading, exchange)
        raise failure

    def _failure_of(
        self, error: Exception, reading: AnswerReading[object], exchange: Exchange
    ) -> ProviderError:
        if exchange.fault is not None:
            return self._failure(_kind_of_fault(exchange.fault, exchange.is_sent), exchange)
        refusal = refusal_of(exchange.status, exchange.headers, self.error_body(error))
        if exchange.status is not None and exchange.status < 300 and reading.has_text:
            # Text was delivered, so it may be charged, whatever the event that ended it says.
            return self._failure(Kind.STREAM_INTERRUPTED, exchange)
        return provider_error(
            self.endpoint,
            refusal.kind,
            status=exchange.status,
            retry_after_seconds=refusal.retry_after_seconds,
            provider_request_id=provider_request_id(exchange.headers),
        )

    def _failure(self, kind: Kind, exchange: Exchange) -> ProviderError:
        return provider_error(
            self.endpoint,
            kind,
            status=exchange.status,
            provider_request_id=provider_request_id(exchange.headers),
        )


def clearance_for(endpoint: str, clearance: Clearance | None) -> Clearance | None:
    """``clearance``, where it is one for ``endpoint``: leave for one endpoint opens no other."""
    return clearance if clearance is not None and clearance.endpoint == endpoint else None


def _kind_of_fault(fault: httpx2.TransportError, is_sent: bool) -> Kind:
    match fault:
        case ResponseTooLargeError():
            return Kind.MALFORMED_RESPONSE
        case httpx2.ReadTimeout() | httpx2.WriteTimeout():
            return Kind.TIMEOUT
        case _:
            return Kind.STREAM_INTERRUPTED if is_sent else Kind.CONNECTION_FAILED


async def parsed_events(exchange: Exchange, stream: AsyncIterator[Event]) -> AsyncIterator[Event]:
    """The stream's events as the SDK parses them.

    Raises:
        UnreadableEventError: the answer is no event stream, or an event is not what it should be.
            SDKs let the parser's own error out, with the text in it, so it is replaced here.
    """
    while True:
        event = await _next(stream)
        # Asked after the first event: one SDK sends its request only when it is asked for it.
        if not exchange.headers.get("content-type", "").lower().startswith(_EVENT_STREAM):
            raise UnreadableEventError
        if event is None:
            return
        yield event


async def _next(stream: AsyncIterator[Event]) -> Event | None:
    try:
        return await anext(stream)
    except StopAsyncIteration:
        return None
    except (ValueError, TypeError, AttributeError, LookupError):
        pass
    raise UnreadableEventError
