"""One replica of many rounds: ``rate_racer URL LIMIT COUNT``.

Each line on stdin is a second of Unix time and starts it: ``COUNT`` requests of one key come at
once. A line on stdout tells how many were let in, and how often the ledger was asked.
"""

import asyncio
import json
import sys

from pointwork.gateway.limits import CallLimits, Limits
from pointwork.gateway.problems import ProblemError
from pointwork.gateway.shared_rate import SharedRate
from pointwork.ledger.engine import open_engine
from pointwork.ledger.rate_leases import RateLeases
from tests.integration.ledger.conftest import without_flushes

HOLDER = "one-key"
OF_ONE_REPLICA = Limits(requests_a_second=1e6, burst=10**6, in_flight_max=10**6)


class CountedLeases(RateLeases):
    """Leases that remember how often they were asked for."""

    asked = 0

    def lease(self, holder: str, second: int, wanted: int, limit: int) -> int:
        self.asked += 1
        return super().lease(holder, second, wanted, limit)


async def race(url: str, limit: int, count: int) -> None:
    leases = CountedLeases(without_flushes(open_engine(url)))
    now = [0]
    calls = CallLimits(OF_ONE_REPLICA, shared=SharedRate(leases, limit, lambda: float(now[0])))

    async def ask() -> bool:
        try:
            async with calls.one(HOLDER):
                return True
        except ProblemError as refused:
            if refused.status != 429:
                raise
            return False

    while line := await asyncio.to_thread(sys.stdin.readline):
        now[0], leases.asked = int(line), 0
        admitted = sum(await asyncio.gather(*(ask() for _ in range(count))))
        sys.stdout.write(f"{json.dumps([admitted, leases.asked])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    address, at_most, requests = sys.argv[1:]
    asyncio.run(race(address, int(at_most), int(requests)))
