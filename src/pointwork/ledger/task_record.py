"""Everything the ledger holds of one task besides its decisions and its outcome, in one read."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, select

from pointwork.contract.approval import ApprovalRequest
from pointwork.contract.outcome import AttemptSummary
from pointwork.ledger import audit, tables
from pointwork.ledger.approval_rules import GIVEN, GivenVerdict
from pointwork.ledger.attempt_rows import WITH_PART, summary_of
from pointwork.ledger.audit import AuditRecord
from pointwork.ledger.engine import read, transact
from pointwork.ledger.holds import ATTEMPT, PART
from pointwork.ledger.tables import ApprovalState, PartState, table_of

CONTENT_SHOWN = "content_shown"
"""Kind of the audit record of a person who read the text of somebody else's task."""

_APPROVAL = table_of(tables.Approval)
_AUDIT = table_of(tables.Audit)
_TASK = table_of(tables.Task)


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task as it was accepted."""

    task_id: str
    caller: str
    pack: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PartRow:
    """The money held for one call."""

    part_id: str
    amount_nano_usd: int
    posted_nano_usd: int
    state: PartState
    settlement: str
    price_version: str
    created_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One call, with its moments."""

    summary: AttemptSummary
    attempt_id: str
    endpoint: str
    site: str
    estimate_nano_usd: int
    planned_at: datetime
    sent_at: datetime | None
    closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """What a person was asked, what was said, and how it ended."""

    request: ApprovalRequest
    state: ApprovalState
    approver: str | None
    closed_at: datetime | None
    verdicts: tuple[GivenVerdict, ...]


@dataclass(frozen=True, slots=True)
class TaskRecord:
    task: TaskRow
    parts: tuple[PartRow, ...]
    attempts: tuple[AttemptRow, ...]
    approvals: tuple[ApprovalRow, ...]
    audit: tuple[AuditRecord, ...]


class TaskRecords:
    """Reads the record of a task, and who looked at its text. Thread-safe, no state."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, task_id: str) -> TaskRecord | None:
        """The record as one moment shows it; None where the task is not known."""
        of_task = {"of_task": task_id}
        with read(self._engine) as connection:
            task = connection.execute(_FIND, of_task).first()
            if task is None:
                return None
            parts = connection.execute(_PARTS, of_task).all()
            attempts = connection.execute(_ATTEMPTS, of_task).all()
            approvals = [
                (row, connection.execute(GIVEN, {"of_approval": row.approval_id}).all())
                for row in connection.execute(_APPROVALS, of_task).all()
            ]
            chained = connection.execute(_CHAINED, of_task).all()
        return TaskRecord(
            TaskRow(task.task_id, task.caller, task.pack, task.created_at),
            tuple(map(_part, parts)),
            tuple(map(_attempt, attempts)),
            tuple(_approval(row, said) for row, said in approvals),
            tuple(map(_record, chained)),
        )

    def shown(self, task_id: str, reader: str, what: str, now: datetime, *, once: bool) -> None:
        """Join to the audit chain that ``reader`` was shown the text of somebody else's task.

        ``once`` leaves it at one record for each reader and ``what``.
        """
        body = {"reader": reader, "what": what}

        def write(connection: Connection) -> None:
            if once:
                rows = connection.execute(_SHOWN, {"of_task": task_id}).scalars()
                if any(json.loads(row)["body"] == body for row in rows):
                    return
            audit.append(connection, CONTENT_SHOWN, body, now, task_id=task_id)

        transact(self._engine, write)


def _part(row: Any) -> PartRow:
    return PartRow(
        row.part_id,
        row.amount_nano_usd,
        row.posted_nano_usd,
        PartState(row.state),
        row.settlement,
        row.price_version,
        row.created_at,
        row.settled_at,
    )


def _attempt(row: Any) -> AttemptRow:
    return AttemptRow(
        summary_of(row),
        row.attempt_id,
        row.endpoint,
        row.site,
        row.estimate_nano_usd,
        row.planned_at,
        row.sent_at,
        row.closed_at,
    )


def _approval(row: Any, said: Any) -> ApprovalRow:
    return ApprovalRow(
        ApprovalRequest.model_validate_json(row.body),
        ApprovalState(row.state),
        row.approver,
        row.closed_at,
        tuple(GivenVerdict(*each) for each in said),
    )


def _record(row: Any) -> AuditRecord:
    return AuditRecord(
        sequence=row.sequence,
        kind=row.kind,
        task_id=row.task_id,
        occurred_at=row.occurred_at,
        body=json.loads(row.record)["body"],
        hash=row.hash,
    )


_OF_TASK: Any = bindparam("of_task")
_FIND = select(_TASK).where(_TASK.c.task_id == _OF_TASK)
_PARTS = select(PART).where(PART.c.task_id == _OF_TASK).order_by(PART.c.created_at, PART.c.part_id)
_ATTEMPTS = WITH_PART.where(ATTEMPT.c.task_id == _OF_TASK).order_by(
    ATTEMPT.c.planned_at, ATTEMPT.c.number, ATTEMPT.c.send
)
_APPROVALS = (
    select(_APPROVAL)
    .where(_APPROVAL.c.task_id == _OF_TASK)
    .order_by(_APPROVAL.c.opened_at, _APPROVAL.c.approval_id)
)
_CHAINED = select(_AUDIT).where(_AUDIT.c.task_id == _OF_TASK).order_by(_AUDIT.c.sequence)
_SHOWN = select(_AUDIT.c.record).where(_AUDIT.c.task_id == _OF_TASK, _AUDIT.c.kind == CONTENT_SHOWN)
