"""HTTP to the servers of local models on this host's loopback; never a door out of the house."""

import asyncio
import http.client
import json
import os
import socket
import sys
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PROBE_TIMEOUT_SECONDS = 5.0
_LOOPBACK = "127.0.0.1"
_LISTENING = "0A"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    body: bytes

    @property
    def is_ok(self) -> bool:
        return self.status == HTTPStatus.OK

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            OSError: it is none; the server is not one that we know.
        """
        try:
            return json.loads(self.body)
        except ValueError:
            raise OSError(
                "the local model's server answered with something else than JSON"
            ) from None


def ask(
    base_url: str,
    path: str,
    *,
    method: str = "GET",
    api_key: str = "",
    body: object = None,
    timeout_seconds: float = PROBE_TIMEOUT_SECONDS,
) -> Answer:
    """One request to the port that ``base_url`` names, on loopback whatever host it names.

    Raises:
        OSError: nobody answers there, or not in time (``TimeoutError``), or not in HTTP.
    """
    connection = http.client.HTTPConnection(
        _LOOPBACK, urlsplit(base_url).port, timeout=timeout_seconds
    )
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    text = None
    if body is not None:
        headers["Content-Type"] = "application/json"
        text = json.dumps(body)
    try:
        connection.request(method, path, body=text, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, response.read())
    except http.client.HTTPException as broken:
        raise OSError("the local model's server broke off its answer") from broken
    finally:
        connection.close()


async def asked(
    base_url: str,
    path: str,
    *,
    method: str = "GET",
    api_key: str = "",
    body: object = None,
    timeout_seconds: float = PROBE_TIMEOUT_SECONDS,
) -> Answer:
    """As ``ask``, without blocking the event loop."""
    return await asyncio.to_thread(
        ask,
        base_url,
        path,
        method=method,
        api_key=api_key,
        body=body,
        timeout_seconds=timeout_seconds,
    )


def free_port() -> int:
    """A port of loopback that nobody has at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def is_our_listener(port: int) -> bool:
    """Whether the socket that listens on ``port`` of loopback belongs to our own user.

    A stranger who takes a free port before our child does would be sent our key and our prompts.
    Where the kernel does not say whose it is, nobody is suspected.
    """
    if sys.platform != "linux":
        return True
    address = f"{int.from_bytes(socket.inet_aton(_LOOPBACK), sys.byteorder):08X}:{port:04X}"
    owners = [
        int(fields[7])
        for fields in map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:])
        if fields[1] == address and fields[3] == _LISTENING
    ]
    return all(owner == os.getuid() for owner in owners)
