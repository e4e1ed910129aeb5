"""Logging how a task ended: money settled, record written, chain extended, in one transaction."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, insert, select, update

from pointwork.contract.canonical import canonical_json, sha256_hex
from pointwork.contract.decision import ClassSource, DecisionRecord
from pointwork.contract.outcome import (
    AttemptState,
    AttemptSummary,
    Settlement,
    TaskOutcome,
    TaskStatus,
)
from pointwork.contract.task import Sensitivity
from pointwork.failpoints import Failpoint, ending_at, reach
from pointwork.ledger import audit
from pointwork.ledger.attempt_rows import (
    PARTS,
    WITH_PART,
    mark_unknown,
    settled_by,
    summary_of,
)
from pointwork.ledger.budgets import DECISION, remember_decision
from pointwork.ledger.engine import insert_if_absent, read, transact
from pointwork.ledger.holds import ATTEMPT, OUTCOME, PART, lock_task
from pointwork.ledger.model_windows import unused
from pointwork.ledger.override_rows import record_uses
from pointwork.ledger.selections import PACK as JUGGERNAUT
from pointwork.ledger.selections import refuse_selections
from pointwork.ledger.settling import settle_parts
from pointwork.ledger.signals import raise_mark
from pointwork.ledger.tables import DraftReview, Incident, PartState, Task, table_of

MISSING_CLASSIFICATION = "missing_classification"
"""Incident: a task was denied because nobody could say what class it is (OM-86)."""

_INCIDENT = table_of(Incident)
_REVIEW = table_of(DraftReview)
_TASK = table_of(Task)


class OutcomeLog:
    """The terminal records of tasks. Thread-safe; keeps no state outside the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def log(
        self, outcome: TaskOutcome, record: DecisionRecord | None, now: datetime
    ) -> TaskOutcome:
        """Record how a task ended, once, and settle its money in the same transaction.

        Every open part ends: an answered or failed call posts its cost, a call whose fate is
        unknown posts its whole estimate as AT_LEAST, a call never sent is voided. ``attempts``,
        ``cost_nano_usd`` and ``settlement`` are filled from the ledger, whatever ``outcome``
        says. A second call returns what the first one recorded (OM-75 to OM-79; design 1).

        Args:
            outcome: how the workflow saw the task end.
            record: the last decision, where no reservation stored it.
            now: when the record is written.

        Returns:
            The outcome as recorded, with its place in the audit chain.
        """

        def log(connection: Connection) -> TaskOutcome:
            return _log(connection, outcome, record, now)

        logged = transact(self._engine, ending_at(Failpoint.BEFORE_SETTLE_COMMIT, log))
        reach(Failpoint.AFTER_SETTLE_COMMIT)
        return logged

    def find(self, task_id: str) -> TaskOutcome | None:
        """The recorded outcome; None while the task runs or where it is not known."""
        with read(self._engine) as connection:
            return _stored(connection, task_id)

    def recent(self, limit: int, status: TaskStatus | None = None) -> list[TaskOutcome]:
        """Up to ``limit`` outcomes, latest first, of one status or of all."""
        query = _LATEST if status is None else _LATEST.where(OUTCOME.c.status == status)
        with read(self._engine) as connection:
            rows = connection.execute(query.limit(limit)).all()
        return [_outcome(row) for row in rows]

    def decisions(self, task_id: str) -> list[DecisionRecord]:
        """Every decision about the task with all it read, oldest first."""
        with read(self._engine) as connection:
            rows = connection.execute(_DECISIONS, {"of_task": task_id}).all()
        return [DecisionRecord.model_validate_json(row.body) for row in rows]

    def latest_decision(self, task_id: str) -> DecisionRecord | None:
        """The decision the task stands by now; None where none was recorded."""
        with read(self._engine) as connection:
            row = connection.execute(_LATEST_DECISION, {"of_task": task_id}).first()
        return None if row is None else DecisionRecord.model_validate_json(row.body)

    def is_final(self, task_id: str) -> bool:
        """Whether the task's answer may be acted on: no draft, or one that was reviewed (CX-44)."""
        with read(self._engine) as connection:
            outcome = _stored(connection, task_id)
            if outcome is None or outcome.status is not TaskStatus.SUCCEEDED:
                return False
            if not outcome.is_draft:
                return True
            return connection.execute(_REVIEWS, {"of_draft": task_id}).first() is not None

    def attempts(self, task_id: str) -> list[AttemptSummary]:
        """Every request to a model for the task, in the order they were sent."""
        with read(self._engine) as connection:
            rows = connection.execute(_ATTEMPTS, {"of_task": task_id}).all()
        return [summary_of(row) for row in rows]


def _log(
    connection: Connection, outcome: TaskOutcome, record: DecisionRecord | None, now: datetime
) -> TaskOutcome:
    task_id = outcome.task_id
    lock_task(connection, task_id)
    stored = _stored(connection, task_id)
    if stored is not None:
        # It may have been written by a process that did not know the mark.
        connection.execute(_CLOSE_TASK, {"of_task": task_id})
        return stored
    if record is not None:
        remember_decision(connection, record)
    decisions = connection.execute(_DECISIONS, {"of_task": task_id}).all()
    final, pack = _settled(connection, outcome, now)
    sensitivity = Sensitivity.highest(
        outcome.sensitivity,
        *(Sensitivity(each.sensitivity) for each in decisions if each.sensitivity),
    )
    is_restricted = sensitivity is Sensitivity.RESTRICTED or any(
        each.is_restricted for each in decisions
    )
    if _lacks_classification(final):
        detail = "the task was denied because its class is unknown"
        incident = {
            "task_id": task_id,
            "code": MISSING_CLASSIFICATION,
            "detail": detail,
            "occurred_at": now,
        }
        connection.execute(_INSERT_INCIDENT[connection.dialect.name], incident)
    record_uses(connection, final, decisions, now)
    body = {
        "outcome": final.model_dump(mode="json"),
        "is_restricted": is_restricted,
        # The chain covers what each decision read and chose, without repeating it.
        "decisions_sha256": {
            each.decision_id: sha256_hex(each.body.encode()) for each in decisions
        },
    }
    sequence = audit.append(connection, "outcome", body, now, task_id=task_id)
    connection.execute(_INSERT_OUTCOME, _row(final, pack, is_restricted, sequence))
    connection.execute(_CLOSE_TASK, {"of_task": task_id})
    if final.reviews is not None and final.status is TaskStatus.SUCCEEDED:
        review = {"draft_task_id": final.reviews, "review_task_id": task_id, "reviewed_at": now}
        connection.execute(insert(_REVIEW), review)
    # After the chain's lock, so that two tasks of one conversation raise its mark in turn.
    for conversation in {each.conversation for each in decisions if each.conversation}:
        if sensitivity is not None:
            raise_mark(connection, conversation, sensitivity, task_id, now)
    return final.model_copy(update={"audit_sequence": sequence})


def _settled(
    connection: Connection, outcome: TaskOutcome, now: datetime
) -> tuple[TaskOutcome, str | None]:
    """End every open part; the outcome with attempts and cost as the ledger has them.

    Its pack is that of the calls; of a task that made none it is what the outcome names.
    """
    rows = connection.execute(_TASK_PARTS, {"of_task": outcome.task_id}).all()
    lost = [row for row in rows if row.state == AttemptState.SENT]
    if lost:
        for row in lost:
            mark_unknown(connection, row, now)
        rows = connection.execute(_TASK_PARTS, {"of_task": outcome.task_id}).all()
    cost_nano_usd, settlements = 0, set()
    open_parts = []
    for row in rows:
        if row.part_state == PartState.RESERVED:
            part = settled_by(row)
            open_parts.append(part)
            cost_nano_usd += part.posting.posted_nano_usd
            settlements.add(part.posting.settlement)
        else:
            cost_nano_usd += row.posted_nano_usd
            settlements.add(Settlement(row.part_settlement))
    settle_parts(connection, open_parts, now)
    is_uncertain = Settlement.AT_LEAST in settlements
    final = outcome.model_copy(
        update={
            "attempts": tuple(summary_of(row) for row in rows if row.attempt_id is not None),
            "cost_nano_usd": cost_nano_usd,
            "settlement": Settlement.AT_LEAST if is_uncertain else Settlement.EXACT,
            "audit_sequence": None,
        }
    )
    pack = next((row.pack for row in rows if row.pack), final.policy.pack if final.policy else None)
    if pack == JUGGERNAUT:
        answered = (row for row in rows if row.state == AttemptState.DONE)
        refuse_selections(
            connection, [row.attempt_id for row in answered if unused(final, row.number)]
        )
    return final, pack


def _lacks_classification(outcome: TaskOutcome) -> bool:
    return outcome.status is TaskStatus.DENIED and outcome.class_source is ClassSource.UNKNOWN


def _row(
    outcome: TaskOutcome, pack: str | None, is_restricted: bool, sequence: int
) -> dict[str, object]:
    return {
        "task_id": outcome.task_id,
        "pack": pack,
        "status": outcome.status,
        "failure": outcome.failure,
        "class_source": outcome.class_source,
        "task_class": outcome.task_class,
        "served_model": outcome.served_model,
        "is_restricted": is_restricted,
        "cost_nano_usd": outcome.cost_nano_usd,
        "settlement": outcome.settlement,
        "finished_at": outcome.finished_at,
        "audit_sequence": sequence,
        "body": canonical_json(outcome).decode(),
    }


def _stored(connection: Connection, task_id: str) -> TaskOutcome | None:
    row = connection.execute(_FIND, {"of_task": task_id}).first()
    return _outcome(row) if row else None


def _outcome(row: Any) -> TaskOutcome:
    outcome = TaskOutcome.model_validate_json(row.body)
    return outcome.model_copy(update={"audit_sequence": row.audit_sequence})


_FIND = select(OUTCOME.c.body, OUTCOME.c.audit_sequence).where(
    OUTCOME.c.task_id == bindparam("of_task")
)
_LATEST = select(OUTCOME.c.body, OUTCOME.c.audit_sequence).order_by(
    OUTCOME.c.finished_at.desc(), OUTCOME.c.audit_sequence.desc()
)
_REVIEWS = select(_REVIEW).where(_REVIEW.c.draft_task_id == bindparam("of_draft"))
_DECISIONS = (
    select(
        DECISION.c.decision_id,
        DECISION.c.sensitivity,
        DECISION.c.conversation,
        DECISION.c.is_restricted,
        DECISION.c.body,
    )
    .where(DECISION.c.task_id == bindparam("of_task"))
    .order_by(DECISION.c.decided_at, DECISION.c.decision_id)
)
_LATEST_DECISION = (
    select(DECISION.c.body)
    .where(DECISION.c.task_id == bindparam("of_task"))
    .order_by(DECISION.c.decided_at.desc(), DECISION.c.decision_id.desc())
    .limit(1)
)
_TASK_PARTS = PARTS.where(PART.c.task_id == bindparam("of_task")).order_by(
    ATTEMPT.c.number, ATTEMPT.c.send, PART.c.part_id
)
_ATTEMPTS = WITH_PART.where(ATTEMPT.c.task_id == bindparam("of_task")).order_by(
    ATTEMPT.c.number, ATTEMPT.c.send
)
_INSERT_OUTCOME = insert(OUTCOME)
_CLOSE_TASK = update(_TASK).where(_TASK.c.task_id == bindparam("of_task")).values(is_open=False)
_INSERT_INCIDENT = insert_if_absent(_INCIDENT, "task_id", "code")
