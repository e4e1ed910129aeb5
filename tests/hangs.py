"""A test that never ends is ended, and says where it stood: a build would wait for it for ever."""

import asyncio
import faulthandler
import gc
import os
import sys
import threading
from collections.abc import Generator
from contextlib import suppress
from typing import TextIO

import psutil
import pytest

LIMIT_SECONDS = 600
"""Several times the longest test of the default run on two busy cores."""
A_STUCK_INTERPRETER_SECONDS = LIMIT_SECONDS + 30


_STDERR = pytest.StashKey[TextIO]()


def pytest_configure(config: pytest.Config) -> None:
    """Standard error is kept from before pytest takes it for what tests print."""
    assert sys.__stderr__ is not None
    config.stash[_STDERR] = os.fdopen(os.dup(sys.__stderr__.fileno()), "w")


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_STDERR].close()


def _tell_and_exit(test_id: str, stderr: TextIO) -> None:
    """The stacks of tasks, which those of threads do not show; pytest-xdist names the lost test."""
    try:
        print(f"\n{test_id} has not ended after {LIMIT_SECONDS} s.", file=stderr, flush=True)
        faulthandler.dump_traceback(file=stderr, all_threads=True)
        for task in gc.get_objects():
            # What is found may be a proxy of something that is gone.
            with suppress(ReferenceError):
                if isinstance(task, asyncio.Task) and not task.done():
                    task.print_stack(limit=8, file=stderr)
        stderr.flush()
    finally:
        _kill_children()
        os._exit(1)


def _kill_children() -> None:
    """They would outlive this process, and hold the build's output open."""
    with suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if item.config.getoption("--whole"):
        return (yield)
    stderr = item.config.stash[_STDERR]
    limit = threading.Timer(LIMIT_SECONDS, _tell_and_exit, (item.nodeid, stderr))
    limit.daemon = True
    limit.start()
    # From outside the interpreter, for a thread that holds its lock for ever.
    faulthandler.dump_traceback_later(A_STUCK_INTERPRETER_SECONDS, exit=True, file=stderr)
    try:
        return (yield)
    finally:
        limit.cancel()
        faulthandler.cancel_dump_traceback_later()
