"""Two versions of a pack side by side, what another would decide, and rolling back (OM-85)."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from pointwork.gateway.console.access import Posted, Signed, Viewer, require
from pointwork.gateway.console.pages import page
from pointwork.gateway.console.policies import Text, active_of, named_version
from pointwork.gateway.console.policy_facts import by_group
from pointwork.gateway.console.reasons import BadFormError, check_reason
from pointwork.gateway.console.sessions import PATH
from pointwork.gateway.permissions import Right
from pointwork.gateway.rules import Rules
from pointwork.ledger.activations import ActivationConflictError, ActivationRefusedError
from pointwork.policy.bundle import PolicyLibrary
from pointwork.policy.reading.difference import difference
from pointwork.rollback import DECISIONS_DEFAULT, Change, dry_run, roll_back

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

router = APIRouter()

DECISIONS_MAX = 1000
_LINES_MAX = 50
Last = Annotated[int, Query(ge=1, le=DECISIONS_MAX)]


@router.get("/policies/{pack}/diff")
async def show_difference(
    request: Request, viewer: Viewer, rules: Rules, pack: str, a: Text = "", b: Text = ""
) -> Response:
    """The changed rules from one version to another; the active one where none is named."""
    require(viewer, Right.READ_RECORD)
    before, after = named_version(rules, pack, a), named_version(rules, pack, b)
    context = {
        "place": "policies",
        "pack": pack,
        "before": before,
        "after": after,
        "versions": [each.pack.version for each in reversed(rules.deployed(pack))],
        "changes": await asyncio.to_thread(difference, before, after),
        "by_group": by_group,
    }
    return page(request, "policy_diff.html", context)


@router.get("/policies/{pack}/rollback")
async def show_rollback(
    request: Request,
    viewer: Viewer,
    rules: Rules,
    pack: str,
    to: Text = "",
    last: Last = DECISIONS_DEFAULT,
) -> Response:
    """What another version would have decided of the last tasks; a form for who may activate it."""
    require(viewer, Right.READ_RECORD)
    return await _rollback_page(request, viewer, rules, pack, to, last=last)


@router.post("/policies/{pack}/rollback")
async def go_back(
    request: Request, viewer: Viewer, rules: Rules, fields: Posted, pack: str
) -> Response:
    """Let the version decide new tasks, if what the person saw is still what is active."""
    require(viewer, Right.GOVERN)
    gateway: Gateway = request.app.state.gateway
    chosen = named_version(rules, pack, fields.get("to", ""))
    try:
        change = Change(
            pack=pack,
            version=chosen.pack.version,
            by=viewer.name,
            reason=check_reason(fields.get("reason", "")),
            at=datetime.now(UTC),
            seen_sha256=fields.get("shown", ""),
        )
        await asyncio.to_thread(roll_back, gateway.engine, gateway.policies, change)
    except BadFormError as error:
        return await _refused(request, viewer, fields, pack, error, status=400)
    except (ActivationConflictError, ActivationRefusedError) as error:
        return await _refused(request, viewer, fields, pack, error, status=409)
    return RedirectResponse(f"{PATH}/policies/{pack}?said=activated", 303)


async def _refused(
    request: Request,
    viewer: Signed,
    fields: Mapping[str, str],
    pack: str,
    error: Exception,
    *,
    status: int,
) -> Response:
    """The page as it stands now, with why nothing was done and what the person had typed."""
    gateway: Gateway = request.app.state.gateway
    rules, said = await asyncio.to_thread(gateway.policies.now), str(error)
    more = {"why": said[:1].upper() + said[1:], "reason": fields.get("reason", "")}
    to = fields.get("to", "")
    return await _rollback_page(request, viewer, rules, pack, to, more=more, status=status)


async def _rollback_page(
    request: Request,
    viewer: Signed,
    rules: PolicyLibrary,
    pack: str,
    to: str,
    *,
    last: int = DECISIONS_DEFAULT,
    more: Mapping[str, str] | None = None,
    status: int = 200,
) -> Response:
    gateway: Gateway = request.app.state.gateway
    active, chosen = active_of(rules, pack), named_version(rules, pack, to)

    def read() -> dict[str, Any]:
        found = dry_run(gateway.engine, chosen, last)
        return {
            "changes": difference(active, chosen),
            "found": found,
            "crossing": len({each.task_id for each in found.crossings}),
            "privacy": sorted(found.privacy, key=lambda each: not each.crosses)[:_LINES_MAX],
        }

    context = await asyncio.to_thread(read)
    context |= {"place": "policies", "pack": pack, "active": active, "chosen": chosen, "last": last}
    context |= {
        "by_group": by_group,
        "may_govern": viewer.may(Right.GOVERN),
        "why": "",
        "reason": "",
        **(more or {}),
    }
    return page(request, "policy_rollback.html", context, status=status)
