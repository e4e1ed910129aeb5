"""The local card: what is loaded, runs and waits, and how its models share its memory."""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from pointwork.contract.names import TaskQueue
from pointwork.gateway.console.access import Viewer, require
from pointwork.gateway.console.pages import LIVE, page
from pointwork.gateway.permissions import Right
from pointwork.gateway.rules import Rules
from pointwork.ledger.signals import SignalStore
from pointwork.policy.reading.lane import (
    START_WORKER,
    LaneReading,
    read_lane,
    served_names,
    vram_plans,
)

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

router = APIRouter()


@router.get("/gpu")
async def show_gpu(request: Request, viewer: Viewer, rules: Rules) -> Response:
    """What ``pointwork gpu status`` says; it stays up to date by itself."""
    require(viewer, Right.READ_RECORD)
    gateway: Gateway = request.app.state.gateway

    def read() -> LaneReading | None:
        report = SignalStore(gateway.engine).lane_report(TaskQueue.GPU)
        return read_lane(report, rules, datetime.now(UTC)) if report else None

    reading = await asyncio.to_thread(read)
    context: dict[str, Any] = {
        "place": "gpu",
        "lane": reading,
        "host": rules.of_this_host.host,
        "plans": vram_plans(rules),
        "served_as": served_names(rules),
        "start_worker": START_WORKER,
        "live_url": f"{LIVE}?gpu=yes",
    }
    return page(request, "gpu.html", context)
