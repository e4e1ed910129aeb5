"""The end of a process that used a Temporal client."""

import os
import sys
from contextlib import suppress
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """End this process with ``code``, its output flushed and its ``atexit`` handlers not run.

    Temporal's client holds threads that are not Python's. One that returns to Python while the
    interpreter shuts down aborts the process (exit 134) or hangs it, with its work long done.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(BrokenPipeError):
            stream.flush()
    os._exit(code)
