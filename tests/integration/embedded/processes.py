"""Waiting for processes to be gone."""

import asyncio
from collections.abc import Callable, Iterable

import psutil

PATIENCE_SECONDS = 60.0


def is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.02)


async def all_gone(pids: Iterable[int]) -> None:
    pids = list(pids)
    await until(lambda: not any(is_running(pid) for pid in pids))
