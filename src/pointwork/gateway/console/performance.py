"""How models did, and Milestone 6's goals against that (JG-50, JG-58 to JG-62)."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from pointwork.gateway.console.access import Viewer, require
from pointwork.gateway.console.pages import page
from pointwork.gateway.permissions import Right
from pointwork.gateway.rules import Rules
from pointwork.juggernaut.performance_tracker import PerformanceTracker
from pointwork.juggernaut.scorecard import measure, scorecard
from pointwork.ledger.selections import PACK
from pointwork.ledger.traffic import SAMPLE_MAX, Traffic

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

router = APIRouter()

_SAMPLED = timedelta(days=1)


@router.get("/performance")
async def show_performance(request: Request, viewer: Viewer, rules: Rules) -> Response:
    """The scorecard, the windows that a change of order would read, and the newest calls."""
    require(viewer, Right.READ_RECORD)
    gateway: Gateway = request.app.state.gateway
    now = datetime.now(UTC)

    def read() -> dict[str, Any]:
        bundles = [rules.active(pack) for pack in rules.packs]
        tracker = PerformanceTracker(gateway.engine)
        measured = measure(gateway.engine, rules.active(PACK), now) if PACK in rules.packs else None
        return {
            "measured": measured,
            "scores": scorecard(measured) if measured else (),
            "windows": [
                (each.pack.pack, each.pack.overlay.window_seconds, tracker.windows(each, now))
                for each in bundles
                if each.pack.overlay is not None
            ],
            "samples": Traffic(gateway.engine).samples(now - _SAMPLED),
        }

    context = await asyncio.to_thread(read)
    context |= {"place": "performance", "sample_max": SAMPLE_MAX, "pack": PACK}
    return page(request, "performance.html", context)
