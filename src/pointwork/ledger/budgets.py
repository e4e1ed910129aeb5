"""Reserving money before a call: one transaction over the task's ceiling and every window."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine, bindparam, insert, select

from pointwork.contract.canonical import canonical_json
from pointwork.contract.decision import DecisionRecord, Obligation, WindowSpec
from pointwork.contract.outcome import (
    AttemptState,
    Invoke,
    Reservation,
    ReserveOutcome,
    Settlement,
)
from pointwork.contract.task import Sensitivity
from pointwork.ledger.engine import insert_if_absent, read, transact
from pointwork.ledger.holds import (
    ATTEMPT,
    WINDOW,
    PartRequest,
    RefusedError,
    check_amount,
    held_for_task,
    lock_task,
    open_windows,
    reserve_part,
)
from pointwork.ledger.tables import Decision, table_of

DECISION = table_of(Decision)


class BudgetBook:
    """Holds in budget windows. Thread-safe; keeps no state outside the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def reserve(
        self,
        *,
        record: DecisionRecord,
        part_id: str,
        task_id: str,
        invoke: Invoke | None,
        amount_nano_usd: int,
        task_ceiling_nano_usd: int,
        windows: Sequence[WindowSpec],
        price_version: str,
        expires_in_seconds: int,
        now: datetime,
    ) -> Reservation:
        """Record the decision and hold the worst case of one call, in every window or in none.

        A repeat of the same ``part_id`` with the same amount holds nothing more and is EXISTS.
        With ``invoke``, the attempt is recorded as PLANNED in the same transaction. A refusal
        records the decision and names the first limit, in the order of keys, that does not cover
        the amount: a window, or ``task`` (JG-26, JG-27, CX-90).

        Args:
            record: the decision that asks for the money; kept once, whatever is refused.
            part_id: idempotency key of this part, and id of the attempt it pays for.
            task_id: whose hold the part belongs to.
            invoke: the call that is planned.
            amount_nano_usd: the worst case of the call; 0 always fits.
            task_ceiling_nano_usd: the most the task may hold and have spent in all.
            windows: the budgets the call falls in, in any order.
            price_version: where the amount's prices come from.
            expires_in_seconds: lifetime of the part on the database's clock.
            now: when the part is recorded to begin.

        Raises:
            ValueError: an amount is no whole number of nano-USD in range.
        """
        check_amount("amount_nano_usd", amount_nano_usd)
        request = PartRequest(
            part_id=part_id,
            task_id=task_id,
            decision_id=record.decision_id,
            amount_nano_usd=amount_nano_usd,
            task_ceiling_nano_usd=task_ceiling_nano_usd,
            window_keys=[spec.key for spec in windows],
            price_version=price_version,
            expires_in_seconds=expires_in_seconds,
        )

        def write(connection: Connection) -> Reservation:
            # The task's lock comes before any window's, here as everywhere: no deadlock.
            lock_task(connection, task_id)
            remember_decision(connection, record)
            open_windows(connection, windows)
            outcome, held = reserve_part(connection, request, now)
            if outcome is ReserveOutcome.RESERVED and invoke is not None:
                plan_attempt(connection, invoke, part_id, now)
            return _reservation(request, outcome, held)

        def write_refusal(connection: Connection) -> int:
            lock_task(connection, task_id)
            remember_decision(connection, record)
            open_windows(connection, windows)
            return held_for_task(connection, task_id)

        try:
            return transact(self._engine, write)
        except RefusedError as error:
            # All of it was rolled back; what was decided and under which limits is still kept.
            held = transact(self._engine, write_refusal)
            return _reservation(request, ReserveOutcome.EXCEEDS_LIMIT, held, error.refused_by)

    def read(self, window_keys: Iterable[str]) -> dict[str, tuple[int, int]]:
        """(limit, spent and reserved together) in nano-USD, of the windows that exist, by key."""
        with read(self._engine) as connection:
            return committed_in(connection, window_keys)


def committed_in(connection: Connection, window_keys: Iterable[str]) -> dict[str, tuple[int, int]]:
    """As ``BudgetBook.read``, over a given connection."""
    rows = connection.execute(_WINDOWS, {"of_windows": sorted(window_keys)})
    return {
        row.window_key: (row.limit_nano_usd, row.spent_nano_usd + row.reserved_nano_usd)
        for row in rows
    }


def remember_decision(connection: Connection, record: DecisionRecord) -> None:
    """Keep a decision with all it read; the first record under an id stands."""
    plan, request = record.plan, record.input.request
    connection.execute(
        _INSERT_DECISION[connection.dialect.name],
        {
            "decision_id": record.decision_id,
            "task_id": record.task_id,
            "bundle_sha256": plan.policy.bundle_sha256,
            "effect": plan.effect,
            "sensitivity": plan.sensitivity,
            "conversation": request.conversation,
            "is_restricted": plan.sensitivity is Sensitivity.RESTRICTED
            or Obligation.LOG_RESTRICTED in plan.obligations,
            "decided_at": record.decided_at,
            "body": canonical_json(record).decode(),
        },
    )


def plan_attempt(
    connection: Connection,
    invoke: Invoke,
    part_id: str,
    now: datetime,
    *,
    base_id: str | None = None,
    send: int = 1,
    sent_at: datetime | None = None,
) -> None:
    """Add the attempt a part pays for: PLANNED, or SENT at ``sent_at``."""
    candidate = invoke.candidate
    connection.execute(
        _INSERT_ATTEMPT,
        {
            "attempt_id": part_id,
            "base_id": base_id or part_id,
            "send": send,
            "task_id": invoke.task_id,
            "number": invoke.number,
            "model": candidate.model,
            "vendor": candidate.vendor,
            "endpoint": candidate.endpoint,
            "site": candidate.site,
            "state": AttemptState.SENT if sent_at else AttemptState.PLANNED,
            "estimate_nano_usd": candidate.estimate_nano_usd,
            "cost_nano_usd": 0,
            "settlement": Settlement.EXACT,
            "duration_ms": 0,
            "provider_request_id": "",
            "unknown_placeholders": 0,
            "planned_at": now,
            "sent_at": sent_at,
        },
    )


def _reservation(
    request: PartRequest, outcome: ReserveOutcome, held: int, refused_by: str | None = None
) -> Reservation:
    return Reservation(
        hold_id=request.task_id,
        outcome=outcome,
        amount_nano_usd=held,
        refused_by=refused_by,
        decision_id=request.decision_id,
    )


_INSERT_DECISION = insert_if_absent(DECISION, "decision_id")
_INSERT_ATTEMPT = insert(ATTEMPT)
_WINDOWS = select(
    WINDOW.c.window_key,
    WINDOW.c.limit_nano_usd,
    WINDOW.c.spent_nano_usd,
    WINDOW.c.reserved_nano_usd,
).where(WINDOW.c.window_key.in_(bindparam("of_windows", expanding=True)))
