"""An engine whose commits now and then succeed and are reported as failed.

What Temporal's own persistence tests call ExecuteAndTimeout: the write is done, and whoever asked
for it is told that the connection was lost (reliability A18).
"""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError


class LossyEngine:
    """Stands in for ``engine``; of its write transactions, ``rate`` lose their answer."""

    def __init__(self, engine: Engine, rate: float, seed: int) -> None:
        self._engine = engine
        self._rate = rate
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.commits = 0
        self.lost = 0

    def as_engine(self) -> Engine:
        return cast(Engine, self)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection
        with self._lock:
            is_lost = self._random.random() < self._rate
            self.commits += 1
            self.lost += is_lost
        if is_lost:
            raise OperationalError("COMMIT", None, ConnectionError("the answer was lost"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)
