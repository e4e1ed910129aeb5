"""Frames of an answer on their way: what was sealed arrives, and nothing else opens."""

import os
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointwork.providers.stream_frames import (
    STREAM_ID_BYTES,
    BadFrameError,
    Ends,
    Frame,
    FrameReader,
    FrameWriter,
    Opens,
    Piece,
)

KEY, TASK = os.urandom(32), "task-1"
OPENS = Opens(
    attempt_id="task-1/1/1", model="gpt-4o", served_as="gpt-4o-2024", number=1, estimate_nano_usd=7
)
pieces = st.lists(st.text(alphabet=st.characters(exclude_categories=[])), max_size=8)


def sealed(frames: Sequence[Frame], key: bytes = KEY, task_id: str = TASK) -> list[bytes]:
    """The stream's id, then each frame."""
    writer = FrameWriter(key, task_id)
    return [writer.stream_id, *(writer.write(frame) for frame in frames)]


def opened(data: bytes, key: bytes = KEY, task_id: str = TASK) -> list[Frame]:
    return list(FrameReader(key, task_id).feed(data))


@given(pieces, st.integers(min_value=1, max_value=40))
def test_frames_arrive_as_they_were_written_however_the_bytes_are_cut(
    texts: list[str], step: int
) -> None:
    frames: list[Frame] = [OPENS, *map(Piece, texts), Ends(is_whole=True)]
    data, reader = b"".join(sealed(frames)), FrameReader(KEY, TASK)
    found: list[Frame] = []
    for start in range(0, len(data), step):
        found += reader.feed(data[start : start + step])
    assert found == frames


def test_no_text_of_an_answer_stands_in_the_bytes_or_in_a_repr() -> None:
    frames: list[Frame] = [OPENS, Piece("a canary sings")]
    assert b"canary" not in b"".join(sealed(frames))
    assert "canary" not in repr(frames)


@pytest.mark.parametrize(
    "damaged",
    [
        lambda p: [p[0], p[1], p[3]],
        lambda p: [p[0], p[2], p[1]],
        lambda p: [p[0], p[1], p[1]],
        lambda p: [os.urandom(STREAM_ID_BYTES), *p[1:]],
        lambda p: [p[0], p[1][:-1] + bytes([p[1][-1] ^ 1]), *p[2:]],
        lambda p: [p[0], b"\xff\xff\xff\xff"],
        lambda p: [p[0], b"\x00\x00\x00\x00"],
        lambda p: [p[0], *sealed([OPENS], key=os.urandom(32))[1:]],
        lambda p: sealed([OPENS], task_id="task-2"),
    ],
    ids=[
        "left out",
        "moved",
        "repeated",
        "of another stream",
        "altered",
        "too long",
        "empty",
        "under another key",
        "of another task",
    ],
)
def test_a_frame_opens_in_its_own_place_alone(damaged) -> None:  # type: ignore[no-untyped-def]
    parts = sealed([OPENS, Piece("one"), Ends(is_whole=True)])
    with pytest.raises(BadFrameError):
        opened(b"".join(damaged(parts)))
