"""How many requests a second one key holder sends to all replicas together.

A replica takes some of the second's requests from the ledger and lets them in by itself until they
are used up. What it took and did not use is lost with the second, so the replicas never let in more
than the limit, and a little less where requests come unevenly.
"""

import asyncio
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from pointwork.gateway.problems import ProblemError, too_many
from pointwork.ledger.rate_leases import RateLeases

_LEASES_A_SECOND = 20


class _Held:
    """What this replica may still let in of one second."""

    def __init__(self) -> None:
        self.asking = asyncio.Lock()
        self.second = 0
        self.left = 0
        self.is_used_up = False
        """The ledger gave nothing more, and need not be asked before the next second."""


class SharedRate:
    """The requests of each key holder, counted with the other replicas. For one event loop."""

    def __init__(
        self, leases: RateLeases, requests_a_second: int, clock: Callable[[], float] = time.time
    ) -> None:
        """``clock`` gives Unix time: replicas agree on a second as well as their clocks do."""
        self._leases = leases
        self._limit = requests_a_second
        self._wanted = max(1, requests_a_second // _LEASES_A_SECOND)
        self._clock = clock
        self._held: dict[str, _Held] = {}

    async def take(self, holder: str) -> None:
        """Count one request of ``holder``.

        Raises:
            ProblemError: 429 where the second's requests are used up; 503 where the ledger does not
                answer, which then could take no task either.
        """
        held = self._held.setdefault(holder, _Held())
        async with held.asking:
            second = int(self._clock())
            if second != held.second:
                held.second, held.left, held.is_used_up = second, 0, False
            if held.left == 0 and not held.is_used_up:
                held.left = await self._leased(holder, second)
                held.is_used_up = held.left == 0
            if held.left == 0:
                raise too_many(
                    f"{holder!r} sends more than {self._limit} requests a second to all replicas "
                    "together; slow down",
                    1.0,
                )
            held.left -= 1

    async def _leased(self, holder: str, second: int) -> int:
        asked = (holder, second, self._wanted, self._limit)
        try:
            return await asyncio.to_thread(self._leases.lease, *asked)
        except SQLAlchemyError:
            raise ProblemError(
                503,
                "unavailable",
                "the ledger does not answer, and without it nothing is let in; try again",
                headers={"retry-after": "1"},
            ) from None
