"""Ties a child process to its parent, so that nothing outlives a parent that was killed.

Run as a script (standard library only, so that it starts in milliseconds) it ties itself and then
becomes another program: that is how a program we did not write is tied too.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

EXIT_ORPHANED = 71
"""Exit status of a child whose parent was gone before it could be tied."""

_PR_SET_PDEATHSIG = 1


def tethered(command: Sequence[str], *, parent_pid: int) -> list[str]:
    """The command line that runs ``command`` so that the kernel kills it when the parent dies.

    The kernel watches the parent's *thread*, so start such a child from a thread that stays: the
    one that runs the event loop.
    """
    return [sys.executable, "-I", "-S", str(Path(__file__)), str(parent_pid), *command]


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when ``parent_pid`` ends, also by SIGKILL.

    The setting survives ``exec``. Off Linux nothing is set; callers that can, watch
    ``os.getppid()`` as well.

    Raises:
        OSError: the kernel refused.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    # The parent may have died before the setting took hold, and then nobody would tell us.
    if os.getppid() != parent_pid:
        os._exit(EXIT_ORPHANED)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
