"""Where this process connects to, by the interpreter's own audit events, and a cut of all that.

An audit hook cannot be taken off again; while nobody watches or cuts, it does nothing.
"""

import errno
import ipaddress
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_WATCHED = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_NAMED = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})
_watching: list[list[str]] = []
_cuts: list[list[str]] = []


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


@contextmanager
def cut() -> Iterator[list[str]]:
    """This process as on a machine without a network: loopback works, and all else is refused.

    Yields the hosts that were refused, of any thread.
    """
    _install()
    refused: list[str] = []
    _cuts.append(refused)
    try:
        yield refused
    finally:
        _cuts.remove(refused)


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
    if not _watching and not _cuts:
        return
    if event in _WATCHED and isinstance(arguments[1], tuple):
        named = arguments[1][0]
    elif event in _NAMED and arguments[0]:
        named = arguments[0]
    else:
        return
    host = named.decode("ascii", "replace") if isinstance(named, bytes) else str(named)
    for hosts in _watching:
        hosts.append(host)
    if _cuts and not _is_loopback(host):
        for refused in _cuts:
            refused.append(host)
        # What is raised here is raised where the connection was asked for.
        raise OSError(errno.ENETUNREACH, "the network is cut", host)
