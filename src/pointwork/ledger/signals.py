"""What a decision reads besides the policy: budgets, endpoint health, residency, conversation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, bindparam, case, select

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.local_lane import LaneReport, LocalQueueSignal
from pointwork.contract.overlay import Overlay
from pointwork.contract.override import Override
from pointwork.contract.snapshot import BudgetSignal
from pointwork.contract.task import Sensitivity
from pointwork.ledger.budget_windows import readings
from pointwork.ledger.engine import insert_or_update, read, transact
from pointwork.ledger.overlays import current_overlay
from pointwork.ledger.override_rows import overrides_for
from pointwork.ledger.tables import ConversationMark, EndpointHealth, LocalResidency, table_of

UNHEALTHY_AFTER_FAILURES = 3
UNHEALTHY_FOR_SECONDS = 30
"""After this long since its last failure an endpoint is tried again."""

_HEALTH = table_of(EndpointHealth)
_RESIDENCY = table_of(LocalResidency)
_MARK = table_of(ConversationMark)


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointState:
    """How an endpoint did lately."""

    consecutive_failures: int
    rate_limited_until: datetime | None
    last_failure_at: datetime | None

    def is_healthy(self, now: datetime) -> bool:
        """Not failing: few failures in a row, or none for ``UNHEALTHY_FOR_SECONDS``."""
        if self.consecutive_failures < UNHEALTHY_AFTER_FAILURES or self.last_failure_at is None:
            return True
        return now - self.last_failure_at >= timedelta(seconds=UNHEALTHY_FOR_SECONDS)


@dataclass(frozen=True, kw_only=True, slots=True)
class SignalReading:
    """One reading of everything, as of one moment. What the ledger does not know is left out."""

    budgets: dict[str, BudgetSignal] = field(default_factory=dict)
    """By key, the windows that exist."""
    endpoints: dict[str, EndpointState] = field(default_factory=dict)
    unhealthy_endpoints: frozenset[str] = frozenset()
    rate_limited_until: dict[str, datetime] = field(default_factory=dict)
    """By endpoint, where the time lies ahead."""
    loaded_model: str | None = None
    local_queues: tuple[LocalQueueSignal, ...] = ()
    conversation_sensitivity: Sensitivity | None = None
    overlay: Overlay | None = None
    overrides: tuple[Override, ...] = ()
    """Those that could hold for the task."""


class SignalStore:
    """Live signals. Thread-safe; keeps no state outside the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(
        self,
        *,
        window_keys: Sequence[str],
        endpoints: Sequence[str],
        conversation: str | None,
        queue: str,
        now: datetime,
        overlay_of: str | None = None,
        overrides_of: tuple[str, str] | None = None,
    ) -> SignalReading:
        """Everything at once, in one read transaction; ``now`` judges what lies in the past.

        ``overlay_of`` names the pack whose promote/demote overlay is read too; None reads none.
        ``overrides_of`` names pack and task whose overrides are read; None reads none.
        """
        with read(self._engine) as connection:
            budgets = readings(connection, window_keys) if window_keys else {}
            states = _states(connection, endpoints) if endpoints else {}
            loaded, lane = _lane(connection, queue)
            sensitivity = _sensitivity(connection, conversation)
            overlay = current_overlay(connection, overlay_of) if overlay_of is not None else None
            overrides = (
                overrides_for(connection, *overrides_of, conversation, now) if overrides_of else ()
            )
        return SignalReading(
            budgets=budgets,
            endpoints=states,
            unhealthy_endpoints=frozenset(
                name for name, state in states.items() if not state.is_healthy(now)
            ),
            rate_limited_until={
                name: state.rate_limited_until
                for name, state in states.items()
                if state.rate_limited_until is not None and state.rate_limited_until > now
            },
            loaded_model=loaded,
            local_queues=lane.queues if lane else (),
            conversation_sensitivity=sensitivity,
            overlay=overlay,
            overrides=overrides,
        )

    def endpoint_signals(self, names: Iterable[str]) -> dict[str, EndpointState]:
        """How the named endpoints did; one that was never called is left out."""
        with read(self._engine) as connection:
            return _states(connection, names)

    def record_endpoint(
        self,
        endpoint: str,
        ok: bool,
        kind: ProviderFailureKind | None,
        rate_limited_until: datetime | None,
        now: datetime,
    ) -> None:
        """Count a failure, or clear the count after a success."""
        row = {
            "endpoint": endpoint,
            "consecutive_failures": 0 if ok else 1,
            "rate_limited_until": rate_limited_until,
            "last_failure_at": None if ok else now,
            "last_failure_kind": None if ok else kind,
            "updated_at": now,
        }
        if ok:
            with read(self._engine) as connection:
                state = _states(connection, [endpoint]).get(endpoint)
            # The usual case writes nothing: a success after a success is no news.
            if state and not state.consecutive_failures and state.rate_limited_until is None:
                return
        transact(self._engine, lambda c: c.execute(_RECORD[c.dialect.name], row))

    def set_loaded_model(
        self, queue: str, model: str | None, now: datetime, report: LaneReport | None = None
    ) -> None:
        """Which local model the queue's worker holds in memory; None where it holds none."""
        lane = report.model_dump_json() if report else None
        row = {"queue": queue, "model": model, "updated_at": now, "lane": lane}
        transact(self._engine, lambda c: c.execute(_SET_LOADED[c.dialect.name], row))

    def lane_report(self, queue: str) -> LaneReport | None:
        """What the queue's worker said last of its card; None where none ever did."""
        with read(self._engine) as connection:
            return _lane(connection, queue)[1]

    def loaded_model(self, queue: str) -> str | None:
        """The model last reported for the queue."""
        with read(self._engine) as connection:
            return _lane(connection, queue)[0]

    def conversation_sensitivity(self, conversation: str) -> Sensitivity | None:
        """The conversation's high-water mark; None where no task of it has ended."""
        with read(self._engine) as connection:
            return _sensitivity(connection, conversation)


def _lane(connection: Connection, queue: str) -> tuple[str | None, LaneReport | None]:
    row = connection.execute(_LOADED, {"of_queue": queue}).one_or_none()
    if row is None:
        return None, None
    return row.model, LaneReport.model_validate_json(row.lane) if row.lane else None


def raise_mark(
    connection: Connection,
    conversation: str,
    sensitivity: Sensitivity,
    task_id: str,
    now: datetime,
) -> None:
    """Lift the conversation's mark to ``sensitivity``; a higher one stays. One writer at a time."""
    before = _sensitivity(connection, conversation)
    if before is not None and before.rank >= sensitivity.rank:
        return
    row = {
        "conversation": conversation,
        "sensitivity": sensitivity,
        "task_id": task_id,
        "updated_at": now,
    }
    connection.execute(_SET_MARK[connection.dialect.name], row)


def _states(connection: Connection, endpoints: Iterable[str]) -> dict[str, EndpointState]:
    rows = connection.execute(_HEALTH_OF, {"of_endpoints": sorted(endpoints)})
    return {
        row.endpoint: EndpointState(
            consecutive_failures=row.consecutive_failures,
            rate_limited_until=row.rate_limited_until,
            last_failure_at=row.last_failure_at,
        )
        for row in rows
    }


def _sensitivity(connection: Connection, conversation: str | None) -> Sensitivity | None:
    if conversation is None:
        return None
    mark = connection.execute(_MARK_OF, {"of_conversation": conversation}).scalar()
    return Sensitivity(mark) if mark is not None else None


_HEALTH_OF = select(
    _HEALTH.c.endpoint,
    _HEALTH.c.consecutive_failures,
    _HEALTH.c.rate_limited_until,
    _HEALTH.c.last_failure_at,
).where(_HEALTH.c.endpoint.in_(bindparam("of_endpoints", expanding=True)))
_LOADED = select(_RESIDENCY.c.model, _RESIDENCY.c.lane).where(
    _RESIDENCY.c.queue == bindparam("of_queue")
)
_MARK_OF = select(_MARK.c.sensitivity).where(_MARK.c.conversation == bindparam("of_conversation"))
_RECORD = insert_or_update(
    _HEALTH,
    "endpoint",
    values=lambda new: {
        "consecutive_failures": case(
            (new.consecutive_failures == 0, 0), else_=_HEALTH.c.consecutive_failures + 1
        ),
        "rate_limited_until": new.rate_limited_until,
        "last_failure_at": case(
            (new.consecutive_failures == 0, _HEALTH.c.last_failure_at), else_=new.last_failure_at
        ),
        "last_failure_kind": case(
            (new.consecutive_failures == 0, _HEALTH.c.last_failure_kind),
            else_=new.last_failure_kind,
        ),
        "updated_at": new.updated_at,
    },
)
_SET_LOADED = insert_or_update(
    _RESIDENCY,
    "queue",
    values=lambda new: {"model": new.model, "updated_at": new.updated_at, "lane": new.lane},
)
_SET_MARK = insert_or_update(
    _MARK,
    "conversation",
    values=lambda new: {
        "sensitivity": new.sensitivity,
        "task_id": new.task_id,
        "updated_at": new.updated_at,
    },
)
