"""What tasks cost, summed as asked for, and calls above what was held (OM-37, OM-38)."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from pointwork.gateway.console.access import Posted, Signed, Viewer, require
from pointwork.gateway.console.daily_costs import daily_costs
from pointwork.gateway.console.pages import page
from pointwork.gateway.console.reasons import BadFormError
from pointwork.gateway.console.sessions import PATH
from pointwork.gateway.permissions import Right
from pointwork.gateway.problems import ProblemError
from pointwork.ledger.costs import (
    EVER,
    CostBy,
    CostReport,
    Costs,
    Days,
    OverrunNotFoundError,
    review_overrun,
)

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

router = APIRouter()

Text = Annotated[str, Query(max_length=128)]
SUMMED_BY = {
    CostBy.MODEL: "model",
    CostBy.VENDOR: "vendor",
    CostBy.PACK: "pack",
    CostBy.CALLER: "caller",
    CostBy.POLICY: "task class",
    CostBy.WORKER: "worker",
    CostBy.DAY: "day",
    CostBy.WEEK: "week",
    CostBy.MONTH: "month",
}
_OF_TIME = (CostBy.DAY, CostBy.WEEK, CostBy.MONTH)
_ROWS_MAX = 200
_OVERRUNS_MAX = 50


@router.get("/costs")
async def show_costs(
    request: Request,
    viewer: Viewer,
    by: Text = CostBy.MODEL,
    pack: Text = "",
    since: Text = "",
    until: Text = "",
    said: Text = "",
) -> Response:
    """Totals by one name, the last thirty days, and costs above their holds."""
    require(viewer, Right.READ_RECORD)
    given = {"pack": pack, "since": since.strip(), "until": until.strip()}
    summed_by = next((each for each in SUMMED_BY if each == by), CostBy.MODEL)
    try:
        days = _days(given["since"], given["until"])
    except BadFormError as error:
        return await _page(request, viewer, summed_by, given, EVER, why=str(error))
    return await _page(request, viewer, summed_by, given, days, said=said)


@router.post("/costs/review")
async def review(request: Request, viewer: Viewer, fields: Posted) -> Response:
    """Record that the person has looked at a cost above its hold; the first one stays on record."""
    require(viewer, Right.GOVERN)
    gateway: Gateway = request.app.state.gateway
    part_id, now = fields.get("part_id", ""), datetime.now(UTC)
    try:
        record = await asyncio.to_thread(
            review_overrun, gateway.engine, part_id, by=viewer.name, now=now
        )
    except OverrunNotFoundError as error:
        raise ProblemError(404, "no_such_overrun", str(error)) from None
    said = "reviewed" if record.reviewed_by == viewer.name else "reviewed-before"
    return RedirectResponse(f"{PATH}/costs?said={said}#overruns", 303)


def _days(since: str, until: str) -> Days:
    try:
        return Days(since=_day("From", since), until=_day("To", until))
    except ValueError as error:
        raise BadFormError(f"{error}.") from None


def _day(label: str, given: str) -> date | None:
    if not given:
        return None
    try:
        return datetime.strptime(given, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        remedy = "give a day of the calendar as YYYY-MM-DD, or leave it empty"
        raise BadFormError(f"{label} {given!r:.40} is no date; {remedy}.") from None


async def _page(
    request: Request,
    viewer: Signed,
    by: CostBy,
    given: Mapping[str, str],
    days: Days,
    *,
    why: str = "",
    said: str = "",
) -> Response:
    gateway: Gateway = request.app.state.gateway
    report, pack = CostReport(gateway.engine), given["pack"] or None
    today = datetime.now(UTC).date()

    def read() -> dict[str, Any]:
        packs = report.packs()
        overruns = report.overruns(days, pack, only_unreviewed=True, limit=_OVERRUNS_MAX)
        return {
            "packs": packs,
            "is_unknown_pack": bool(packs) and pack is not None and pack not in packs,
            "rows": _newest_first(by, report.totals(by, days, pack)),
            "total": report.total(days, pack),
            "daily": daily_costs(report, today, pack),
            "overruns": overruns,
        }

    kept = {name: value for name, value in given.items() if value}
    context = await asyncio.to_thread(read)
    context |= {
        "place": "costs",
        "by": by,
        "tabs": [(each, f"{PATH}/costs?{urlencode({'by': each} | kept)}") for each in SUMMED_BY],
        "titles": SUMMED_BY,
        "filters": given,
        "is_filtered": bool(kept),
        "rows_max": _ROWS_MAX,
        "why": why,
        "said": said,
        "may_review": viewer.may(Right.GOVERN),
    }
    return page(request, "costs.html", context, status=400 if why else 200)


def _newest_first(by: CostBy, found: list[Costs]) -> list[Costs]:
    return found[::-1] if by in _OF_TIME else found
