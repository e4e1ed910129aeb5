"""Where this process connects to, by the interpreter's own audit events.

An audit hook cannot be taken off again; while nobody watches, it notes nothing.
"""

import ipaddress
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_WATCHED = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_NAMED = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})
_watching: list[list[str]] = []


@contextmanager
def watched() -> Iterator[list[str]]:
    """The hosts that any thread of this process connects to or asks a name service for."""
    _install()
    hosts: list[str] = []
    _watching.append(hosts)
    try:
        yield hosts
    finally:
        _watching.remove(hosts)


def outside(hosts: list[str]) -> list[str]:
    """Those that are not this machine's loopback."""
    return [host for host in hosts if not _is_loopback(host)]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@cache
def _install() -> None:
    sys.addaudithook(_note)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    if event in _WATCHED and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    elif event in _NAMED and arguments[0]:
        host = arguments[0]
    else:
        return
    for hosts in _watching:
        hosts.append(host.decode("ascii", "replace") if isinstance(host, bytes) else str(host))
