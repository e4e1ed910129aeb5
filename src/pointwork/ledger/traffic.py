"""What the ledger says of models and endpoints: latency, and calls made (SP-26, SP-42)."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from statistics import median_low

from sqlalchemy import Engine, bindparam, func, select

from pointwork.contract.outcome import AttemptState
from pointwork.ledger.engine import read
from pointwork.ledger.holds import ATTEMPT

SAMPLE_MAX = 2_000
"""The newest calls are read and no more, so that a busy hour costs no more than a quiet one."""


class Traffic:
    """Reads attempts. Thread-safe; keeps no state."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def median_ms(self, since: datetime) -> Mapping[str, int]:
        """Median time to an answer by model, of calls sent from ``since`` on that were answered."""
        durations: dict[str, list[int]] = defaultdict(list)
        with read(self._engine) as connection:
            for row in connection.execute(_ANSWERED, {"since": since}):
                durations[row.model].append(row.duration_ms)
        return {model: median_low(each) for model, each in sorted(durations.items())}

    def calls_sent(self, since: datetime) -> Mapping[str, int]:
        """Calls sent from ``since`` on, by endpoint, whatever became of them."""
        with read(self._engine) as connection:
            found = connection.execute(_SENT, {"since": since})
            return {row.endpoint: row.calls for row in found}


_ANSWERED = (
    select(ATTEMPT.c.model, ATTEMPT.c.duration_ms)
    .where(ATTEMPT.c.sent_at >= bindparam("since"), ATTEMPT.c.state == AttemptState.DONE)
    .order_by(ATTEMPT.c.sent_at.desc())
    .limit(SAMPLE_MAX)
)
_SENT = (
    select(ATTEMPT.c.endpoint, func.count().label("calls"))
    .where(ATTEMPT.c.sent_at >= bindparam("since"))
    .group_by(ATTEMPT.c.endpoint)
)
