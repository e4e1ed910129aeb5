"""Ties a child process to its parent, so that nothing outlives a parent that was killed.

Run as a script (standard library only, so that it starts in milliseconds) it ties itself and then
becomes another program: that is how a program we did not write is tied too. With ``--tree`` it
stays beside that program instead, and ends what the program started as well.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

EXIT_ORPHANED = 71
"""Exit status of a child whose parent was gone before it could be tied."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_TREE = "--tree"
_TOLD = {signal.SIGTERM, signal.SIGINT}


def tethered(command: Sequence[str], *, parent_pid: int) -> list[str]:
    """The command line that runs ``command`` so that the kernel kills it when the parent dies.

    The kernel watches the parent's *thread*, so start such a child from a thread that stays: the
    one that runs the event loop.
    """
    return [sys.executable, "-I", "-S", str(Path(__file__)), str(parent_pid), *command]


def tethered_tree(command: Sequence[str], *, parent_pid: int, grace_seconds: float) -> list[str]:
    """As ``tethered``, for a program that starts processes of its own (Linux only).

    A keeper process stays above the program and inherits what it leaves behind. Told to end
    (SIGTERM) it tells the program, waits up to ``grace_seconds`` and kills the rest; when the
    parent has died it kills at once. It ends after the last of them, with the program's status.
    """
    tree = f"{_TREE}={grace_seconds:g}"
    return [sys.executable, "-I", "-S", str(Path(__file__)), str(parent_pid), tree, *command]


def die_with_parent(parent_pid: int, by: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send this process ``by`` when ``parent_pid`` ends, also by SIGKILL.

    The setting survives ``exec``. Off Linux nothing is set; callers that can, watch
    ``os.getppid()`` as well.

    Raises:
        OSError: the kernel refused.
    """
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, int(by))
    # The parent may have died before the setting took hold, and then nobody would tell us.
    if os.getppid() != parent_pid:
        os._exit(EXIT_ORPHANED)


def keep_tree(command: Sequence[str], *, parent_pid: int, grace_seconds: float) -> int:
    """Run ``command`` until it ends, end all that it started, and return its status."""
    # Signals wait to be fetched, so that none is lost between two steps.
    signal.pthread_sigmask(signal.SIG_BLOCK, {*_TOLD, signal.SIGCHLD})
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    die_with_parent(parent_pid, signal.SIGTERM)
    # What we were handed, such as a lease on the device, the program holds too.
    program = subprocess.Popen(tethered(command, parent_pid=os.getpid()), close_fds=False)
    _await_end(program, parent_pid, grace_seconds)
    _kill_children()
    status = program.wait()
    with suppress(ChildProcessError):
        while True:
            os.wait()
    return status if status >= 0 else 128 - status


def _await_end(program: "subprocess.Popen[bytes]", parent_pid: int, grace_seconds: float) -> None:
    deadline: float | None = None
    while program.poll() is None:
        if deadline is None:
            number = signal.sigwait({*_TOLD, signal.SIGCHLD})
        else:
            left = max(0.0, deadline - time.monotonic())
            number_or_none = signal.sigtimedwait({*_TOLD, signal.SIGCHLD}, left)
            if number_or_none is None:
                return
            number = signal.Signals(number_or_none.si_signo)
        if number in _TOLD:
            if os.getppid() != parent_pid:
                return
            program.terminate()
            deadline = deadline or time.monotonic() + grace_seconds


def _kill_children() -> None:
    """Kill until none is left: the children of one that was killed become ours."""
    while children := _children():
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in children:
            # Not reaped: the program's own status is still asked for.
            with suppress(ChildProcessError):
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def _children() -> list[int]:
    """Our children that run; one that has ended holds nothing any more."""
    me, found = os.getpid(), []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with suppress(OSError):
            # The name, in parentheses, may hold spaces; what follows it does not.
            state, parent = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) == me and state != "Z":
                found.append(int(entry))
    return found


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def _main(arguments: Sequence[str]) -> None:
    parent_pid, *command = arguments
    if command[0].startswith(_TREE):
        grace_seconds = float(command.pop(0).partition("=")[2])
        sys.exit(keep_tree(command, parent_pid=int(parent_pid), grace_seconds=grace_seconds))
    die_with_parent(int(parent_pid))
    # A keeper blocks signals for itself, and what is blocked would stay so in the program.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.execv(command[0], command)


if __name__ == "__main__":
    _main(sys.argv[1:])
