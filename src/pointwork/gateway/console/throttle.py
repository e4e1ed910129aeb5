"""Slows down who guesses access keys: each failure of a key or an address doubles its wait."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

_FREE_FAILURES = 4
_WAIT_SECONDS_MAX = 900.0
_FORGOTTEN_AFTER_SECONDS = 3600.0
_KNOWN_MAX = 10_000


class Throttle:
    """Counts failures of this replica, by key id and by client address. For one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """How many, and when the last one was."""

    def wait_seconds(self, names: Iterable[str]) -> int:
        """How long whoever goes by these names waits before the next try; 0 is not at all."""
        now = self._clock()
        return max((self._wait(name, now) for name in names), default=0)

    def failed(self, names: Iterable[str]) -> None:
        now = self._clock()
        for name in names:
            count, at = self._failures.pop(name, (0, now))
            count = 0 if now - at > _FORGOTTEN_AFTER_SECONDS else count
            self._failures[name] = (count + 1, now)
        while len(self._failures) > _KNOWN_MAX:
            self._failures.popitem(last=False)

    def succeeded(self, name: str) -> None:
        """Forget a name's failures. An address keeps its own: one good key opens no others."""
        self._failures.pop(name, None)

    def _wait(self, name: str, now: float) -> int:
        count, at = self._failures.get(name, (0, now))
        if count <= _FREE_FAILURES:
            return 0
        wait = min(2.0 ** (count - _FREE_FAILURES), _WAIT_SECONDS_MAX)
        left = at + wait - now
        return int(left) + 1 if left > 0 else 0
