"""A worker that is told to stop while it still starts."""

import asyncio

import pytest

from workers.process import unless_stopped


async def test_a_start_of_many_minutes_ends_when_the_worker_is_told_to_stop() -> None:
    stopped, ended = asyncio.Event(), list[str]()

    async def prepare() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")
        raise AssertionError

    starting = asyncio.create_task(unless_stopped(prepare(), stopped))
    await asyncio.sleep(0)
    stopped.set()
    assert await starting is None
    assert ended == ["cleaned up"]


async def test_a_start_that_succeeds_or_fails_says_so() -> None:
    async def ready() -> str:
        return "ready"

    async def broken() -> str:
        raise OSError("no card")

    assert await unless_stopped(ready(), asyncio.Event()) == "ready"
    with pytest.raises(OSError, match="no card"):
        await unless_stopped(broken(), asyncio.Event())
