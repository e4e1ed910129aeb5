"""Overrides: who asked for what, what it would cost, who acknowledged it, what it moved (OM-73)."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.canonical import canonical_json, sha256_hex
from pointwork.contract.override_request import OverrideState
from pointwork.contract.task import TaskId
from pointwork.gateway.console.access import Posted, Signed, Viewer, require
from pointwork.gateway.console.asked import barred_from
from pointwork.gateway.console.inbox import explained
from pointwork.gateway.console.pages import page
from pointwork.gateway.console.reasons import BadFormError, check_reason
from pointwork.gateway.console.sessions import PATH
from pointwork.gateway.console.signing import sign_shown
from pointwork.gateway.permissions import Right, may_read
from pointwork.gateway.problems import ProblemError
from pointwork.gateway.rules import Rules
from pointwork.ledger.console_keys import NoConsoleKeyError
from pointwork.ledger.overrides import OverrideBook, OverrideConflictError, OverrideEntry
from pointwork.overriding import acknowledge
from pointwork.policy.bundle import UnknownPackError
from pointwork.policy.reading.override_words import duration_words, scope_words
from pointwork.verdicts import VerdictRefusedError

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

router = APIRouter()

Text = Annotated[str, Query(max_length=128)]
_ROWS_MAX = 200
_STATES = list(OverrideState)
_CAN_END = (OverrideState.PENDING, OverrideState.ACTIVE)
_NEED_A_NEW_LOOK = (
    OverrideConflictError,
    VerdictRefusedError,
    NoConsoleKeyError,
    UnknownPackError,
)


@router.get("/overrides")
async def list_overrides(request: Request, viewer: Viewer, pack: Text = "") -> Response:
    """Those that wait first, then those that hold, then the others; the latest of each first."""
    require(viewer, Right.READ_RECORD)
    gateway: Gateway = request.app.state.gateway
    now = datetime.now(UTC)

    def read() -> list[OverrideEntry]:
        book = OverrideBook(gateway.engine)
        return book.entries(now, pack=pack or None, limit=_ROWS_MAX)

    found = await asyncio.to_thread(read)
    context = {
        "place": "overrides",
        "entries": sorted(found, key=lambda each: _STATES.index(each.state)),
        "is_cut": len(found) == _ROWS_MAX,
        "pack": pack,
        "packs": gateway.library.packs,
        "scope_words": scope_words,
        "duration_words": duration_words,
    }
    return page(request, "overrides.html", context)


@router.get("/overrides/{override_id}")
async def show_override(
    override_id: TaskId, request: Request, viewer: Viewer, said: Text = ""
) -> Response:
    """One override as it stands; who may, acknowledges or ends it here."""
    entry = await asyncio.to_thread(_seen, request, viewer, override_id)
    return await _page(request, viewer, entry, said=said)


@router.post("/overrides/{override_id}/acknowledge")
async def take_acknowledgement(
    override_id: TaskId, request: Request, viewer: Viewer, rules: Rules, fields: Posted
) -> Response:
    """Sign for the cost that the form showed; from then on the override holds (OM-73)."""
    require(viewer, Right.APPROVE)
    gateway: Gateway = request.app.state.gateway
    entry = await asyncio.to_thread(_seen, request, viewer, override_id)

    def change() -> None:
        now = datetime.now(UTC)
        check_reason(fields.get("reason", ""))
        found = OverrideBook(gateway.engine).approval(override_id, now)
        signed = sign_shown(request, viewer, found, fields, ApprovalVerdict.APPROVED)
        bundle = rules.active(entry.asked.pack)
        acknowledge(gateway.engine, signed, bundle, datetime.now(UTC))

    return await _changed(request, viewer, entry, fields, "acknowledge", change)


@router.post("/overrides/{override_id}/revoke")
async def revoke(override_id: TaskId, request: Request, viewer: Viewer, fields: Posted) -> Response:
    """End the override now; tasks that hold money for it keep their model."""
    return await _end(request, viewer, override_id, fields, is_struck=False)


@router.post("/overrides/{override_id}/strike")
async def strike(override_id: TaskId, request: Request, viewer: Viewer, fields: Posted) -> Response:
    """End the override because its reason is convenience (OM-69)."""
    return await _end(request, viewer, override_id, fields, is_struck=True)


async def _end(
    request: Request,
    viewer: Signed,
    override_id: str,
    fields: Mapping[str, str],
    *,
    is_struck: bool,
) -> Response:
    require(viewer, Right.GOVERN)
    gateway: Gateway = request.app.state.gateway
    entry = await asyncio.to_thread(_seen, request, viewer, override_id)

    def change() -> None:
        reason, book = check_reason(fields.get("reason", "")), OverrideBook(gateway.engine)
        end = book.strike if is_struck else book.revoke
        end(override_id, viewer.name, reason, datetime.now(UTC))

    return await _changed(request, viewer, entry, fields, "end", change)


async def _changed(
    request: Request,
    viewer: Signed,
    entry: OverrideEntry,
    fields: Mapping[str, str],
    form: str,
    change: Callable[[], None],
) -> Response:
    """The override as it stands then; or with why nothing was done, and what was typed."""
    override_id = entry.asked.override_id
    try:
        await asyncio.to_thread(change)
    except (BadFormError, *_NEED_A_NEW_LOOK) as error:
        status = 400 if isinstance(error, BadFormError) else 409
        now_there = await asyncio.to_thread(_seen, request, viewer, override_id)
        why, typed = explained(str(error)), {form: fields.get("reason", "")}
        return await _page(request, viewer, now_there, why=why, typed=typed, status=status)
    return RedirectResponse(f"{PATH}/overrides/{override_id}?said={form}", 303)


def _seen(request: Request, viewer: Signed, override_id: str) -> OverrideEntry:
    """The override, where this person may see it; it reads the ledger.

    Raises:
        ProblemError: 404, in the same words for one that there is not.
    """
    gateway: Gateway = request.app.state.gateway
    problem = ProblemError(404, "no_such_override", f"no override {override_id!r} is yours to see")
    try:
        entry = OverrideBook(gateway.engine).find(override_id, datetime.now(UTC))
    except OverrideConflictError:
        raise problem from None
    if not may_read(viewer.identity, entry.asked.requester):
        raise problem
    return entry


async def _page(
    request: Request,
    viewer: Signed,
    entry: OverrideEntry,
    *,
    said: str = "",
    why: str = "",
    typed: Mapping[str, str] | None = None,
    status: int = 200,
) -> Response:
    gateway: Gateway = request.app.state.gateway
    asked, is_pending = entry.asked, entry.state is OverrideState.PENDING

    def read() -> dict[str, Any]:
        found = gateway.approvals.open_of(asked.override_id) if is_pending else None
        closed = gateway.approvals.verdicts(f"override/{asked.override_id}")
        return {"barred": barred_from(gateway, viewer, found) if found else "", "verdicts": closed}

    context = await asyncio.to_thread(read)
    context |= {
        "place": "overrides",
        "entry": entry,
        "asked": asked,
        "request_sha256": sha256_hex(canonical_json(asked)),
        "scope": scope_words(asked),
        "duration": duration_words(asked),
        "is_pending": is_pending,
        "sees_record": viewer.may(Right.READ_RECORD),
        "may_acknowledge": viewer.may(Right.APPROVE) and viewer.name != asked.requester,
        "may_end": viewer.may(Right.GOVERN) and entry.state in _CAN_END,
        "said": said,
        "why": why,
        "typed": {"acknowledge": "", "end": "", **(typed or {})},
    }
    return page(request, "override.html", context, status=status)
