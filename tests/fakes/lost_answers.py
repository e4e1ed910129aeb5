"""Every activity's first answer is lost on its way to Temporal, which so runs each one again."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, select
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from pointwork.ledger.engine import read
from pointwork.ledger.tables import METADATA

Rows = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Retried:
    """What the run after a lost answer found and left."""

    activity: str
    before: Rows
    after: Rows
    first: Any
    """The answer that was lost."""
    again: Any

    @property
    def written(self) -> list[str]:
        """The ledger's tables that the second run changed."""
        return [name for name, rows in self.before.items() if rows != self.after[name]]


@dataclass
class LostAnswers(Interceptor):
    """Runs one activity at a time, so that what changes is its own doing."""

    engine: Engine
    retried: list[Retried] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lost: dict[tuple[str | None, str], Any] = {}
        self.turn = asyncio.Lock()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _LosingOnce(next, self)

    def rows(self) -> Rows:
        found: Rows = {}
        with read(self.engine) as connection:
            for name, table in METADATA.tables.items():
                rows = connection.execute(select(table))
                found[name] = sorted((tuple(row) for row in rows), key=repr)
        return found


class _LosingOnce(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, losing: LostAnswers) -> None:
        super().__init__(next)
        self._losing = losing

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        losing, info = self._losing, activity.info()
        key = (info.workflow_run_id, info.activity_id)
        async with losing.turn:
            if key not in losing.lost:
                losing.lost[key] = await super().execute_activity(input)
                raise ApplicationError("the answer was lost on its way", type="ANSWER_LOST")
            before = losing.rows()
            again = await super().execute_activity(input)
            losing.retried.append(
                Retried(info.activity_type, before, losing.rows(), losing.lost[key], again)
            )
            return again
