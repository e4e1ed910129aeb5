"""Whether a server of this house would pass a model on to a cloud: asked before its first call.

Ollama serves models of its maker's cloud under the same address and the same API as those on its
own disk. ``POST /api/show`` says of such a model where it really runs (T4).
"""

import asyncio
import json
import time
from collections.abc import Callable

import httpx2

from pointwork.providers.departure import Clearance
from pointwork.providers.egress import http_client, single_exchange

ASK_SECONDS_MAX = 10.0
ASKED_AGAIN_AFTER_SECONDS = 300.0
"""A model can be replaced under its name while we run."""
_TELL_TALE = ("remote_host", "remote_model")


def says_it_is_own(shown: object) -> bool:
    """Whether an answer of ``/api/show`` is that of a model on the server's own disk."""
    # Every model has details; what answers without them is no such server.
    if not isinstance(shown, dict) or not isinstance(shown.get("details"), dict):
        return False
    return not any(shown.get(each) for each in _TELL_TALE)


class RelayCheck:
    """Asks one server, and remembers for a while which models it serves itself."""

    def __init__(
        self,
        base_url: str,
        credential: tuple[str, str] | None,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``base_url`` is that of the chat API; the question goes to the root of its origin.

        Raises:
            ValueError: it is not an origin that may be called.
        """
        self._url = httpx2.URL(base_url).copy_with(raw_path=b"/api/show")
        self._client = http_client(
            base_url,
            credential=credential,
            read_timeout_seconds=ASK_SECONDS_MAX,
            transport=transport,
        )
        self._now = now
        self._own_at: dict[str, float] = {}

    async def is_own(self, model: str, clearance: Clearance | None) -> bool:
        """Whether the server says that it runs ``model`` itself; silence is a no."""
        asked_at = self._own_at.get(model)
        if asked_at is not None and self._now() - asked_at < ASKED_AGAIN_AFTER_SECONDS:
            return True
        shown = await self._show(model, clearance)
        if not says_it_is_own(shown):
            return False
        self._own_at[model] = self._now()
        return True

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _show(self, model: str, clearance: Clearance | None) -> object:
        """The answer's JSON; None where there is none."""
        try:
            async with asyncio.timeout(ASK_SECONDS_MAX), single_exchange(clearance):
                response = await self._client.post(self._url, json={"model": model})
                if response.status_code != httpx2.codes.OK:
                    return None
                return json.loads(response.content)
        except (httpx2.HTTPError, TimeoutError, ValueError, RecursionError):
            return None
