"""Reading recorded decisions across tasks, for questions about the rules and not about one task."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine, and_, bindparam, func, or_, select

from pointwork.contract.decision import DecisionRecord, Obligation
from pointwork.ledger.engine import read
from pointwork.ledger.tables import Decision, PolicyRevision, Task, table_of

_DECISION = table_of(Decision)
_REVISION = table_of(PolicyRevision)
_TASK = table_of(Task)
_BODIES_A_READ = 200
_EARLIER = _DECISION.alias("earlier")


def first_decisions(engine: Engine, pack: str, limit: int) -> list[DecisionRecord]:
    """The first decision of each of the last ``limit`` tasks of ``pack``, latest first."""
    found: list[DecisionRecord] = []
    with read(engine) as connection:
        # Ids first: to sort the bodies of a large ledger takes seconds.
        ids = connection.execute(_FIRST, {"of_pack": pack}).scalars().all()
        for start in range(0, len(ids), _BODIES_A_READ):
            some = ids[start : start + _BODIES_A_READ]
            rows = connection.execute(_BODIES, {"of_ids": some}).all()
            records = [DecisionRecord.model_validate_json(row.body) for row in rows]
            found += [each for each in records if each.plan.policy.pack == pack]
            if len(found) >= limit:
                break
    return found[:limit]


def warned_decisions(engine: Engine, task_ids: Sequence[str]) -> dict[str, DecisionRecord]:
    """By task, the latest decision that owes a warning of a downgrade; others are left out."""
    if not task_ids:
        return {}
    with read(engine) as connection:
        rows = connection.execute(_WARNED, {"of_tasks": list(task_ids)}).all()
    records = [DecisionRecord.model_validate_json(row.body) for row in rows]
    return {each.task_id: each for each in records}


_IS_EARLIER = or_(
    _EARLIER.c.decided_at < _DECISION.c.decided_at,
    and_(
        _EARLIER.c.decided_at == _DECISION.c.decided_at,
        _EARLIER.c.decision_id < _DECISION.c.decision_id,
    ),
)
_LATEST_FIRST = (_DECISION.c.decided_at.desc(), _DECISION.c.decision_id.desc())
_FIRST = (
    select(_DECISION.c.decision_id)
    .where(
        # The rules of a decision need not be on record; then its body says whose it is.
        _DECISION.c.bundle_sha256.not_in(
            select(_REVISION.c.bundle_sha256).where(_REVISION.c.pack != bindparam("of_pack"))
        ),
        ~select(_EARLIER.c.decision_id)
        .where(_EARLIER.c.task_id == _DECISION.c.task_id, _IS_EARLIER)
        .exists(),
    )
    .order_by(*_LATEST_FIRST)
)
_BODIES = (
    select(_DECISION.c.body)
    .where(_DECISION.c.decision_id.in_(bindparam("of_ids", expanding=True)))
    .order_by(*_LATEST_FIRST)
)
# The database looks through the few bodies, so that those without a warning are not parsed.
_WARNED = (
    select(_DECISION.c.body)
    .where(
        _DECISION.c.task_id.in_(bindparam("of_tasks", expanding=True)),
        _DECISION.c.body.contains(f'"{Obligation.WARN_DOWNGRADE}"', autoescape=True),
    )
    .order_by(_DECISION.c.decided_at, _DECISION.c.decision_id)
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
