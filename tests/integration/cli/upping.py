"""``pointwork up`` as a user starts it, with nothing scripted."""

import os
import signal
import subprocess
from pathlib import Path

import psutil

from pointwork.local.weights import installed_path, pull
from tests.integration.cli.conftest import command

MODEL = "smollm2-135m"


def lend_weights(repository: Path, state_dir: Path) -> None:
    """Put the weights that all tests share into a state directory, without a copy."""
    shared = pull(MODEL, repository / ".pointwork" / "models", lambda _: None)
    path = installed_path(MODEL, state_dir / "models")
    path.parent.mkdir(parents=True)
    path.symlink_to(shared)


class Up:
    """``pointwork up`` in a process of its own, ready to be used."""

    def __init__(self, state_dir: Path, log: Path) -> None:
        self.state_dir = state_dir
        self._log = log.open("wb")
        self.process = subprocess.Popen(
            command("up", "--state-dir", state_dir),
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self.process.stdout is not None
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            if line.startswith("Ctrl-C"):
                return
        raise AssertionError(f"`up` ended: {log.read_text()}")

    @property
    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, number: signal.Signals) -> int:
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        code = self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._log.close()
        return code
