"""Milestone 6's endpoints under ``/api/routing``, in the shapes its clients know (JG-47 to JG-51).

Its policies are read and written in ``policies_api``.
"""

import asyncio
import uuid
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field

from pointwork.contract.identity import Identity
from pointwork.contract.money import NANO_PER_USD, format_usd
from pointwork.contract.task import (
    CONTENT_BYTES_MAX,
    OUTPUT_TOKENS_MAX,
    Complexity,
    Constraints,
    ContentRef,
    Name,
    PrivacyTier,
    Sensitivity,
    TaskRequest,
)
from pointwork.gateway.access import Auditor, KeyFirst, Submitter
from pointwork.gateway.problems import ProblemError
from pointwork.gateway.rules import Rules
from pointwork.gateway.wire_model import Body
from pointwork.juggernaut.model_selector import SelectionRecord, select
from pointwork.juggernaut.performance_tracker import PerformanceTracker
from pointwork.ledger.costs import CostBy, CostReport, Costs, Days
from pointwork.ledger.electricity import electricity
from pointwork.policy.bundle import PolicyBundle, PolicyLibrary, UnknownPackError

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

router = APIRouter(prefix="/api/routing", tags=["routing"], route_class=KeyFirst)
PACK = "juggernaut"
_COSTS_BY = (CostBy.MODEL, CostBy.POLICY, CostBy.WORKER, CostBy.DAY, CostBy.WEEK, CostBy.MONTH)
_TASKS_MAX = 20
_NO_CONTENT = "0" * 64
"""In place of the digest of a prompt that nobody sent: nothing is classified or called."""

PackName = Annotated[str, Query(max_length=128)]


class SelectRequest(Body):
    """What a model is to be selected for. The task's text is not needed, and not taken."""

    task_type: Name
    complexity: Complexity | None = None
    sensitivity: Sensitivity | None = None
    privacy_tier: PrivacyTier = PrivacyTier.ANY
    input_tokens: Annotated[int, Field(ge=0, le=CONTENT_BYTES_MAX)] = 0
    """An upper bound of the prompt's tokens; the estimate is of the worst case."""
    max_output_tokens: Annotated[int, Field(ge=1, le=OUTPUT_TOKENS_MAX)] = 1024
    worker: Name | None = None


@router.get("/costs")
async def show_costs(
    request: Request,
    caller: Auditor,
    since: date | None = None,
    until: date | None = None,
    pack: Annotated[str | None, Query(max_length=128)] = None,
) -> dict[str, Any]:
    """What calls cost by task, model, policy and worker, and by day, week and month.

    ``electricity`` is what the house's own models used where that is metered, and is in the totals.
    """
    gateway: Gateway = request.app.state.gateway
    try:
        days = Days(since=since, until=until)
    except ValueError as error:
        raise ProblemError(400, "invalid_days", str(error), "until") from None
    report = CostReport(gateway.engine)

    def read() -> dict[str, Any]:
        totals = {by.value: _costs(report.totals(by, days, pack)) for by in _COSTS_BY}
        dearest = _costs(report.dearest_tasks(days, pack, limit=_TASKS_MAX))
        (total,) = _costs([report.total(days, pack)])
        used = [
            {**asdict(each), "cost": format_usd(each.cost_nano_usd)}
            for each in electricity(gateway.engine, days, pack)
        ]
        return {"total": total, "task": dearest, **totals, "electricity": used}

    return await asyncio.to_thread(read)


@router.get("/performance")
async def show_performance(
    request: Request, caller: Auditor, rules: Rules, pack: PackName = PACK
) -> dict[str, Any]:
    """How each model did in the window that the next change of order would read."""
    gateway: Gateway = request.app.state.gateway
    bundle = named_pack(rules, pack)
    now = datetime.now(UTC)
    tracker = PerformanceTracker(gateway.engine)
    try:
        windows = await asyncio.to_thread(tracker.windows, bundle, now)
    except ValueError as error:
        raise ProblemError(400, "not_measured", str(error), "pack") from None
    return {"pack": pack, "models": [each.model_dump(mode="json") for each in windows]}


@router.post("/select")
async def select_model(
    body: SelectRequest, request: Request, caller: Submitter, rules: Rules
) -> dict[str, Any]:
    """The model that a task would go to now, with its estimate. No model is called."""
    gateway: Gateway = request.app.state.gateway
    named_pack(rules, PACK)
    asked = _request(body, caller)
    snapshot = await asyncio.to_thread(gateway.read_signals, asked)
    if snapshot is None:
        raise ProblemError(503, "no_policy", f"no pack {PACK!r} is active; see `pointwork policy`")
    record = select(
        body.task_type,
        body.complexity,
        policies=[rules.by_hash(snapshot.policy.bundle_sha256)],
        request=asked,
        snapshot=snapshot,
        input_tokens_max=body.input_tokens,
    )
    return _selection(record)


def _request(body: SelectRequest, caller: Identity) -> TaskRequest:
    now = datetime.now(UTC)
    return TaskRequest(
        task_id=f"selection-{uuid.uuid4().hex}",
        caller=caller.name,
        pack=PACK,
        task_type=body.task_type,
        sensitivity=body.sensitivity,
        privacy_tier=body.privacy_tier,
        worker=body.worker,
        constraints=Constraints(max_output_tokens=body.max_output_tokens),
        content=ContentRef(digest=_NO_CONTENT, bytes=body.input_tokens, media_type="text/plain"),
        submitted_at=now,
    )


def _selection(record: SelectionRecord) -> dict[str, Any]:
    chosen, plan = record.selected, record.decision.plan if record.decision else None
    estimate = chosen.estimate_nano_usd if chosen else None
    return {
        "policy": record.policy,
        "model": chosen.model if chosen else None,
        "provider": chosen.vendor if chosen else None,
        "estimated_cost": estimate / NANO_PER_USD if estimate is not None else None,
        "estimated_cost_nano_usd": estimate,
        "decision_id": record.decision.decision_id if record.decision else None,
        "effect": plan.effect if plan else "deny",
        "reason": plan.reason if plan else None,
        "snapshot_sha256": record.snapshot_sha256,
        "steps": [each.model_dump(mode="json") for each in record.steps],
        "rejected": [each.model_dump(mode="json") for each in plan.rejected] if plan else [],
    }


def named_pack(rules: PolicyLibrary, pack: str) -> PolicyBundle:
    try:
        return rules.active(pack)
    except UnknownPackError as error:
        raise ProblemError(404, "unknown_pack", str(error), "pack") from None


def _costs(found: list[Costs]) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "calls": each.calls,
            "cost_nano_usd": each.cost_nano_usd,
            "cost": format_usd(each.cost_nano_usd),
            "estimate_nano_usd": each.estimate_nano_usd,
        }
        for each in found
    ]
