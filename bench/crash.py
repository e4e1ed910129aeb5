"""``kill -9`` with 50 calls in flight, on Pointwork: who gets an answer, and who paid for what."""

import asyncio
from dataclasses import dataclass

from bench.deployment import Deployment
from bench.mock_upstream import Upstream
from bench.spending import BUDGETS_USD, LOADS, Spender
from pointwork.contract.failures import FailureType, PointworkError
from pointwork.contract.money import NANO_PER_USD

IN_FLIGHT = 50
IN_FLIGHT_TIMEOUT_SECONDS = 120
ASK_TIMEOUT_SECONDS = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class CrashKind:
    """What is killed, and under which budget: a lost call stays charged, and so is its repeat."""

    name: str
    pack: str
    kills_everything: bool
    is_covered: bool
    """Whether the budget covers every call a second time."""


CRASHES = (
    CrashKind(name="worker", pack="five-dollars", kills_everything=False, is_covered=True),
    CrashKind(name="everything", pack="five-dollars", kills_everything=True, is_covered=True),
    CrashKind(name="no-money-left", pack="two-dollars", kills_everything=False, is_covered=False),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CrashReport:
    kind: CrashKind
    in_flight: int
    without_asking: int
    """Callers whose first call simply went on to its answer."""
    answered: int
    """Callers who had their answer in the end."""
    billed_twice: int
    spent_after: int
    """Calls that what was left of the budget still admitted."""
    overspend: float

    def line(self) -> str:
        return (
            f"  {self.kind.name:14s} in flight {self.in_flight}  answered {self.answered} of "
            f"{IN_FLIGHT} ({self.without_asking} without asking again)  called twice "
            f"{self.billed_twice}  admitted afterwards {self.spent_after}  budget "
            f"{self.overspend:+.1%}"
        )


def caller_of(kind: CrashKind, number: int) -> str:
    return f"crash-{kind.name}-{number}"


async def crash(
    deployment: Deployment, upstream: Upstream, kind: CrashKind, number: int
) -> CrashReport:
    """One crash with a caller, and so a budget, of its own; spent to its end afterwards."""
    load, caller = LOADS[0], caller_of(kind, number)
    # 50 calls at once go to a model that is known; one that never sent a bill is tried first.
    await Spender(deployment, upstream, kind.pack, f"first-{caller}", caller).spend(load, 1, 1)
    spender = Spender(deployment, upstream, kind.pack, caller)
    before, calls_before = upstream.billed_nano_usd, len(upstream.bills)
    upstream.gate.clear()
    first = [asyncio.create_task(spender.ask(load, n)) for n in range(1, IN_FLIGHT + 1)]
    async with asyncio.timeout(IN_FLIGHT_TIMEOUT_SECONDS):
        while upstream.in_flight < IN_FLIGHT:
            await asyncio.sleep(0.01)
    in_flight = upstream.in_flight
    if kind.kills_everything:
        deployment.kill_everything()
        upstream.gate.set()
        await deployment.restart()
    else:
        deployment.kill_worker()
        upstream.gate.set()
    without_asking = await _answered(first, kind)
    async with asyncio.timeout(ASK_TIMEOUT_SECONDS):
        again = await asyncio.gather(*(spender.ask(load, n) for n in range(1, IN_FLIGHT + 1)))
    await upstream.idle()
    called = len(upstream.bills) - calls_before
    rest = await spender.spend(load, IN_FLIGHT * 2, 8, first=IN_FLIGHT + 1)
    budget_nano_usd = float(BUDGETS_USD[kind.pack]) * NANO_PER_USD
    report = CrashReport(
        kind=kind,
        in_flight=in_flight,
        without_asking=without_asking,
        answered=sum(each is None for each in again),
        billed_twice=called - IN_FLIGHT,
        spent_after=rest.admitted,
        overspend=(upstream.billed_nano_usd - before) / budget_nano_usd - 1,
    )
    print(report.line(), flush=True)
    return report


async def _answered(first: list[asyncio.Task[FailureType | None]], kind: CrashKind) -> int:
    """How many of the first calls come back with an answer; a lost connection is none."""
    if kind.kills_everything:
        for task in first:
            task.cancel()
    ends = await asyncio.gather(*first, return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException) and not isinstance(
            end, asyncio.CancelledError | PointworkError
        ):
            raise end
    return sum(end is None for end in ends)
