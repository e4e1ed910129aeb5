"""Overrides as tasks meet them: read before a decision, claimed with the hold, used at the end."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, insert, or_, select, update

from pointwork.contract.decision import DecisionRecord, Trigger
from pointwork.contract.outcome import Invoke, TaskOutcome, TaskStatus
from pointwork.contract.override import Override, OverrideDuration, OverrideScope
from pointwork.contract.override_request import OverrideRequest, OverrideState
from pointwork.contract.task import TaskRequest
from pointwork.ledger import audit
from pointwork.ledger.holds import ATTEMPT, PART
from pointwork.ledger.tables import Approval, ApprovalState, OverrideUse, RouteOverride, table_of

OVERRIDE = table_of(RouteOverride)
USE = table_of(OverrideUse)
APPROVAL = table_of(Approval)
SUCCESS, FAILURE = "success", "failure"
_NAMED = '"override_id"'
"""Canonical JSON of a decision that read an override holds these bytes; few do."""


class OverrideOverError(Exception):
    """The override that chose the model is over; the transaction must be rolled back."""

    def __init__(self, override_id: str) -> None:
        super().__init__(override_id)
        self.override_id = override_id


def overrides_for(
    connection: Connection, pack: str, task_id: str, conversation: str | None, now: datetime
) -> tuple[Override, ...]:
    """Those that could hold for a task at ``now``, in the order in which they began.

    Acknowledged, begun, neither ended nor used up by another task, and for this task, its
    conversation or any. The decision looks again (``policy.engine.overrides``).
    """
    values = {"of_pack": pack, "of_task": task_id, "of_conversation": conversation, "at": now}
    return tuple(_override(row) for row in connection.execute(_READABLE, values))


def claim_override(
    connection: Connection, record: DecisionRecord, invoke: Invoke | None, now: datetime
) -> str | None:
    """Take the decision's override for the call it brought, in the transaction that holds money.

    An override holds at the moment of the hold or not at all: one that ended since signals were
    read is over for this task too, and a single use goes to the one task whose hold commits first
    (OM-72).

    Returns:
        The id of a single use that this call claimed; None where nothing was claimed now.

    Raises:
        OverrideOverError: it is over, or another task's; roll back and decide without it.
    """
    override_id = record.plan.override_id
    if not override_id or invoke is None or invoke.candidate.trigger is not Trigger.OVERRIDE:
        return None
    request: TaskRequest = record.input.request
    values = {
        "of_override": override_id,
        "of_pack": request.pack,
        "of_task": record.task_id,
        "of_conversation": request.conversation,
        "at": now,
    }
    row = connection.execute(_HOLDS, values).first()
    if row is None:
        raise OverrideOverError(override_id)
    if row.duration != OverrideDuration.SINGLE_USE or row.used_by == record.task_id:
        return None
    claim = {"of_override": override_id, "by_task": record.task_id, "at": now}
    if connection.execute(_CLAIM, claim).rowcount != 1:
        raise OverrideOverError(override_id)
    return override_id


def tell_claim(connection: Connection, override_id: str, task_id: str, now: datetime) -> None:
    """Put a claim on the chain, whose lock comes last."""
    body = {"override_id": override_id, "task_id": task_id}
    audit.append(connection, "override_claimed", body, now, task_id=task_id)


def record_uses(
    connection: Connection, outcome: TaskOutcome, decisions: Iterable[Any], now: datetime
) -> None:
    """Keep each override that moved the task, with both routes and the outcome (OM-74).

    Runs in the transaction that records the outcome. A decision counts where money was held for
    the call that the override brought: one that was made anew before that moved nothing.
    """
    plans = [(each, json.loads(each.body)["plan"]) for each in decisions if _NAMED in each.body]
    named = [(each.decision_id, plan) for each, plan in plans if plan.get("override_id")]
    if not named:
        return
    held = {tuple(row) for row in connection.execute(_HELD, {"of_task": outcome.task_id})}
    told: set[str] = set()
    for decision_id, plan in named:
        override_id, model = plan["override_id"], plan["candidates"][0]["model"]
        if (decision_id, model) not in held or override_id in told:
            continue
        told.add(override_id)
        use = {
            "override_id": override_id,
            "task_id": outcome.task_id,
            "decision_id": decision_id,
            "original_route": plan["default_route"],
            "overridden_route": model,
            "outcome": SUCCESS if outcome.status is TaskStatus.SUCCEEDED else FAILURE,
        }
        connection.execute(_USE, {**use, "recorded_at": now})
        connection.execute(_SPENT, {"of_override": override_id, "at": now})
        audit.append(connection, "override_used", use, now, task_id=outcome.task_id)


def _override(row: Any) -> Override:
    asked = OverrideRequest.model_validate_json(row.body)
    shared = asked.model_dump(include=set(Override.model_fields))
    return Override(
        **shared,
        approver=row.approver,
        acknowledged_at=row.closed_at,
        session_ended_at=row.session_ended_at,
        used_by=row.used_by,
    )


def _open_to(*more: Any) -> Select[Any]:
    """Acknowledged overrides that are not over for ``of_task`` at ``at``."""
    return (
        select(
            OVERRIDE.c.body,
            OVERRIDE.c.duration,
            OVERRIDE.c.session_ended_at,
            OVERRIDE.c.used_by,
            APPROVAL.c.approver,
            APPROVAL.c.closed_at,
        )
        .join(APPROVAL, APPROVAL.c.approval_id == OVERRIDE.c.approval_id)
        .where(
            APPROVAL.c.state == ApprovalState.APPROVED,
            OVERRIDE.c.pack == bindparam("of_pack"),
            OVERRIDE.c.ended_at.is_(None),
            OVERRIDE.c.session_ended_at.is_(None),
            OVERRIDE.c.starts_at <= bindparam("at"),
            or_(OVERRIDE.c.ends_at.is_(None), OVERRIDE.c.ends_at > bindparam("at")),
            _absent_or(OVERRIDE.c.used_by, "of_task"),
            _absent_or(OVERRIDE.c.task_id, "of_task"),
            _absent_or(OVERRIDE.c.conversation, "of_conversation"),
            *more,
        )
    )


def _absent_or(column: Any, name: str) -> Any:
    return or_(column.is_(None), column == bindparam(name))


_READABLE = _open_to().order_by(OVERRIDE.c.starts_at, OVERRIDE.c.override_id)
_HOLDS = _open_to(OVERRIDE.c.override_id == bindparam("of_override"))
_CLAIM = (
    update(OVERRIDE)
    .where(OVERRIDE.c.override_id == bindparam("of_override"), OVERRIDE.c.used_by.is_(None))
    .values(used_by=bindparam("by_task"), used_at=bindparam("at"))
)
_HELD = (
    select(PART.c.decision_id, ATTEMPT.c.model)
    .join(ATTEMPT, ATTEMPT.c.attempt_id == PART.c.part_id)
    .where(PART.c.task_id == bindparam("of_task"))
)
_USE = insert(USE)
_SPENT = (
    update(OVERRIDE)
    .where(
        OVERRIDE.c.override_id == bindparam("of_override"),
        OVERRIDE.c.ended_at.is_(None),
        or_(
            OVERRIDE.c.scope == OverrideScope.TASK,
            OVERRIDE.c.duration == OverrideDuration.SINGLE_USE,
        ),
    )
    .values(ended_at=bindparam("at"), ended_as=OverrideState.ENDED)
)
