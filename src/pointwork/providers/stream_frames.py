"""Pieces of an answer on their way from a worker to the gateway, sealed under a key of the task.

A body is 16 random bytes that name the stream, then frames: four bytes of length, a nonce, and
AES-GCM over the content. Each frame is bound to its task, its stream and its number, so that none
can be moved, left out, repeated or made by anybody without the task's key. The last one says that
it is; a body without it was cut.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

STREAM_ID_BYTES = 16
FRAME_BYTES_MAX = 2**20
_LENGTH_BYTES, _NONCE_BYTES, _TAG_BYTES = 4, 12, 16
_OPENS, _TEXT, _ENDS = b"o", b"t", b"e"


class BadFrameError(ValueError):
    """What came is not what a worker of this deployment sealed for the task."""


@dataclass(frozen=True, slots=True)
class Opens:
    """The call whose answer follows."""

    attempt_id: str
    model: str
    served_as: str
    number: int
    """Of the attempt within its task, from 1."""
    estimate_nano_usd: int

    @property
    def order(self) -> tuple[int, int]:
        """Later calls of a task have a higher one: the attempt, and how often it was sent."""
        return self.number, int(self.attempt_id.rpartition("/")[2])


@dataclass(frozen=True, slots=True)
class Piece:
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ends:
    is_whole: bool
    """The model ended its answer; otherwise the call failed."""


Frame = Opens | Piece | Ends


class FrameWriter:
    """Seals the frames of one stream, in order."""

    def __init__(self, key: bytes, task_id: str) -> None:
        self._cipher = AESGCM(key)
        self._task_id = task_id
        self._number = 0
        self.stream_id = os.urandom(STREAM_ID_BYTES)
        """Goes before the first frame."""

    def write(self, frame: Frame) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        bound = _bound_to(self._task_id, self.stream_id, self._number)
        sealed = nonce + self._cipher.encrypt(nonce, _encoded(frame), bound)
        self._number += 1
        return len(sealed).to_bytes(_LENGTH_BYTES, "big") + sealed


class FrameReader:
    """Opens what arrives, in pieces of any size."""

    def __init__(self, key: bytes, task_id: str) -> None:
        self._cipher = AESGCM(key)
        self._task_id = task_id
        self._number = 0
        self._stream_id = b""
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that ``data`` completes.

        Raises:
            BadFrameError: it is no frame of this task, or not the next one.
        """
        self._held += data
        if not self._stream_id:
            if len(self._held) < STREAM_ID_BYTES:
                return
            self._stream_id = bytes(self._held[:STREAM_ID_BYTES])
            del self._held[:STREAM_ID_BYTES]
        while len(self._held) >= _LENGTH_BYTES:
            length = int.from_bytes(self._held[:_LENGTH_BYTES], "big")
            if not _NONCE_BYTES + _TAG_BYTES < length <= FRAME_BYTES_MAX:
                raise BadFrameError("a frame has a length that none has")
            if len(self._held) < _LENGTH_BYTES + length:
                return
            sealed = bytes(self._held[_LENGTH_BYTES : _LENGTH_BYTES + length])
            del self._held[: _LENGTH_BYTES + length]
            yield self._opened(sealed)

    def _opened(self, sealed: bytes) -> Frame:
        bound = _bound_to(self._task_id, self._stream_id, self._number)
        try:
            data = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound)
        except InvalidTag:
            raise BadFrameError("a frame was not sealed for this place") from None
        self._number += 1
        return _decoded(data)


def _encoded(frame: Frame) -> bytes:
    match frame:
        case Piece():
            return _TEXT + frame.text.encode(errors="surrogatepass")
        case Opens():
            return _OPENS + json.dumps(asdict(frame)).encode()
        case Ends():
            return _ENDS + bytes([frame.is_whole])


def _decoded(data: bytes) -> Frame:
    kind, rest = data[:1], data[1:]
    if kind == _TEXT:
        return Piece(rest.decode(errors="surrogatepass"))
    if kind == _OPENS:
        return Opens(**json.loads(rest))
    if kind == _ENDS:
        return Ends(is_whole=rest == b"\x01")
    raise BadFrameError("a frame is of a kind that is not known")


def _bound_to(task_id: str, stream_id: bytes, number: int) -> bytes:
    return b"\x00".join((b"pointwork tokens", task_id.encode(), stream_id, str(number).encode()))
