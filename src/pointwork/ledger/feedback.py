"""What people thought of an answer, where they said so (JG-34, S-14)."""

from datetime import datetime

from sqlalchemy import Connection, Engine, bindparam, select

from pointwork.contract.failures import TaskNotFoundError
from pointwork.ledger import audit
from pointwork.ledger.engine import insert_or_update, transact
from pointwork.ledger.tables import Task, TaskFeedback, table_of

RATING_MIN, RATING_MAX = 1, 5
_FEEDBACK = table_of(TaskFeedback)
_TASK = table_of(Task)


def rate(engine: Engine, task_id: str, rating: int, *, by: str, now: datetime) -> None:
    """Record a rating; the same person's later one replaces it, the audit chain keeps both.

    Raises:
        ValueError: the rating is no whole number from 1 to 5.
        TaskNotFoundError: no such task was ever accepted.
    """
    if type(rating) is not int or not RATING_MIN <= rating <= RATING_MAX:
        msg = f"rating is {rating!r}; give a whole number from {RATING_MIN} to {RATING_MAX}"
        raise ValueError(msg)
    row = {"task_id": task_id, "rated_by": by, "rating": rating, "rated_at": now}

    def write(connection: Connection) -> None:
        if connection.execute(_FIND, {"of_task": task_id}).first() is None:
            raise TaskNotFoundError(f"task {task_id} is not known; nothing was rated")
        connection.execute(_SET[connection.dialect.name], row)
        audit.append(connection, "feedback", {"rating": rating, "by": by}, now, task_id=task_id)

    transact(engine, write)


_FIND = select(_TASK.c.task_id).where(_TASK.c.task_id == bindparam("of_task"))
_SET = insert_or_update(
    _FEEDBACK,
    "task_id",
    "rated_by",
    values=lambda new: {"rating": new.rating, "rated_at": new.rated_at},
)
