"""The packs with the version that decides, and one pack with all that is on record of it."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from pointwork.gateway.console.access import Posted, Signed, Viewer, require
from pointwork.gateway.console.pages import page
from pointwork.gateway.console.policy_facts import by_group, pack_lines, policy_facts
from pointwork.gateway.console.sessions import PATH
from pointwork.gateway.permissions import Right
from pointwork.gateway.problems import ProblemError
from pointwork.gateway.rules import Rules
from pointwork.ledger.overlays import OverlayConflictError, OverlayLog, OverlayRefusedError
from pointwork.policy.bundle import PolicyBundle, PolicyLibrary, UnknownPackError
from pointwork.rollback import UnknownVersionError, version_of

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

router = APIRouter()

Text = Annotated[str, Query(max_length=64)]


@router.get("/policies")
async def show_policies(request: Request, viewer: Viewer) -> Response:
    """Every pack, and which version of it decides new tasks."""
    require(viewer, Right.READ_RECORD)
    gateway: Gateway = request.app.state.gateway
    lines = await asyncio.to_thread(pack_lines, gateway)
    return page(request, "policies.html", {"place": "policies", "lines": lines})


@router.get("/policies/{pack}")
async def show_policy(
    request: Request, viewer: Viewer, rules: Rules, pack: str, version: Text = "", said: Text = ""
) -> Response:
    """A pack: its versions, the active one or the named one in brief, its order and its log."""
    require(viewer, Right.READ_RECORD)
    return await _policy_page(request, viewer, rules, pack, version, said=said)


@router.post("/policies/{pack}/overlay")
async def revert_order(
    request: Request, viewer: Viewer, rules: Rules, fields: Posted, pack: str
) -> Response:
    """Put an earlier order of the pack's models in force again, as a new version of it (JG-37)."""
    require(viewer, Right.GOVERN)
    active = active_of(rules, pack)
    try:
        await asyncio.to_thread(_revert, request, viewer, active, fields)
    except (OverlayConflictError, OverlayRefusedError) as error:
        return await _policy_page(request, viewer, rules, pack, "", why=str(error), status=409)
    return RedirectResponse(f"{PATH}/policies/{pack}?said=reordered", 303)


def active_of(rules: PolicyLibrary, pack: str) -> PolicyBundle:
    """The active version of the pack in the address.

    Raises:
        ProblemError: 404 where no pack has the name.
    """
    try:
        return rules.active(pack)
    except UnknownPackError as error:
        raise ProblemError(404, "unknown_pack", str(error), "pack") from None


def named_version(rules: PolicyLibrary, pack: str, version: str) -> PolicyBundle:
    """The version in the address; the active one where it names none.

    Raises:
        ProblemError: 404 where there is none.
    """
    active = active_of(rules, pack)
    if not version:
        return active
    try:
        return version_of(rules, pack, version)
    except UnknownVersionError as error:
        raise ProblemError(404, "unknown_version", str(error), "version") from None


def _revert(
    request: Request, viewer: Signed, active: PolicyBundle, fields: Mapping[str, str]
) -> None:
    gateway: Gateway = request.app.state.gateway
    log, pack, to = OverlayLog(gateway.engine), active.pack.pack, fields.get("to", "")
    current = log.current(pack)
    if fields.get("shown") != str(current.version if current else 0) or not to.isdecimal():
        msg = "the order changed since this page was opened; look at it and decide again"
        raise OverlayConflictError(msg)
    log.revert(
        pack,
        int(to),
        by=viewer.name,
        pack_allows_overlay=active.pack.overlay is not None,
        now=datetime.now(UTC),
    )


async def _policy_page(
    request: Request,
    viewer: Signed,
    rules: PolicyLibrary,
    pack: str,
    version: str,
    *,
    said: str = "",
    why: str = "",
    status: int = 200,
) -> Response:
    gateway: Gateway = request.app.state.gateway
    shown = named_version(rules, pack, version)
    facts = await asyncio.to_thread(policy_facts, gateway.engine, rules, shown)
    context = {
        "place": "policies",
        "facts": facts,
        "by_group": by_group,
        "may_govern": viewer.may(Right.GOVERN),
        "said": said,
        "why": why,
    }
    return page(request, "policy.html", context, status=status)
