"""Answers as they are written: workers send them here, for callers whom this replica holds.

Nothing of it is the record. A caller is only ever sent text that the answer begins with; where a
second try says something else, their stream ends and names the task (docs/adr/0022).
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response

from pointwork.contract.task import TaskId
from pointwork.gateway.problems import ProblemError
from pointwork.ledger.data_keys import ContentUnavailableError
from pointwork.providers.stream_frames import BadFrameError, FrameReader, Opens, Piece
from pointwork.providers.stream_sender import BEAT_SECONDS, PATH

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

router = APIRouter(include_in_schema=False)

_SILENT_SECONDS_MAX = 10 * BEAT_SECONDS
_STREAMS_MAX = 4
"""At once for one task: the worker's own, and those that its tries have not closed yet."""
_CLOSES = {"connection": "close"}
"""Who still sends reads no answer before the connection ends."""


class LiveAnswer:
    """What a task's callers are shown of its answer: the latest call's text so far."""

    def __init__(self) -> None:
        self.call: Opens | None = None
        """The call whose text it is; None before the first."""
        self.calls = 0
        """How many calls were shown: more than one is a restart."""
        self.begun = 0
        """How often a text began, be it the same call's again."""
        self.pieces: list[str] = []
        self.listeners = 0
        self.streams = 0
        """Connections that say they bring the answer."""
        self._changed = asyncio.Event()

    def begin(self, call: Opens) -> bool:
        """Take a later call's text, or the same one's from its beginning; False for an earlier."""
        if self.call is not None and call.order < self.call.order:
            return False
        if self.call is None or self.call.attempt_id != call.attempt_id:
            self.calls += 1
        self.begun += 1
        self.call = call
        self.pieces = []
        self._wake()
        return True

    def add(self, piece: str) -> None:
        if piece:
            self.pieces.append(piece)
            self._wake()

    @property
    def state(self) -> tuple[int, int]:
        """Differs whenever there is more to show."""
        return self.begun, len(self.pieces)

    async def change(self, seen: tuple[int, int]) -> None:
        """Return once the state is another than ``seen``."""
        while self.state == seen:
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class LiveAnswers:
    """The answers that callers of this replica listen to. For use in one event loop."""

    def __init__(self) -> None:
        self.url = ""
        """Where workers reach this replica; empty while they do not, and nothing is shown early."""
        self._answers: dict[str, LiveAnswer] = {}

    @contextmanager
    def listen(self, task_id: str) -> Iterator[LiveAnswer]:
        """The task's answer as it comes. Callers of one task share it."""
        answer = self._answers.setdefault(task_id, LiveAnswer())
        answer.listeners += 1
        try:
            yield answer
        finally:
            answer.listeners -= 1
            if answer.listeners == 0:
                del self._answers[task_id]

    def find(self, task_id: str) -> LiveAnswer | None:
        return self._answers.get(task_id)


class Shown:
    """What one caller has been sent of an answer."""

    def __init__(self) -> None:
        self._sent: list[str] = []
        self._begun = 0
        self._pieces = 0
        self.has_diverged = False
        """A later call wrote something else, so nothing more can be sent."""

    @property
    def text(self) -> str:
        return "".join(self._sent)

    def next_of(self, answer: LiveAnswer) -> str:
        """What the caller has not been sent yet, which is sent now."""
        if self.has_diverged:
            return ""
        if self._begun == answer.begun:
            rest = "".join(answer.pieces[self._pieces :])
        else:
            text, sent = "".join(answer.pieces), self.text
            if not text.startswith(sent):
                # A second try may still be on its way to where the first one stopped.
                self.has_diverged = not sent.startswith(text)
                return ""
            self._begun, rest = answer.begun, text[len(sent) :]
        self._pieces = len(answer.pieces)
        if rest:
            self._sent.append(rest)
        return rest

    def rest_of(self, text: str) -> str | None:
        """What is left of the whole answer; None where it begins otherwise than what was sent."""
        sent = self.text
        return text[len(sent) :] if text.startswith(sent) else None


@router.post(PATH + "/{task_id}")
async def take_stream(task_id: TaskId, request: Request) -> Response:
    """Take a worker's stream. Its frames are sealed under the task's key, which is all it shows.

    204 once it ended; 404 where no caller of the task is here; 400 for what no worker sealed.
    """
    gateway: Gateway = request.app.state.gateway
    answer = gateway.live.find(task_id)
    if answer is None or answer.streams >= _STREAMS_MAX:
        raise _nobody_listens()
    answer.streams += 1
    try:
        key = await asyncio.to_thread(gateway.vault.stream_key, task_id)
        await _take(gateway.live, task_id, FrameReader(key, task_id), request.stream())
    except TimeoutError:
        raise ProblemError(408, "silent", "the stream says nothing", headers=_CLOSES) from None
    except (ContentUnavailableError, BadFrameError):
        raise ProblemError(
            400,
            "bad_stream",
            "the body is not what a worker sealed for this task",
            headers=_CLOSES,
        ) from None
    finally:
        answer.streams -= 1
    return Response(status_code=204, headers=_CLOSES)


async def _take(
    live: LiveAnswers, task_id: str, reader: FrameReader, body: AsyncIterator[bytes]
) -> None:
    """Until the stream ends, or a later call takes its place.

    Raises:
        ProblemError: 404 where the callers it was begun for are gone; others may have come, who
            need it from its beginning.
    """
    answer, call = live.find(task_id), None
    while True:
        async with asyncio.timeout(_SILENT_SECONDS_MAX):
            data = await anext(body, None)
        if data is None:
            return
        if answer is None or live.find(task_id) is not answer:
            raise _nobody_listens()
        for frame in reader.feed(data):
            match frame:
                case Opens() if answer.begin(frame):
                    call = frame
                case Piece() if answer.call is call:
                    answer.add(frame.text)
                case _:
                    return


def _nobody_listens() -> ProblemError:
    detail = "no caller of this task is here"
    return ProblemError(404, "nobody_listens", detail, headers=_CLOSES)
