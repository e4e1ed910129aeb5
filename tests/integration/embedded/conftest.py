"""A deployment with the real Temporal server and stand-ins for the workers."""

import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pointwork.embedded import Embedded, EmbeddedEvent


class Deployment:
    """State directory and code root of a test; closes every deployment it made."""

    def __init__(self, root: Path, stand_in: Path) -> None:
        self.state_dir = root / "state"
        self.app_root = root / "app"
        self.events: list[EmbeddedEvent] = []
        self._made: list[Embedded] = []
        (self.app_root / "policies").mkdir(parents=True)
        (self.app_root / "workers").mkdir()
        (self.app_root / "workers" / "__init__.py").touch()
        shutil.copy(stand_in, self.app_root / "workers" / "__main__.py")

    def embedded(self) -> Embedded:
        self._made.append(Embedded(self.state_dir, self.app_root))
        return self._made[-1]

    async def started(self) -> Embedded:
        embedded = self.embedded()
        await embedded.start(self.events.append)
        return embedded

    def order(self, worker: str, *orders: str) -> None:
        """Tell a stand-in worker how to behave from its next start on."""
        run = self.state_dir / "run"
        run.mkdir(parents=True, exist_ok=True)
        (run / f"orders-{worker}").write_text(" ".join(orders))

    async def close(self) -> None:
        for embedded in self._made:
            await embedded.stop()


@pytest.fixture
async def deployment(tmp_path: Path, repository: Path) -> AsyncIterator[Deployment]:
    deployment = Deployment(tmp_path, repository / "tests" / "fakes" / "standin_workers.py")
    yield deployment
    await deployment.close()


@pytest.fixture
def unused_ports() -> list[int]:
    """Two ports that nobody listens on."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return [first.getsockname()[1], second.getsockname()[1]]
