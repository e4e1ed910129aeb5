"""What activities do that take long."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from temporalio.testing import ActivityEnvironment

from activities.heartbeats import beating, to_its_end


def test_a_commit_that_waits_for_a_thread_is_made_though_its_activity_is_cancelled() -> None:
    free, committed = threading.Event(), list[str]()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        busy = loop.run_in_executor(None, free.wait, 60)
        committing = asyncio.create_task(to_its_end(committed.append, "answer"))
        await asyncio.sleep(0)
        committing.cancel()
        await asyncio.sleep(0)
        assert committed == []
        free.set()
        with pytest.raises(asyncio.CancelledError):
            await committing
        assert await busy

    asyncio.run(main())
    assert committed == ["answer"]


async def test_a_cancel_that_comes_as_the_heart_stops_is_not_lost() -> None:
    async def activity() -> None:
        async with beating():
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(ActivityEnvironment().run(activity))
