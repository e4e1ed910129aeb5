"""Overrides against the chain: invariant 15, which reads what was recorded and decides nothing."""

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select

from pointwork.contract.override import OverrideDuration
from pointwork.contract.override_request import OverrideState
from pointwork.ledger.override_rows import APPROVAL, OVERRIDE, USE
from pointwork.ledger.tables import ApprovalState, Audit, table_of

_AUDIT = table_of(Audit)
_KINDS = tuple(f"override_{each}" for each in ("created", "claimed", "used", "revoked", "struck"))
_COLUMNS = (
    *("pack", "model", "scope", "duration", "task_id", "conversation", "reason", "requester"),
    *("cost_impact_nano_usd", "policy_sha256"),
)
_USE_COLUMNS = ("decision_id", "original_route", "overridden_route", "outcome")


def unsound_overrides(connection: Connection) -> Iterator[str]:
    """Overrides that are not as the chain tells of them, or moved a task and may not have.

    One moves a task once its cost was acknowledged, and a single use moves the task that claimed
    it alone (OM-72, OM-73).
    """
    told: dict[str, dict[Any, dict[str, Any]]] = {kind: {} for kind in _KINDS}
    query = select(_AUDIT.c.kind, _AUDIT.c.record).where(_AUDIT.c.kind.in_(_KINDS))
    for row in connection.execute(query.order_by(_AUDIT.c.sequence)):
        body = json.loads(row.record)["body"]
        is_use = row.kind == "override_used"
        key = (body["override_id"], body["task_id"]) if is_use else body["override_id"]
        told[row.kind][key] = body
    for row in connection.execute(select(OVERRIDE)):
        if not _is_as_told(row, told):
            yield f"override {row.override_id} is not as the chain tells of it"
    for use in connection.execute(_MOVED):
        named = f"override {use.override_id} moved task {use.task_id}"
        record = told["override_used"].pop((use.override_id, use.task_id), {})
        if any(getattr(use, name) != record.get(name) for name in _USE_COLUMNS):
            yield f"{named} not as the chain tells of it"
        if use.approval_state != ApprovalState.APPROVED:
            yield f"{named}, and nobody acknowledged its cost"
        if use.duration == OverrideDuration.SINGLE_USE and use.used_by != use.task_id:
            yield f"{named}, and its single use was {use.used_by or 'nobody'}'s"
    for override_id, task_id in told["override_used"]:
        yield f"the chain tells that override {override_id} moved task {task_id}; that row is gone"


def _is_as_told(row: Any, told: dict[str, dict[Any, dict[str, Any]]]) -> bool:
    asked = told["override_created"].get(row.override_id)
    if asked is None or asked != json.loads(row.body):
        return False
    claimed = told["override_claimed"].get(row.override_id, {}).get("task_id")
    ended = row.ended_as in (None, OverrideState.ENDED)
    ended = ended or row.override_id in told[f"override_{row.ended_as}"]
    same = all(getattr(row, name) == asked[name] for name in _COLUMNS)
    return same and ended and row.used_by == claimed


_MOVED = (
    select(USE, OVERRIDE.c.duration, OVERRIDE.c.used_by, APPROVAL.c.state.label("approval_state"))
    .join(OVERRIDE, OVERRIDE.c.override_id == USE.c.override_id)
    .outerjoin(APPROVAL, APPROVAL.c.approval_id == OVERRIDE.c.approval_id)
)
