"""What models answered in a task that has not ended: for a person who is asked about it."""

from sqlalchemy import Engine, bindparam, select

from pointwork.contract.outcome import AttemptState
from pointwork.contract.task import ContentRef
from pointwork.ledger.engine import read
from pointwork.ledger.holds import ATTEMPT


def given_answers(engine: Engine, task_id: str) -> list[tuple[str, ContentRef]]:
    """Model and answer of each call that ended well, in the order of the calls."""
    with read(engine) as connection:
        rows = connection.execute(_GIVEN, {"of_task": task_id}).all()
    return [
        (
            row.model,
            ContentRef(
                digest=row.answer_digest, bytes=row.answer_bytes, media_type=row.answer_media_type
            ),
        )
        for row in rows
    ]


_GIVEN = (
    select(ATTEMPT)
    .where(
        ATTEMPT.c.task_id == bindparam("of_task"),
        ATTEMPT.c.state == AttemptState.DONE,
        ATTEMPT.c.answer_digest.is_not(None),
    )
    .order_by(ATTEMPT.c.number)
)
