"""A program that starts processes of its own, and the keeper that ends them all with it."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from pointwork.local.tether import EXIT_ORPHANED, tethered_tree
from tests.integration.local.vllm_calls import PATIENCE_SECONDS, until_dead

TELL = "import os, signal, subprocess, sys; print(os.getpid(), flush=True); "
GRANDCHILD = (
    "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'], "
    "start_new_session=True); print(child.pid, flush=True); "
)


async def kept(code: str, *, grace_seconds: float = 60.0, parent_pid: int = 0) -> Process:
    command = [sys.executable, "-c", TELL + code]
    return await asyncio.create_subprocess_exec(
        *tethered_tree(command, parent_pid=parent_pid or os.getpid(), grace_seconds=grace_seconds),
        stdout=PIPE,
    )


async def line(process: Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        return (await process.stdout.readline()).decode().strip()


async def ended(process: Process) -> int:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await process.wait()


@pytest.mark.parametrize(
    ("code", "status"),
    [("sys.exit(7)", 7), ("pass", 0), ("os.kill(os.getpid(), signal.SIGKILL)", 128 + 9)],
)
async def test_the_keeper_ends_with_the_programs_status(code: str, status: int) -> None:
    assert await ended(await kept(code)) == status


async def test_a_program_that_ends_leaves_nothing_it_started(tmp_path: Path) -> None:
    process = await kept(GRANDCHILD + "sys.exit(7)")
    await line(process)
    grandchild = int(await line(process))
    assert await ended(process) == 7
    await until_dead(grandchild)


async def test_a_program_that_is_told_to_end_may_end_by_itself() -> None:
    code = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); print('r', flush=True); "
    process = await kept(code + "signal.pause()")
    await line(process)
    assert await line(process) == "r"
    process.terminate()
    assert await ended(process) == 5


async def test_one_that_does_not_end_is_killed_after_the_grace_with_all_it_started() -> None:
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    process = await kept(code + GRANDCHILD + "\nwhile True: signal.pause()", grace_seconds=0.1)
    program, grandchild = int(await line(process)), int(await line(process))
    process.terminate()
    assert await ended(process) == 128 + 9
    await until_dead(program)
    await until_dead(grandchild)


async def test_a_killed_keeper_takes_its_program_along() -> None:
    process = await kept("signal.pause()")
    program = int(await line(process))
    process.kill()
    assert await ended(process) == -signal.SIGKILL
    await until_dead(program)


async def test_a_keeper_whose_parent_is_another_than_it_was_told_starts_nothing() -> None:
    process = await kept("pass", parent_pid=1)
    assert await ended(process) == EXIT_ORPHANED
    assert await line(process) == ""
