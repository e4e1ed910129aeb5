"""Incidents: what broke a rule, and the steps an owner takes about it (OM-87)."""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from pointwork.gateway.console.access import Posted, Signed, Viewer, require
from pointwork.gateway.console.pages import page
from pointwork.gateway.console.reasons import BadFormError, check_reason
from pointwork.gateway.console.sessions import PATH
from pointwork.gateway.permissions import Right
from pointwork.gateway.problems import ProblemError
from pointwork.ledger.incident_steps import (
    IncidentBook,
    IncidentEntry,
    IncidentNotFoundError,
    IncidentState,
    StepConflictError,
    StepRefusedError,
)

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

router = APIRouter()

Text = Annotated[str, Query(max_length=32)]
_ROWS_MAX = 100
_UNFINISHED = "unfinished"
_SHOWN = {
    _UNFINISHED: "To do",
    "open": "Open",
    "reviewed": "Reviewed",
    "corrected": "Corrected",
    "documented": "Documented",
    "all": "All",
}
"""What the list may be narrowed to, with its title."""


@router.get("/incidents")
async def list_incidents(request: Request, viewer: Viewer, state: Text = _UNFINISHED) -> Response:
    """Latest first; those that are not documented yet, unless another state is asked for."""
    require(viewer, Right.READ_RECORD)
    gateway: Gateway = request.app.state.gateway
    shown = state if state in _SHOWN else _UNFINISHED
    wanted = None if shown in (_UNFINISHED, "all") else IncidentState(shown)
    book, is_unfinished = IncidentBook(gateway.engine), shown == _UNFINISHED

    def read() -> tuple[list[IncidentEntry], int]:
        found = book.entries(_ROWS_MAX, state=wanted, only_unfinished=is_unfinished)
        return found, book.unfinished_count()

    found, unfinished = await asyncio.to_thread(read)
    context = {
        "place": "incidents",
        "entries": found,
        "unfinished": unfinished,
        "shown": shown,
        "tabs": _SHOWN,
        "is_cut": len(found) == _ROWS_MAX,
        "url_of": _url,
    }
    return page(request, "incidents.html", context)


@router.get("/incidents/{incident_id:path}")
async def show_incident(
    incident_id: str, request: Request, viewer: Viewer, said: Text = ""
) -> Response:
    """One incident with its steps; an owner takes the next one here."""
    require(viewer, Right.READ_RECORD)
    entry = await asyncio.to_thread(_found, request, incident_id)
    return _page(request, viewer, entry, said=said)


@router.post("/incidents/{incident_id:path}")
async def take_step(incident_id: str, request: Request, viewer: Viewer, fields: Posted) -> Response:
    """Record the step that the form was for, where it is still the one that follows."""
    require(viewer, Right.GOVERN)
    gateway: Gateway = request.app.state.gateway
    await asyncio.to_thread(_found, request, incident_id)

    def take() -> IncidentEntry:
        words = check_reason(fields.get("reason", ""))
        step, book = _step(fields.get("step", "")), IncidentBook(gateway.engine)
        return book.take(incident_id, step, viewer.name, words, datetime.now(UTC))

    try:
        entry = await asyncio.to_thread(take)
    except (BadFormError, StepConflictError, StepRefusedError) as error:
        status = 400 if isinstance(error, BadFormError) else 409
        now_there = await asyncio.to_thread(_found, request, incident_id)
        typed = fields.get("reason", "")
        return _page(request, viewer, now_there, why=str(error), typed=typed, status=status)
    return RedirectResponse(f"{_url(entry)}?said={entry.state}", 303)


def _step(name: str) -> IncidentState:
    try:
        return IncidentState(name)
    except ValueError:
        raise BadFormError("The form is not whole; load the page anew.") from None


def _found(request: Request, incident_id: str) -> IncidentEntry:
    gateway: Gateway = request.app.state.gateway
    try:
        return IncidentBook(gateway.engine).find(incident_id)
    except IncidentNotFoundError as error:
        raise ProblemError(404, "no_such_incident", str(error)) from None


def _url(entry: IncidentEntry) -> str:
    return f"{PATH}/incidents/{quote(entry.incident_id)}"


def _page(
    request: Request,
    viewer: Signed,
    entry: IncidentEntry,
    *,
    said: str = "",
    why: str = "",
    typed: str = "",
    status: int = 200,
) -> Response:
    context = {
        "place": "incidents",
        "entry": entry,
        "url": _url(entry),
        "may_govern": viewer.may(Right.GOVERN),
        "said": said,
        "why": why,
        "typed": typed,
    }
    return page(request, "incident.html", context, status=status)
