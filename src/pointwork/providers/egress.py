"""The one door out: every HTTP client is made here, bound to one origin and to one credential.

Six rules hold whatever a vendor's SDK does: a byte leaves the house under a clearance for its
endpoint only (``departure``), goes to the endpoint's own origin and nowhere else, an origin of the
house is one by the address of the connection itself, no redirect is followed, one call is one
request, and the key is put on the request here, so that the SDK never holds it and no exception,
repr or log line of the SDK can show it.
"""

import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import httpcore2
import httpx2

from pointwork.contract.addresses import is_house_address
from pointwork.failpoints import Failpoint, reach
from pointwork.providers.departure import Clearance
from pointwork.providers.origin import Origin

CONNECT_TIMEOUT_SECONDS = 10.0
CONNECTIONS_IDLE_MAX = 8
RESPONSE_BYTES_MAX = 64 * 2**20
"""One answer on the wire. A token of text costs about 300 bytes as a stream event."""

KEY_PLACEHOLDER = "held-by-egress"
"""What an SDK that insists on a key is given in its place."""

_HEADERS_SENT = frozenset(
    {
        "accept",
        "anthropic-version",
        "connection",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
        "user-agent",
        "x-client-request-id",
    }
)
"""SDKs also add the machine's platform, and headers of their own environment variables, such as an
organisation of one vendor on a call to another. What is not listed stays here."""


_SENDABLE = re.compile(r"(Bearer )?[\x21-\x7e]+")


class EgressRefusedError(httpx2.TransportError):
    """The request was not sent, because it broke one of the rules of this module."""


class ResponseTooLargeError(httpx2.TransportError):
    """The answer passed ``RESPONSE_BYTES_MAX`` and the read was stopped."""


class Exchange:
    """What one call did on the wire, so that no failure is guessed from an SDK's exception."""

    def __init__(self, clearance: Clearance | None = None) -> None:
        self._clearance = clearance
        self.is_sent = False
        """A byte of the request was written, so it may have reached the endpoint's meter."""
        self.fault: httpx2.TransportError | None = None
        self.response: httpx2.Response | None = None
        self._is_started = False
        self._must_stay = False
        self._connecting: httpcore2.AsyncNetworkStream | None = None

    def start(self, origin: Origin) -> None:
        """Allow the first request of the call and no other.

        Raises:
            EgressRefusedError: the SDK sends a second request, which could be charged twice, or
                the request would leave the house and nothing cleared it.
        """
        if self._clearance is None and not origin.is_in_house:
            raise EgressRefusedError(f"refused a request to {origin} that nothing cleared")
        if self._is_started:
            raise EgressRefusedError("refused a second request within one call")
        self._is_started = True
        self._must_stay = origin.is_in_house

    @property
    def status(self) -> int | None:
        return None if self.response is None else self.response.status_code

    @property
    def headers(self) -> httpx2.Headers:
        return httpx2.Headers() if self.response is None else self.response.headers

    async def observe(self, event: str, info: Mapping[str, Any]) -> None:
        """Take the HTTP client's own word for how far the request has come.

        Raises:
            EgressRefusedError: the name of an origin of the house led to an address outside it.
        """
        match event:
            case "connection.connect_tcp.complete":
                self._connecting = info["return_value"]
                if self._must_stay and not _is_of_house(info["return_value"]):
                    raise EgressRefusedError("refused a connection that led out of the house")
            case "http11.send_request_headers.started":
                self._connecting = None
                self.is_sent = True
            case "http11.send_request_body.complete":
                reach(Failpoint.AFTER_SOCKET_WRITE)

    async def aclose(self) -> None:
        """Close the connection of an answer that was not read to its end."""
        if self.response is not None:
            await self.response.aclose()
        if self._connecting is not None:
            # The HTTP client forgets a socket whose TLS handshake is cancelled.
            await self._connecting.aclose()


def _is_of_house(stream: httpcore2.AsyncNetworkStream) -> bool:
    """Asked of the connection that will be used: a name may lead elsewhere the next moment."""
    peer = stream.get_extra_info("server_addr")
    return isinstance(peer, tuple) and is_house_address(str(peer[0]))


_exchange: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


@asynccontextmanager
async def single_exchange(clearance: Clearance | None = None) -> AsyncIterator[Exchange]:
    """Allow one request; on leaving, its connection is closed or back in the pool.

    Without a ``clearance`` it goes to an address of the house or nowhere.
    """
    exchange = Exchange(clearance)
    token = _exchange.set(exchange)
    try:
        yield exchange
    finally:
        _exchange.reset(token)
        await exchange.aclose()


def http_client(
    base_url: str,
    *,
    credential: tuple[str, str] | None = None,
    read_timeout_seconds: float | None = None,
    connections_idle_max: int = CONNECTIONS_IDLE_MAX,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> httpx2.AsyncClient:
    """Make the client of one endpoint.

    ``credential`` is a header's name and value, sent to ``base_url``'s origin only.
    ``read_timeout_seconds`` bounds the wait for the next byte; None leaves the bound to a deadline
    that the caller keeps. ``transport`` replaces the network in tests.

    Raises:
        ValueError: ``base_url`` is not an origin that may be called, or the key cannot be sent.
    """
    if credential is not None and not _SENDABLE.fullmatch(credential[1]):
        # Caught here, since the HTTP client would show the whole key in its own error.
        raise ValueError(
            "the API key is empty or holds a space, a line break or a character outside ASCII; "
            "write it as the vendor issued it"
        )
    inner = transport or httpx2.AsyncHTTPTransport(
        trust_env=False,
        retries=0,
        limits=httpx2.Limits(
            # How many calls are open is the worker's to bound; here one more would wait, and fail.
            max_connections=None,
            max_keepalive_connections=connections_idle_max,
        ),
    )
    timeout = httpx2.Timeout(
        read_timeout_seconds, connect=CONNECT_TIMEOUT_SECONDS, pool=CONNECT_TIMEOUT_SECONDS
    )
    return httpx2.AsyncClient(
        base_url=base_url,
        transport=_BoundTransport(Origin.of(base_url), credential, timeout, inner),
        timeout=timeout,
        follow_redirects=False,
        trust_env=False,
    )


def closed_client() -> httpx2.Client:
    """A client that sends nothing, for an SDK that insists on holding a synchronous one."""
    return httpx2.Client(transport=_ClosedTransport(), trust_env=False)


def keep_content_out_of_logs(*logger_names: str) -> None:
    """Drop DEBUG records of SDK modules that write whole request bodies at that level."""
    for name in logger_names:
        logging.getLogger(name).addFilter(_is_above_debug)


def _is_above_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


class _ClosedTransport(httpx2.BaseTransport):
    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        raise EgressRefusedError("refused a synchronous request")


class _BoundTransport(httpx2.AsyncBaseTransport):
    def __init__(
        self,
        origin: Origin,
        credential: tuple[str, str] | None,
        timeout: httpx2.Timeout,
        inner: httpx2.AsyncBaseTransport,
    ) -> None:
        self._origin = origin
        self._credential = credential
        self._timeout = timeout
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        exchange = _exchange.get() or Exchange()
        try:
            exchange.start(self._origin)
            if Origin.of_url(request.url) != self._origin:
                raise EgressRefusedError(
                    f"refused a request to an origin other than {self._origin}"
                )
            response = await self._send(request, exchange)
        except httpx2.TransportError as fault:
            exchange.fault = fault
            raise
        exchange.response = response
        return response

    async def _send(self, request: httpx2.Request, exchange: Exchange) -> httpx2.Response:
        try:
            response = await self._inner.handle_async_request(self._outgoing(request, exchange))
        except (
            EgressRefusedError,
            httpx2.ConnectError,
            httpx2.ConnectTimeout,
            httpx2.PoolTimeout,
        ):
            raise
        except httpx2.TransportError:
            exchange.is_sent = True
            raise
        exchange.is_sent = True
        if not isinstance(response.stream, httpx2.AsyncByteStream):
            raise EgressRefusedError("the transport gave a synchronous answer")
        response.stream = _BoundedStream(response.stream, exchange)
        return response

    def _outgoing(self, request: httpx2.Request, exchange: Exchange) -> httpx2.Request:
        """A copy, so that the request an SDK's exception carries never holds the key."""
        headers = [
            (name, value) for name, value in request.headers.items() if name in _HEADERS_SENT
        ]
        headers.append(("accept-encoding", "identity"))
        if self._credential is not None:
            headers.append(self._credential)
        return httpx2.Request(
            request.method,
            request.url,
            headers=headers,
            stream=request.stream,
            extensions={
                **request.extensions,
                # An SDK that sets no timeout of its own would wait for a connection for ever.
                "timeout": self._timeout.as_dict(),
                "trace": exchange.observe,
            },
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, exchange: Exchange) -> None:
        self._inner = inner
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received_bytes = 0
        try:
            async for chunk in self._inner:
                reach(Failpoint.AFTER_FIRST_BYTE)
                received_bytes += len(chunk)
                if received_bytes > RESPONSE_BYTES_MAX:
                    raise ResponseTooLargeError("the answer is larger than any answer may be")
                yield chunk
        except httpx2.TransportError as fault:
            self._exchange.fault = fault
            raise

    async def aclose(self) -> None:
        await self._inner.aclose()
