"""Callers who spend a budget until nothing is left of it, and what the upstream billed for that."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from sqlalchemy import Engine, Select, func, select

from bench.deployment import Deployment
from bench.mock_upstream import Upstream
from pointwork.contract.failures import FailureType, TaskFailedError
from pointwork.contract.money import NANO_PER_USD
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import Constraints, Sensitivity, TaskDeclaration
from pointwork.ledger.engine import read
from pointwork.ledger.holds import ATTEMPT, OUTCOME, OVERRUN, PART

BUDGETS_USD = {"two-dollars": "2.00", "five-dollars": "5.00"}
"""By pack, what each caller may spend."""
SPENT_TIMEOUT_SECONDS = 600
RECORDED_TIMEOUT_SECONDS = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What each call sends. The upstream bills 1000 tokens in, whatever that is."""

    name: str
    meaning: str
    text: str
    constraints: Constraints


AS_ASKED = Constraints(max_output_tokens=1000)
LOADS = (
    Load(
        name="right",
        meaning="936 bytes and 64 of template: the bound is the 1000 tokens that are billed",
        text="hello " * 156,
        constraints=AS_ASKED,
    ),
    Load(
        name="peers-prompt",
        meaning="985 words, as the peers got: 5974 tokens at most, 1000 billed",
        text="hello " * 985,
        constraints=AS_ASKED,
    ),
    Load(
        name="low",
        meaning="3 words: 82 tokens at most by our bound, and the upstream bills 1000",
        text="hello " * 3,
        constraints=AS_ASKED,
    ),
    Load(
        name="no-max-tokens",
        meaning="as right, and the caller names no limit: 512 are sent, and billed",
        text="hello " * 156,
        constraints=Constraints(),
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One budget spent."""

    budget_nano_usd: int
    billed_nano_usd: int
    """The upstream's own count."""
    posted_nano_usd: int
    """The ledger's."""
    admitted: int
    refused: Counter[str]
    overruns: int
    wall_seconds: float
    answered_ms: list[float] = field(repr=False)

    @property
    def overspend(self) -> float:
        """Share of the budget that was spent beyond it; negative where some is left."""
        return self.billed_nano_usd / self.budget_nano_usd - 1


class Spender:
    """The tasks of one caller, who has a budget of their own, and by default a model too."""

    def __init__(
        self,
        deployment: Deployment,
        upstream: Upstream,
        pack: str,
        caller: str,
        model: str | None = None,
    ) -> None:
        self._deployment = deployment
        self._upstream = upstream
        self._pack = pack
        self._caller = caller
        self._model = model or caller

    def task_id(self, number: int) -> str:
        return f"{self._caller}-{number}"

    async def ask(self, load: Load, number: int) -> FailureType | None:
        """One call; None where it was answered, else what ended it."""
        declaration = TaskDeclaration(
            task_id=self.task_id(number),
            caller=self._caller,
            pack=self._pack,
            task_class=self._model,
            sensitivity=Sensitivity.PUBLIC,
            constraints=load.constraints,
        )
        try:
            await self._deployment.client.run(Prompt.from_text(load.text), declaration)
        except TaskFailedError as error:
            return error.failure
        return None

    async def spend(self, load: Load, calls: int, clients: int, *, first: int = 1) -> Run:
        """``calls`` calls from ``clients`` clients, until every outcome is recorded."""
        numbers = iter(range(first, first + calls))
        ends: Counter[str] = Counter()
        answered_ms: list[float] = []
        before = self._upstream.billed_nano_usd

        async def client() -> None:
            for number in numbers:
                began = time.perf_counter()
                failure = await self.ask(load, number)
                if failure is None:
                    answered_ms.append((time.perf_counter() - began) * 1000)
                else:
                    ends[failure] += 1

        began = time.perf_counter()
        async with asyncio.timeout(SPENT_TIMEOUT_SECONDS):
            await asyncio.gather(*(client() for _ in range(clients)))
        wall_seconds = time.perf_counter() - began
        await self._upstream.idle()
        await self.settled(first + calls - 1)
        return Run(
            budget_nano_usd=int(float(BUDGETS_USD[self._pack]) * NANO_PER_USD),
            billed_nano_usd=self._upstream.billed_nano_usd - before,
            posted_nano_usd=await asyncio.to_thread(self._posted_nano_usd),
            admitted=len(answered_ms),
            refused=ends,
            overruns=await asyncio.to_thread(self._overruns),
            wall_seconds=wall_seconds,
            answered_ms=answered_ms or [0.0],
        )

    async def settled(self, tasks: int) -> None:
        """Return once ``tasks`` tasks of the caller have their outcome row."""
        async with asyncio.timeout(RECORDED_TIMEOUT_SECONDS):
            while await asyncio.to_thread(self._outcomes) < tasks:
                await asyncio.sleep(0.02)

    def _outcomes(self) -> int:
        query = select(func.count()).where(OUTCOME.c.task_id.startswith(f"{self._caller}-"))
        return self._number(query)

    def _posted_nano_usd(self) -> int:
        query = select(func.coalesce(func.sum(PART.c.posted_nano_usd), 0)).where(
            PART.c.task_id.startswith(f"{self._caller}-")
        )
        return self._number(query)

    def _overruns(self) -> int:
        query = select(func.count()).where(OVERRUN.c.task_id.startswith(f"{self._caller}-"))
        return self._number(query)

    def _number(self, query: Select[int]) -> int:
        with read(self._deployment.engine) as connection:
            return connection.execute(query).scalar_one()


def unrecorded_calls(engine: Engine, upstream: Upstream) -> int:
    """Calls that the upstream billed and the ledger has no charge of at least as much for."""
    query = select(ATTEMPT.c.attempt_id, PART.c.posted_nano_usd).join(
        PART, PART.c.part_id == ATTEMPT.c.attempt_id
    )
    with read(engine) as connection:
        posted = {row.attempt_id: row.posted_nano_usd for row in connection.execute(query)}
    return sum(posted.get(request_id, 0) < bill for request_id, bill in upstream.bills.items())
