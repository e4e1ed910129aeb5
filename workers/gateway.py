"""``python -m workers gateway``: the HTTP surface, one replica of as many as are wanted."""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import uvicorn
from temporalio.client import Client

from pointwork.client import PointworkClient
from pointwork.gateway.app import Gateway, GatewayOptions, build_app
from pointwork.gateway.declaring import Defaults
from pointwork.gateway.limits import Limits
from pointwork.ledger.outcomes import OutcomeLog
from workers.settings import GatewaySettings
from workers.wiring import Parts, codec_of, signal_activities

_log = logging.getLogger("workers.gateway")
_BACKLOG = 2048
_GRACE_SECONDS = 10


def build_gateway(temporal: Client, parts: Parts, settings: GatewaySettings) -> Gateway:
    """The shared parts of the routes, over this process's ledger and Temporal client."""
    client = PointworkClient(temporal, parts.vault, OutcomeLog(parts.engine))
    options = GatewayOptions(
        defaults=Defaults(pack=settings.pack, max_output_tokens=settings.max_output_tokens),
        wait=timedelta(seconds=settings.wait_seconds),
        temporal_ui_url=settings.temporal_ui_url,
        shared_requests_a_second=settings.shared_requests_a_second,
        limits=Limits(
            requests_a_second=settings.requests_a_second,
            burst=settings.burst,
            in_flight_max=settings.in_flight_max,
        ),
    )
    read_signals = signal_activities(parts).read_signals
    return Gateway(
        client,
        parts.engine,
        parts.vault,
        parts.library,
        read_signals,
        options,
        codec=codec_of(parts.settings),
        namespace=parts.settings.temporal_namespace,
    )


async def serve_gateway(
    gateway: Gateway,
    settings: GatewaySettings,
    stopped: asyncio.Event,
    ready: Callable[[str], None],
) -> None:
    """Listen until ``stopped`` is set, then let requests finish for a while."""
    listener = _listener(settings)
    config = uvicorn.Config(
        build_app(gateway),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        # Streams to clients behind proxies live long; idle connections shall not.
        timeout_keep_alive=75,
        lifespan="off",
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if server.started:
            url = _url_of(listener)
            gateway.live.url = settings.stream_url or _reached_at(listener, url)
            _log.info("gateway listens on %s", url)
            ready(url)
        stop = asyncio.create_task(stopped.wait())
        await asyncio.wait({serving, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
    finally:
        server.should_exit = True
        await serving
        await gateway.starts.settled(_GRACE_SECONDS)


def _listener(settings: GatewaySettings) -> socket.socket:
    if settings.listen_fd is not None:
        listener = socket.socket(fileno=settings.listen_fd)
    else:
        listener = socket.create_server((settings.host, settings.port), backlog=_BACKLOG)
    if listener.family in (socket.AF_INET, socket.AF_INET6):
        # Inherited by every connection. asyncio sets it itself only where the socket names its
        # protocol; without it a short answer waits 40 ms for the client to acknowledge its headers.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url_of(listener: socket.socket) -> str:
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    return (
        f"http://[{host}]:{port}" if listener.family == socket.AF_INET6 else f"http://{host}:{port}"
    )


def _reached_at(listener: socket.socket, url: str) -> str:
    """Where this host's workers reach the listener; empty where its address tells nobody that."""
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        return ""
    return "" if ipaddress.ip_address(listener.getsockname()[0]).is_unspecified else url


class _Server(uvicorn.Server):
    """Leaves the process's signals to the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
