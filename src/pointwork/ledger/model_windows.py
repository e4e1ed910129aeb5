"""How each model did over a stretch of time, rolled up from the ledger's own rows (JG-30 to JG-34).

Nothing is stored: the same rows give the same windows, in exact nano-USD (S-15).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from sqlalchemy import Engine, and_, bindparam, case, or_, select

from pointwork.contract.failures import FailureType, ProviderFailureKind
from pointwork.contract.outcome import AttemptState, TaskOutcome
from pointwork.contract.overlay import CallFault, ErrorCount, ModelWindow
from pointwork.ledger.engine import read
from pointwork.ledger.holds import ATTEMPT, OUTCOME
from pointwork.ledger.tables import Task, TaskFeedback, table_of

_TASK = table_of(Task)
_FEEDBACK = table_of(TaskFeedback)
_FOUR_PLACES = Decimal("0.0001")
_PROVIDER_KINDS = frozenset(ProviderFailureKind)
_AFTER_REFUSED_ANSWER = frozenset(FailureType) - {
    FailureType.DEADLINE_EXCEEDED,
    FailureType.CONTENT_UNAVAILABLE,
    FailureType.INTERNAL,
}
"""How a task ends whose last call answered, where it was the answer that did not do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClosedCall:
    """One call to a model that has ended, as a window counts it."""

    model: str
    fault: ProviderFailureKind | CallFault | None
    """None where the call succeeded."""
    duration_ms: int
    tokens: int | None
    """Input and output together; None where the provider metered none."""
    cost_nano_usd: int


class ModelWindows:
    """Reads windows. Thread-safe; keeps no state."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(
        self, starts_at: datetime, ends_at: datetime, *, pack: str | None = None
    ) -> tuple[ModelWindow, ...]:
        """One window a model that was called, in the order of their names.

        A call belongs to the window it was sent in, and counts once it has ended: a call still
        running is in no window. A call whose answer a check refused counts as failed.

        Args:
            starts_at: beginning, included.
            ends_at: end, excluded.
            pack: only tasks of this pack; None takes all.
        """
        bounds: dict[str, Any] = {"starts_at": starts_at, "ends_at": ends_at}
        calls, ratings = _CALLS, _RATINGS
        if pack is not None:
            bounds["of_pack"] = pack
            # By the calls' own column: a join makes SQLite begin with every task of the pack.
            calls = calls.where(ATTEMPT.c.pack == bindparam("of_pack"))
            ratings = ratings.join(_TASK, _TASK.c.task_id == OUTCOME.c.task_id).where(_OF_PACK)
        with read(self._engine) as connection:
            closed = [_call(row) for row in connection.execute(calls, bounds)]
            rated: dict[str, list[int]] = defaultdict(list)
            for row in connection.execute(ratings, bounds):
                rated[row.served_model].append(row.rating)
        return roll_up(closed, rated, starts_at, ends_at)


def roll_up(
    calls: Iterable[ClosedCall],
    ratings: Mapping[str, Iterable[int]],
    starts_at: datetime,
    ends_at: datetime,
) -> tuple[ModelWindow, ...]:
    """The windows of the models that ``calls`` name, in the order of their names.

    ``ratings`` are by model, 1 to 5 each; a model without any has no average.
    """
    sums: dict[str, _Sums] = defaultdict(_Sums)
    for call in calls:
        sums[call.model].add(call)
    return tuple(
        sums[model].window(model, list(ratings.get(model, ())), starts_at, ends_at)
        for model in sorted(sums)
    )


@dataclass(slots=True)
class _Sums:
    requests: int = 0
    succeeded_ms: int = 0
    tokens: int = 0
    metered: int = 0
    cost_nano_usd: int = 0
    faults: Counter[ProviderFailureKind | CallFault] = field(default_factory=Counter)

    def add(self, call: ClosedCall) -> None:
        self.requests += 1
        self.cost_nano_usd += call.cost_nano_usd
        if call.fault is not None:
            self.faults[call.fault] += 1
        else:
            self.succeeded_ms += call.duration_ms
        if call.tokens is not None:
            self.tokens += call.tokens
            self.metered += 1

    def window(
        self, model: str, ratings: list[int], starts_at: datetime, ends_at: datetime
    ) -> ModelWindow:
        failed = self.faults.total()
        succeeded = self.requests - failed
        return ModelWindow(
            model=model,
            starts_at=starts_at,
            ends_at=ends_at,
            requests=self.requests,
            succeeded=succeeded,
            failed=failed,
            errors_by_kind=tuple(
                ErrorCount(kind=kind, count=self.faults[kind]) for kind in sorted(self.faults)
            ),
            average_ms=_whole(self.succeeded_ms, succeeded),
            average_tokens=_whole(self.tokens, self.metered),
            succeeded_per_1k_tokens=_ratio(succeeded * 1000, self.tokens),
            cost_nano_usd=self.cost_nano_usd,
            rating_average=_ratio(sum(ratings), len(ratings)),
        )


def _whole(total: int, count: int) -> int | None:
    """The average to the nearest whole number, a half upwards; None of nothing."""
    return (2 * total + count) // (2 * count) if count else None


def _ratio(total: int, count: int) -> Decimal | None:
    if not count:
        return None
    return (Decimal(total) / count).quantize(_FOUR_PLACES, rounding=ROUND_HALF_EVEN)


def _call(row: Any) -> ClosedCall:
    metered = row.input_tokens is not None
    return ClosedCall(
        model=row.model,
        fault=_fault(row),
        duration_ms=row.duration_ms,
        tokens=row.input_tokens + (row.output_tokens or 0) if metered else None,
        cost_nano_usd=row.cost_nano_usd,
    )


def _fault(row: Any) -> ProviderFailureKind | CallFault | None:
    match row.state:
        case AttemptState.FAILED:
            return ProviderFailureKind(row.failure)
        case AttemptState.UNKNOWN:
            return CallFault.FATE_UNKNOWN
    if row.body is None:
        return None
    return unused(TaskOutcome.model_validate_json(row.body), row.number)


def unused(outcome: TaskOutcome, number: int) -> ProviderFailureKind | CallFault | None:
    """Why the answer of call ``number`` was not the task's: given up on, or refused by a check.

    None where it was, or where nothing says that it was not.

    A fallback has the number of the try it leads to, and a failed call's own word as its cause.
    """
    for fallback in outcome.fallbacks:
        if fallback.attempt == number + 1:
            cause = fallback.cause
            if cause in _PROVIDER_KINDS:
                return ProviderFailureKind(cause)
            return CallFault.ANSWER_REFUSED
    last = max((each.number for each in outcome.attempts), default=0)
    if number == last and outcome.failure in _AFTER_REFUSED_ANSWER:
        return CallFault.ANSWER_REFUSED
    return None


_CLOSED = [AttemptState.DONE, AttemptState.FAILED, AttemptState.UNKNOWN]
_MAYBE_REFUSED = and_(
    ATTEMPT.c.state == AttemptState.DONE,
    or_(
        OUTCOME.c.failure.is_not(None),
        and_(OUTCOME.c.served_model.is_not(None), OUTCOME.c.served_model != ATTEMPT.c.model),
    ),
)
_IN_WINDOW = and_(
    ATTEMPT.c.sent_at >= bindparam("starts_at"), ATTEMPT.c.sent_at < bindparam("ends_at")
)
_OF_PACK = _TASK.c.pack == bindparam("of_pack")
_CALLS = (
    select(
        ATTEMPT.c.model,
        ATTEMPT.c.number,
        ATTEMPT.c.state,
        ATTEMPT.c.failure,
        ATTEMPT.c.duration_ms,
        ATTEMPT.c.input_tokens,
        ATTEMPT.c.output_tokens,
        ATTEMPT.c.cost_nano_usd,
        # Only an outcome that may tell of a refused answer is worth reading whole.
        case((_MAYBE_REFUSED, OUTCOME.c.body)).label("body"),
    )
    .outerjoin(OUTCOME, OUTCOME.c.task_id == ATTEMPT.c.task_id)
    .where(_IN_WINDOW, ATTEMPT.c.state.in_(_CLOSED))
)
_RATINGS = (
    select(OUTCOME.c.served_model, _FEEDBACK.c.rating)
    .join(_FEEDBACK, _FEEDBACK.c.task_id == OUTCOME.c.task_id)
    .where(
        OUTCOME.c.served_model.is_not(None),
        select(ATTEMPT.c.attempt_id)
        .where(
            ATTEMPT.c.task_id == OUTCOME.c.task_id,
            ATTEMPT.c.model == OUTCOME.c.served_model,
            _IN_WINDOW,
        )
        .exists(),
    )
    .order_by(OUTCOME.c.task_id, _FEEDBACK.c.rated_by)
)
