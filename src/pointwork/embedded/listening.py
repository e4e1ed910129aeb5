"""The socket that an embedded deployment's gateway answers on."""

import socket
from contextlib import suppress

from pointwork.embedded.directory import EmbeddedError, StateDirectory
from pointwork.embedded.temporal_server import LOOPBACK, Ports, port_of

GATEWAY_PORT = 8780
"""Taken where nobody else has it, so that examples work as they stand."""
_BACKLOG = 2048


def gateway_listener(directory: StateDirectory, ports: Ports) -> socket.socket:
    """A listening socket on loopback: the port asked for, else the last run's, the usual, any.

    Raises:
        EmbeddedError: the port that was asked for is taken.
    """
    if ports.gateway:
        try:
            return _listening(ports.gateway)
        except OSError:
            raise EmbeddedError(
                f"port {ports.gateway} is taken; end what listens on it, name another, or leave "
                "it to pointwork to find one"
            ) from None
    last = directory.remembered_endpoints()
    remembered = (port_of(last.gateway_url),) if last and last.gateway_url else ()
    for port in (*remembered, GATEWAY_PORT):
        with suppress(OSError):
            return _listening(port)
    return _listening(0)


def _listening(port: int) -> socket.socket:
    return socket.create_server((LOOPBACK, port), backlog=_BACKLOG)
