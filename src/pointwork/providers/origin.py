"""Where an endpoint may be: the scheme, host and port that its key and its prompts are bound to."""

import re
from dataclasses import dataclass
from ipaddress import ip_address

import httpx2

from pointwork.contract.addresses import is_house_address, read_address

_DEFAULT_PORTS = {"http": 80, "https": 443}
_PORT_MAX = 65_535
_METADATA = frozenset(map(ip_address, ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200")))
"""Where clouds tell a machine its secrets, at addresses that look like the house's own."""
_HOST_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(\.(?!-)[a-z0-9-]{1,63})*")


@dataclass(frozen=True, slots=True)
class Origin:
    """A scheme, a host and a port, compared as a whole."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def is_in_house(self) -> bool:
        """Whether it is ours: loopback or a private address, which no name service can move.

        ``localhost`` is a name all the same; the egress looks at what it led to.
        """
        return self.host == "localhost" or is_house_address(self.host)

    @classmethod
    def of_url(cls, url: httpx2.URL) -> "Origin":
        # The host as it goes on the wire: a name in another script is compared as punycode.
        host = url.raw_host.decode("ascii")
        return cls(url.scheme, host, url.port or _DEFAULT_PORTS.get(url.scheme, 0))

    @classmethod
    def of(cls, base_url: str) -> "Origin":
        """Read the origin of an endpoint's base URL, as an administrator writes it.

        ``https`` takes a host name, whose certificate defeats a name that resolves elsewhere
        between check and use, or a public or private address. Plain ``http`` takes ``localhost``
        and loopback or private addresses only, which no name service can move.

        Raises:
            ValueError: the URL has another scheme, user information, a query, a fragment, an
                address written in any but its usual form, or a host that may not be called.
        """
        try:
            url = httpx2.URL(base_url)
        except (httpx2.InvalidURL, ValueError):
            raise ValueError("base_url is not a URL; write https://HOST/PATH") from None
        if url.scheme not in _DEFAULT_PORTS:
            raise ValueError("base_url's scheme is not http or https; write https://HOST/PATH")
        if url.userinfo or url.query or url.fragment or "\\" in base_url:
            raise ValueError(
                "base_url holds user information, a query, a fragment or a backslash; "
                "leave only scheme, host, port and path"
            )
        origin = cls.of_url(url)
        if origin.port > _PORT_MAX:
            raise ValueError(f"base_url's port {origin.port} is above {_PORT_MAX}")
        _check_host(origin.scheme, origin.host)
        return origin


def _check_host(scheme: str, host: str) -> None:
    address = read_address(host)
    if address is None:
        _check_name(scheme, host)
        return
    if (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or (address.is_reserved and not address.is_loopback)
        or address in _METADATA
    ):
        raise ValueError(
            f"base_url's host {host} is a link-local, multicast, unspecified or reserved address, "
            "or a cloud's metadata service; name the endpoint's own host"
        )
    if scheme == "http" and not is_house_address(host):
        raise ValueError(f"base_url sends to the public address {host} in clear text; use https")


def _check_name(scheme: str, host: str) -> None:
    labels = host.removesuffix(".").split(".")
    # What ends in a number is an address in decimal, octal or hexadecimal to some resolvers.
    if not _HOST_NAME.fullmatch(host) or re.fullmatch(r"\d+|0x[0-9a-f]*", labels[-1]):
        raise ValueError(f"base_url's host {host!r} is not a host name or a usual IP address")
    if scheme == "http" and host != "localhost":
        raise ValueError(
            f"base_url sends to the host name {host} in clear text; use https, "
            "or a loopback or private address"
        )
