"""Comparisons of answers given side by side, on the record before anybody acts on them (OM-55)."""

from datetime import datetime

from sqlalchemy import Connection, Engine, bindparam, select

from pointwork.contract.branches import Comparison
from pointwork.contract.canonical import canonical_json
from pointwork.ledger import audit
from pointwork.ledger.engine import insert_if_absent, read, transact
from pointwork.ledger.tables import AnswerComparison, table_of

_COMPARISON = table_of(AnswerComparison)


class ComparisonLog:
    """What was compared; every row joins the audit chain. Thread-safe, keeps no state."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(
        self, comparison: Comparison, task_id: str, decision_id: str, now: datetime
    ) -> Comparison:
        """Keep a comparison, once: the first under an id stands, and is returned."""
        row = {
            "comparison_id": comparison.comparison_id,
            "task_id": task_id,
            "decision_id": decision_id,
            "kind": comparison.kind,
            "agree": comparison.agree,
            "differences_count": comparison.differences_count,
            "compared_at": now,
            "body": canonical_json(comparison).decode(),
        }

        def write(connection: Connection) -> Comparison:
            if connection.execute(_INSERT[connection.dialect.name], row).rowcount == 1:
                body = comparison.model_dump(mode="json") | {"decision_id": decision_id}
                audit.append(connection, "comparison", body, now, task_id=task_id)
                return comparison
            found = connection.execute(_FIND, {"of_comparison": comparison.comparison_id}).one()
            return Comparison.model_validate_json(found.body)

        return transact(self._engine, write)

    def of_task(self, task_id: str) -> list[Comparison]:
        """Every comparison made for the task, oldest first."""
        with read(self._engine) as connection:
            bodies = connection.execute(_OF_TASK, {"of_task": task_id}).scalars().all()
        return [Comparison.model_validate_json(body) for body in bodies]


_INSERT = insert_if_absent(_COMPARISON, "comparison_id")
_FIND = select(_COMPARISON).where(_COMPARISON.c.comparison_id == bindparam("of_comparison"))
_OF_TASK = (
    select(_COMPARISON.c.body)
    .where(_COMPARISON.c.task_id == bindparam("of_task"))
    .order_by(_COMPARISON.c.compared_at, _COMPARISON.c.comparison_id)
)
