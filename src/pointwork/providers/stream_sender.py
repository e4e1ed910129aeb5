"""Sends an answer, as it is written, to the gateway replica that holds its caller.

The replica is looked up again whenever the way to it breaks, and gets the answer from its
beginning: a caller who came back through another replica sees all of it.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from urllib.parse import quote

import httpx2

from pointwork.providers.egress import EgressRefusedError, http_client
from pointwork.providers.origin import Origin
from pointwork.providers.stream_frames import Ends, FrameWriter, Opens, Piece

PATH = "/internal/streams"
"""Of a gateway, before the task's id."""
TRY_AGAIN_AFTER_SECONDS, TRY_AGAIN_AFTER_SECONDS_MAX = 0.2, 4.0
"""From one try to the next, doubled each time."""
_FRAME_CHARACTERS_MAX = 64_000
BEAT_SECONDS = 1.0
"""A stream is never silent for longer, so that one to a dead gateway breaks."""
_GATEWAYS_MAX = 64
LOOK_SECONDS = 5.0
"""From one look for the task's listener to the next, and longest that an end is waited for."""
OPEN_SECONDS_MAX = 1.0
_TAKEN = frozenset({204, 400})

UrlOf = Callable[[str], str | None]
KeyOf = Callable[[str], bytes]

_log = logging.getLogger(__name__)


class StreamSender:
    """Opens streams, each a connection of its own."""

    def __init__(self, url_of: UrlOf, key_of: KeyOf, look_seconds: float = LOOK_SECONDS) -> None:
        """``url_of`` and ``key_of`` read the ledger, by task id, and may block."""
        self._look_seconds = look_seconds
        self._url_of = url_of
        self._key_of = key_of
        self._clients: OrderedDict[str, httpx2.AsyncClient] = OrderedDict()
        self._sending: set[asyncio.Task[None]] = set()

    async def open(self, task_id: str, opens: Opens) -> "TokenStream | None":
        """A way to whoever listens to the task; None where nobody does, or it cannot be told."""
        try:
            # The call waits for this: a ledger that is slow to answer has nobody listening.
            async with asyncio.timeout(OPEN_SECONDS_MAX):
                url = await asyncio.to_thread(self._url_of, task_id)
                key = await asyncio.to_thread(self._key_of, task_id) if url else b""
        except Exception as error:  # noqa: BLE001  the call goes on without its listener
            _log.warning("nobody is shown task %s: %s", task_id, type(error).__name__)
            return None
        if url is None:
            return None
        stream = TokenStream(opens)
        sending = asyncio.create_task(self._send(task_id, url, key, stream))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        return stream

    async def _send(self, task_id: str, url: str, key: bytes, stream: "TokenStream") -> None:
        """Until the answer is whole: a caller who left may come back, through any replica."""
        where: str | None = url
        wait_seconds = TRY_AGAIN_AFTER_SECONDS
        try:
            while where is not None and not await self._post(where, task_id, key, stream):
                if await stream.ends_within(wait_seconds):
                    return
                wait_seconds = min(2 * wait_seconds, TRY_AGAIN_AFTER_SECONDS_MAX)
                where = await asyncio.to_thread(self._url_of, task_id)
        except Exception as error:  # noqa: BLE001  nobody waits for this
            _log.warning("stream of task %s gave up: %s", task_id, type(error).__name__)

    async def _post(self, url: str, task_id: str, key: bytes, stream: "TokenStream") -> bool:
        """Whether it was taken to its end."""
        writer = FrameWriter(key, task_id)
        client = await self._client(url)
        posting = asyncio.create_task(
            client.post(
                f"{PATH}/{quote(task_id, safe='')}",
                content=stream.frames(writer),
                headers={"content-type": "application/octet-stream"},
            )
        )
        try:
            while True:
                had_ended = stream.has_ended
                await asyncio.wait({posting}, timeout=self._look_seconds)
                if posting.done():
                    break
                # A replica that hangs, or whose host is gone, breaks no connection by itself.
                if had_ended or await asyncio.to_thread(self._url_of, task_id) != url:
                    return False
            return posting.result().status_code in _TAKEN
        except EgressRefusedError:
            raise
        except httpx2.TransportError:
            return False
        finally:
            posting.cancel()

    async def _client(self, url: str) -> httpx2.AsyncClient:
        name = str(Origin.of(url))
        client = self._clients.get(name)
        if client is None:
            # Each stream is one connection, and none is left over when the worker stops.
            client = await asyncio.to_thread(http_client, name, connections_idle_max=0)
            client = self._clients.setdefault(name, client)
            while len(self._clients) > _GATEWAYS_MAX:
                # Its open streams end, and find their gateway anew.
                await self._clients.popitem(last=False)[1].aclose()
        self._clients.move_to_end(name)
        return client


class TokenStream:
    """One answer as it is written. All of it is kept, so that it can be sent again."""

    def __init__(self, opens: Opens) -> None:
        self._opens = opens
        self._pieces: list[str] = []
        self._ends: Ends | None = None
        self._grew = asyncio.Event()
        self._ended = asyncio.Event()

    def write(self, piece: str) -> None:
        self._pieces.append(piece)
        self._grew.set()

    def end(self, *, is_whole: bool) -> None:
        self._ends = Ends(is_whole)
        self._grew.set()
        self._ended.set()

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    async def ends_within(self, seconds: float) -> bool:
        """Whether no more text comes, or will from ``seconds`` on."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        return self._ended.is_set()

    async def frames(self, writer: FrameWriter) -> AsyncIterator[bytes]:
        """The body of one request: what there is at once, then what comes."""
        yield writer.stream_id + writer.write(self._opens)
        sent = 0
        while True:
            self._grew.clear()
            while sent < len(self._pieces):
                text, sent = "".join(self._pieces[sent:]), len(self._pieces)
                for start in range(0, len(text), _FRAME_CHARACTERS_MAX):
                    yield writer.write(Piece(text[start : start + _FRAME_CHARACTERS_MAX]))
            if self._ends is not None:
                yield writer.write(self._ends)
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._grew.wait()
            if sent == len(self._pieces) and self._ends is None:
                # Nothing new: a piece without text finds out whether the gateway is still there.
                yield writer.write(Piece(""))
