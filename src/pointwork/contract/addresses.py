"""Which network addresses are the house's own: what a policy may call local, and the egress too."""

import ipaddress
from urllib.parse import urlsplit

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_HOUSE = tuple(
    ipaddress.ip_network(network)
    for network in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
    )
)

_LOOPBACK = frozenset({"127.0.0.1", "localhost"})


def read_address(host: str) -> _Address | None:
    """``host`` as an address; None where it is a name. An IPv4 address within IPv6 counts as it."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def is_house_address(host: str) -> bool:
    """Whether ``host`` is a loopback or private address, written as one; a name never is."""
    address = read_address(host)
    return address is not None and any(address in network for network in _HOUSE)


def is_loopback_url(url: str) -> bool:
    """Whether ``url`` is plain HTTP to a port of this host's loopback."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme == "http" and parts.hostname in _LOOPBACK and bool(port)
