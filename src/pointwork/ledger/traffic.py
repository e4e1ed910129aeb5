"""What the ledger says of models and endpoints: latency, and calls made (SP-26, SP-42)."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from statistics import median_low

from sqlalchemy import Engine, bindparam, func, select

from pointwork.contract.outcome import AttemptState
from pointwork.ledger.engine import read
from pointwork.ledger.holds import ATTEMPT

SAMPLE_MAX = 2_000
"""The newest calls are read and no more, so that a busy hour costs no more than a quiet one."""
_ENDED = (AttemptState.DONE, AttemptState.FAILED, AttemptState.UNKNOWN)


@dataclass(frozen=True, kw_only=True, slots=True)
class CallSample:
    """How the newest calls of one model ended."""

    model: str
    calls: int
    answered: int
    median_ms: int | None
    """Of the calls that were answered, as is the next; None where none was."""
    p95_ms: int | None


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

    def samples(self, since: datetime) -> list[CallSample]:
        """How the newest ``SAMPLE_MAX`` calls sent from ``since`` on ended, by model."""
        durations: dict[str, list[int]] = defaultdict(list)
        calls: Counter[str] = Counter()
        with read(self._engine) as connection:
            for row in connection.execute(_CALLS_ENDED, {"since": since}):
                calls[row.model] += 1
                if row.state == AttemptState.DONE:
                    durations[row.model].append(row.duration_ms)
        return [_sample(model, calls[model], sorted(durations[model])) for model in sorted(calls)]

    def calls_sent(self, since: datetime) -> Mapping[str, int]:
        """Calls sent from ``since`` on, by endpoint, whatever became of them."""
        with read(self._engine) as connection:
            found = connection.execute(_SENT, {"since": since})
            return {row.endpoint: row.calls for row in found}


def _sample(model: str, calls: int, answered_ms: list[int]) -> CallSample:
    return CallSample(
        model=model,
        calls=calls,
        answered=len(answered_ms),
        median_ms=_quantile(answered_ms, 50),
        p95_ms=_quantile(answered_ms, 95),
    )


def _quantile(ordered: list[int], per_cent: int) -> int | None:
    """The smallest that ``per_cent`` of them do not exceed: one that was measured."""
    return ordered[-(-len(ordered) * per_cent // 100) - 1] if ordered else None


_ANSWERED = (
    select(ATTEMPT.c.model, ATTEMPT.c.duration_ms)
    .where(ATTEMPT.c.sent_at >= bindparam("since"), ATTEMPT.c.state == AttemptState.DONE)
    .order_by(ATTEMPT.c.sent_at.desc())
    .limit(SAMPLE_MAX)
)
_CALLS_ENDED = (
    select(ATTEMPT.c.model, ATTEMPT.c.state, ATTEMPT.c.duration_ms)
    .where(ATTEMPT.c.sent_at >= bindparam("since"), ATTEMPT.c.state.in_(_ENDED))
    .order_by(ATTEMPT.c.sent_at.desc())
    .limit(SAMPLE_MAX)
)
_SENT = (
    select(ATTEMPT.c.endpoint, func.count().label("calls"))
    .where(ATTEMPT.c.sent_at >= bindparam("since"))
    .group_by(ATTEMPT.c.endpoint)
)
