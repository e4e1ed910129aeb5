"""Reserving money before a call: one transaction over the task's ceiling and every window."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, insert

from pointwork.contract.budget_windows import covers
from pointwork.contract.canonical import canonical_json
from pointwork.contract.decision import (
    DecisionRecord,
    GrantKind,
    Obligation,
    Site,
    WindowSpec,
)
from pointwork.contract.outcome import (
    AttemptState,
    Invoke,
    Reservation,
    ReserveOutcome,
    Settlement,
)
from pointwork.contract.task import Sensitivity
from pointwork.failpoints import Failpoint, ending_at, reach
from pointwork.ledger.budget_windows import open_windows, readings, tell_reached
from pointwork.ledger.cost_rollup import CallFacts
from pointwork.ledger.engine import insert_if_absent, read, transact
from pointwork.ledger.holds import (
    ATTEMPT,
    TASK_CEILING,
    PartRequest,
    RefusedError,
    check_amount,
    held_for_task,
    lock_task,
    reserve_part,
)
from pointwork.ledger.margins import ProbationError
from pointwork.ledger.override_rows import OverrideOverError, claim_override, tell_claim
from pointwork.ledger.selections import plan_selection
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
        heeds_bills: bool = False,
    ) -> Reservation:
        """Record the decision and hold the worst case of one call, in every window or in none.

        A repeat of the same ``part_id`` with the same amount is EXISTS and holds nothing more. A
        refusal records the decision and names the first limit, by key, that does not cover the
        amount: a window, or ``task`` (JG-26, JG-27, CX-90); ``budgets`` says how windows stood.
        OVERRIDE_OVER holds nothing: the override that chose the call's model no longer does.

        Args:
            record: the decision that asks for the money; kept once, whatever is refused. Its grant
                for an exceeded budget holds the part above the limits, up to the approval's ceiling
                (OM-33).
            part_id: idempotency key of this part, and id of the attempt it pays for.
            task_id: whose hold the part belongs to.
            invoke: the call; its attempt is recorded as PLANNED in the same transaction.
            amount_nano_usd: the worst case of the call; 0 always fits.
            task_ceiling_nano_usd: the most the task may hold and have spent in all.
            windows: the budgets the task's calls fall in, in any order; those of other vendors and
                models than the call's are left out.
            price_version: where the amount's prices come from.
            expires_in_seconds: lifetime of the part on the database's clock.
            now: when the part is recorded to begin.
            heeds_bills: also hold what the model's bills had above their estimates, and let a
                model without a bill wait, ON_PROBATION, while it might use up the budget.

        Raises:
            ValueError: an amount is no whole number of nano-USD in range.
        """
        check_amount("amount_nano_usd", amount_nano_usd)
        if invoke is not None:
            windows = [spec for spec in windows if covers(spec, invoke.candidate)]
        request = PartRequest(
            part_id=part_id,
            task_id=task_id,
            decision_id=record.decision_id,
            amount_nano_usd=amount_nano_usd,
            task_ceiling_nano_usd=task_ceiling_nano_usd,
            window_keys=[spec.key for spec in windows],
            price_version=price_version,
            expires_in_seconds=expires_in_seconds,
            alerts_nano_usd=_alerts(windows),
            approval_id=_lets_go_on(record),
            model=invoke.candidate.model if invoke is not None and heeds_bills else None,
            is_local=invoke is not None and invoke.candidate.site is Site.LOCAL,
        )
        return _Hold(request, record, invoke, windows, now).reserve(self._engine)

    def read(self, window_keys: Iterable[str]) -> dict[str, tuple[int, int]]:
        """(limit, spent and reserved together) in nano-USD, of the windows that exist, by key."""
        with read(self._engine) as connection:
            found = readings(connection, window_keys)
        return {key: (each.limit_nano_usd, each.committed_nano_usd) for key, each in found.items()}


@dataclass(frozen=True, slots=True)
class _Hold:
    """One hold to be taken, and the record of it where it is refused."""

    request: PartRequest
    record: DecisionRecord
    invoke: Invoke | None
    windows: Sequence[WindowSpec]
    now: datetime

    def reserve(self, engine: Engine) -> Reservation:
        """Take it in one transaction; where it is refused, record that in another."""
        try:
            reserve = ending_at(Failpoint.BEFORE_RESERVE_COMMIT, self.take)
            reservation = transact(engine, reserve)
        except OverrideOverError as error:
            over = error.override_id
            return transact(engine, lambda c: self.decline(c, over))
        except ProbationError:
            return _reservation(self.request, ReserveOutcome.ON_PROBATION, 0, self.request.model)
        except RefusedError as error:
            # All of it was rolled back; what was decided and under which limits is still kept.
            refused_by = error.refused_by
            return transact(engine, lambda c: self.refuse(c, refused_by))
        reach(Failpoint.AFTER_RESERVE_COMMIT)
        return reservation

    def take(self, connection: Connection) -> Reservation:
        request = self.request
        self._prepare(connection)
        claimed = claim_override(connection, self.record, self.invoke, self.now)
        outcome, held = reserve_part(connection, request, self.now)
        if outcome is ReserveOutcome.RESERVED and self.invoke is not None:
            facts = CallFacts.decided(self.record)
            plan_attempt(connection, self.invoke, request.part_id, facts, self.now)
        if claimed is not None:
            tell_claim(connection, claimed, request.task_id, self.now)
        return _reservation(request, outcome, held)

    def decline(self, connection: Connection, override_id: str) -> Reservation:
        """Keep what was decided; nothing is held for an override that is over."""
        request = self.request
        self._prepare(connection)
        held = held_for_task(connection, request.task_id)
        return _reservation(request, ReserveOutcome.OVERRIDE_OVER, held, override_id)

    def refuse(self, connection: Connection, refused_by: str) -> Reservation:
        request = self.request
        self._prepare(connection)
        tell_reached(connection, refused_by, request.task_id, self.now)
        held = held_for_task(connection, request.task_id)
        refusal = _reservation(request, ReserveOutcome.EXCEEDS_LIMIT, held, refused_by)
        if refused_by == TASK_CEILING:
            return refusal
        stand = readings(connection, request.window_keys)
        budgets = tuple(stand[key] for key in sorted(stand))
        return refusal.model_copy(update={"budgets": budgets})

    def _prepare(self, connection: Connection) -> None:
        """The task's lock comes before any window's, here as everywhere: no deadlock."""
        lock_task(connection, self.request.task_id)
        remember_decision(connection, self.record)
        open_windows(connection, self.windows)


def _alerts(windows: Iterable[WindowSpec]) -> dict[str, tuple[int, int]]:
    """By key, committed together from where on people are told, and of which limit."""
    return {
        spec.key: (spec.alert_nano_usd, spec.limit_version)
        for spec in windows
        if spec.alert_nano_usd is not None
    }


def _lets_go_on(record: DecisionRecord) -> str | None:
    """The approval by which a person let the task go on over an exceeded budget."""
    granted = (each for each in record.input.grants if each.kind is GrantKind.BUDGET)
    return next((each.approval_id for each in granted), None)


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
    facts: CallFacts,
    now: datetime,
    *,
    base_id: str | None = None,
    send: int = 1,
    sent_at: datetime | None = None,
) -> None:
    """Add the attempt a part pays for: PLANNED, or SENT at ``sent_at``; ``facts`` say for whom."""
    candidate = invoke.candidate
    connection.execute(
        _INSERT_ATTEMPT,
        {
            "attempt_id": part_id,
            "base_id": base_id or part_id,
            "send": send,
            "task_id": invoke.task_id,
            **facts.columns(),
            "number": invoke.number,
            "model": candidate.model,
            "vendor": candidate.vendor,
            "endpoint": candidate.endpoint,
            "site": candidate.site,
            "seed": invoke.seed,
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
    plan_selection(
        connection,
        facts,
        task_id=invoke.task_id,
        attempt_id=part_id,
        model=candidate.model,
        vendor=candidate.vendor,
        estimate_nano_usd=candidate.estimate_nano_usd,
        now=now,
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
