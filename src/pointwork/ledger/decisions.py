"""Reading recorded decisions across tasks, for questions about the rules and not about one task."""

from datetime import datetime

from sqlalchemy import Engine, and_, func, or_, select

from pointwork.contract.decision import DecisionRecord
from pointwork.ledger.engine import read
from pointwork.ledger.tables import Decision, Task, table_of

_DECISION = table_of(Decision)
_TASK = table_of(Task)
_EARLIER = _DECISION.alias("earlier")


def first_decisions(engine: Engine, pack: str, limit: int) -> list[DecisionRecord]:
    """The first decision of each of the last ``limit`` tasks of ``pack``, latest first."""
    found: list[DecisionRecord] = []
    with read(engine) as connection:
        for row in connection.execute(_FIRST):
            record = DecisionRecord.model_validate_json(row.body)
            if record.plan.policy.pack == pack:
                found.append(record)
            if len(found) == limit:
                break
    return found


_IS_EARLIER = or_(
    _EARLIER.c.decided_at < _DECISION.c.decided_at,
    and_(
        _EARLIER.c.decided_at == _DECISION.c.decided_at,
        _EARLIER.c.decision_id < _DECISION.c.decision_id,
    ),
)
_FIRST = (
    select(_DECISION.c.body)
    .where(
        ~select(_EARLIER.c.decision_id)
        .where(_EARLIER.c.task_id == _DECISION.c.task_id, _IS_EARLIER)
        .exists()
    )
    .order_by(_DECISION.c.decided_at.desc(), _DECISION.c.decision_id.desc())
)


def tasks_accepted(
    engine: Engine, pack: str, since: datetime, until: datetime, conversation: str | None = None
) -> int:
    """How many tasks of ``pack``, or of one conversation of it, were accepted in the time."""
    query = select(func.count()).where(
        _TASK.c.pack == pack, _TASK.c.created_at >= since, _TASK.c.created_at < until
    )
    if conversation is not None:
        said = select(_DECISION.c.task_id).where(_DECISION.c.conversation == conversation)
        query = query.where(_TASK.c.task_id.in_(said))
    with read(engine) as connection:
        return int(connection.execute(query).scalar_one())
