"""The money of tasks that wait for a person."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Engine, bindparam, case, func, select

from pointwork.contract.waiting import WaitingMoney
from pointwork.ledger.engine import read
from pointwork.ledger.holds import PART
from pointwork.ledger.tables import PartState


class Waiting:
    """Reads what is held and spent by task. Thread-safe, no state."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def money(self, task_ids: Sequence[str]) -> Mapping[str, WaitingMoney]:
        """By task id; a task that held nothing yet is not in it."""
        with read(self._engine) as connection:
            rows = connection.execute(_MONEY, {"of_tasks": list(task_ids)}).all()
        return {row.task_id: WaitingMoney(int(row.held), int(row.spent)) for row in rows}


_HELD = case((PART.c.state == PartState.RESERVED, PART.c.amount_nano_usd), else_=0)
_MONEY = (
    select(
        PART.c.task_id,
        func.sum(_HELD).label("held"),
        func.sum(PART.c.posted_nano_usd).label("spent"),
    )
    .where(PART.c.task_id.in_(bindparam("of_tasks", expanding=True)))
    .group_by(PART.c.task_id)
)
